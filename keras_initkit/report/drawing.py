"""What pictures share: a style for each initializer, axes, curves with their range."""

import itertools
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.report.mean_std import margin_of_mean

# An initializer looks the same in every picture. Colours of Okabe and Ito (yellow, too
# pale for lines, left out) and of Tol's muted scheme, told apart by the colour-blind;
# markers and dashes tell the lines apart in black and white.
_KNOWN = {
    "zero": ("#000000", "o", "-"),
    "random": ("#CC79A7", "D", "-."),
    "slide_xavier": ("#56B4E9", "s", "--"),
    "slide_he": ("#E69F00", "P", "--"),
    "glorot_uniform": ("#0072B2", "^", "-"),
    "he_normal": ("#D55E00", "X", "-"),
    "orthogonal": ("#009E73", "v", ":"),
    "constant": ("#882255", "p", ":"),
    "lsuv": ("#44AA99", "*", "-."),
    "recommended": ("#332288", "<", "-"),
}
_MOST_NAMES = 16  # of layers, below axes
_SAME = {
    "zeros": "zero",
    "ones": "constant",
    "xavier": "glorot_uniform",
    "he": "he_normal",
}
_OTHERS = (
    ("#999933", ">", "--"),
    ("#661100", "h", "-."),
    ("#88CCEE", "d", ":"),
    ("#AA4499", "H", (0, (5, 1, 1, 1, 1, 1))),
    ("#117733", "8", (0, (8, 2))),
)


def styles(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns how to draw each label: colour, marker and dashes.

    Well-known initializers look the same in every picture. Other labels take the
    styles that are left, in their order.

    Example:
    >>> [style["color"] for style in styles(["zero", "mine"]).values()]
    ['#000000', '#999933']
    """
    found = {}
    others = itertools.cycle(_OTHERS)
    for label in labels:
        colour, marker, dashes = _KNOWN.get(_SAME.get(label, label)) or next(others)
        found[label] = {
            "color": colour,
            "marker": marker,
            "linestyle": dashes,
            "markersize": 5,
            "linewidth": 1.6,
        }
    return found


def new_figure(rows: int = 1, columns: int = 1, size: Any = None, **grid: Any) -> Any:
    """Returns a figure, apart from pyplot, and its panels, shape `(rows, columns)`.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        size: Width and height in inches.
        **grid: More for `matplotlib.figure.Figure.subplots`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure_class = matplotlib_figure()
    size = size or (6 * columns, 4 * rows)
    figure = figure_class(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def matplotlib_figure() -> Any:
    """Returns matplotlib's `Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "`plot` needs matplotlib: pip install 'keras-initkit[plot]'"
        ) from error
    return Figure


def save(figure: Any, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a figure as what the suffix says, and returns the path."""
    _take_literally(figure)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def kept(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """Returns a figure, which is saved where there is a path to save it to."""
    _take_literally(figure)
    if path is not None:
        save(figure, path)
    return figure


def _take_literally(figure: Any) -> None:
    """Has texts mean what they say: a `$` in a name begins no formula."""
    from matplotlib.text import Text

    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    ticks = [
        tick
        for axis in axes
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
    ]
    # Powers of ten beside logarithmic axes are formulas; names there are escaped.
    kept = {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        text.set_text(schema.well_formed(text.get_text()))
        if id(text) not in kept:
            text.set_parse_math(False)


def draw_range(axes: Any, x: Any, low: Any, high: Any, style: dict[str, Any]) -> None:
    """Draws a band in the colour of a style."""
    axes.fill_between(x, low, high, color=style["color"], alpha=0.15, lw=0)


def draw_depth(
    axes: Any,
    depths: Any,
    profiles: dict[str, np.ndarray],
    styles: dict[str, dict[str, Any]],
) -> None:
    """Draws profiles over depth on a logarithmic axis: geometric mean and range.

    What is exactly 0 has no place on such an axis and stands on a line of its own.

    Args:
        axes: Axes of matplotlib.
        depths: `{label: positions}`, or positions for all labels.
        profiles: `{label: values of shape (runs, positions)}`.
        styles: `{label: style}`.
    """
    every = np.concatenate([np.ravel(values) for values in profiles.values()])
    floor = floor_below(every)
    axes.set_yscale("log")
    for label, values in profiles.items():
        x = depths[label] if isinstance(depths, dict) else depths
        if not len(x):
            continue
        shown = np.where(values == 0, floor, values)
        middle = 10 ** np.mean(np.log10(shown), axis=0)
        axes.plot(x, middle, label=label, clip_on=False, zorder=3, **styles[label])
        draw_range(axes, x, shown.min(0), shown.max(0), styles[label])
    if (every == 0).any():
        mark_zero(axes, floor)


def draw_intervals(
    axes: Any,
    x: Any,
    runs: dict[str, np.ndarray],
    styles: dict[str, dict[str, Any]],
) -> None:
    """Draws curves: mean over the runs and its 95 % confidence interval.

    Args:
        axes: Axes of matplotlib.
        x: Positions, shape `(n,)`.
        runs: `{label: values of shape (runs, n)}`.
        styles: `{label: style}`.
    """
    for label, values in runs.items():
        count, mean = len(values), values.mean(axis=0)
        style = {**styles[label], "markevery": max(1, len(mean) // 10)}
        axes.plot(x, mean, label=label, **style)
        if count > 1:
            margin = margin_of_mean(values.std(axis=0, ddof=1), count)
            # A symmetric interval may reach below what was ever seen, and below 0.
            low = np.maximum(mean - margin, values.min(axis=0))
            draw_range(axes, x, low, mean + margin, style)


def draw_losses(
    axes: Any,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    labels: Mapping[str, str] | None = None,
) -> None:
    """Draws training losses over the optimizer's steps.

    Marks stand side by side, which tells apart curves that lie on one another.

    Args:
        axes: Axes of matplotlib.
        curves: `{initializer: (steps, losses)}`, as of `RunResult.loss_curve`.
        labels: `{initializer: label}`. Defaults to the initializer itself.
    """
    looks = styles(curves)
    for place, (name, (steps, losses)) in enumerate(curves.items()):
        every = max(len(curves), len(steps) // 8)
        marked = {"markevery": (place * every // len(curves), every)}
        label = name if labels is None else labels[name]
        axes.plot(steps, losses, label=label, **looks[name], **marked)
    axes.set(xlabel="optimizer step", ylabel="training loss (nats)")


def draw_theory(
    axes: Any, depths: Any, expected: Iterable[Any], label: str = "theory"
) -> None:
    """Draws what theory expects as grey bands behind the curves, with one label."""
    for values in expected:
        axes.plot(depths, values, color="0.5", lw=4, alpha=0.4, zorder=1, label=label)
        label = ""


def floor_below(values: np.ndarray) -> float:
    """Returns where to draw exactly 0: a power of ten below all positive values."""
    positive = values[np.isfinite(values) & (values > 0)]
    return 10.0 ** (np.floor(np.log10(positive.min(initial=1.0))) - 1)


def mark_zero(axes: Any, floor: float, at: float = 0.25) -> None:
    """Draws the line on a logarithmic axis that stands for exactly 0."""
    axes.set_ylim(bottom=floor)
    axes.axhline(floor, color="0.6", lw=1)
    axes.annotate(
        "exactly 0", (at, floor), xycoords=axes.get_yaxis_transform(),
        xytext=(0, 4), textcoords="offset points",
        ha="center", va="bottom", fontsize=9, color="0.3",
    )  # fmt: skip


def show_two_decades(axes: Any) -> None:
    """Widens a logarithmic axis to two decades at least: what is flat looks flat."""
    low, high = axes.get_ylim()
    middle = math.sqrt(low * high)
    axes.set_ylim(min(low, middle / 10), max(high, middle * 10))


def label_layers(
    axes: Any,
    names: Sequence[str],
    label: str = "layer, from input to output",
    *,
    upright: bool = False,
) -> list[int]:
    """Names the layers below axes, at most 16 of them, without the path they share.

    Args:
        axes: Axes of matplotlib.
        names: Names, from input to output.
        label: Label of the axis.
        upright: Whether the layers stand beside the axes, not below.

    Returns:
        The numbers of the layers that are named.
    """
    ticks = list(range(0, len(names), -(-len(names) // _MOST_NAMES) or 1))
    shared = shared_prefix(names)
    labels = (shortened(names[tick].removeprefix(shared)) for tick in ticks)
    shown = [schema.well_formed(label).replace("$", r"\$") for label in labels]
    if upright:
        axes.set_yticks(ticks, shown, fontsize=8)
        axes.set_ylabel(label)
    else:
        axes.set_xticks(ticks, shown, rotation=40, ha="right", fontsize=8)
        axes.set_xlabel(label)
    return ticks


def shortened(name: str, most: int = 32) -> str:
    """Returns a name, its middle cut out where it is too long.

    Example:
    >>> shortened("block_1/convolution", 12)
    'bloc…olution'
    """
    if len(name) <= most:
        return name
    tail = -(-(most - 1) * 3 // 5)
    return f"{name[: most - 1 - tail]}…{name[-tail:]}"


def shared_prefix(names: Iterable[str]) -> str:
    """Returns the path that all names start with, up to a slash."""
    shared = ""
    for parts in zip(*(name.split("/")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared += f"{parts[0]}/"
    return shared


def finish(axes: Any, axis: str = "both") -> None:
    """Gives axes their grid, and takes the frame off."""
    axes.grid(visible=True, axis=axis, which="major", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(11)


def complete(figure: Any, path: str | os.PathLike[str]) -> pathlib.Path:
    """Finishes all panels, those with labels get a legend, and saves the figure."""
    finish_all(figure)
    return save(figure, path)


def finish_all(figure: Any) -> None:
    """Finishes all panels; those with labels get a legend."""
    for axes in figure.axes:
        finish(axes)
        if axes.get_legend() is None and axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=9)
