"""What came out of a comparison: its runs, ranked, in a table and in words."""

import dataclasses
import math
import os
from typing import Any

import numpy as np

from keras_initkit.experiments import why as why_room
from keras_initkit.experiments.run_result import METRICS, RunResult
from keras_initkit.report import comparison_plot, drawing
from keras_initkit.report.finite import finite
from keras_initkit.report.mean_std import MeanStd


@dataclasses.dataclass(frozen=True)
class Row:
    """One initializer in the table of a comparison.

    Attributes:
        initializer: Its label.
        accuracy, loss_initial, loss_final, activation_slope, gradient_slope: `MeanStd`s
            of the attributes of `RunResult`.
        nonfinite_step: First step with a NaN or Inf in any of the runs, or `None`.
        seconds: Mean wall time of a run.
        why: Why it ranks where it does, in one line.
    """

    initializer: str
    accuracy: MeanStd
    loss_initial: MeanStd
    loss_final: MeanStd
    activation_slope: MeanStd
    gradient_slope: MeanStd
    nonfinite_step: int | None
    seconds: float
    why: str


@dataclasses.dataclass
class ComparisonResult:
    """Runs of the same training from different initializers.

    Attributes:
        model: Name of the model.
        data: Name of the data set.
        origin: Where the data come from.
        is_standin: Whether they are a stand-in for the real ones.
        initializers: Labels, in the order asked for.
        seeds: Seeds asked for.
        runs: `RunResult`s of the runs that finished, in the order of `initializers`,
            then of `seeds`.
        log_dir: Directory above those of the runs, `None` if nothing was written.
        interrupted: Whether Ctrl-C ended it before all runs were done.
    """

    model: str
    data: str
    origin: str
    is_standin: bool
    initializers: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: list[RunResult] = dataclasses.field(default_factory=list)
    log_dir: str | None = None
    interrupted: bool = False

    def of(self, initializer: str) -> list[RunResult]:
        """Returns the runs of one initializer."""
        return [run for run in self.runs if run.initializer == initializer]

    @property
    def why(self) -> dict[str, str]:
        """`{initializer: one line}`, for initializers with a finished run."""
        return {
            name: why_room.explain(self.of(name))
            for name in self.initializers
            if self.of(name)
        }

    def table(self) -> list[Row]:
        """Returns a `Row` per initializer with a finished run, the best first.

        They are ranked by mean accuracy, then by mean final loss. Those whose final
        loss is not finite in one of the runs come last.
        """
        rows = [_row(name, self.of(name), why) for name, why in self.why.items()]
        return sorted(rows, key=_rank)

    @property
    def ranking(self) -> tuple[str, ...]:
        """Labels of the initializers, the best first."""
        return tuple(row.initializer for row in self.table())

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draws losses, accuracies, and signals and gradients against depth.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If no run has finished.
        """
        if not self.runs:
            raise ValueError("`plot` needs at least one finished run. Received: none")
        shown = [_shown(row, self.of(row.initializer)) for row in self.table()]
        styles = drawing.styles(self.initializers)
        return comparison_plot.plot(self._title(), shown, styles, path)

    def _title(self) -> str:
        seeds = len(self.seeds)
        data = f"{self.data}{' STAND-IN' if self.is_standin else ''}"
        run = self.runs[0]
        return (
            f"{self.model} on {data}: what the initializer does "
            f"({seeds} seed{'s' * (seeds != 1)}, {run.steps} steps of {run.batch_size})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the records as JSON takes it.

        What is not finite (NaN, Inf) becomes `None`, JSON's `null`.
        """
        rows = self.table()
        return {
            "model": self.model,
            "data": self.data,
            "origin": self.origin,
            "is_standin": self.is_standin,
            "interrupted": self.interrupted,
            "log_dir": self.log_dir,
            "initializers": list(self.initializers),
            "seeds": list(self.seeds),
            "ranking": [row.initializer for row in rows],
            "why": self.why,
            "table": [_row_dict(row) for row in rows],
            "runs": [run.to_dict() for run in self.runs],
        }

    def __str__(self) -> str:
        lines = [f"{self.model} on {self.data} ({self.origin})"]
        width = max((len(name) for name in self.initializers), default=0)
        lines += [
            f"{row.initializer:>{width}}  accuracy {row.accuracy.mean:.4f}  "
            f"loss {row.loss_initial.mean:.4g} -> {row.loss_final.mean:.4g}  {row.why}"
            for row in self.table()
        ]
        return "\n".join(lines)


def _shown(row: Row, runs: list[RunResult]) -> comparison_plot.Initializer:
    """Returns what a picture shows of an initializer."""
    curves = [run.loss_curve() for run in runs]
    steps = min((x for x, _ in curves), key=len)
    return comparison_plot.Initializer(
        row.initializer,
        steps,
        np.stack([y[: len(steps)] for _, y in curves]),
        [run.accuracy for run in runs],
        _profiles(runs, "activation", "std"),
        _profiles(runs, "gradient", "rms"),
        row.why,
    )


def _profiles(
    runs: list[RunResult], signal: str, statistic: str
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


def _row(initializer: str, runs: list[RunResult], why: str) -> Row:
    steps = [run.nonfinite_step for run in runs if run.nonfinite_step is not None]
    return Row(
        initializer=initializer,
        **{name: MeanStd.of([getattr(run, name) for run in runs]) for name in METRICS},
        nonfinite_step=min(steps, default=None),
        seconds=float(np.mean([run.seconds for run in runs])),
        why=why,
    )


def _row_dict(row: Row) -> dict[str, Any]:
    spreads = {name: getattr(row, name) for name in METRICS}
    return {
        "initializer": row.initializer,
        "runs": row.accuracy.runs,
        **{
            name: {"mean": finite(spread.mean), "std": finite(spread.std)}
            for name, spread in spreads.items()
        },
        "nonfinite_step": row.nonfinite_step,
        "seconds": round(row.seconds, 3),
    }


def _rank(row: Row) -> tuple[bool, float, float]:
    accuracy, loss = row.accuracy.mean, row.loss_final.mean
    diverged = not math.isfinite(loss)
    return (
        diverged,
        math.inf if math.isnan(accuracy) else -accuracy,
        math.inf if diverged else loss,
    )
