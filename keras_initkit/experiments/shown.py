"""What pictures and the page of a comparison show, gathered from its runs."""

import itertools
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit.experiments.grid import point_name, row_name
from keras_initkit.experiments.rows import Row
from keras_initkit.experiments.run_result import RunResult
from keras_initkit.experiments.store.key import PARTS
from keras_initkit.experiments.summary import PROFILES
from keras_initkit.report import comparison_page, comparison_plot
from keras_initkit_light._version import __version__

_MOST_POINTS = 4  # of a grid, with a picture of their own


def initializer(
    label: str, why: str, runs: Sequence[RunResult]
) -> comparison_plot.Initializer:
    """Returns what a picture shows of an initializer."""
    curves = [run.loss_curve() for run in runs]
    steps = min((x for x, _ in curves), key=len)
    return comparison_plot.Initializer(
        label,
        steps,
        np.stack([y[: len(steps)] for _, y in curves]),
        [run.accuracy for run in runs],
        _profiles(runs, *PROFILES[0]),
        _profiles(runs, *PROFILES[1]),
        why,
    )


def by_point(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Returns the rows of a table by the names of the points of its grid."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(point_name(row.point), []).append(row)
    return found


def most_telling(points: Mapping[str, Sequence[Row]], measure: str) -> list[str]:
    """Returns the points of a grid of which curves are drawn, in their order.

    All, where they are few. Else those at which initializers are furthest apart: by the
    shares of runs that learned, then by the means of the measure.
    """

    def apart(rows: Sequence[Row]) -> tuple[float, float]:
        means = [getattr(row, measure).mean for row in rows]
        return (
            _range([row.learned / row.judged for row in rows if row.judged]),
            _range([mean for mean in means if np.isfinite(mean)]),
        )

    first = sorted(points, key=lambda name: apart(points[name]), reverse=True)
    chosen = set(first[:_MOST_POINTS])
    return [name for name in points if name in chosen]


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0


def _profiles(
    runs: Sequence[RunResult], signal: str, statistic: str
) -> comparison_plot.Profiles:
    """Returns a statistic of each run over the weight layers at the first step.

    Several kernels of one layer (a recurrent one has two) stand side by side.
    """
    profiles = [run.profile(signal, statistic) for run in runs]
    keys = profiles[0].keys
    if not keys or any(p.keys != keys for p in profiles):
        return comparison_plot.Profiles(np.zeros(0), [], np.zeros((0, 0)))
    depths = profiles[0].depths.astype(float)
    kernels = np.array([np.sum(depths == d) for d in depths])
    turn = np.array([np.sum(depths[:i] == d) for i, d in enumerate(depths)])
    labels = [key.layer.rpartition("/")[2] for key in keys]
    labels = [
        f"{text}\n{key.tensor}" if n > 1 else text
        for text, key, n in zip(labels, keys, kernels, strict=True)
    ]
    values = np.stack([p.values for p in profiles])
    return comparison_plot.Profiles(depths + turn / kernels, labels, values)


def heat_maps(
    grid: Mapping[str, Sequence[Any]],
    initializers: Sequence[str],
    table: Sequence[Row],
    measure: str,
) -> list[comparison_plot.HeatMap]:
    """Returns maps of initializers against the first argument of a grid.

    One a combination of the other arguments; cells hold the mean accuracy, or the mean
    loss where there is none, and how many runs learned.
    """
    (argument, values), *others = grid.items()
    rows = {row.name: row for row in table}
    maps = []
    for rest in itertools.product(*(several for _, several in others)):
        point = dict(zip([name for name, _ in others], rest, strict=True))
        cells = [
            [rows.get(row_name(one, {argument: value, **point})) for value in values]
            for one in initializers
        ]
        maps.append(
            comparison_plot.HeatMap(
                title=", ".join(f"{name} {value}" for name, value in point.items()),
                argument=argument,
                columns=[str(value) for value in values],
                rows=list(initializers),
                measure="test accuracy" if measure == "accuracy" else "test loss",
                values=np.array(
                    [[_mean(one, measure) for one in row] for row in cells]
                ),
                notes=[[_learned(one) for one in row] for row in cells],
            )
        )
    return maps


def _mean(row: Row | None, measure: str) -> float:
    return np.nan if row is None else getattr(row, measure).mean


def _learned(row: Row | None) -> str:
    return f"{row.learned}/{row.judged}" if row is not None and row.judged else ""


def part(name: str) -> str:
    """Returns what a part of a key is, in words."""
    return PARTS[name]


def table(rows: Sequence[Row]) -> comparison_page.Table:
    """Returns the table of a page."""
    header = (
        "initializer",
        "learned",
        "accuracy",
        "loss at start",
        "loss at end",
        "first NaN",
        "seconds a run",
    )
    return comparison_page.Table(
        header,
        [
            (
                row.name,
                f"{row.learned} of {row.judged}" if row.judged else "not judged",
                _spread(row.accuracy, ".4f"),
                _spread(row.loss_initial, ".4g"),
                _spread(row.loss_final, ".4g"),
                "" if row.nonfinite_step is None else f"step {row.nonfinite_step}",
                f"{row.seconds:.2f}",
            )
            for row in rows
        ],
    )


def _spread(value: Any, form: str) -> str:
    mean = f"{value.mean:{form}}"
    return mean if np.isnan(value.std) else f"{mean} ± {value.std:.2g}"


def versions(runs: Sequence[RunResult]) -> str:
    """Returns what runs were computed with, as far as it is known here."""
    threads = "/".join(map(str, sorted({run.threads for run in runs})))
    return (
        f"keras_initkit {__version__}, Keras {keras.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}, {threads} intra-op "
        "threads a run"
    )


def call(name: str, data: str, settings: Mapping[str, Any]) -> str:
    """Returns the code that makes a comparison again."""
    given = [name, data, *(f"{key}={value!r}" for key, value in settings.items())]
    lines = "".join(f"    {one},\n" for one in given)
    return f"import keras_initkit as kik\n\nkik.compare(\n{lines})"
