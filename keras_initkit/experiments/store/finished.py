"""A finished run as one file: its numbers, its record, and its key.

A zip archive of JSON and, in an archive of its own, of the record, which is read when
it is asked for, and without running any code in it. It is written beside its place and
moved there when it is complete.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.diagnosis import Finding, Profile
from keras_initkit.experiments.run_result import RunResult
from keras_initkit.experiments.store import record_file
from keras_initkit.experiments.store.key import Key
from keras_initkit.experiments.summary import Summary
from keras_initkit.recording import RunRecord
from keras_initkit_light.format import sealing, whole

FILE = "finished.npz"
_RESULT = "result.json"
_RECORD = "record.npz"
# Fields that are not kept as they are.
_APART = ("record", "findings", "log_dir")
_DAMAGED = (
    OSError,
    zipfile.BadZipFile,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class KeptResult(RunResult):
    """A result that is read from its file; its record is, when it is asked for."""

    def __init__(self, path: pathlib.Path, summary: Summary, **fields: Any) -> None:
        self.path = path
        self.summary = summary
        for name, value in fields.items():
            setattr(self, name, value)

    @functools.cached_property
    def record(self) -> RunRecord:  # type: ignore[override]
        """Everything recorded.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If it is damaged.
        """
        with zipfile.ZipFile(self.path) as archive:
            return record_file.unpacked(archive.read(_RECORD))


def write(result: RunResult, key: Key, directory: str | os.PathLike[str]) -> None:
    """Writes a result as the finished run of a directory, whole or not at all."""
    fields = {
        field.name: getattr(result, field.name)
        for field in dataclasses.fields(RunResult)
        if field.name not in _APART
    }
    content = {
        "key": dict(key),
        "fields": {name: _plain(value) for name, value in fields.items()},
        "findings": [finding.to_dict() for finding in result.findings],
        "summary": _packed(result.summary),
    }
    with whole.replacing(pathlib.Path(directory) / FILE) as partial:
        with zipfile.ZipFile(partial, "w") as archive:
            archive.writestr(_RESULT, sealing.seal(content))
            archive.writestr(_RECORD, record_file.packed(result.record))


def content(directory: str | os.PathLike[str]) -> bytes:
    """Returns what is in the file of a directory."""
    return (pathlib.Path(directory) / FILE).read_bytes()


def put(content: bytes, directory: str | os.PathLike[str]) -> None:
    """Writes the file of a run that finished elsewhere, whole or not at all."""
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    with whole.replacing(pathlib.Path(directory) / FILE) as partial:
        partial.write_bytes(content)


def read(directory: str | os.PathLike[str]) -> tuple[KeptResult, Key] | None:
    """Returns the finished run of a directory with its key.

    `None` where there is none, or where it cannot be read: it is run again then.
    """
    path = pathlib.Path(directory) / FILE
    try:
        with zipfile.ZipFile(path) as archive:
            content = sealing.unseal(archive.read(_RESULT))
            archive.getinfo(_RECORD)
        findings = [Finding(**fields) for fields in content["findings"]]
        summary = _unpacked(content["summary"])
        fields = {**content["fields"], "findings": findings, "log_dir": str(directory)}
        return KeptResult(path, summary, **fields), content["key"]
    except _DAMAGED:
        return None


def remove(directory: str | os.PathLike[str]) -> None:
    """Removes the finished run of a directory, and what a killed write has left.

    Where that cannot be done, neither can the run be logged there, which tells it.
    """
    folder = pathlib.Path(directory)
    with contextlib.suppress(OSError):
        for path in [folder / FILE, *whole.unfinished(folder)]:
            path.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """A value as JSON takes it: numpy's numbers become Python's."""
    if isinstance(value, np.generic):
        return value.item()
    return dict(value) if isinstance(value, Mapping) else value


def _packed(summary: Summary) -> dict[str, Any]:
    return {
        "steps": summary.steps.tolist(),
        "losses": summary.losses.tolist(),
        "profiles": [
            [[key.label for key in one.keys], *(array.tolist() for array in one[1:])]
            for one in summary.profiles
        ],
        "weight_layers": list(summary.weight_layers),
        "layers": list(summary.layers),
    }


def _unpacked(content: dict[str, Any]) -> Summary:
    return Summary(
        np.array(content["steps"], np.int64),
        np.array(content["losses"], np.float64),
        tuple(
            Profile(
                _keys(tuple(labels)),
                np.array(depths, np.int64),
                np.array(columns, np.int64),
                np.array(values, np.float64),
                np.array(nets, np.int64),
            )
            for labels, depths, columns, values, nets in content["profiles"]
        ),
        tuple(content["weight_layers"]),
        tuple(content["layers"]),
    )


@functools.lru_cache(maxsize=256)
def _keys(labels: tuple[str, ...]) -> tuple[schema.TensorKey, ...]:
    """Returns the keys of labels, one object for all runs that are alike."""
    return tuple(map(schema.TensorKey.from_label, labels))
