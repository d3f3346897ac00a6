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
    """Everything recorded of a run. Prints as a table; in a notebook, renders as HTML.

    Memory is bounded: beyond a bound (2,000 steps of statistics and metrics, 200 of
    histograms, 500 over time) the newest half is kept completely, and the older steps,
    including step 0, at even spacing by a power of two (`thinning.Thinning`). The event
    files keep all of them.

    Attributes:
        series: `{signal name: SignalSeries}`. If the tapped tensors changed during the
            run (another model, layers frozen) or steps restarted (a model compiled
            again), the later part is stored under `"<signal>#1"`, `"<signal>#2"`...
        norms: Only the statistics of `schema.statistics_of(signal, "norms")`, named in
            the same way, at more steps: from a monitor that records both details.
        histograms: Magnitude histograms under the same names: shares of the values by
            octave, columns as in `schema.HISTOGRAM_COLUMNS`, at fewer steps.
        time_steps: The rms of each time step, for tensors of rank 3, named in the same
            way, columns as in `schema.TIME_COLUMNS`.
        scalars: `{name: (steps, values)}`, the metrics of the monitored steps as Keras
            reports them (running means over the epoch), `"loss"` among them.
        metadata: JSON-able facts about the run: `"layers"` (path, class, activation,
            weights and their roles of each layer), `"model"`, `"data_version"`,
            `"untapped"` (layer path and reason), `"run"` (the run's id on disk)...
        findings: The latest findings of the rules: dicts of the fields of a `Finding`,
            with the step at which it was `"cleared"` (`None` if still open) and the
            `"unit"` of the measured value. `None` if no rules were applied.
        thins: Whether old steps are thinned out.
        missing: For a record read from a log, what the log has lost: `Missing`, with
            the file, the position in it and what was lost. Empty if nothing is missing.
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
            Float32 array, one value per time step or group of them
            (`schema.TIME_STEPS`), as many as the longest recorded sequence has.

        Raises:
            KeyError: If this was not recorded.
            TypeError: If an argument has the wrong type.
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
        """Finds where two runs diverge: the first number that differs, and by how much.

        Steps with the same number are compared in order; within a step, its initial
        weights come first, then the forward signals, the metrics, the back-propagated
        signals (from the last layer to the first), the gradients and the updates.
        Statistics, histograms, values over time and metrics are compared, except the
        monitor's overhead; facts in `metadata` are not. NaN equals NaN. Records read
        from files compare like those in memory. Layers whose names Keras numbered
        differently (`dense`, `dense_3`) are matched by position.

        Example:
        >>> one, other = RunRecord(), RunRecord()
        >>> _ = one.add_scalars(0, {"loss": 0.5})
        >>> _ = other.add_scalars(0, {"loss": 0.75})
        >>> first = one.diff(other).first
        >>> first.step, first.statistic, first.absolute
        (0, 'loss', 0.25)

        Args:
            other: The record of the other run.
            tolerance: Largest relative difference to ignore, as in
                `Difference.relative`; by default any difference counts.

        Returns:
            `DifferenceResult`, which prints as a summary.

        Raises:
            TypeError: If `other` is not a record.
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

        For steps with only norms recorded, with keys for these.
        """
        whole: collections.Counter[tuple[str, int]] = collections.Counter()
        for series in self.series.values():
            whole.update((series.signal, step) for step in series.steps.tolist())
            yield from _rows_of(series)
        for series in self.norms.values():
            yield from _rows_of(series, whole)

    def to_dataframe(self) -> Any:
        """Returns a tidy `pandas.DataFrame`: one row per step, signal and tensor.

        Columns: `step, signal, layer, tensor, call`, then one per statistic (NaN where
        a statistic is not defined for the signal).

        Raises:
            ImportError: If pandas is not installed.
        """
        return dataframe(self.rows(), export.COLUMNS)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the statistics as CSV, in the columns of `to_dataframe`.

        Numbers have nine digits, enough to restore a float32 exactly; a field is empty
        where a statistic is not defined for the signal. Does not need pandas.

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
            RunDamagedError: If the file is not such a record, or is damaged.
            ValueError: If it is of a newer version.
        """
        record = cls()
        export.read_json(record, path)
        return record

    @classmethod
    def runs(cls, log_dir: str | os.PathLike[str]) -> list[RunInfo]:
        """Lists the runs in a log directory, newest last.

        A run continues when its monitor is passed to another `fit` of the same model,
        or when a `ResumePoint` resumes its training. Any other `fit`, such as that of a
        script that is rerun, is a new run, which does not hide existing ones.

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

        Damaged parts are skipped; `record.missing` lists what is missing. If a run was
        resumed from an earlier step, the later data win.

        Args:
            log_dir: The directory a monitor was given.
            run: The run to read, or its id, among those that `runs` lists; the newest
                by default.
            thin: Whether old steps are thinned out as in memory; else all are kept.

        Returns:
            A record whose values equal those recorded (metrics in float32).

        Raises:
            FileNotFoundError: If there is no run in `log_dir`.
            RunDamagedError: If nothing of the run can be read.
            ValueError: If `run` is not one of the runs there.
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
        """Plots the run: signals against depth and over the steps, loss and findings.

        Signals against depth are those of the first and the last monitored step; values
        of exactly 0 are on a separate line. Of weights, only kernels are shown. The
        loss is that of the batches since the previous monitored step, if Keras's
        running means can be undone; dotted lines mark the first steps of the causes in
        `findings`.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).
            signal: Name of a signal, to plot only this one.
            statistic: One of its statistics, `"rms"` by default.

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
            KeyError: If the signal was not recorded, or has no such statistic.
            ValueError: If nothing was recorded, or a statistic is given without a
                signal.

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
                "`statistic` needs its `signal`, such as `plot(signal='gradient', "
                f"statistic={statistic!r})`. Received: signal=None"
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
