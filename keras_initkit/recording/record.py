"""`RunRecord`: everything recorded of a run, in memory (numpy only)."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_initkit import schema


class SignalSeries:
    """The statistics of one signal over the monitored steps.

    Attributes:
        signal: Name of the signal.
        tensors: The rows, a tuple of `schema.TensorKey` in forward order.
        statistics: The columns, a tuple of names.
    """

    def __init__(
        self,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        statistics: tuple[str, ...] | None = None,
    ):
        self.signal = signal
        self.tensors = tuple(tensors)
        self.statistics = tuple(statistics or schema.statistics_of(signal))
        self._steps: list[int] = []
        self._values: list[np.ndarray] = []

    def append(self, step: int, values: np.ndarray) -> None:
        """Adds a step's matrix of shape `(tensors, statistics)`."""
        expected = (len(self.tensors), len(self.statistics))
        if values.shape != expected:
            raise ValueError(
                f"`values` must have shape {expected} for signal {self.signal!r}. "
                f"Received: shape={values.shape}"
            )
        self._steps.append(int(step))
        self._values.append(np.asarray(values, np.float32))

    def continued_by(self, tensors: tuple[schema.TensorKey, ...], step: int) -> bool:
        """Whether a matrix with these rows, of this step, belongs behind the last."""
        return self.tensors == tuple(tensors) and step > max(self._steps, default=-1)

    @property
    def steps(self) -> np.ndarray:
        """Optimizer iterations, int64 of shape `(steps,)`, ascending."""
        return np.asarray(self._steps, np.int64)

    @property
    def values(self) -> np.ndarray:
        """The values, float32 of shape `(steps, tensors, statistics)`."""
        shape = (0, len(self.tensors), len(self.statistics))
        return np.stack(self._values) if self._values else np.zeros(shape, np.float32)

    def last(self) -> np.ndarray:
        """Returns the newest matrix, float32 of shape `(tensors, statistics)`."""
        return self._values[-1]

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
        return len(self._steps)

    def __repr__(self) -> str:
        return (
            f"<SignalSeries {self.signal}: {len(self)} steps, "
            f"{len(self.tensors)} tensors, {len(self.statistics)} statistics>"
        )


@dataclasses.dataclass
class RunRecord:
    """Everything recorded of a run.

    Attributes:
        series: `{signal name: SignalSeries}`. Where the tapped tensors changed during
            the run (another model, layers frozen) or steps began anew (a model compiled
            again), the later part stands under `"<signal>#1"`, `"<signal>#2"`...
        histograms: Magnitude histograms under the same names: shares of the values by
            octave, columns as in `schema.HISTOGRAM_COLUMNS`, at fewer steps.
        scalars: `{name: (steps, values)}`, the metrics of the monitored steps as Keras
            reports them (running means over the epoch), `"loss"` among them.
        metadata: JSON-able facts about the run: `"layers"` (path, class, activation and
            weights of each layer, in forward order), `"model"`, `"data_version"`,
            `"untapped"` (layer path and reason)...
    """

    series: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    histograms: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    scalars: dict[str, tuple[list[int], list[float]]] = dataclasses.field(
        default_factory=dict
    )
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)

    def signal(self, name: str) -> SignalSeries | None:
        """Returns the latest series of a signal, `None` where it was not recorded."""
        schema.check_signals((name,))
        return self.latest(name)[1] if self._names(name) else None

    def latest(self, signal: str) -> tuple[str, SignalSeries]:
        """Returns the name and the series that a signal now goes to.

        Raises:
            KeyError: If the signal was not recorded.
        """
        names = self._names(signal)
        if not names:
            raise KeyError(
                f"`signal` must have been recorded, as {tuple(self.series)} were. "
                f"Received: signal={signal!r}"
            )
        return names[-1], self.series[names[-1]]

    def _names(self, signal: str) -> list[str]:
        return [name for name, one in self.series.items() if one.signal == signal]

    def add(
        self,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        step: int,
        values: np.ndarray,
    ) -> str:
        """Adds one matrix and returns the name of the series it went to.

        That is the signal's latest, unless its rows or its steps do not go on from it.
        """
        names = self._names(signal)
        if names and self.series[names[-1]].continued_by(tensors, step):
            name = names[-1]
        else:
            name = f"{signal}#{len(names)}" if names else signal
            self.series[name] = SignalSeries(signal, tensors)
        self.series[name].append(step, values)
        return name

    def add_histogram(self, signal: str, step: int, values: np.ndarray) -> None:
        """Adds one matrix of shares by octave beside the signal's newest matrix."""
        name, series = self.latest(signal)
        if name not in self.histograms:
            self.histograms[name] = SignalSeries(
                signal, series.tensors, schema.HISTOGRAM_COLUMNS
            )
        self.histograms[name].append(step, values)

    def add_scalars(self, step: int, values: dict[str, float]) -> None:
        """Adds the metrics of a step."""
        for name, value in values.items():
            steps, series = self.scalars.setdefault(name, ([], []))
            steps.append(int(step))
            series.append(float(value))

    def profile(
        self, signal: str, statistic: str, step: int | None = None
    ) -> tuple[tuple[schema.TensorKey, ...], np.ndarray]:
        """Returns a statistic against depth at one step.

        Args:
            signal: Name of a recorded signal.
            statistic: Name of one of its statistics.
            step: A monitored optimizer iteration; the last by default.

        Returns:
            The tensor keys in forward order and a float32 array of as many values.

        Raises:
            KeyError: If the signal was not recorded, or not at this step.
        """
        _, series = self.latest(signal)
        row = -1
        if step is not None:
            rows = np.flatnonzero(series.steps == step)
            if not rows.size:
                raise KeyError(
                    f"`step` must be a monitored step, one of {series.steps.tolist()}. "
                    f"Received: step={step}"
                )
            row = int(rows[-1])
        return series.tensors, series.statistic(statistic)[row]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields one dict per step, signal and tensor, with a key per statistic."""
        for series in self.series.values():
            for step, matrix in zip(series.steps.tolist(), series.values, strict=True):
                for key, values in zip(series.tensors, matrix, strict=True):
                    yield {
                        "step": step,
                        "signal": series.signal,
                        "layer": key.layer,
                        "tensor": key.tensor,
                        "call": key.call,
                        **dict(zip(series.statistics, values.tolist(), strict=True)),
                    }

    def to_dataframe(self) -> Any:
        """Returns a tidy `pandas.DataFrame`: one row per step, signal and tensor.

        Columns: `step, signal, layer, tensor, call`, then one a statistic (NaN where
        a statistic is not defined for the signal).

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "`to_dataframe()` needs pandas: pip install 'keras-initkit[frame]'"
            ) from error
        columns = ["step", "signal", "layer", "tensor", "call", *schema.STATISTICS]
        return pd.DataFrame(list(self.rows()), columns=columns)

    @classmethod
    def load(cls, log_dir: str | pathlib.Path) -> "RunRecord":
        """Reads a record back from the event files below a log directory.

        Args:
            log_dir: The directory a monitor was given (or its `initkit` part).

        Raises:
            FileNotFoundError: If there is no record below `log_dir`.
        """
        from keras_initkit.recording import reader

        return reader.read_record(log_dir)

    def __repr__(self) -> str:
        inner = ", ".join(f"{n}: {len(s)} steps" for n, s in self.series.items())
        return f"<RunRecord {inner or 'empty'}>"
