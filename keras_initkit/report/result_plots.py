"""The pictures of results, one function a result, which hands over what is drawn."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit.report import drawing

Path = str | os.PathLike[str] | None
_BEFORE = {"color": "#999999", "marker": "o", "linestyle": "--", "markersize": 4}
_NOW = {"color": "#0072B2", "marker": "o", "markersize": 4}
_MOST_CURVES = 16


def lsuv(
    layers: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    errors: Sequence[float],
    path: Path,
) -> Any:
    """Draws the standard deviation of each layer's signal, before and after."""
    figure, axes = _one_panel("LSUV: each layer's signal", "standard deviation")
    _over_layers(axes, before, label="before", **_BEFORE)
    _over_layers(axes, after, label="after, ± error elsewhere", **_NOW)
    axes.errorbar(range(len(after)), after, errors, fmt="none", color=_NOW["color"])
    _mark_one(axes)
    drawing.label_layers(axes, layers)
    return _finished(figure, path)


def scaling(
    layers: Sequence[str],
    expected: Sequence[float],
    factors: Sequence[float],
    path: Path,
) -> Any:
    """Draws each kernel's factor, and the second moment that was expected before."""
    figure, axes = _one_panel("Signal-preserving scaling", "")
    label = "expected second moment without it"
    _over_layers(axes, expected, label=label, **_BEFORE)
    _over_layers(axes, factors, label="factor on the kernel", **_NOW)
    _mark_one(axes)
    drawing.label_layers(axes, layers)
    return _finished(figure, path)


def fixup(factors: Mapping[str, float], path: Path) -> Any:
    """Draws the factor on each layer's draw, 0 where it starts from zeros."""
    title = "Fixup: factor on each layer's draw by He's rule"
    figure, axes = _one_panel(title, "factor")
    _over_layers(axes, list(factors.values()), **{**_NOW, "linestyle": "none"})
    drawing.label_layers(axes, list(factors))
    return _finished(figure, path)


def metainit(
    quotients: Sequence[float], scales: Mapping[str, float], path: Path
) -> Any:
    """Draws the gradient quotient over the steps, and how each norm has changed."""
    figure, ((left, right),) = drawing.new_figure(1, 2, (12, 4.2))
    left.plot(quotients, color=_NOW["color"])
    left.set(
        title="MetaInit: the gradient along itself",
        xlabel="step",
        ylabel="gradient quotient",
        yscale="log",
    )
    _over_layers(right, list(scales.values()), **_NOW)
    _mark_one(right)
    right.set(title="Norm of each weight", ylabel="norm after / before")
    drawing.label_layers(right, list(scales), "weight, from input to output")
    return _finished(figure, path)


def coordinate_check(sizes: Sequence[tuple[str, int, int, float]], path: Path) -> Any:
    """Draws each layer's size over width, a panel for each step.

    Args:
        sizes: `(layer, width, step, size)`.
        path: File to save the figure to as well.
    """
    steps = sorted({step for _, _, step, _ in sizes})
    layers = list(dict.fromkeys(layer for layer, *_ in sizes))
    columns = min(4, len(steps))
    rows = -(-len(steps) // columns)
    inches = (3.4 * columns + 1, 3.6 * rows)
    figure, panels = drawing.new_figure(rows, columns, inches, sharex=True, sharey=True)
    looks = drawing.styles(layers)
    for axes, step in zip(panels.ravel(), steps, strict=False):
        for layer in layers:
            widths, values = _over_width(sizes, layer, step)
            axes.plot(widths, values, label=layer, **looks[layer])
        axes.set(title=f"step {step}", xlabel="width", xscale="log", yscale="log")
        axes.set_xticks(widths, [f"{width:g}" for width in widths])
        axes.minorticks_off()
    drawing.show_two_decades(panels[0, 0])
    for axes in panels[:, 0]:
        axes.set_ylabel("mean |activation|")
    for axes in panels.ravel()[len(steps) :]:
        axes.set_visible(False)
    figure.suptitle("Coordinate check: flat lines mean the same size at every width")
    for axes in panels.ravel():
        drawing.finish(axes)
    if len(layers) <= _MOST_CURVES:
        lines, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside right center", frameon=False)
    return drawing.kept(figure, path)


def draws(
    layers: Sequence[str], second_moments: np.ndarray, expected: np.ndarray, path: Path
) -> Any:
    """Draws the second moment of each layer over the draws, and the expected one.

    Args:
        layers: Names, from input to output.
        second_moments: Shape `(draws, layers)`.
        expected: Shape `(layers,)`, NaN where theory has no rule.
        path: File to save the figure to as well.
    """
    title = f"{len(second_moments)} draws of the weights (geometric mean, and range)"
    figure, axes = _one_panel(title, "second moment of the outputs")
    depths = np.arange(len(layers))
    moments = {"measured": second_moments}
    drawing.draw_depth(axes, depths, moments, {"measured": _NOW})
    if np.isfinite(expected).any():
        drawing.draw_theory(axes, depths, [expected])
    drawing.label_layers(axes, layers)
    return _finished(figure, path)


def learning_rate_trial(
    title: str,
    tried: Sequence[Any],
    levels: Mapping[str, float],
    marks: Mapping[str, float | None],
    learning: tuple[float | None, float | None],
    path: Path,
) -> Any:
    """Draws the loss after the steps over the rate, the range that learns shaded."""
    figure, axes = _one_panel(title, "loss of other examples")
    rates = [one.rate for one in tried]
    losses = np.array([one.loss for one in tried])
    axes.plot(rates, losses, label="after the steps", **_NOW)
    others = [one.other_loss for one in tried]
    axes.plot(rates, others, label="with the targets of other examples", **_BEFORE)
    for (label, value), dashes in zip(levels.items(), (":", "-."), strict=True):
        axes.axhline(value, color="0.5", linestyle=dashes, label=label, zorder=0)
    colours = ("#009E73", "#D55E00")
    for (label, rate), colour in zip(marks.items(), colours, strict=True):
        if rate is not None:
            axes.axvline(rate, color=colour, linestyle="--", label=label)
    low, high = learning
    if low is not None:
        axes.axvspan(low, high, color=colours[0], alpha=0.15, lw=0)
    axes.set(xscale="log", xlabel="learning rate")
    # What diverges would flatten the rest.
    ceiling = 1.5 * max((one for one in levels.values() if np.isfinite(one)), default=1)
    shown = losses[losses < ceiling]
    if len(shown):
        axes.set_ylim(shown.min() - 0.1 * (ceiling - shown.min()), ceiling)
    axes.legend(frameon=False)
    return _finished(figure, path)


def run(
    title: str,
    label: str,
    curve: tuple[np.ndarray, np.ndarray],
    profiles: Mapping[str, tuple[Sequence[str], np.ndarray]],
    path: Path,
) -> Any:
    """Draws the training loss, and both signals against depth at the first step.

    Args:
        title: Title of the figure.
        label: Label of the initializer, whose style it takes.
        curve: Optimizer iterations and losses.
        profiles: `{what: (labels of the layers, values)}`, of two signals.
        path: File to save the figure to as well.
    """
    figure, ((loss, *others),) = drawing.new_figure(1, 3, (15, 4.4))
    look = drawing.styles([label])[label]
    steps, losses = curve
    every = max(1, len(steps) // 8)
    loss.plot(steps, losses, markevery=every, **look)
    loss.set(title="Training loss", xlabel="optimizer step", ylabel="loss of batches")
    for axes, (what, (labels, values)) in zip(others, profiles.items(), strict=True):
        _over_layers(axes, values, **look)
        drawing.label_layers(axes, labels)
        axes.set(title=f"{what} at the first step")
    figure.suptitle(title)
    return _finished(figure, path)


def reinitialize(weights: Sequence[str], stds: Sequence[float], path: Path) -> Any:
    """Draws the standard deviation of each weight that was drawn."""
    title = "Redrawn weights"
    figure, axes = _one_panel(title, "standard deviation of the values")
    _over_layers(axes, stds, **{**_NOW, "linestyle": "none"})
    drawing.label_layers(axes, weights, "weight, from input to output")
    return _finished(figure, path)


def _over_width(
    sizes: Sequence[tuple[str, int, int, float]], layer: str, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the widths, and the sizes of a layer at a step over them."""
    rows = [(w, s) for name, w, at, s in sizes if (name, at) == (layer, step)]
    widths, values = np.transpose(sorted(rows))
    return widths, values


def _one_panel(title: str, label: str) -> tuple[Any, Any]:
    figure, panels = drawing.new_figure(1, 1, (9, 4.4))
    panels[0, 0].set(title=title, ylabel=label)
    return figure, panels[0, 0]


def _over_layers(axes: Any, values: Any, **style: Any) -> None:
    """Draws values against depth on a logarithmic axis, zeros on a line below."""
    values = np.asarray(values, float)
    if not values.size:
        return
    floor = drawing.floor_below(values)
    axes.set_yscale("log")
    axes.plot(np.where(values == 0, floor, values), clip_on=False, zorder=3, **style)
    drawing.show_two_decades(axes)
    if (values == 0).any():
        drawing.mark_zero(axes, floor)


def _mark_one(axes: Any) -> None:
    axes.axhline(1, color="0.8", lw=1, zorder=0)


def _finished(figure: Any, path: Path) -> Any:
    drawing.finish_all(figure)
    return drawing.kept(figure, path)
