"""`SignalSeries`: the matrices of one signal over the steps (numpy only)."""

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.kinds import KINDS
from keras_initkit.recording.thinning import Thinning


class SignalSeries:
    """The matrices of one signal over the monitored steps.

    Attributes:
        signal: Name of the signal.
        tensors: The rows, a tuple of `schema.TensorKey` in forward order.
        statistics: The columns, a tuple of names.

    Args:
        signal: Name of the signal.
        tensors: The rows.
        statistics: The columns; by default the statistics of the signal.
        max_steps: Most steps to hold, as in `Thinning`; `None` for no bound.
    """

    def __init__(
        self,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        statistics: tuple[str, ...] | None = None,
        max_steps: int | None = KINDS["statistics"].max_steps,
    ) -> None:
        self.signal = signal
        self.tensors = tuple(tensors)
        self.statistics = tuple(statistics or schema.statistics_of(signal))
        self._thinning = Thinning(max_steps)
        self._closed = False
        # Buffers that grow by doubling; the first `_length` entries are in use.
        self._length = 0
        self._steps = np.empty(0, np.int64)
        shape = (0, len(self.tensors), len(self.statistics))
        self._values = np.empty(shape, np.float32)

    def append(self, step: int, values: np.ndarray) -> None:
        """Adds a step's matrix of shape `(tensors, statistics)`."""
        if values.shape != self._values.shape[1:]:
            raise ValueError(
                f"`values` must have shape {self._values.shape[1:]} for signal "
                f"{self.signal!r}. Received: shape={values.shape}"
            )
        if self._length == len(self._steps):
            self._steps = _doubled(self._steps)
            self._values = _doubled(self._values)
        self._steps[self._length] = step
        self._values[self._length] = values
        self._length += 1
        kept = self._thinning.add()
        if kept is not None:
            self._length = len(kept)
            self._steps, self._values = self._steps[kept], self._values[kept]

    def continued_by(
        self,
        tensors: tuple[schema.TensorKey, ...],
        columns: tuple[str, ...],
        step: int,
    ) -> bool:
        """Whether a matrix of these rows and columns belongs behind the last."""
        return (
            not self._closed
            and self.tensors == tuple(tensors)
            and self.statistics == tuple(columns)
            and (self._length == 0 or step > self._steps[self._length - 1])
        )

    def close(self) -> None:
        """Has what follows belong to another series, whatever its rows and step."""
        self._closed = True

    @property
    def steps(self) -> np.ndarray:
        """Optimizer iterations, int64 of shape `(steps,)`, ascending, read-only."""
        return _read_only(self._steps[: self._length])

    @property
    def values(self) -> np.ndarray:
        """The values, float32 of shape `(steps, tensors, statistics)`, read-only."""
        return _read_only(self._values[: self._length])

    def last(self) -> np.ndarray:
        """Returns the newest matrix, float32 of shape `(tensors, statistics)`."""
        return self.values[-1]

    def statistic(self, name: str) -> np.ndarray:
        """Returns one statistic, float32 of shape `(steps, tensors)`.

        Raises:
            KeyError: If the signal has no such statistic.
        """
        if name not in self.statistics:
            raise KeyError(
                f"`name` must be a statistic of signal {self.signal!r}, one of "
                f"{self.statistics}. Received: name={name!r}"
            )
        return self.values[:, :, self.statistics.index(name)]

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return (
            f"<SignalSeries {self.signal}: {len(self)} steps, "
            f"{len(self.tensors)} tensors, {len(self.statistics)} statistics>"
        )


def _doubled(buffer: np.ndarray) -> np.ndarray:
    grown = np.empty((max(16, 2 * len(buffer)), *buffer.shape[1:]), buffer.dtype)
    grown[: len(buffer)] = buffer
    return grown


def _read_only(view: np.ndarray) -> np.ndarray:
    view.flags.writeable = False
    return view
