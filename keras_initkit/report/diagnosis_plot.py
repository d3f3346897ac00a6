"""The picture of a diagnosis: signals and gradients against depth."""

import os
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from keras_initkit.report import drawing

_MEASURED, _EXPECTED, _FAULT = "#0072B2", "#999999", "#D55E00"


def plot(
    title: str,
    rows: Sequence[Any],
    at_fault: Container[str],
    path: str | os.PathLike[str] | None,
) -> Any:
    """Draws signals and gradients against depth, measured and expected.

    Args:
        title: Title of the figure.
        rows: One a layer, from input to output, with the attributes `layer`,
            `activation`, `expected_activation`, `backprop`, `expected_backprop`.
        at_fault: Names of the layers that stand out.
        path: File to save the figure to as well.
    """
    figure, panels = drawing.new_figure(2, 1, (9, 6.4), sharex=True)
    upper, lower = panels[:, 0]
    _draw_depth(upper, rows, "activation", "Signal forward", "rms of the outputs")
    _draw_depth(lower, rows, "backprop", "Gradient back", "rms of dL/d(output)")
    _label_layers(lower, rows, at_fault)
    figure.suptitle(title, fontweight="bold", x=0.01, ha="left")
    return drawing.kept(figure, path)


def _draw_depth(axes, rows, name, title, label):
    """Draws a measured profile over what theory expects, zeros on a line below."""
    measured = _values(rows, name)
    expected = _values(rows, f"expected_{name}")
    floor = drawing.floor_below(np.concatenate([measured, expected]))
    depths = np.arange(len(rows))
    if np.isfinite(expected).any():
        axes.plot(
            depths,
            np.where(expected == 0, np.nan, expected),
            color=_EXPECTED,
            linestyle="--",
            linewidth=2.5,
            label="expected by theory at these weights",
        )
    shown = np.where(measured == 0, floor, measured)
    marks = {"marker": "o", "markersize": 4, "clip_on": False}
    axes.plot(depths, shown, color=_MEASURED, label="measured", **marks)
    axes.set(yscale="log", title=title, ylabel=label)
    if (measured == 0).any():
        drawing.mark_zero(axes, floor)
    drawing.show_two_decades(axes)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False)


def _values(rows, name):
    values = [getattr(row, name) for row in rows]
    return np.array([np.nan if v is None else v for v in values], float)


def _label_layers(axes, rows, at_fault):
    label = "weight layer, from input to output (orange: named by a finding)"
    ticks = drawing.label_layers(axes, [row.layer for row in rows], label)
    for tick, label in zip(ticks, axes.get_xticklabels(), strict=True):
        if rows[tick].layer in at_fault:
            label.set_color(_FAULT)
            label.set_fontweight("bold")
