"""A record as a zip archive: JSON, and arrays as numpy writes them."""

import io
import zipfile
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import RunRecord
from keras_initkit.recording.kinds import KINDS
from keras_initkit_light.format import npz, sealing

_MEMBER = "record.json"
_STORES = {kind: known.store for kind, known in KINDS.items()}


def packed(record: RunRecord) -> bytes:
    """Returns everything recorded as an archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        _write(record, archive)
    return file.getvalue()


def unpacked(content: bytes) -> RunRecord:
    """Returns the record in an archive; its values are equal.

    Raises:
        KeyError, TypeError, ValueError, zipfile.BadZipFile: If it is damaged.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _read(archive)


def _write(record: RunRecord, archive: zipfile.ZipFile) -> None:
    listed: list[dict[str, Any]] = []
    for kind, store in _STORES.items():
        for name, series in getattr(record, store).items():
            listed.append(
                {
                    "kind": kind,
                    "name": name,
                    "signal": series.signal,
                    "tensors": [key.label for key in series.tensors],
                    "columns": list(series.statistics),
                }
            )
            _put(archive, f"steps{len(listed)}", series.steps)
            _put(archive, f"values{len(listed)}", series.values)
    content = {
        "metadata": record.metadata,
        "scalars": {name: list(pair) for name, pair in record.scalars.items()},
        "series": listed,
    }
    archive.writestr(_MEMBER, sealing.seal(content))


def _read(archive: zipfile.ZipFile) -> RunRecord:
    content = sealing.unseal(archive.read(_MEMBER))
    record = RunRecord()
    record.metadata.update(content["metadata"])
    for name, (steps, values) in content["scalars"].items():
        for step, value in zip(steps, values, strict=True):
            record.add_scalars(step, {name: value})
    for number, one in enumerate(content["series"], start=1):
        tensors = tuple(map(schema.TensorKey.from_label, one["tensors"]))
        series = record.new_series(
            one["kind"], one["signal"], tensors, tuple(one["columns"])
        )
        steps = npz.read_array(archive, f"steps{number}")
        values = npz.read_array(archive, f"values{number}")
        for step, matrix in zip(steps.tolist(), values, strict=True):
            series.append(step, matrix)
        getattr(record, _STORES[one["kind"]])[one["name"]] = series
    return record


def _put(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
