"""Arrays as a table: shapes, dtypes, ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rich.console
import rich.table
import rich.text


def render(
    arrays: Mapping[str, np.ndarray], unseen: Mapping[str, str]
) -> rich.console.Group:
    """Returns a row for each array, and why others are not there.

    Args:
        arrays: `{label: array}`.
        unseen: `{layer: reason}`.
    """
    table = rich.table.Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("tensor", overflow="fold")
    for title in ("shape", "dtype", "rms", "smallest", "largest"):
        table.add_column(title, justify="right", no_wrap=True)
    for label, array in arrays.items():
        shape = " × ".join(map(str, array.shape)) or "a number"
        numbers = (f"{value:.3g}" for value in _range(array))
        table.add_row(rich.text.Text(label), shape, str(array.dtype), *numbers)
    return rich.console.Group(table, *_small_print(unseen))


def render_gradients(
    loss: float,
    parts: Mapping[str, Mapping[str, np.ndarray]],
    unseen: Mapping[str, str],
    notes: Sequence[str],
) -> rich.console.Group:
    """Returns the loss, a table for each part, why others are not there, and notes."""
    shown: list[Any] = [rich.text.Text(f"loss {loss:.6g}", style="bold")]
    for name, arrays in parts.items():
        heading = rich.text.Text(f"gradient with respect to {name}", style="bold")
        shown += ["", heading, render(arrays, {})]
    return rich.console.Group(*shown, *_small_print(unseen, notes))


def _small_print(
    unseen: Mapping[str, str], notes: Sequence[str] = ()
) -> list[rich.text.Text]:
    lines = [f"missing: {layer}, {reason}" for layer, reason in unseen.items()]
    return [rich.text.Text(line, style="dim") for line in (*lines, *notes)]


def _range(array: np.ndarray) -> tuple[float, float, float]:
    values = np.asarray(array, np.float64)
    if not values.size:
        return (np.nan,) * 3
    return float(np.sqrt(np.mean(values**2))), values.min(), values.max()
