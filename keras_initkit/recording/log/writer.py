"""`RunWriter`: a record's matrices, and what the stock dashboards show of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.contents import names_in
from keras_initkit.recording.log import events, stock
from keras_initkit.recording.log.chunks import ChunkFile
from keras_initkit.recording.log.places import Place, RunIdentity
from keras_initkit.recording.record import RunRecord
from keras_initkit.recording.series import SignalSeries
from keras_initkit.structure.roles import names_in_table
from keras_initkit_light.format.described import METRICS, Described


class RunWriter:
    """Writes a run to one event file: the record, and what stock dashboards show.

    Args:
        log_dir: The directory that a monitor was given.
        continued: Returns the run that this one continues, as `places.Place` has it.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        continued: Callable[[], RunIdentity | None] = lambda: None,
    ):
        self._place = Place(os.fspath(log_dir), continued)
        self._stock = events.EventFile(self._place)
        self._matrices = ChunkFile(self._stock)
        self._shown: dict[str, Sequence[str]] = {}
        self._boards: dict[tuple[str, ...], stock.ScalarBoard] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._metrics: dict[tuple[str, ...], events.Scalars] = {}
        self._metrics_steps: dict[tuple[str, ...], int] = {}

    @property
    def identity(self) -> RunIdentity | None:
        """The run that is written; `None` before the first write."""
        return self._place.identity

    def begin(self) -> RunIdentity:
        """Opens the file, if need be; returns the run."""
        return self._stock.begin()

    def show(self, statistics: Mapping[str, Sequence[str]]) -> None:
        """Fixes the statistics that stock dashboards get of the layers of signals.

        What is not fixed follows from how many tensors a step shows.
        """
        self._shown.update(statistics)

    def write_run(self, step: int, metadata: Mapping[str, Any]) -> None:
        """Writes what is known of the run as a whole."""
        self._matrices.write_text(schema.RUN_TAG, step, metadata)

    def write_step(
        self,
        step: int,
        record: RunRecord,
        signals: tuple[str, ...],
        counts: Mapping[str, np.ndarray],
    ) -> None:
        """Writes the newest matrices of a record.

        Args:
            step: Optimizer iteration.
            record: A record whose newest matrices are those of this step (those over
                time only if they are).
            signals: The signals that were recorded at this step.
            counts: `{signal: counts by leading bits}` where values were counted; the
                record's histograms of these are of this step, too.
        """
        if not signals:
            return
        latest = {signal: record.latest(signal) for signal in signals}
        for signal, (name, series) in latest.items():
            self._add("statistics", name, series, step, record)
            if signal in counts:
                self._add("histogram", name, record.histograms[name], step, record)
        for name, series in record.time_steps.items():
            if series.signal in signals and series.steps[-1] == step:
                self._add("time", name, series, step, record)
        newest = {signal: series for signal, (_, series) in latest.items()}
        self._write_stock(step, newest, counts, record)

    def write_norms(
        self, step: int, record: RunRecord, signals: tuple[str, ...]
    ) -> None:
        """Writes the newest norms of a record.

        Args:
            step: Optimizer iteration.
            record: A record whose newest norms are those of this step.
            signals: The signals that were recorded at this step.
        """
        for signal in signals:
            name = names_in(record.norms, signal)[-1]
            self._add("norms", name, record.norms[name], step, record)

    def write_metrics(
        self, step: int, metrics: Mapping[str, float], part: int = 0
    ) -> None:
        """Writes the metrics of a monitored step, those of a step once only.

        Args:
            step: Optimizer iteration.
            metrics: `{name: value}`.
            part: How often steps have gone back, as `RunRecord.add_scalars` tells.
        """
        names = tuple(metrics)
        if self._metrics_steps.get(names) == step or not metrics:
            return
        self._metrics_steps[names] = step
        numbers = np.array([[metrics[name] for name in names]])
        tag = schema.metrics_tag(names, part)
        described = Described(METRICS, "", ("metrics",), names)
        self._matrices.add(tag, step, numbers, lambda: described)
        if names not in self._metrics:
            shown = {
                f"metrics/{schema.well_formed(name)}": _about_metric(name)
                for name in names
            }
            self._metrics[names] = events.Scalars(shown)
        self._stock.write_scalars(step, self._metrics[names], numbers[0])

    def write_findings(self, step: int, findings: Sequence[Mapping[str, Any]]) -> None:
        """Writes all findings as they now stand, for our tab and as advice in text.

        Args:
            step: Optimizer iteration.
            findings: Dicts as `Finding.to_dict` makes them, with `"cleared"`: the step
                at which the fault ceased, or `None`.
        """
        current = [
            {name: stock.json_able(value) for name, value in finding.items()}
            for finding in findings
        ]
        self._matrices.write_text(schema.FINDINGS_TAG, step, {"findings": current})
        text = stock.findings_text(current)
        self._stock.write(step, [events.markdown("findings", text)])

    def write_prediction(
        self,
        step: int,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        rms: np.ndarray,
    ) -> None:
        """Writes what theory predicts of a signal, one rms a tensor."""
        rows = tuple(key.label for key in tensors)
        described = Described("prediction", signal, rows, schema.PREDICTION_COLUMNS)
        values = np.reshape(rms, (len(tensors), 1))
        tag = schema.prediction_tag(signal)
        self._matrices.add(tag, step, values, lambda: described)

    def flush(self) -> None:
        """Writes the matrices that wait to be written together."""
        self._matrices.flush()

    def close(self) -> None:
        """Closes the file; a later write opens another."""
        self._matrices.close()

    def drop(self) -> None:
        """Lets go of the file as it is, for it cannot be written."""
        self._matrices.drop()

    def _add(
        self, kind: str, name: str, series: SignalSeries, step: int, record: RunRecord
    ) -> None:
        def describe() -> Described:
            rows = tuple(key.label for key in series.tensors)
            roles: tuple[str, ...] = ()
            if schema.ALL_SIGNALS[series.signal].source == "weight":
                known = record.roles()
                keys = [(key.layer, key.tensor) for key in series.tensors]
                roles = tuple(known.get(key, "") for key in keys)
            return Described(kind, series.signal, rows, series.statistics, roles)

        tag = schema.matrix_tag(name, kind)
        self._matrices.add(tag, step, series.last(), describe)

    def _write_stock(
        self,
        step: int,
        series: Mapping[str, SignalSeries],
        counts: Mapping[str, np.ndarray],
        record: RunRecord,
    ) -> None:
        tensors = {signal: one.tensors for signal, one in series.items()}
        board = self._boards.get(tuple(series))
        if board is None or board.tensors != tensors:
            columns = {signal: one.statistics for signal, one in series.items()}
            for signal, names in stock.shown_statistics(tensors, columns).items():
                self._shown.setdefault(signal, names)
            board = stock.ScalarBoard(tensors, self._shown, record.roles(), columns)
            self._boards[tuple(series)] = board
            self._columns.update(columns)
            ordered = schema.check_signals(tuple(self._columns))
            vectors = names_in_table(*schema.VECTORS)
            charts = stock.charts(
                {signal: self._columns[signal] for signal in ordered},
                vectors,
                self._shown,
            )
            self._stock.write(step, [charts], lasting=True)
        matrices = {signal: one.last() for signal, one in series.items()}
        self._stock.write_scalars(step, board.scalars, board.numbers(matrices))
        if counts:
            values = []
            shown = stock.shown_histograms(tensors, record.roles())
            for signal, rows in shown.items():
                if signal in counts:
                    values += stock.histograms(
                        series[signal], rows, counts[signal], self._stock.describes
                    )
            self._stock.write(step, values)


def _about_metric(name: str) -> str:
    if name == schema.OVERHEAD:
        return (
            "extra time of monitored steps divided by training time so far; only host "
            "time of recording and writing if there are no others to compare with"
        )
    if name == schema.SKIPPED:
        return "steps skipped so far because their scaled gradients were not finite"
    return "running mean since the start of the epoch, as Keras reports it"
