"""From event files back to a `RunRecord`, past whatever in them is damaged."""

import collections
import dataclasses
import logging
from typing import Any

import numpy as np
from tensorboard.compat.proto import types_pb2

from keras_initkit import schema
from keras_initkit.recording.contents import Contents
from keras_initkit.recording.damage import Missing, RunDamagedError
from keras_initkit.recording.kinds import KINDS
from keras_initkit.recording.log import locks, storage
from keras_initkit.recording.log.frames import Gap, frames
from keras_initkit.recording.log.parsing import OURS, text_of, values_of
from keras_initkit.recording.log.runs import RunInfo, list_runs
from keras_initkit_light.format import files, packing, sealing
from keras_initkit_light.format.described import (
    METRICS,
    Described,
    UnknownKindError,
)

logger = logging.getLogger(__name__)


def read_run(record: Contents, log_dir: str, run: str | RunInfo | None) -> None:
    """Reads a run into an empty record; see `RunRecord.load`."""
    runs = list_runs(log_dir)
    if not runs:
        _without_runs(log_dir, record)
        return
    chosen = _chosen(runs, run)
    reading = _Reading(record, chosen)
    for path in chosen.files:
        reading.take_file(path)
    if not storage.is_remote(log_dir) and locks.holder(chosen.log_dir):
        reading.is_being_written(chosen.files[-1])
    reading.finish()
    damage = [one for one in reading.damage if not record.is_filled]
    if damage:
        raise RunDamagedError(damage[0].path, damage[0].what, damage[0].offset)


def _chosen(runs: list[RunInfo], run: str | RunInfo | None) -> RunInfo:
    if run is None:
        return runs[-1]
    wanted = run.id if isinstance(run, RunInfo) else run
    if not isinstance(wanted, str):
        raise TypeError(
            "`run` must be the id of a run, or an entry of `RunRecord.runs`. Received: "
            f"run={run!r} of type {type(run).__name__}"
        )
    for one in runs:
        if one.id == wanted:
            return one
    raise ValueError(
        "`run` must be the id of a run in this directory, one of "
        f"{[one.id for one in runs]}. Received: run={run!r}"
    )


def _without_runs(log_dir: str, record: Contents) -> None:
    """What is read where there is no run: nothing of older data versions."""
    old = storage.join(log_dir, schema.OLD_RECORD_RUN)
    if not any(name.startswith("events.out.tfevents.") for name in storage.names(old)):
        raise FileNotFoundError(
            "`log_dir` must hold a run, that is, event files written by a monitor. "
            f"Received: log_dir={log_dir!r}"
        )
    what = (
        "a record of data version 3 or earlier, which this version cannot read; it "
        f"reads version {schema.DATA_VERSION}"
    )
    logger.warning("%s: skipping %s", old, what)
    record.missing.append(Missing(old, what))


@dataclasses.dataclass
class _FileState:
    """What was read of one file.

    Attributes:
        path: The file.
        opened: Whether it says which it is.
        counts: Steps of each series that are accounted for, texts of each tag.
        closed: Whether it says that it was closed.
        stranger: The other run whose content has come behind that of the file.
    """

    path: str
    opened: bool = False
    counts: "collections.Counter[str]" = dataclasses.field(
        default_factory=collections.Counter
    )
    closed: bool = False
    stranger: str | None = None


class _Reading:
    """A run that is being read into a record.

    Attributes:
        damage: What is damaged, of what the record misses.
    """

    def __init__(self, record: Contents, run: RunInfo):
        self.damage: list[Missing] = []
        self._record = record
        self._run = run
        self._opened: list[files.Opened] = []
        self._is_numbered = True
        self._described: dict[str, Described] = {}
        self._matrices: dict[str, dict[int, np.ndarray]] = {}
        self._of_other_versions: set[str] = set()
        self._open_ends: list[Missing] = []
        self._torn: Missing | None = None
        self._file = _FileState("")

    def take_file(self, path: str) -> None:
        """Takes in what can be read of a file."""
        self._file = _FileState(path)
        self._torn = None
        try:
            data = storage.read(path)
        except OSError as error:
            self._miss(f"all of it ({error})", None)
            return
        for item in frames(data):
            if isinstance(item, Gap):
                self._miss(
                    f"{item.size} bytes that are not a complete event", item.offset
                )
                if item.offset + item.size == len(data):
                    self._torn = self.damage[-1]
            elif OURS in item.content:
                self._take_event(item.content, item.offset)
        self._is_numbered = self._is_numbered and self._file.opened
        if not self._file.closed:
            what = (
                "its end: it was not closed, perhaps because its process was killed "
                "or the file truncated"
            )
            self._open_ends.append(Missing(path, what, len(data)))

    def is_being_written(self, path: str) -> None:
        """Notes that a file has no end yet; of its last event a part may be there."""
        self.damage = [one for one in self.damage if one is not self._torn]
        self._open_ends = [one for one in self._open_ends if one.path != path]

    def finish(self) -> None:
        """Puts what was read into the record."""
        if self._is_numbered:  # else what is not there may be what cannot be read
            self.damage += [
                Missing(self._run.log_dir, f"{gap} of run {self._run.id}: missing")
                for gap in files.gaps(self._opened)
            ]
        for tag, steps in self._matrices.items():
            _take_in(self._record, tag, self._described[tag], steps)
        self._record.missing += [*self.damage, *self._open_ends]

    def _miss(self, what: str, offset: int | None) -> None:
        self.damage.append(Missing(self._file.path, what, offset))

    def _take_event(self, content: bytes, offset: int) -> None:
        try:
            values = values_of(content)
        except ValueError as error:
            self._miss(str(error), offset)
            return
        for value in values:
            try:
                self._take_value(value, offset)
            except (UnknownKindError, _Skipped):
                continue
            except sealing.OtherVersionError as error:
                self._skip(value.tag, error)
            except ValueError as error:
                self._miss(f"{value.tag!r}: {error}", offset)

    def _skip(self, tag: str, error: sealing.OtherVersionError) -> None:
        """Leaves out a series of another version, and says so once."""
        if tag not in self._of_other_versions:
            self._of_other_versions.add(tag)
            logger.warning("%s: skipping %r: %s", self._file.path, tag, error)
            self._record.missing.append(Missing(self._file.path, f"{tag!r}: {error}"))

    def _take_value(self, value: Any, offset: int) -> None:
        tag = value.tag
        if tag == schema.FILE_TAG:
            self._take_mark(files.unseal_mark(text_of(value)), offset)
        elif self._file.stranger is not None:
            return
        elif tag in (schema.RUN_TAG, schema.FINDINGS_TAG):
            self._file.counts[tag] += 1
            content = sealing.unseal(text_of(value))
            if tag == schema.RUN_TAG:
                self._record.metadata.update(content)
            else:
                self._record.findings = content.get("findings")
        else:
            self._take_chunk(value)

    def _take_mark(self, mark: files.Opened | files.Closed, offset: int) -> None:
        if isinstance(mark, files.Opened):
            self._begin(mark, offset)
            return
        if self._file.stranger is not None:
            return
        self._file.closed = True
        for tag, count in mark.counts.items():
            if tag not in self._of_other_versions:
                self._miss_steps(tag, count, "at its end")

    def _begin(self, mark: files.Opened, offset: int) -> None:
        """Begins a file, which may lie behind another: some join files."""
        if mark.run != self._run.id:
            self._file.stranger = mark.run
            self._miss(f"data of another run, {mark.run}, are skipped", offset)
            return
        if self._file.opened and not self._file.closed:
            self._miss("the end of a file that was continued by another", offset)
        self._opened.append(mark)
        self._file = _FileState(self._file.path, opened=True)

    def _miss_steps(self, tag: str, count: int, where: str) -> None:
        """Says how many steps ahead of the n-th of the file are not there."""
        lost = count - self._file.counts[tag]
        if lost > 0:
            self._miss(f"{lost} steps or texts of {tag!r} {where}", None)

    def _take_chunk(self, value: Any) -> None:
        tag = value.tag.removesuffix(schema.FIRST_SUFFIX)
        described = value.metadata.plugin_data.content
        if described:
            self._described[tag] = _checked(Described.unsealed(described))
        if tag in self._of_other_versions:
            raise _Skipped
        if tag not in self._described:
            raise ValueError("a chunk whose description is lost")
        if value.tensor.dtype != types_pb2.DT_UINT8:
            raise ValueError("it holds no bytes")
        packed = value.tensor.tensor_content
        chunk = packing.unpack(value.tag, packed, *self._described[tag].shape)
        matrices = chunk.values()
        steps = self._matrices.setdefault(tag, {})
        first = chunk.steps[0]
        self._miss_steps(tag, chunk.ahead, f"ahead of step {first}")
        self._file.counts[tag] = chunk.ahead + len(chunk.steps)
        while steps and next(reversed(steps)) >= first:
            steps.popitem()
        steps.update(zip(chunk.steps, matrices, strict=True))


class _Skipped(Exception):
    """A value that is left out, as has been said."""


def _checked(described: Described) -> Described:
    """Returns a description whose rows are tensors.

    Raises:
        ValueError: If they are not.
    """
    if described.kind != METRICS:
        for label in described.tensors:
            schema.TensorKey.from_label(label)
    return described


def _take_in(
    record: Contents, tag: str, described: Described, steps: dict[int, np.ndarray]
) -> None:
    """Adds the matrices of one tag to a record, in the order of their steps."""
    if described.kind == METRICS:
        for step, matrix in steps.items():
            values = matrix[0].tolist()
            record.add_scalars(step, dict(zip(described.columns, values, strict=True)))
        return
    kind = described.kind
    if kind not in KINDS:
        return
    tensors = tuple(map(schema.TensorKey.from_label, described.tensors))
    series = record.new_series(kind, described.signal, tensors, described.columns)
    for step, matrix in steps.items():
        series.append(step, matrix)
    name = tag.removeprefix(f"{schema.PLUGIN_NAME}/").removesuffix(f"/{kind}")
    record.store(kind)[name] = series
