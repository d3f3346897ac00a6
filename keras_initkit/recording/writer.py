"""`RunWriter`: a record's matrices, and what the stock dashboards show of them."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_initkit import schema, stats
from keras_initkit.recording import events
from keras_initkit.recording.record import RunRecord, SignalSeries

# What the stock dashboards get of each signal, the most telling first. More tags than
# MAX_TAGS nobody reads: then each signal gets its first statistic only.
STOCK_STATISTICS = {
    "activation": ("std", "mean", "rms", "zero_fraction", "nonfinite_count"),
    "preactivation": ("std",),
    "backprop": ("rms",),
    "gradient": ("rms", "mean", "std", "zero_fraction", "nonfinite_count"),
    "weight": ("rms", "mean", "std", "zero_fraction", "nonfinite_count"),
    "update": ("rms",),
}
MAX_TAGS = 600


class RunWriter:
    """Writes a run: scalars and histograms to its directory, matrices below it.

    Args:
        log_dir: Directory of the run. The matrices go to `<log_dir>/initkit`, a run of
            its own for TensorBoard, so that they never share a file's directory with
            another writer.
    """

    def __init__(self, log_dir: str | pathlib.Path):
        self._stock = events.EventFile(pathlib.Path(log_dir))
        self._matrices = events.EventFile(pathlib.Path(log_dir) / schema.RECORD_RUN)
        self._started: set[str] = set()

    def write_run(self, step: int, metadata: Mapping[str, Any]) -> None:
        """Writes what is known of the run as a whole."""
        self._matrices.write(step, [events.text(schema.RUN_TAG, metadata)])

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
        matrices, stock = [], []
        shown = _shown(record, signals)
        for signal in signals:
            name, series = record.latest(signal)
            matrices += self._matrix("statistics", name, series)
            stock += _scalars(series, shown[signal])
            if signal in counts:
                matrices += self._matrix("histogram", name, record.histograms[name])
                stock += _histograms(series, counts[signal])
        for name, series in record.time_steps.items():
            if series.signal in signals and series.steps[-1] == step:
                matrices += self._matrix("time", name, series)
        self._matrices.write(step, matrices)
        self._stock.write(step, stock)

    def write_prediction(
        self,
        step: int,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        rms: np.ndarray,
    ) -> None:
        """Writes what theory predicts of a signal, one rms a tensor."""
        content = _content("prediction", signal, tensors, schema.PREDICTION_COLUMNS)
        values = np.reshape(rms, (len(tensors), 1))
        tag = schema.prediction_tag(signal)
        self._matrices.write(step, [events.matrix(tag, values, content)])

    def write_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of a monitored step."""
        names = list(metrics)
        content = {"v": schema.DATA_VERSION, "kind": "metrics", "metrics": names}
        tag = f"{schema.METRICS_TAG}/{','.join(names)}"
        values = np.array([[metrics[name] for name in names]])
        self._matrices.write(step, [events.matrix(tag, values, content)])
        self._stock.write(
            step,
            [
                events.scalar(
                    f"metrics/{name}",
                    value,
                    "running mean since the start of the epoch, as Keras reports it",
                )
                for name, value in metrics.items()
            ],
        )

    def close(self) -> None:
        """Closes the files; a later write opens others."""
        self._stock.close()
        self._matrices.close()

    def _matrix(self, kind: str, name: str, series: SignalSeries) -> list[Any]:
        tag = schema.matrix_tag(name, kind)
        content = _content(kind, series.signal, series.tensors, series.statistics)
        last = series.last()
        values = [events.matrix(tag, last, content)]
        if tag not in self._started:
            # Once more under a tag of one event, which no sampling can drop.
            values.append(events.matrix(tag + schema.FIRST_SUFFIX, last, content))
        self._started.add(tag)
        return values


def _content(
    kind: str,
    signal: str,
    tensors: tuple[schema.TensorKey, ...],
    columns: tuple[str, ...],
) -> dict[str, Any]:
    """What the metadata of a matrix says: its rows and columns."""
    return {
        "v": schema.DATA_VERSION,
        "kind": kind,
        "signal": signal,
        "tensors": [key.label for key in tensors],
        "columns": list(columns),
    }


def _shown(record: RunRecord, signals: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The statistics that each signal shows, fewer where there are many tensors."""
    tags = sum(
        len(record.latest(signal)[1].tensors) * len(STOCK_STATISTICS[signal])
        for signal in signals
    )
    if tags <= MAX_TAGS:
        return STOCK_STATISTICS
    return {signal: names[:1] for signal, names in STOCK_STATISTICS.items()}


def _scalars(series: SignalSeries, names: tuple[str, ...]) -> list[Any]:
    columns = [series.statistics.index(name) for name in names]
    return [
        events.scalar(
            schema.tag(series.signal, key, name),
            row[column],
            schema.STATISTICS[name].description,
        )
        for key, row in zip(series.tensors, series.last(), strict=True)
        for name, column in zip(names, columns, strict=True)
    ]


def _histograms(series: SignalSeries, counts: np.ndarray) -> list[Any]:
    low, high = (series.statistics.index(name) for name in ("min", "max"))
    return [
        events.histogram(
            f"{series.signal}/{key.label}",
            stats.buckets(count, row[low], row[high]),
            "values of an evenly spaced sample of at most 131,072",
        )
        for key, row, count in zip(series.tensors, series.last(), counts, strict=True)
    ]
