"""The loss curve of a record: running means undone, its rise, fall and trend."""

import dataclasses

import numpy as np
from scipy.special import ndtr, stdtrit

from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format import running

_FEWEST = 4  # losses that a straight line is laid through


@dataclasses.dataclass(frozen=True)
class LossCurve:
    """The training loss between recorded steps.

    Attributes:
        steps: Optimizer iterations, int64 of shape `(n,)`.
        losses: Mean loss of the batches since the recorded step before, float64 of
            shape `(n,)`, finite.
        penalty: Regularization loss of the weights at the start; 0 if unknown.
        diverged: Recorded step from which no loss is finite, after some that were;
            `None` if the newest is finite.
        epochs: Mean losses of the epochs of which at least nine tenths are known,
            float64. Epochs see the same examples, and scatter less than their batches.
    """

    steps: np.ndarray
    losses: np.ndarray
    penalty: float = 0.0
    diverged: int | None = None
    epochs: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    @property
    def span(self) -> int:
        """Optimizer iterations from the first to the last recorded step."""
        return int(self.steps[-1] - self.steps[0]) if len(self.steps) else 0

    @property
    def start(self) -> float:
        """Loss at the first recorded step."""
        return float(self.losses[0])

    @property
    def end(self) -> float:
        """Median of the newest quarter."""
        return float(np.median(self.losses[-max(1, len(self.losses) // 4) :]))

    @property
    def best(self) -> float:
        """Lowest median of a quarter of consecutive losses."""
        few = max(1, len(self.losses) // 4)
        windows = np.lib.stride_tricks.sliding_window_view(self.losses, few)
        return float(np.median(windows, axis=1).min())

    @property
    def fall(self) -> float:
        """Share of the first loss by which the newest are below it, at most 1."""
        return 1 - self.end / self.start if self.start > 0 else np.nan

    @property
    def slope(self) -> float:
        """Slope of a straight line through the newer half, per optimizer iteration."""
        return self._newer()[0]

    @property
    def pace(self) -> float:
        """Slope of the newer half divided by that of the older; 1 does not slow down.

        Measured on epochs where only these show the fall.
        """
        if self.falls_by_epochs() and not self.is_falling():
            y, middle = self.epochs, len(self.epochs) // 2
            newer = (y[-1] - y[middle]) / (len(y) - 1 - middle)
            return float(newer * middle / (y[middle] - y[0]))
        half = len(self.losses) // 2
        older, _ = _line(self.steps[:half], self.losses[:half])
        return self.slope / older if older < 0 else np.nan

    @property
    def scatter(self) -> float:
        """Standard deviation of the losses of the newer half, each from the next."""
        newer = self.losses[len(self.losses) // 2 :]
        return float(np.std(np.diff(newer)) / np.sqrt(2)) if len(newer) > 2 else 0.0

    @property
    def scatter_of_end(self) -> float:
        """Standard error of `end`, the median of the newest quarter."""
        return 1.25 * self.scatter / np.sqrt(max(1, len(self.losses) // 4))

    @property
    def fall_of_epochs(self) -> float:
        """Share of the first epoch's mean loss by which the last one's is below it."""
        return 1 - float(self.epochs[-1] / self.epochs[0]) if len(self.epochs) else 0.0

    def starts_by_chance(self) -> bool:
        """Whether the first loss, of one batch, is as near the first epoch's as others.

        The others are means of the batches since the recorded step before.
        """
        if not len(self.epochs) or len(self.steps) < 2:
            return False
        of_one = self.scatter * np.sqrt(np.median(np.diff(self.steps)))
        return bool(abs(self.start - self.epochs[0]) <= 3 * of_one)

    def is_falling(self) -> bool:
        """Whether the newer half falls by more than its scatter explains.

        The slope of a straight line through it is below 0 by over three of its
        standard errors.
        """
        slope, error = self._newer()
        return slope < -3 * error

    def falls_by_epochs(self) -> bool:
        """Whether the newer half of the epochs, of four at least, falls likewise.

        Of so few, the standard error itself is uncertain: the limit is that of
        Student's t where three standard errors are that of many.
        """
        y = self.epochs[-max(_FEWEST, len(self.epochs) // 2) :]
        if len(y) < _FEWEST or not np.isfinite(y).all():
            return False
        slope, error = _line(np.arange(len(y)), y)
        return slope < -float(stdtrit(len(y) - 2, ndtr(3.0))) * error

    def _newer(self) -> tuple[float, float]:
        half = len(self.losses) // 2
        return _line(self.steps[half:], self.losses[half:])


def _line(steps: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """Returns slope and its standard error of a straight line; NaN of under four."""
    if len(losses) < _FEWEST:
        return np.nan, np.nan
    x = steps - steps.mean()
    slope = float(x @ losses) / float(x @ x)
    residuals = losses - losses.mean() - slope * x
    error = np.sqrt(residuals @ residuals / (len(losses) - 2) / (x @ x))
    return slope, float(error)


def loss_curve(record: RunRecord) -> LossCurve:
    """Returns the loss between the recorded steps.

    Keras reports running means over the epoch. Where possible, they are undone
    (`running.taken_apart`). Elsewhere they are kept, and respond more slowly.

    Args:
        record: The run.

    Returns:
        A `LossCurve`, of the finite losses.
    """
    steps, means = record.scalars.get("loss", ((), ()))
    x = np.asarray(steps, np.int64)
    y = np.asarray(means, np.float64)
    epochs = running.Epochs.of(record.metadata)
    ends = np.zeros(0)
    apart = running.taken_apart(x, y, epochs)
    if epochs is not None and apart is not None:
        epoch, seen = epochs.places(x)
        last = np.append(epoch[1:] != epoch[:-1], True)
        ends, y = y[last & (seen >= 0.9 * epochs.steps)], apart
    finite = np.isfinite(y)
    diverged = None
    if finite.any() and not finite[-1]:
        diverged = int(x[np.flatnonzero(finite)[-1] + 1])
    penalty = record.metadata.get("penalty") or 0.0
    return LossCurve(x[finite], y[finite], penalty, diverged, ends)
