"""`RunRecord`: everything recorded of a run, in memory (numpy only)."""

import collections
import dataclasses
import numbers
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import difference, export, pictures
from keras_initkit.recording.contents import Contents, names_in
from keras_initkit.recording.log import reader, storage
from keras_initkit.recording.log.runs import RunInfo, list_runs
from keras_initkit.recording.series import SignalSeries
from keras_initkit.report import record_plot, record_table
from keras_initkit.report.export import dataframe
from keras_initkit.report.tables import Printed


@dataclasses.dataclass
class RunRecord(Printed, Contents):
    """Everything recorded of a run. Printed, a table; in a notebook, HTML.

    Memory is bounded: beyond a bound (2,000 steps of statistics and metrics, 200 of
    histograms, 500 over time) the newest half is kept whole, and of the older steps,
    step 0 among them, those evenly spaced by a power of two (`thinning.Thinning`). The
    event files keep all of them.

    Attributes:
        series: `{signal name: SignalSeries}`. Where the tapped tensors changed during
            the run (another model, layers frozen) or steps began anew (a model compiled
            again), the later part stands under `"<signal>#1"`, `"<signal>#2"`...
        norms: The statistics of `schema.statistics_of(signal, "norms")` alone, named in
            the same manner, at more steps: of a monitor that records in both details.
        histograms: Magnitude histograms under the same names: shares of the values by
            octave, columns as in `schema.HISTOGRAM_COLUMNS`, at fewer steps.
        time_steps: The rms of each time step, of the tensors of rank 3, named in the
            same manner, columns as in `schema.TIME_COLUMNS`.
        scalars: `{name: (steps, values)}`, the metrics of the monitored steps as Keras
            reports them (running means over the epoch), `"loss"` among them.
        metadata: JSON-able facts about the run: `"layers"` (path, class, activation,
            weights and their roles of each layer), `"model"`, `"data_version"`,
            `"untapped"` (layer path and reason), `"run"` (the run's id on disk)...
        findings: What the rules last said: dicts of the fields of a `Finding`, with the
            step at which it had `"cleared"` (`None` if it stands) and the `"unit"` of
            what was measured. `None` where no rules were asked.
        thins: Whether old steps thin out.
        missing: What a log has lost, of a record that was read from one: `Missing`,
            with the file, the place in it and what it was. Empty where all is there.
    """

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
        names = names_in(self.time_steps, signal)
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
        series = self.most_of(signal, statistic)
        return series.tensors, series.statistic(statistic)[_position(series, step)]

    def diff(
        self, other: "RunRecord", *, tolerance: float = 0.0
    ) -> difference.DifferenceResult:
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
        if not isinstance(other, RunRecord):
            raise TypeError(
                "`other` must be a `RunRecord`; `RunRecord.load(log_dir)` reads one. "
                f"Received: other={other!r} of type {type(other).__name__}"
            )
        return difference.difference(self, other, tolerance)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields one dict per step, signal and tensor, with a key per statistic.

        Of steps of which norms alone were recorded, with keys for these.
        """
        whole: collections.Counter[tuple[str, int]] = collections.Counter()
        for series in self.series.values():
            whole.update((series.signal, step) for step in series.steps.tolist())
            yield from _rows_of(series)
        for series in self.norms.values():
            yield from _rows_of(series, whole)

    def to_dataframe(self) -> Any:
        """Returns a tidy `pandas.DataFrame`: one row per step, signal and tensor.

        Columns: `step, signal, layer, tensor, call`, then one a statistic (NaN where
        a statistic is not defined for the signal).

        Raises:
            ImportError: If pandas is not installed.
        """
        return dataframe(self.rows(), export.COLUMNS)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the statistics as CSV, in the columns of `to_dataframe`.

        Numbers have nine digits, which give a float32 back exactly; a field is empty
        where a statistic is not defined for the signal. Needs no pandas.

        Args:
            path: The file; one that is there is replaced when all is written.
        """
        export.write_csv(self.rows(), path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the whole record as one JSON object.

        `series`, `norms`, `histograms` and `time_steps` hold `{name: {signal, tensors,
        columns, steps, values}}`, the values in one list, row by row (C order of
        `(steps, tensors, columns)`), nine digits each, `"NaN"`, `"Infinity"` and
        `"-Infinity"` for what is not finite; `scalars` holds `{name: {steps, values}}`;
        beside them stand `metadata` and `findings`, the version `v` of the format and a
        checksum of all that follows it, `crc32`.

        Args:
            path: The file; one that is there is replaced when all is written.
        """
        export.write_json(self, path)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> "RunRecord":
        """Reads a record that `to_json` wrote; its values are equal.

        Raises:
            RunDamagedError: If the file holds something else, or is damaged.
            ValueError: If it is of a newer version.
        """
        record = cls()
        export.read_json(record, path)
        return record

    @classmethod
    def runs(cls, log_dir: str | os.PathLike[str]) -> list[RunInfo]:
        """Lists the runs in a log directory, the newest last.

        A run goes on when its monitor is given to another `fit` of the same model, or
        when a `ResumePoint` resumes its training. Any other `fit`, such as that of a
        script that runs again, is a new run, which hides none that are there.

        Args:
            log_dir: The directory a monitor was given.
        """
        return list_runs(storage.checked(log_dir, "log_dir"))

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
        record = cls(thins=thin)
        reader.read_run(record, storage.checked(log_dir, "log_dir"), run)
        return record

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        signal: str | None = None,
        statistic: str | None = None,
    ) -> Any:
        """Draws the run: signals against depth, over the steps, loss and findings.

        Signals against depth are those of the first and the last monitored step; what
        is exactly 0 stands on a line of its own. Of weights, kernels are drawn. The
        loss is that of the batches since the monitored step before, where Keras's
        running means can be taken apart; dotted lines tell since when the causes in
        `findings` are there.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).
            signal: Name of a signal: the picture is of this one alone.
            statistic: One of its statistics, `"rms"` by default.

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
            KeyError: If the signal was not recorded, or has no such statistic.
            ValueError: If nothing was recorded, or a statistic is named and no signal.

        Example:
        >>> import numpy as np
        >>> from keras_initkit.schema import TensorKey, statistics_of
        >>> record = RunRecord()
        >>> values = np.ones((1, len(statistics_of("gradient"))), np.float32)
        >>> _ = record.add("gradient", (TensorKey("dense", "kernel"),), 0, values)
        >>> len(record.plot(signal="gradient", statistic="norm").axes)  # one a scale
        3
        """
        for name, value in (("signal", signal), ("statistic", statistic)):
            if value is not None:
                _check_text(name, value)
        title = pictures.title_of(self)
        if signal is not None:
            course = pictures.course_of(self, signal, statistic or "rms")
            return record_plot.signal(title, course, path)
        if statistic is not None:
            raise ValueError(
                "`statistic` needs the `signal` it is of, such as "
                f"`plot(signal='gradient', statistic={statistic!r})`. "
                "Received: signal=None"
            )
        profiles, heat = pictures.profiles_of(self), pictures.heat_of(self)
        return record_plot.overview(title, profiles, heat, pictures.loss_of(self), path)

    def __rich__(self) -> Any:
        return record_table.render(pictures.title_of(self), pictures.facts_of(self))

    def __repr__(self) -> str:
        stores = {"": self.series, "norms of ": self.norms}
        inner = ", ".join(
            f"{what}{name}: {len(series)} steps"
            for what, store in stores.items()
            for name, series in store.items()
        )
        return f"<RunRecord {inner or 'empty'}>"


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


def _rows_of(
    series: SignalSeries, known: "collections.Counter[tuple[str, int]] | None" = None
) -> Iterator[dict[str, Any]]:
    """Yields the rows of a series.

    Args:
        series: The series.
        known: How often steps of signals have been told already: as many are left out,
            and taken off.
    """
    for step, matrix in zip(series.steps.tolist(), series.values, strict=True):
        if known is not None and known[series.signal, step] > 0:
            known[series.signal, step] -= 1
            continue
        for key, values in zip(series.tensors, matrix, strict=True):
            yield {
                "step": step,
                "signal": series.signal,
                "layer": key.layer,
                "tensor": key.tensor,
                "call": key.call,
                **dict(zip(series.statistics, values.tolist(), strict=True)),
            }
