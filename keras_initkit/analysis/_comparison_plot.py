"""The picture of a comparison: curves, accuracies, depth profiles."""

import os
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_initkit.analysis import drawing
from keras_initkit.analysis.run_result import RunResult

if TYPE_CHECKING:
    from keras_initkit.analysis.comparison import ComparisonResult, Row

_WHY_WIDTH = 120  # characters a line under the picture


def plot(comparison: "ComparisonResult", path: str | os.PathLike[str] | None) -> Any:
    """Draws a comparison; see `ComparisonResult.plot`.

    Four panels: training loss against optimizer steps (mean and range over seeds),
    test accuracy of every run, and, before the first update, the activations' std and
    the kernels' gradient rms over the weight layers (geometric mean and range). Values
    of exactly 0 have no place on a logarithmic axis and stand on a line of their own.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If no run has finished.
    """
    if not comparison.runs:
        raise ValueError("`plot` needs at least one finished run. Received: none")
    rows = comparison.table()
    styles = drawing.styles(comparison.initializers)
    lines = _explanations(rows)
    size = (12, 8.2 + 0.17 * len(lines))
    figure, panels = drawing.new_figure(2, 2, size, width_ratios=(3, 2))
    _draw_curves(panels[0, 0], comparison, rows, styles)
    _draw_accuracies(panels[0, 1], comparison, rows, styles)
    _draw_depth(
        panels[1, 0], comparison, rows, styles, ("activation", "std"),
        "Signal forward: std of the activations at step 0", "std of activations",
    )  # fmt: skip
    _draw_depth(
        panels[1, 1], comparison, rows, styles, ("gradient", "rms"),
        "Signal back: rms of the gradients at step 0", "rms of kernel gradients",
    )  # fmt: skip
    seeds = len(comparison.seeds)
    data = f"{comparison.data}{' STAND-IN' if comparison.is_standin else ''}"
    run = comparison.runs[0]
    figure.suptitle(
        f"{comparison.model} on {data}: what the initializer does "
        f"({seeds} seed{'s' * (seeds != 1)}, {run.steps} steps of {run.batch_size})",
        fontweight="bold",
    )
    figure.supxlabel(
        "\n".join(lines), x=0.01, ha="left", fontsize=9, family="monospace"
    )
    return drawing.kept(figure, path)


def _explanations(rows: list["Row"]) -> list[str]:
    """Returns the lines under the picture: each initializer and why."""
    width = max(len(row.initializer) for row in rows)
    lines: list[str] = []
    for row in rows:
        lines += textwrap.wrap(
            row.why,
            _WHY_WIDTH,
            initial_indent=f"{row.initializer:>{width}}  ",
            subsequent_indent=" " * (width + 2),
        )
    return lines


def _draw_curves(axes, comparison, rows, styles):
    for row in rows:
        curves = [run.loss_curve() for run in comparison.of(row.initializer)]
        steps = min((x for x, _ in curves), key=len)
        losses = np.stack([y[: len(steps)] for _, y in curves])
        losses = np.where(losses > 0, losses, np.nan)
        if not np.isfinite(losses).any():
            continue
        style = styles[row.initializer]
        mean = losses.mean(axis=0)
        every = max(1, len(steps) // 12)
        axes.plot(steps, mean, label=row.initializer, markevery=every, **style)
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


def _draw_accuracies(axes, comparison, rows, styles):
    names = [row.initializer for row in rows]
    for height, row in enumerate(rows):
        style = styles[row.initializer]
        values = [run.accuracy for run in comparison.of(row.initializer)]
        mean = row.accuracy.mean
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


def _draw_depth(axes, comparison, rows, styles, what, title, label):
    profiles = {
        row.initializer: _mean_profile(comparison.of(row.initializer), *what)
        for row in rows
    }
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


def _mean_profile(
    runs: list[RunResult], signal: str, statistic: str
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Returns positions, their labels, and values of shape `(runs, positions)`.

    Several kernels of one layer (a recurrent one has two) stand side by side.
    """
    profiles = [run.profile(signal, statistic) for run in runs]
    keys = profiles[0].keys
    if not keys or any(p.keys != keys for p in profiles):
        return np.zeros(0), [], np.zeros((0, 0))
    depths = profiles[0].depths.astype(float)
    kernels = np.array([np.sum(depths == d) for d in depths])
    turn = np.array([np.sum(depths[:i] == d) for i, d in enumerate(depths)])
    labels = [key.layer.rpartition("/")[2] for key in keys]
    labels = [
        f"{text}\n{key.tensor}" if n > 1 else text
        for text, key, n in zip(labels, keys, kernels, strict=True)
    ]
    return depths + turn / kernels, labels, np.stack([p.values for p in profiles])
