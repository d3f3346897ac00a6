"""`RunRecord`: everything recorded of a run, in memory (numpy only)."""

import dataclasses
import numbers
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import storage
from keras_initkit.recording.damage import Missing
from keras_initkit.recording.thinning import Thinning

if TYPE_CHECKING:
    from keras_initkit.recording.difference import DifferenceResult

# Most steps held in memory, by kind of matrix; how they thin out beyond that is said in
# `RunRecord`. Event files keep every step.
MAX_STEPS = {"statistics": 2000, "histogram": 200, "time": 500}


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
        max_steps: Most steps to hold, as `Thinning` has it; `None` for no bound.
    """

    def __init__(
        self,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        statistics: tuple[str, ...] | None = None,
        max_steps: int | None = MAX_STEPS["statistics"],
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

    def continued_by(self, tensors: tuple[schema.TensorKey, ...], step: int) -> bool:
        """Whether a matrix with these rows, of this step, belongs behind the last."""
        return (
            not self._closed
            and self.tensors == tuple(tensors)
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


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """A run on disk.

    Attributes:
        id: Its random id, 12 hexadecimal digits.
        log_dir: The directory it lies in: the log directory, or a `run-<n>` below it.
        files: Paths of its event files, in order.
        fits: How many `fit`s it is made of; `None` where that cannot be read.
        began: Seconds since the epoch when it began; `None` where that cannot be read.
    """

    id: str
    log_dir: str
    files: tuple[str, ...]
    fits: int | None
    began: float | None


@dataclasses.dataclass
class RunRecord:
    """Everything recorded of a run.

    Memory is bounded: beyond `MAX_STEPS` (2,000 steps of statistics and metrics, 200 of
    histograms, 500 over time) the newest half is kept whole, and of the older steps,
    step 0 among them, those evenly spaced by a power of two (`thinning.Thinning`). The
    event files keep all of them.

    Attributes:
        series: `{signal name: SignalSeries}`. Where the tapped tensors changed during
            the run (another model, layers frozen) or steps began anew (a model compiled
            again), the later part stands under `"<signal>#1"`, `"<signal>#2"`...
        histograms: Magnitude histograms under the same names: shares of the values by
            octave, columns as in `schema.HISTOGRAM_COLUMNS`, at fewer steps.
        time_steps: The rms of each time step, of the tensors of rank 3, named in the
            same manner, columns as in `schema.TIME_COLUMNS`.
        scalars: `{name: (steps, values)}`, the metrics of the monitored steps as Keras
            reports them (running means over the epoch), `"loss"` among them.
        metadata: JSON-able facts about the run: `"layers"` (path, class, activation,
            weights and their roles of each layer), `"model"`, `"data_version"`,
            `"untapped"` (layer path and reason), `"run"` (the run's id on disk)...
        thins: Whether old steps thin out.
        missing: What a log has lost, of a record that was read from one: `Missing`,
            with the file, the place in it and what it was. Empty where all is there.
    """

    series: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    histograms: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    time_steps: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    scalars: dict[str, tuple[list[int], list[float]]] = dataclasses.field(
        default_factory=dict
    )
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    thins: bool = True
    missing: list[Missing] = dataclasses.field(default_factory=list)
    _thinning: dict[str, Thinning] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _newest_step: int | None = dataclasses.field(
        default=None, init=False, repr=False, compare=False
    )
    _restarts: int = dataclasses.field(default=0, init=False, repr=False, compare=False)

    def signal(self, name: str) -> SignalSeries | None:
        """Returns the latest series of a signal, `None` where it was not recorded."""
        schema.check_signals((name,))
        names = _names_in(self.series, name)
        return self.series[names[-1]] if names else None

    def roles(self) -> dict[tuple[str, str], str]:
        """Returns `{(layer, weight): role}`, roles as in `schema.ROLES`.

        Empty where the record does not tell, as before the first monitored step.
        """
        return {
            (layer["path"], weight): role
            for layer in self.metadata.get("layers", ())
            for weight, role in layer.get("roles", {}).items()
        }

    def latest(self, signal: str) -> tuple[str, SignalSeries]:
        """Returns the name and the series that a signal now goes to.

        Raises:
            KeyError: If the signal was not recorded.
        """
        names = _names_in(self.series, signal)
        if not names:
            raise KeyError(
                f"`signal` must have been recorded, as {tuple(self.series)} were. "
                f"Received: signal={signal!r}"
            )
        return names[-1], self.series[names[-1]]

    def new_series(
        self,
        kind: str,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        columns: tuple[str, ...] | None = None,
    ) -> SignalSeries:
        """Returns an empty series that is bounded as this record is.

        Args:
            kind: `"statistics"`, `"histogram"` or `"time"`.
            signal: Name of the signal.
            tensors: The rows.
            columns: The columns; by default the statistics of the signal.
        """
        most = MAX_STEPS[kind] if self.thins else None
        return SignalSeries(signal, tensors, columns, most)

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
        name = _name_for(self.series, signal, tensors, step)
        if name not in self.series:
            self.series[name] = self.new_series("statistics", signal, tensors)
        self.series[name].append(step, values)
        return name

    def begin_anew(self) -> None:
        """Has what is added from now on go to new series: that of another model."""
        for series in (*self.series.values(), *self.time_steps.values()):
            series.close()

    def add_histogram(self, signal: str, step: int, values: np.ndarray) -> None:
        """Adds one matrix of shares by octave beside the signal's newest matrix."""
        name, series = self.latest(signal)
        if name not in self.histograms:
            self.histograms[name] = self.new_series(
                "histogram", signal, series.tensors, schema.HISTOGRAM_COLUMNS
            )
        self.histograms[name].append(step, values)

    def add_time_steps(
        self,
        signal: str,
        step: int,
        tensors: tuple[schema.TensorKey, ...],
        values: np.ndarray,
    ) -> str:
        """Adds one matrix of rms over time and returns the name of its series.

        Args:
            signal: Name of the signal.
            step: Optimizer iteration.
            tensors: The rows: those tensors of the signal that have time steps.
            values: Float array of shape `(tensors, schema.TIME_STEPS)`, NaN behind
                the end of shorter sequences.
        """
        name = _name_for(self.time_steps, signal, tensors, step)
        if name not in self.time_steps:
            self.time_steps[name] = self.new_series(
                "time", signal, tensors, schema.TIME_COLUMNS
            )
        self.time_steps[name].append(step, values)
        return name

    def add_scalars(self, step: int, values: dict[str, float]) -> int:
        """Adds the metrics of a step; returns how often steps have gone back so far."""
        if self._newest_step is not None and step < self._newest_step:
            self._restarts += 1
        self._newest_step = step
        most = MAX_STEPS["statistics"] if self.thins else None
        for name, value in values.items():
            steps, series = self.scalars.setdefault(name, ([], []))
            steps.append(int(step))
            series.append(float(value))
            kept = self._thinning.setdefault(name, Thinning(most)).add()
            if kept is not None:
                steps[:] = [steps[position] for position in kept]
                series[:] = [series[position] for position in kept]
        return self._restarts

    def through_time(
        self, signal: str, layer: str, *, step: int | None = None
    ) -> np.ndarray:
        """Returns the rms of a signal against the time steps of a layer's sequence.

        Args:
            signal: `"activation"` or `"backprop"`.
            layer: Name of the layer; the label of a `TensorKey` for a later call or
                output of it.
            step: A monitored optimizer iteration; the last by default.

        Returns:
            Float32 array, one value a time step or group of them
            (`schema.TIME_STEPS`), as many as the longest sequence recorded has.

        Raises:
            KeyError: If this was not recorded.
            TypeError: If an argument is of another kind.
        """
        _check_text("signal", signal)
        _check_text("layer", layer)
        names = _names_in(self.time_steps, signal)
        if not names:
            raise KeyError(
                "`signal` must have been recorded over time, as "
                f"{tuple(self.time_steps)} were. Received: signal={signal!r}"
            )
        series = self.time_steps[names[-1]]
        rows = [
            row
            for row, key in enumerate(series.tensors)
            if layer in (key.label, key.layer)
        ]
        if not rows:
            raise KeyError(
                "`layer` must have an output of rank 3, as "
                f"{tuple(key.label for key in series.tensors)} have. "
                f"Received: layer={layer!r}"
            )
        values = series.values[:, rows[0]]
        used = np.flatnonzero((~np.isnan(values)).any(axis=0))
        length = used[-1] + 1 if used.size else 0
        return values[_position(series, step), :length]

    def profile(
        self, signal: str, statistic: str, *, step: int | None = None
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
            TypeError: If an argument is of another kind.
        """
        _check_text("signal", signal)
        _check_text("statistic", statistic)
        _, series = self.latest(signal)
        return series.tensors, series.statistic(statistic)[_position(series, step)]

    def diff(self, other: "RunRecord", *, tolerance: float = 0.0) -> "DifferenceResult":
        """Tells where two runs part: the first number that differs, and by how much.

        Steps of the same number are compared, in the order of time; within a step, the
        weights it begins with come first, then what flows forward, the metrics, what
        flows back (from the last layer to the first), the gradients and the updates.
        Statistics, histograms, what is recorded over time and metrics count, but for
        what the monitor costs; facts in `metadata` do not. NaN equals NaN. Records read
        back from files compare as those in memory do. Layers whose names Keras
        numbered differently (`dense`, `dense_3`) are matched by their place.

        Example:
        >>> one, other = RunRecord(), RunRecord()
        >>> _ = one.add_scalars(0, {"loss": 0.5})
        >>> _ = other.add_scalars(0, {"loss": 0.75})
        >>> first = one.diff(other).first
        >>> first.step, first.statistic, first.absolute
        (0, 'loss', 0.25)

        Args:
            other: The record of the other run.
            tolerance: Largest relative difference that counts as none, as
                `Difference.relative` has it; by default any difference counts.

        Returns:
            `DifferenceResult`; printed, a summary.

        Raises:
            TypeError: If `other` is no record.
            ValueError: If `tolerance` is negative or not finite.
        """
        from keras_initkit.recording import difference

        return difference.difference(self, other, tolerance)

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

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the statistics as CSV, in the columns of `to_dataframe`.

        Numbers have nine digits, which give a float32 back exactly; a field is empty
        where a statistic is not defined for the signal. Needs no pandas.

        Args:
            path: The file; one that is there is replaced when all is written.
        """
        from keras_initkit.recording import export

        export.write_csv(self, path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the whole record as one JSON object.

        `series`, `histograms` and `time_steps` hold `{name: {signal, tensors, columns,
        steps, values}}`, the values in one list, row by row (C order of `(steps,
        tensors, columns)`), nine digits each, `"NaN"`, `"Infinity"` and `"-Infinity"`
        for what is not finite; `scalars` holds `{name: {steps, values}}`; beside them
        stand `metadata`, the version `v` of the format and a checksum of all that
        follows it, `crc32`.

        Args:
            path: The file; one that is there is replaced when all is written.
        """
        from keras_initkit.recording import export

        export.write_json(self, path)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> "RunRecord":
        """Reads a record that `to_json` wrote; its values are equal.

        Raises:
            RunDamagedError: If the file holds something else, or is damaged.
            ValueError: If it is of a newer version.
        """
        from keras_initkit.recording import export

        return export.read_json(path)

    @classmethod
    def runs(cls, log_dir: str | os.PathLike[str]) -> list[RunInfo]:
        """Lists the runs in a log directory, the newest last.

        A run goes on when its monitor is given to another `fit` of the same model, or
        when a `ResumePoint` resumes its training. Any other `fit`, such as that of a
        script that runs again, is a new run, which hides none that are there.

        Args:
            log_dir: The directory a monitor was given.
        """
        from keras_initkit.recording import reader

        return reader.list_runs(storage.checked(log_dir, "log_dir"))

    @classmethod
    def load(
        cls,
        log_dir: str | os.PathLike[str],
        *,
        run: str | RunInfo | None = None,
        thin: bool = True,
    ) -> "RunRecord":
        """Reads a record back from the event files of a run.

        What is damaged is stepped over; `record.missing` lists what is not there.
        Where a run was resumed from an earlier step, what came later stands.

        Args:
            log_dir: The directory a monitor was given.
            run: The run to read, or its id, of those that `runs` lists; the newest by
                default.
            thin: Whether old steps thin out as they did in memory; else all are held.

        Returns:
            A record whose values equal those recorded (metrics in float32).

        Raises:
            FileNotFoundError: If there is no run in `log_dir`.
            RunDamagedError: If nothing of the run can be read.
            ValueError: If `run` is none of the runs there.
        """
        from keras_initkit.recording import reader

        return reader.read_record(storage.checked(log_dir, "log_dir"), run, thin)

    @property
    def is_filled(self) -> bool:
        """Whether anything was recorded."""
        return bool(self.series or self.scalars or self.metadata)

    def __repr__(self) -> str:
        inner = ", ".join(f"{n}: {len(s)} steps" for n, s in self.series.items())
        return f"<RunRecord {inner or 'empty'}>"


def _names_in(store: dict[str, SignalSeries], signal: str) -> list[str]:
    return [name for name, series in store.items() if series.signal == signal]


def _name_for(
    store: dict[str, SignalSeries],
    signal: str,
    tensors: tuple[schema.TensorKey, ...],
    step: int,
) -> str:
    """The name of the series that a matrix belongs to, an unused one if to none."""
    names = _names_in(store, signal)
    if names and store[names[-1]].continued_by(tensors, step):
        return names[-1]
    return f"{signal}#{len(names)}" if names else signal


def _position(series: SignalSeries, step: int | None) -> int:
    """Where a step stands in a series."""
    if step is None:
        return -1
    if not isinstance(step, numbers.Integral):
        raise TypeError(
            "`step` must be a monitored step, an integer. "
            f"Received: step={step!r} of type {type(step).__name__}"
        )
    positions = np.flatnonzero(series.steps == step)
    if not positions.size:
        raise KeyError(
            f"`step` must be a monitored step, one of {series.steps.tolist()}. "
            f"Received: step={step}"
        )
    return int(positions[-1])


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(
            f"`{name}` must be a string. "
            f"Received: {name}={value!r} of type {type(value).__name__}"
        )
