"""A record as CSV and as JSON, for other programs (standard library and numpy only).

Files are written beside their destination and put in its place when they are complete.
"""

import contextlib
import csv
import json
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.contents import Contents
from keras_initkit.recording.damage import RunDamagedError
from keras_initkit.recording.kinds import KINDS
from keras_initkit.recording.log import storage
from keras_initkit.recording.series import SignalSeries
from keras_initkit.report.finite import finite
from keras_initkit_light.format import sealing

# JSON has no such numbers; these are the words that protocol buffers use.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


# Those of a table of all statistics: which number, and one for each statistic.
COLUMNS = ("step", "signal", "layer", "tensor", "call", *schema.STATISTICS)


def write_csv(rows: Iterable[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes `RunRecord.rows`; see `RunRecord.to_csv`."""
    with _complete_or_not_at_all(path) as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    name: f"{value:.9g}" if isinstance(value, float) else value
                    for name, value in row.items()
                }
            )


def write_json(record: Contents, path: str | os.PathLike[str]) -> None:
    """Writes everything recorded; see `RunRecord.to_json`."""
    content = {
        "metadata": record.metadata,
        "findings": finite(record.findings),
        "scalars": {
            name: {"steps": steps, "values": [_number(value) for value in values]}
            for name, (steps, values) in record.scalars.items()
        },
        **{
            known.store: {
                name: _as_dict(series) for name, series in record.store(kind).items()
            }
            for kind, known in KINDS.items()
        },
    }
    with _complete_or_not_at_all(path) as file:
        file.write(sealing.seal(content, allow_nan=False).decode())


def read_json(record: Contents, path: str | os.PathLike[str]) -> None:
    """Reads what `write_json` wrote into an empty record; see `RunRecord.from_json`."""
    file = storage.local(path, "path")
    path, text = str(file), file.read_bytes()
    try:
        content = sealing.unseal(text)
    except sealing.OtherVersionError as error:
        if error.version > schema.DATA_VERSION:
            raise ValueError(
                f"`path` must hold a record of version {schema.DATA_VERSION} at most; "
                f"update keras-initkit. Received: path={path!r} of version "
                f"{error.version}"
            ) from None
        content = json.loads(text)  # before 4, without a checksum
    except ValueError as error:
        raise RunDamagedError(path, f"{error}; `RunRecord.to_json` writes it") from None
    try:
        _take_in(record, content)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as err:
        what = (
            f"it differs from what `RunRecord.to_json` wrote ({type(err).__name__}: "
            f"{err})"
        )
        raise RunDamagedError(path, what) from err


def _take_in(record: Contents, content: dict[str, Any]) -> None:
    """Adds what an object holds; anything may be raised where that is no record."""
    record.metadata.update(dict(content["metadata"]))
    findings = content.get("findings")  # older files have none
    record.findings = None if findings is None else [dict(one) for one in findings]
    for kind, known in KINDS.items():
        # Files of before norms were recorded apart have none.
        held = content.get("norms", {}) if kind == "norms" else content[known.store]
        for name, fields in held.items():
            record.store(kind)[name] = _from_dict(record, kind, fields)
    for name, scalar in content["scalars"].items():
        for step, value in zip(scalar["steps"], scalar["values"], strict=True):
            record.add_scalars(_step(step), {name: _float(value)})


def _step(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"a step is {value!r}")
    return value


def _float(value: Any) -> float:
    """The number that `_number` wrote."""
    if isinstance(value, str):
        return _NOT_FINITE[value]
    if type(value) not in (int, float):
        raise ValueError(f"a value is {value!r}")
    return float(value)


def _as_dict(series: SignalSeries) -> dict[str, Any]:
    values = [_number(float(f"{v:.9g}")) for v in series.values.ravel().tolist()]
    return {
        "signal": series.signal,
        "tensors": [key.label for key in series.tensors],
        "columns": list(series.statistics),
        "steps": series.steps.tolist(),
        "values": values,
    }


def _from_dict(record: Contents, kind: str, fields: dict[str, Any]) -> SignalSeries:
    tensors = tuple(map(schema.TensorKey.from_label, fields["tensors"]))
    columns = tuple(map(_text, fields["columns"]))
    (signal,) = schema.check_signals((_text(fields["signal"]),))
    series = record.new_series(kind, signal, tensors, columns)
    values = np.array([_float(value) for value in fields["values"]], np.float32)
    steps = [_step(step) for step in fields["steps"]]
    shape = (len(steps), len(tensors), len(columns))
    for step, matrix in zip(steps, values.reshape(shape), strict=True):
        series.append(step, matrix)
    return series


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a name is {value!r}")
    return value


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
    path = storage.local(path, "path")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open(
            "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
