"""The pictures of a record: signals against depth and over the steps, and the loss."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_initkit.report import drawing

Path = str | os.PathLike[str] | None
_FIRST = {"color": "#999999", "marker": "o", "linestyle": "--", "markersize": 4}
_LAST = {"color": "#0072B2", "marker": "o", "markersize": 4}
_SEVERE = {"error": "#D55E00", "warning": "#E69F00"}
_ZERO, _NOT_FINITE = "black", "#D55E00"
_DECADES = 2  # of a loss, beyond which its axis is logarithmic
_MOST_MARKS = 5


class Course(NamedTuple):
    """A statistic of the tensors of a signal, over the steps.

    Attributes:
        title: What it is, such as `"gradient"`.
        label: Name of the statistic and its unit.
        tensors: Names of the tensors, from input to output.
        steps: Optimizer iterations, shape `(steps,)`.
        values: Shape `(steps, tensors)`.
        is_size: Whether it is a size, which is never negative and has no upper bound:
            drawn on a logarithmic scale.
    """

    title: str
    label: str
    tensors: Sequence[str]
    steps: np.ndarray
    values: np.ndarray
    is_size: bool


class Mark(NamedTuple):
    """A finding in the picture of the loss: since when, how grave, in words."""

    step: int
    severity: str
    text: str


class Loss(NamedTuple):
    """The training loss over the steps, shapes `(steps,)`, and what was found.

    Attributes:
        steps: Optimizer iterations.
        losses: The loss at each.
        marks: The causes that were found.
        verdict: The findings in a word or two, such as `"no finding"`.
    """

    steps: np.ndarray
    losses: np.ndarray
    marks: Sequence[Mark]
    verdict: str


def overview(
    title: str, profiles: Sequence[Course], heat: Course, loss: Loss, path: Path
) -> Any:
    """Draws a run: profiles at its first and last step, a heat map, and the loss.

    Args:
        title: Title of the figure.
        profiles: One signal or two.
        heat: What the heat map shows.
        loss: The loss.
        path: File to save the figure to as well.
    """
    figure, panels = drawing.new_figure(2, 2, (13, 8.4))
    upper, lower = panels
    for axes, course in zip(upper, profiles, strict=False):
        _draw_profile(axes, course)
    for axes in upper[len(profiles) :]:
        axes.set_visible(False)
    _draw_heat(figure, lower[0], heat)
    _draw_loss(lower[1], loss)
    return _finished(figure, title, path)


def signal(title: str, course: Course, path: Path) -> Any:
    """Draws one signal: its profile at the first and the last step, and a heat map."""
    figure, ((left, right),) = drawing.new_figure(1, 2, (13, 4.6))
    _draw_profile(left, course)
    _draw_heat(figure, right, course)
    return _finished(figure, title, path)


def _draw_profile(axes: Any, course: Course) -> None:
    """Draws values against depth at the first and the last step."""
    first, last = course.values[0].astype(float), course.values[-1].astype(float)
    floor = drawing.floor_below(np.concatenate([first, last]))
    has_zeros = course.is_size and bool(((first == 0) | (last == 0)).any())

    def draw(values: np.ndarray, step: int, style: dict[str, Any]) -> None:
        shown = np.where(values == 0, floor, values) if course.is_size else values
        axes.plot(shown, label=f"step {step}", clip_on=False, zorder=3, **style)

    if len(course.steps) > 1:
        draw(first, course.steps[0], _FIRST)
    draw(last, course.steps[-1], _LAST)
    if course.is_size:
        axes.set_yscale("log")
        drawing.show_two_decades(axes)
    if has_zeros:
        drawing.mark_zero(axes, floor)
    axes.set(title=f"{course.title} against depth", ylabel=course.label)
    drawing.label_layers(axes, course.tensors)
    drawing.finish(axes)


def _draw_heat(figure: Any, axes: Any, course: Course) -> None:
    """Draws values over steps and depth; input above, as a model's summary has it."""
    import matplotlib.colors

    values = course.values.T.astype(float)
    finite = values[np.isfinite(values)]
    colours = matplotlib.colormaps["viridis"].with_extremes(
        under=_ZERO, bad=_NOT_FINITE
    )
    low, high = finite.min(initial=np.inf), finite.max(initial=-np.inf)
    norm: Any = matplotlib.colors.Normalize(*((low, high) if finite.size else (0, 1)))
    below = course.is_size and bool((finite == 0).any())
    if course.is_size and finite.size:
        low = finite[finite > 0].min(initial=high or 1.0)
        norm = matplotlib.colors.LogNorm(low, max(high, low * 1.01))
        values = np.where(values == 0, low / 10, values)
    mesh = axes.pcolormesh(
        _edges(course.steps),
        np.arange(len(values) + 1) - 0.5,
        np.ma.masked_invalid(values),
        norm=norm,
        cmap=colours,
    )
    figure.colorbar(
        mesh, ax=axes, label=course.label, extend="min" if below else "neither"
    )
    told = [f"{course.title} over the steps"]
    told += ["black: exactly 0"] * below
    told += ["orange: not finite"] * (finite.size < values.size)
    axes.set(title=", ".join(told), xlabel="optimizer step")
    drawing.label_layers(axes, course.tensors, "", upright=True)
    axes.invert_yaxis()
    axes.set_xticks(_ticks(axes, course.steps))
    axes.set_xlim(*_edges(course.steps)[[0, -1]])
    axes.grid(visible=False)


def _ticks(axes: Any, steps: np.ndarray) -> Any:
    """Returns whole numbers within the steps that were recorded."""
    from matplotlib.ticker import MaxNLocator

    if len(steps) == 1:
        return steps
    ticks = MaxNLocator(6, integer=True).tick_values(steps[0], steps[-1])
    return [tick for tick in ticks if steps[0] <= tick <= steps[-1]]


def _edges(steps: np.ndarray) -> np.ndarray:
    """Returns where the columns of a heat map meet: half way between the steps."""
    steps = np.asarray(steps, float)
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([steps[:1], middles, steps[-1:]])


def _draw_loss(axes: Any, loss: Loss) -> None:
    """Draws the loss, and a line where each finding was first seen."""
    axes.set(title=f"training loss: {loss.verdict}", xlabel="optimizer step")
    finite = np.isfinite(loss.losses)
    if not finite.any():
        text = "no finite loss" if finite.size else "no loss was recorded"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color="0.3")
    lone = {"marker": "o"} if finite.sum() == 1 else {}
    axes.plot(loss.steps[finite], loss.losses[finite], color=_LAST["color"], **lone)
    axes.set_ylabel("loss")
    shown = loss.losses[finite]
    if shown.size and shown.min() > 0 and shown.max() > shown.min() * 10**_DECADES:
        axes.set_yscale("log")
    for mark in loss.marks[:_MOST_MARKS]:
        colour = _SEVERE.get(mark.severity, "0.5")
        axes.axvline(
            mark.step,
            color=colour,
            linestyle=":",
            label=drawing.shortened(mark.text, 72),
        )
    if more := len(loss.marks) - _MOST_MARKS:
        if more > 0:
            axes.plot([], [], " ", label=f"and {more} more")
    if loss.marks:
        # Below the axes, where it hides no part of the curve.
        place = {"loc": "upper left", "bbox_to_anchor": (0, -0.14)}
        axes.legend(frameon=False, fontsize=9, **place)
    drawing.finish(axes)


def _finished(figure: Any, title: str, path: Path) -> Any:
    title = drawing.shortened(title, 100)
    figure.suptitle(title, fontweight="bold", x=0.01, ha="left")
    for axes in figure.axes:
        if axes.get_legend() is None and axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=9)
    return drawing.kept(figure, path)
