"""The pictures of results: what a person would look at, one function a result."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_initkit.analysis import drawing

if TYPE_CHECKING:
    from keras_initkit.analysis import (
        CoordinateCheckResult,
        DrawsResult,
        FixupResult,
        LSUVResult,
        MetaInitResult,
        ReinitializeResult,
        RunResult,
        ScalingResult,
    )

Path = str | os.PathLike[str] | None
_BEFORE = {"color": "#999999", "marker": "o", "linestyle": "--", "markersize": 4}
_NOW = {"color": "#0072B2", "marker": "o", "markersize": 4}
_MOST_CURVES = 16


def lsuv(result: "LSUVResult", path: Path) -> Any:
    """Draws the standard deviation of each layer's signal, before and after."""
    figure, axes = _one_panel("LSUV: each layer's signal", "standard deviation")
    fits = result.layers
    _over_layers(axes, [fit.std_before for fit in fits], label="before", **_BEFORE)
    after = [fit.std_after for fit in fits]
    _over_layers(axes, after, label="after, ± error elsewhere", **_NOW)
    errors = [fit.standard_error for fit in fits]
    axes.errorbar(range(len(fits)), after, errors, fmt="none", color=_NOW["color"])
    _mark_one(axes)
    drawing.label_layers(axes, [fit.layer for fit in fits])
    return _finished(figure, path)


def scaling(result: "ScalingResult", path: Path) -> Any:
    """Draws each kernel's factor, and the second moment that was expected before."""
    figure, axes = _one_panel("Scaling that preserves the signal", "")
    rows = result.layers
    expected = [row.expected_before for row in rows]
    label = "expected second moment without it"
    _over_layers(axes, expected, label=label, **_BEFORE)
    factors = [row.factor for row in rows]
    _over_layers(axes, factors, label="factor on the kernel", **_NOW)
    _mark_one(axes)
    drawing.label_layers(axes, [row.layer for row in rows])
    return _finished(figure, path)


def fixup(result: "FixupResult", path: Path) -> Any:
    """Draws the factor on each layer's draw, 0 where it starts from zeros."""
    title = "Fixup: what each layer's draw by He's rule is multiplied by"
    figure, axes = _one_panel(title, "factor")
    last = {branch[-2]: branch[-1] for branch in result.branches}
    layers: list[str] = []
    for layer in result.scaled:
        layers += [layer, last[layer]] if layer in last else [layer]
    layers += [layer for layer in result.zeroed if layer not in layers]
    factors = [result.scaled.get(layer, 0.0) for layer in layers]
    _over_layers(axes, factors, **{**_NOW, "linestyle": "none"})
    drawing.label_layers(axes, layers)
    return _finished(figure, path)


def metainit(result: "MetaInitResult", path: Path) -> Any:
    """Draws the gradient quotient over the steps, and how each norm has changed."""
    figure, ((left, right),) = drawing.new_figure(1, 2, (12, 4.2))
    left.plot(result.quotients, color=_NOW["color"])
    left.set(
        title="MetaInit: the gradient along itself",
        xlabel="step",
        ylabel="gradient quotient",
        yscale="log",
    )
    _over_layers(right, list(result.scales.values()), **_NOW)
    _mark_one(right)
    right.set(title="Norm of each weight", ylabel="norm after / before")
    drawing.label_layers(right, list(result.scales), "weight, from input to output")
    return _finished(figure, path)


def coordinate_check(result: "CoordinateCheckResult", path: Path) -> Any:
    """Draws each layer's size over width, a panel for each step."""
    steps = sorted({step for _, _, step, _ in result.rows})
    layers = list(dict.fromkeys(layer for layer, *_ in result.rows))
    columns = min(4, len(steps))
    rows = -(-len(steps) // columns)
    size = (3.4 * columns + 1, 3.6 * rows)
    figure, panels = drawing.new_figure(rows, columns, size, sharex=True, sharey=True)
    looks = drawing.styles(layers)
    for axes, step in zip(panels.ravel(), steps, strict=False):
        for layer in layers:
            widths, sizes = _over_width(result, layer, step)
            axes.plot(widths, sizes, label=layer, **looks[layer])
        axes.set(title=f"step {step}", xlabel="width", xscale="log", yscale="log")
        axes.set_xticks(widths, [f"{width:g}" for width in widths])
        axes.minorticks_off()
    drawing.show_two_decades(panels[0, 0])
    for axes in panels[:, 0]:
        axes.set_ylabel("mean |activation|")
    for axes in panels.ravel()[len(steps) :]:
        axes.set_visible(False)
    figure.suptitle("Coordinate check: flat lines keep their size at any width")
    for axes in panels.ravel():
        drawing.finish(axes)
    if len(layers) <= _MOST_CURVES:
        lines, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside right center", frameon=False)
    return drawing.kept(figure, path)


def draws(result: "DrawsResult", path: Path) -> Any:
    """Draws the second moment of each layer over the draws, and the expected one."""
    count = len(result.second_moments)
    title = f"{count} draws of the weights (geometric mean, and range)"
    figure, axes = _one_panel(title, "second moment of the outputs")
    depths = np.arange(len(result.layers))
    moments = {"measured": result.second_moments}
    drawing.draw_depth(axes, depths, moments, {"measured": _NOW})
    if np.isfinite(result.expected).any():
        drawing.draw_theory(axes, depths, [result.expected])
    drawing.label_layers(axes, result.layers)
    return _finished(figure, path)


def run(result: "RunResult", path: Path) -> Any:
    """Draws the training loss, and both signals against depth at the first step."""
    figure, ((loss, forward, back),) = drawing.new_figure(1, 3, (15, 4.4))
    look = drawing.styles([result.initializer])[result.initializer]
    steps, losses = result.loss_curve()
    every = max(1, len(steps) // 8)
    loss.plot(steps, losses, markevery=every, **look)
    loss.set(title="Training loss", xlabel="optimizer step", ylabel="loss of batches")
    for axes, signal, statistic in (
        (forward, "activation", "std"),
        (back, "gradient", "rms"),
    ):
        profile = result.profile(signal, statistic)
        _over_layers(axes, profile.values, **look)
        drawing.label_layers(axes, [key.label for key in profile.keys])
        axes.set(title=f"{statistic} of the {signal}s at the first step")
    figure.suptitle(
        f"{result.initializer}, seed {result.seed}: accuracy {result.accuracy:.3f}"
    )
    return _finished(figure, path)


def reinitialize(result: "ReinitializeResult", path: Path) -> Any:
    """Draws the standard deviation of each weight that was drawn."""
    title = "Weights drawn anew"
    figure, axes = _one_panel(title, "standard deviation of the values")
    names = [f"{one.layer}/{one.weight}" for one in result.weights]
    stds = [one.std for one in result.weights]
    _over_layers(axes, stds, **{**_NOW, "linestyle": "none"})
    drawing.label_layers(axes, names, "weight, from input to output")
    return _finished(figure, path)


def _over_width(
    result: "CoordinateCheckResult", layer: str, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the widths, and the sizes of a layer at a step over them."""
    rows = [(w, s) for name, w, at, s in result.rows if (name, at) == (layer, step)]
    widths, sizes = np.transpose(sorted(rows))
    return widths, sizes


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
