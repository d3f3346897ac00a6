"""The picture of a comparison: curves, accuracies, depth profiles."""

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_initkit.report import drawing

_WHY_WIDTH = 120  # characters a line under the picture
_MAPS_WIDTH = 18.0  # inches, of heat maps side by side


class Initializer(NamedTuple):
    """What a comparison shows of one initializer.

    Attributes:
        label: Its name.
        steps: Optimizer iterations of the losses, shape `(n,)`.
        losses: Training losses, shape `(runs, n)`.
        accuracies: Test accuracy of each run.
        activations: `Profiles` of the activations' std at step 0.
        gradients: `Profiles` of the kernels' gradient rms at step 0.
        why: Why it ranks where it does, in one line.
    """

    label: str
    steps: np.ndarray
    losses: np.ndarray
    accuracies: Sequence[float]
    activations: "Profiles"
    gradients: "Profiles"
    why: str


class Profiles(NamedTuple):
    """A statistic over the weight layers: positions, their labels, `(runs, positions)`.

    All are empty where the runs differ in their layers.
    """

    depths: np.ndarray
    labels: list[str]
    values: np.ndarray


class HeatMap(NamedTuple):
    """A measure of initializers against an argument of a grid.

    Attributes:
        title: Values of the other arguments.
        argument: The argument.
        columns: Its values.
        rows: Labels of the initializers.
        measure: What the values are.
        values: Shape `(rows, columns)`, NaN where no run has finished.
        notes: What stands below each value.
    """

    title: str
    argument: str
    columns: Sequence[str]
    rows: Sequence[str]
    measure: str
    values: np.ndarray
    notes: Sequence[Sequence[str]]


def plot_maps(
    title: str, maps: Sequence[HeatMap], path: str | os.PathLike[str] | None
) -> Any:
    """Draws heat maps of initializers against the values of a grid.

    Args:
        title: Title of the figure.
        maps: The maps, on one scale.
        path: File to save the figure to as well.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    width = 2.5 + max(len(one.columns) for one in maps)
    across = max(1, min(len(maps), int(_MAPS_WIDTH / width)))
    down = math.ceil(len(maps) / across)
    size = (max(6.0, width * across), 0.6 + down * (1.2 + 0.5 * len(maps[0].rows)))
    figure, panels = drawing.new_figure(down, across, size)
    used, unused = panels.flat[: len(maps)], panels.flat[len(maps) :]
    for axes in unused:
        axes.remove()
    every = np.concatenate([one.values.ravel() for one in maps])
    known = every[np.isfinite(every)]
    # Accuracies have a scale of their own; of losses, the range that there is.
    is_accuracy = maps[0].measure == "test accuracy"
    low, high = (0.0, 1.0) if is_accuracy else (known.min(), known.max())
    for axes, one in zip(used, maps, strict=True):
        image = axes.imshow(one.values, vmin=low, vmax=high, cmap="cividis")
        axes.set(title=one.title, xlabel=one.argument, aspect="auto")
        axes.set_xticks(range(len(one.columns)), one.columns)
        axes.set_yticks(range(len(one.rows)), one.rows)
        _write_cells(axes, one, (low + high) / 2)
    label = f"{maps[0].measure} (mean over seeds)"
    figure.colorbar(image, ax=list(used), label=label, aspect=20 * down)
    figure.suptitle(f"{title}\nbelow each mean: runs that learned", fontsize=10)
    return drawing.kept(figure, path)


def _write_cells(axes, one, middle):
    for row, column in np.ndindex(one.values.shape):
        value, note = one.values[row, column], one.notes[row][column]
        axes.text(
            column,
            row,
            "–" if np.isnan(value) else f"{value:.3g}\n{note}",
            ha="center",
            va="center",
            fontsize=8,
            color="black" if value > middle else "white",
        )


def plot(
    title: str,
    ranked: Sequence[Initializer],
    styles: Mapping[str, Mapping[str, Any]],
    path: str | os.PathLike[str] | None,
) -> Any:
    """Draws a comparison; see `ComparisonResult.plot`.

    Four panels: training loss against optimizer steps (mean and range over seeds),
    test accuracy of every run, and, before the first update, the activations' std and
    the kernels' gradient rms over the weight layers (geometric mean and range). Values
    of exactly 0 have no place on a logarithmic axis and stand on a line of their own.

    Args:
        title: Title of the figure.
        ranked: The initializers, the best first.
        styles: `{label: style}`.
        path: File to save the figure to as well.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    lines = _explanations(ranked)
    size = (12, 8.2 + 0.17 * len(lines))
    figure, panels = drawing.new_figure(2, 2, size, width_ratios=(3, 2))
    _draw_curves(panels[0, 0], ranked, styles)
    _draw_accuracies(panels[0, 1], ranked, styles)
    _draw_depth(
        panels[1, 0], {one.label: one.activations for one in ranked}, styles,
        "Signal forward: std of the activations at step 0", "std of activations",
    )  # fmt: skip
    _draw_depth(
        panels[1, 1], {one.label: one.gradients for one in ranked}, styles,
        "Signal backward: rms of the gradients at step 0", "rms of kernel gradients",
    )  # fmt: skip
    figure.suptitle(title, fontweight="bold")
    figure.supxlabel(
        "\n".join(lines), x=0.01, ha="left", fontsize=9, family="monospace"
    )
    return drawing.kept(figure, path)


def _explanations(ranked: Sequence[Initializer]) -> list[str]:
    """Returns the lines under the picture: each initializer and why."""
    width = max(len(one.label) for one in ranked)
    lines: list[str] = []
    for one in ranked:
        lines += textwrap.wrap(
            one.why,
            _WHY_WIDTH,
            initial_indent=f"{one.label:>{width}}  ",
            subsequent_indent=" " * (width + 2),
        )
    return lines


def _draw_curves(axes, ranked, styles):
    for one in ranked:
        steps, losses = one.steps, np.where(one.losses > 0, one.losses, np.nan)
        if not np.isfinite(losses).any():
            continue
        style = styles[one.label]
        mean = losses.mean(axis=0)
        every = max(1, len(steps) // 12)
        axes.plot(steps, mean, label=one.label, markevery=every, **style)
        drawing.draw_range(axes, steps, losses.min(0), losses.max(0), style)
    axes.set(
        title="Training loss (line: mean, band: range over seeds)",
        xlabel="optimizer step",
        ylabel="loss of the batches",
        yscale="log",
    )
    drawing.finish(axes)
    if axes.lines:
        axes.legend(fontsize=9, ncols=2)


def _draw_accuracies(axes, ranked, styles):
    names = [one.label for one in ranked]
    for height, one in enumerate(ranked):
        style, values = styles[one.label], one.accuracies
        mean = np.mean(values)
        axes.barh(height, np.nan_to_num(mean), color=style["color"], alpha=0.3)
        axes.plot(
            values,
            [height] * len(values),
            color=style["color"],
            marker=style["marker"],
            markersize=5,
            linestyle="none",
            clip_on=False,
        )
        axes.text(
            1.02, height, f"{mean:.3f}", va="center", fontweight="bold", fontsize=9
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(
        title="Test accuracy (bar: mean, marks: seeds)", xlabel="accuracy", xlim=(0, 1)
    )
    drawing.finish(axes, axis="x")


def _draw_depth(axes, profiles, styles, title, label):
    ticks: dict[float, str] = {}
    for depths, labels, _ in profiles.values():
        ticks.update(zip(depths.tolist(), labels, strict=True))
    drawing.draw_depth(
        axes,
        {name: depths for name, (depths, _, _) in profiles.items()},
        {name: values for name, (_, _, values) in profiles.items()},
        styles,
    )
    axes.set(title=title, xlabel="weight layer, from input to output", ylabel=label)
    rotated = len(ticks) > 6
    axes.set_xticks(
        list(ticks),
        [text.replace("/", "/\n") if not rotated else text for text in ticks.values()],
        fontsize=8,
        rotation=60 if rotated else 0,
        ha="right" if rotated else "center",
    )
    drawing.finish(axes)
