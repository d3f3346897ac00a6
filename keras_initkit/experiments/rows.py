"""The rows of a comparison's table."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit.experiments.grid import row_name
from keras_initkit.experiments.run_result import METRICS, RunResult
from keras_initkit.report.finite import finite
from keras_initkit.report.mean_std import MeanStd


@dataclasses.dataclass(frozen=True)
class Row:
    """One initializer, at one point of a grid, in the table of a comparison.

    Attributes:
        initializer: Its label.
        point: `{argument: value}` of the grid, empty without one.
        accuracy, loss_initial, loss_final, activation_slope, gradient_slope: `MeanStd`s
            of the attributes of `RunResult`.
        nonfinite_step: First step with a NaN or Inf in any of the runs, or `None`.
        seconds: Mean wall time of a run.
        why: Why it ranks where it does, in one line.
        learned: How many of its runs are better than the best constant prediction, of
            those of which that is known.
        judged: How many that is known of.
    """

    initializer: str
    point: Mapping[str, Any]
    accuracy: MeanStd
    loss_initial: MeanStd
    loss_final: MeanStd
    activation_slope: MeanStd
    gradient_slope: MeanStd
    nonfinite_step: int | None
    seconds: float
    why: str
    learned: int
    judged: int

    @property
    def name(self) -> str:
        """The label, and the point of a grid."""
        return row_name(self.initializer, self.point)

    @classmethod
    def of(cls, runs: Sequence[RunResult], why: str) -> "Row":
        """Returns the row of runs of one initializer, at least one."""
        steps = [run.nonfinite_step for run in runs if run.nonfinite_step is not None]
        spreads = {n: MeanStd.of([getattr(run, n) for run in runs]) for n in METRICS}
        return cls(
            initializer=runs[0].initializer,
            point=dict(runs[0].point),
            **spreads,
            nonfinite_step=min(steps, default=None),
            seconds=float(np.mean([run.seconds for run in runs])),
            why=why,
            learned=sum(run.learned is True for run in runs),
            judged=sum(run.learned is not None for run in runs),
        )

    @property
    def rank(self) -> tuple[bool, float, float, float]:
        """What rows are sorted by, the best first."""
        accuracy, loss = self.accuracy.mean, self.loss_final.mean
        diverged = not math.isfinite(loss)
        return (
            diverged,
            -self.learned / self.judged if self.judged else 0.0,
            math.inf if math.isnan(accuracy) else -accuracy,
            math.inf if diverged else loss,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the row as JSON takes it."""
        spreads = {name: getattr(self, name) for name in METRICS}
        return {
            "initializer": self.initializer,
            "point": dict(self.point),
            "runs": self.accuracy.runs,
            "learned": self.learned,
            "judged": self.judged,
            **{
                name: {"mean": finite(spread.mean), "std": finite(spread.std)}
                for name, spread in spreads.items()
            },
            "nonfinite_step": self.nonfinite_step,
            "seconds": round(self.seconds, 3),
        }
