"""A quantity over seeds: its mean, its spread, how well the mean is known."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats


class MeanStd(NamedTuple):
    """A quantity over seeds.

    Attributes:
        mean: Mean; NaN if it is NaN in one of the runs.
        std: Sample standard deviation (1/(n−1)); NaN for a single run.
        runs: Number of runs.
    """

    mean: float
    std: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "MeanStd":
        """Returns mean and spread of at least one value."""
        array = np.asarray(values, np.float64)
        std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
        return cls(float(array.mean()), std, len(array))

    @property
    def margin(self) -> float:
        """Half width of the mean's 95 % confidence interval; NaN for a single run."""
        return float(margin_of_mean(self.std, self.runs))


def margin_of_mean(std: Any, runs: int) -> Any:
    """Returns the half width of a mean's 95 % confidence interval (Student's t).

    Args:
        std: Sample standard deviation, a number or an array of them.
        runs: Number of independent runs, at least 2 for a number that is not NaN.
    """
    return scipy.stats.t.ppf(0.975, runs - 1) * std / math.sqrt(runs)
