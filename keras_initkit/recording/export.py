"""A record as CSV and as JSON, for other programs (standard library and numpy only).

Files are written beside their destination and put in its place when they are complete.
"""

import contextlib
import csv
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.record import RunRecord, SignalSeries

# JSON has no such numbers; these are the words that protocol buffers use.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_STORES = {"statistics": "series", "histogram": "histograms", "time": "time_steps"}


def write_csv(record: RunRecord, path: str | os.PathLike[str]) -> None:
    """Writes what `RunRecord.to_dataframe` shows; see `RunRecord.to_csv`."""
    columns = ["step", "signal", "layer", "tensor", "call", *schema.STATISTICS]
    with _complete_or_not_at_all(path) as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in record.rows():
            writer.writerow(
                {
                    name: f"{value:.9g}" if isinstance(value, float) else value
                    for name, value in row.items()
                }
            )


def write_json(record: RunRecord, path: str | os.PathLike[str]) -> None:
    """Writes everything recorded; see `RunRecord.to_json`."""
    content = {
        "v": schema.DATA_VERSION,
        "metadata": record.metadata,
        "scalars": {
            name: {"steps": steps, "values": [_number(value) for value in values]}
            for name, (steps, values) in record.scalars.items()
        },
        **{
            store: {
                name: _as_dict(series)
                for name, series in getattr(record, store).items()
            }
            for store in _STORES.values()
        },
    }
    with _complete_or_not_at_all(path) as file:
        file.write(json.dumps(content, allow_nan=False))


def read_json(path: str | os.PathLike[str]) -> RunRecord:
    """Reads what `write_json` wrote; see `RunRecord.from_json`."""
    content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not {"v", *_STORES.values()} <= content.keys():
        raise ValueError(
            "`path` must name a file that `RunRecord.to_json` wrote. "
            f"Received: path={str(path)!r}"
        )
    if content["v"] > schema.DATA_VERSION:
        raise ValueError(
            f"`path` must hold a record of version {schema.DATA_VERSION} at most; "
            "update keras-initkit. "
            f"Received: path={str(path)!r} of version {content['v']}"
        )
    record = RunRecord(metadata=content["metadata"])
    for kind, store in _STORES.items():
        for name, fields in content[store].items():
            getattr(record, store)[name] = _from_dict(record, kind, fields)
    for name, scalar in content["scalars"].items():
        for step, value in zip(scalar["steps"], scalar["values"], strict=True):
            record.add_scalars(step, {name: float(_NOT_FINITE.get(value, value))})
    return record


def _as_dict(series: SignalSeries) -> dict[str, Any]:
    values = [_number(float(f"{v:.9g}")) for v in series.values.ravel().tolist()]
    return {
        "signal": series.signal,
        "tensors": [key.label for key in series.tensors],
        "columns": list(series.statistics),
        "steps": series.steps.tolist(),
        "values": values,
    }


def _from_dict(record: RunRecord, kind: str, fields: dict[str, Any]) -> SignalSeries:
    tensors = tuple(map(schema.TensorKey.from_label, fields["tensors"]))
    columns = tuple(fields["columns"])
    series = record.new_series(kind, fields["signal"], tensors, columns)
    values = np.array([_NOT_FINITE.get(v, v) for v in fields["values"]], np.float32)
    shape = (len(fields["steps"]), len(tensors), len(columns))
    for step, matrix in zip(fields["steps"], values.reshape(shape), strict=True):
        series.append(step, matrix)
    return series


def _number(value: float) -> float | str:
    """A float as JSON takes it, a word for what is not finite."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


@contextlib.contextmanager
def _complete_or_not_at_all(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Opens a file that takes its name when all is written."""
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
