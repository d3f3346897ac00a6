"""Whether a run learned at all: is it better than the best constant prediction?"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from keras_initkit.structure import description

# Metrics of which the best constant prediction reaches the share of the largest class.
_ACCURACIES = (
    "accuracy",
    "acc",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
)
_SQUARED = ("mean_squared_error", "mse")
_ABSOLUTE = ("mean_absolute_error", "mae")
# Standard errors of an accuracy by which chance alone is not above the largest class.
_BEYOND_CHANCE = 3.0
# A loss that is lower by a hundredth is told from rounding, and from a slow start.
_LOWER = 0.99


class Judgement(NamedTuple):
    """Whether a run learned.

    Attributes:
        learned: Whether it is better than the best constant prediction; `None` where
            that is not known.
        reason: The numbers it is judged by, or why it is not judged.
    """

    learned: bool | None
    reason: str


class Constant(NamedTuple):
    """What the best constant prediction reaches on a test set.

    Attributes:
        accuracy: The share of the largest class; `None` where the metric is none that
            this holds for, or the targets are no classes.
        loss: Its loss; `None` where it is not known.
        examples: Size of the test set.
    """

    accuracy: float | None
    loss: float | None
    examples: int

    @classmethod
    def of(cls, y: Any, loss: str | None, metric: str | None) -> "Constant":
        """Returns it for targets.

        Args:
            y: Array of targets, examples first.
            loss: Name of the loss, as of `description.loss_of`, a plain mean over the
                examples; `None` if there is another.
            metric: Name of the metric; `None` if there is none.
        """
        array = np.asarray(y)
        if array.dtype.kind not in "biuf" or not array.size:
            return cls(None, None, len(array))
        array = array.astype(np.float64)
        known = metric in _ACCURACIES
        return cls(
            description.most_frequent(array) if known else None,
            _constant_loss(array, loss),
            len(array),
        )

    def judge(self, accuracy: float, loss: float) -> Judgement:
        """Judges a run by its accuracy, or by its loss where the test set is tiny.

        An accuracy must be above that of the constant by three standard errors: a model
        that has learned nothing is right by chance, too. Where so few examples are
        tested that this would take more than half of what is left, and where there is
        no accuracy, the loss must be below 0.99 times that of the constant.

        Args:
            accuracy: Accuracy on the test set.
            loss: Loss on the test set.
        """
        if not math.isfinite(loss):
            return Judgement(False, f"its loss is {loss}")
        share = self.accuracy
        if share is not None and math.isfinite(accuracy):
            error = math.sqrt(share * (1 - share) / self.examples)
            needed = share + _BEYOND_CHANCE * error
            if needed <= (1 + share) / 2 and error > 0:
                return Judgement(
                    accuracy > needed,
                    f"accuracy {accuracy:.4g}; chance reaches up to {needed:.4g} "
                    f"(largest class {share:.4g} of {self.examples:,} examples)",
                )
        if self.loss is None:
            reason = "the best constant prediction of these targets is unknown"
            return Judgement(None, f"not judged, because {reason}")
        return Judgement(
            loss < _LOWER * self.loss,
            f"loss {loss:.4g}; {self.loss:.4g} for the best constant prediction",
        )


@functools.cache
def share_of(count: int, total: int) -> tuple[float, float]:
    """Returns the exact 95 % interval of a share (Clopper and Pearson, 1934).

    Args:
        count: Runs that learned.
        total: Runs, at least 1.

    Example:
    >>> [round(end, 3) for end in share_of(3, 3)]
    [0.292, 1.0]
    """
    interval = scipy.stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def _constant_loss(y: Any, loss: str | None) -> float | None:
    if loss is None or not np.isfinite(y).all():
        return None
    if loss.endswith("crossentropy"):
        return description.label_entropy(y)
    columns = y.reshape(len(y), -1)
    if loss in _SQUARED:
        return float(columns.var(axis=0).mean())
    if loss in _ABSOLUTE:
        return float(np.abs(columns - np.median(columns, axis=0)).mean())
    return None
