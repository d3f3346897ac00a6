"""A trial of learning rates as a table, for terminals and notebooks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.console
import rich.table
import rich.text

from keras_initkit.report.numbers import short

_COLUMNS = ("learning rate", "loss", "with other targets")


def render(
    headline: str,
    tried: Sequence[Any],
    marks: Mapping[float | None, str],
    small_print: Iterable[str],
) -> rich.console.Group:
    """Returns a trial: what it proposes, a row a rate, small print.

    Args:
        headline: What it says, in a sentence or two.
        tried: A `Tried` for each rate.
        marks: `{rate: what it is}`.
        small_print: Lines below all else.
    """
    table = rich.table.Table(show_edge=False, pad_edge=False, header_style="bold")
    for title in _COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in tried:
        said = ["learns"] if one.learns else []
        said += [what for rate, what in marks.items() if rate == one.rate]
        losses = (f"{loss:.4g}" for loss in (one.loss, one.other_loss))
        table.add_row(f"{short(one.rate)}", *losses, ", ".join(said))
    lines = rich.text.Text("\n".join(small_print), style="dim")
    return rich.console.Group(rich.text.Text(headline, style="bold"), table, lines)
