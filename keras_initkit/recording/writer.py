"""`RunWriter`: a record's matrices, and what the stock dashboards show of them."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import events, stock
from keras_initkit.recording.chunks import ChunkFile
from keras_initkit.recording.record import RunRecord, SignalSeries
from keras_initkit.structure.roles import names_in_table


class RunWriter:
    """Writes a run: scalars and histograms to its directory, matrices below it.

    Args:
        log_dir: Directory of the run. The matrices go to `<log_dir>/initkit`, a run of
            its own for TensorBoard, so that they never share a file's directory with
            another writer.
    """

    def __init__(self, log_dir: str | pathlib.Path):
        self._stock = events.EventFile(pathlib.Path(log_dir))
        self._matrices = ChunkFile(pathlib.Path(log_dir) / schema.RECORD_RUN)
        self._shown: dict[str, Sequence[str]] = {}
        self._boards: dict[tuple[str, ...], stock.ScalarBoard] = {}
        self._metrics: tuple[tuple[str, ...], events.Scalars] | None = None
        self._metrics_step: int | None = None

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

    def write_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of a monitored step, those of a step once only."""
        if step == self._metrics_step or not metrics:
            return
        self._metrics_step = step
        names = tuple(metrics)
        numbers = np.array([[metrics[name] for name in names]])
        tag = f"{schema.METRICS_TAG}/{','.join(names)}"
        content = _content("metrics", "", ["metrics"], names)
        self._matrices.add(tag, step, numbers, lambda: content)
        if self._metrics is None or self._metrics[0] != names:
            described = {f"metrics/{name}": _about_metric(name) for name in names}
            self._metrics = names, events.Scalars(described)
        self._stock.write_scalars(step, self._metrics[1], numbers[0])

    def write_findings(self, step: int, findings: Sequence[Mapping[str, Any]]) -> None:
        """Writes all findings as they now stand, for our tab and as a table of text.

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
        table = stock.findings_table(current)
        self._stock.write(step, [events.markdown("findings", table)])

    def write_prediction(
        self,
        step: int,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        rms: np.ndarray,
    ) -> None:
        """Writes what theory predicts of a signal, one rms a tensor."""
        rows = [key.label for key in tensors]
        content = _content("prediction", signal, rows, schema.PREDICTION_COLUMNS)
        values = np.reshape(rms, (len(tensors), 1))
        tag = schema.prediction_tag(signal)
        self._matrices.add(tag, step, values, lambda: content)

    def flush(self) -> None:
        """Writes the matrices that wait to be written together."""
        self._matrices.flush()

    def close(self) -> None:
        """Closes the files; a later write opens others."""
        try:
            self._matrices.close()
        finally:
            self._stock.close()

    def _add(
        self, kind: str, name: str, series: SignalSeries, step: int, record: RunRecord
    ) -> None:
        def describe() -> dict[str, Any]:
            rows = [key.label for key in series.tensors]
            content = _content(kind, series.signal, rows, series.statistics)
            if schema.SIGNALS[series.signal].source == "weight":
                known = record.roles()
                keys = [(key.layer, key.tensor) for key in series.tensors]
                content["roles"] = [known.get(key) for key in keys]
            return content

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
            board = self._boards[tuple(series)] = stock.ScalarBoard(
                tensors,
                {**stock.shown_statistics(tensors), **self._shown},
                record.roles(),
            )
            signals = {signal for signals in self._boards for signal in signals}
            ordered = schema.check_signals(tuple(signals))
            vectors = names_in_table(*schema.VECTORS)
            self._stock.write(step, [stock.charts(ordered, vectors)])
        matrices = {signal: one.last() for signal, one in series.items()}
        self._stock.write_scalars(step, board.scalars, board.numbers(matrices))
        if counts:
            values = []
            for signal in stock.shown_histograms(tensors):
                if signal in counts:
                    values += stock.histograms(
                        series[signal], counts[signal], self._stock.describes
                    )
            self._stock.write(step, values)


def _content(
    kind: str, signal: str, tensors: Sequence[str], columns: Sequence[str]
) -> dict[str, Any]:
    """What the metadata of a series says: the rows and columns of its matrices."""
    return {
        "v": schema.DATA_VERSION,
        "kind": kind,
        "signal": signal,
        "tensors": list(tensors),
        "columns": list(columns),
    }


def _about_metric(name: str) -> str:
    if name == schema.OVERHEAD:
        return (
            "extra time of monitored steps over training time so far; host time of "
            "recording and writing only where there are no others to compare with"
        )
    if name == schema.SKIPPED:
        return "steps skipped so far because their scaled gradients were not finite"
    return "running mean since the start of the epoch, as Keras reports it"
