"""The picture of a diagnosis: signals and gradients against depth."""

import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_initkit.analysis._diagnosis_table import shared_prefix

if TYPE_CHECKING:
    from keras_initkit.analysis.diagnose import Diagnosis

_MEASURED, _EXPECTED, _FAULT = "#0072B2", "#999999", "#D55E00"
_MOST_LABELS = 16


def plot(diagnosis: "Diagnosis", path: str | os.PathLike[str] | None) -> Any:
    """Draws a diagnosis; see `Diagnosis.plot`."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "`plot` needs matplotlib: pip install 'keras-initkit[plot]'"
        ) from error
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    rows = diagnosis.profile
    draw_depth(upper, rows, "activation", "Signal forward", "rms of the outputs")
    draw_depth(lower, rows, "backprop", "Gradient back", "rms of dL/d(output)")
    _label_layers(lower, rows, diagnosis)
    figure.suptitle(_title(diagnosis), fontweight="bold", x=0.01, ha="left")
    if path is None:
        return figure
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def draw_depth(axes, rows, name, title, label, colour=_MEASURED, legend="measured"):
    """Draws a measured profile over what theory expects, zeros on a line below."""
    measured = _values(rows, name)
    expected = _values(rows, f"expected_{name}")
    both = np.concatenate([measured, expected])
    positive = both[np.isfinite(both) & (both > 0)]
    floor = 10.0 ** (np.floor(np.log10(positive.min(initial=1.0))) - 1)
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
    axes.plot(depths, shown, color=colour, marker="o", markersize=4, label=legend)
    axes.set(yscale="log", title=title, ylabel=label)
    if (measured == 0).any():
        axes.axhline(floor, color="0.6", lw=1)
        axes.annotate(
            "exactly 0",
            (0.01, floor),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=9,
            color="0.3",
        )
    # A flat profile is flat: at least two decades are shown.
    low, high = axes.get_ylim()
    middle = np.sqrt(low * high)
    axes.set_ylim(min(low, middle / 10), max(high, middle * 10))
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False)


def _values(rows, name):
    values = [getattr(row, name) for row in rows]
    return np.array([np.nan if v is None else v for v in values], float)


def _label_layers(axes, rows, diagnosis):
    at_fault = {f.layer for f in diagnosis.findings if f.severity != "info"}
    step = -(-len(rows) // _MOST_LABELS)
    ticks = list(range(0, len(rows), step))
    shared = shared_prefix([row.layer for row in rows])
    names = [rows[i].layer.removeprefix(shared) for i in ticks]
    axes.set_xticks(ticks, names, rotation=40, ha="right", fontsize=8)
    for tick, label in zip(ticks, axes.get_xticklabels(), strict=True):
        if rows[tick].layer in at_fault:
            label.set_color(_FAULT)
            label.set_fontweight("bold")
    axes.set_xlabel("weight layer, from input to output (orange: named by a finding)")


def _title(diagnosis):
    rules = list(dict.fromkeys(f.rule for f in diagnosis.findings))
    found = ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "")
    return f"{diagnosis.model}: {found or 'no finding'}"
