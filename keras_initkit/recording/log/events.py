"""Event files and the values in them, as TensorBoard's dashboards expect them."""

import contextlib
import os
import re
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import summary_v2 as text_summary

from keras_initkit import schema
from keras_initkit.recording.log import storage
from keras_initkit.recording.log.places import Place, RunIdentity, as_it_is
from keras_initkit_light.format import files, packing, sealing
from keras_initkit_light.format.described import Described


class EventFile:
    """The event file of a run, opened by the first write; each write reaches the disk.

    A killed run therefore leaves a log that is whole up to its last event. A file says
    first what it is, and last how many steps it holds. Where a local file vanishes, or
    is cut while it is written, another is opened, which one warning tells.

    Args:
        place: Where the file goes.

    Attributes:
        lock: Held during a write; reentrant, as a handler of a signal may write or
            close what it has interrupted.
        counts: `{tag: steps}` that series of the open file have, as `count` tells.
        vanished: How often a file has vanished, with all that was written before.
    """

    def __init__(self, place: Place):
        self.lock = threading.RLock()
        self.counts: dict[str, int] = {}
        self.vanished = 0
        self.place = place
        self._path = ""
        self._number = 0
        self._writer: Any = None
        self._seen: os.stat_result | None = None
        self._described: set[str] = set()
        self._lasting: dict[str, tuple[int, bytes]] = {}

    @property
    def is_open(self) -> bool:
        """Whether a file is open, be it one that has vanished."""
        return self._writer is not None

    def describes(self, tag: str) -> bool:
        """Whether the file has the metadata of a tag, so that more would be ignored."""
        return tag in self._described

    def begin(self) -> RunIdentity:
        """Opens a file, if none is open or that has vanished; returns the run."""
        with self.lock:
            if self._writer is not None and self._has_vanished():
                self.vanished += 1
                gone = self._path
                self.drop()
                identity = self._open()
                _tell_vanished(gone, "it is created again")
                return identity
            if self._writer is None or self.place.identity is None:
                return self._open()
            return self.place.identity

    def write(
        self,
        step: int,
        values: "list[summary_pb2.Summary.Value]",
        lasting: bool = False,
    ) -> None:
        """Writes one event. Metadata is kept on the first value of each tag only.

        Args:
            step: Optimizer iteration.
            values: The values of the event.
            lasting: Whether a file that replaces a vanished one needs it, too: what
                stands for the run as a whole. Of each tag the newest counts.
        """
        with self.lock:
            self.begin()
            for value in values:
                if lasting:
                    self._lasting[value.tag] = step, value.SerializeToString()
                if value.tag in self._described:
                    value.ClearField("metadata")
            self._add(_event(step, values))
            self._described.update(value.tag for value in values)

    def write_scalars(self, step: int, scalars: "Scalars", numbers: np.ndarray) -> None:
        """Writes one event of as many numbers as there are `scalars`."""
        if not scalars.tags:
            return
        with self.lock:
            self.begin()
            new = not self._described.issuperset(scalars.tags)
            event = event_pb2.Event(step=step, wall_time=time.time())
            # Messages of protocol buffers that are put behind each other are merged.
            summary = scalars.summary(numbers, described=new)
            self._add(event.SerializeToString() + summary)
            self._described.update(scalars.tags)

    def count(self, tag: str, steps: int) -> None:
        """Notes that the file has so many steps of a series, or texts, more."""
        self.counts[tag] = self.counts.get(tag, 0) + steps

    def close(self) -> None:
        """Closes the file and gives its place up; a later write opens another."""
        with self.lock:
            try:
                if self._writer is not None and self._has_vanished():
                    then = "it is not created again, since nothing followed"
                    _tell_vanished(self._path, then)
                elif self._writer is not None:
                    mark = files.Closed(self._number, self.counts)
                    self._add(_event(2 * self._number + 1, [_mark(mark)]))
                    self._writer.close()
            finally:
                self.drop()

    def drop(self) -> None:
        """Lets go of the file as it is, for nothing more can be written."""
        with self.lock:
            writer, self._writer, self._seen = self._writer, None, None
            self._described.clear()
            self.counts.clear()
            if writer is not None:
                with contextlib.suppress(Exception):
                    writer.close()
            self.place.release()

    def forget(self) -> None:
        """In a forked process: leaves the file to the process that opened it."""
        self.lock = threading.RLock()
        self.drop()

    def _has_vanished(self) -> bool:
        if self._seen is None:  # on a remote storage nobody looks
            return False
        now = as_it_is(self._path, self._seen)
        if now is not None:
            self._seen = now
        return now is None

    def _open(self) -> RunIdentity:
        identity = self.place.take()
        try:
            file = self.place.next_file()
            self._path = storage.join(identity.directory, file.name)
            self._number = file.number
            self._writer = storage.writer(self._path)
            first = event_pb2.Event(wall_time=time.time(), file_version=_FIRST)
            self._add(first.SerializeToString())
            now = time.time()
            mark = files.Opened(identity.run, file.number, identity.fit, now)
            self._add(_event(2 * file.number, [_mark(mark)]))
            self._described.add(schema.FILE_TAG)
            for step, lasting in self._lasting.values():
                value = summary_pb2.Summary.Value.FromString(lasting)
                self._add(_event(step, [value]))
                self._described.add(value.tag)
            if not storage.is_remote(self._path):
                self._seen = os.stat(self._path)
        except BaseException:
            self.drop()
            raise
        return identity

    def _add(self, event: bytes) -> None:
        self._writer.write(event)
        self._writer.flush()


def _tell_vanished(path: str, then: str) -> None:
    warnings.warn(
        f"`log_dir` vanished while it was being written; {then}, without what was "
        f"written before. Received: log_dir={path!r}",
        stacklevel=2,
    )


# What the first event of a file says.
_FIRST = "brain.Event:2"


def _event(step: int, values: "list[summary_pb2.Summary.Value]") -> bytes:
    summary = summary_pb2.Summary(value=values)
    event = event_pb2.Event(step=step, wall_time=time.time(), summary=summary)
    content: bytes = event.SerializeToString()
    return content


def _mark(mark: files.Opened | files.Closed) -> summary_pb2.Summary.Value:
    text = _bytes(files.seal_mark(mark))
    metadata = None
    if isinstance(mark, files.Opened):
        metadata = _own_metadata(_TEXT)
    return _value(schema.FILE_TAG, text, metadata)


class Scalars:
    """A fixed list of scalars, serialized once; a step only puts its numbers in.

    Building a hundred messages costs more than the training step of a small model.

    Args:
        descriptions: `{tag: description}`, in the order of the numbers.
    """

    def __init__(self, descriptions: Mapping[str, str]):
        self.tags = tuple(descriptions)
        values = [scalar(tag, 0.0, text) for tag, text in descriptions.items()]
        for value in values:
            value.tensor.tensor_content = _PLACE
        self._described = _Template(values)
        for value in values:
            value.ClearField("metadata")
        self._plain = _Template(values)

    def summary(self, numbers: np.ndarray, described: bool) -> bytes:
        """Returns the summary of an event, serialized, with metadata or without."""
        return (self._described if described else self._plain).filled(numbers)


# Stands where a number goes: in UTF-8 these bytes cannot occur.
_PLACE = b"\xff\xc0\xff\xc1"


class _Template:
    """Serialized values and where in them the numbers lie."""

    def __init__(self, values: "list[summary_pb2.Summary.Value]"):
        event = event_pb2.Event(summary=summary_pb2.Summary(value=values))
        template = event.SerializeToString()
        places = [match.start() for match in re.finditer(re.escape(_PLACE), template)]
        self._bytes = np.frombuffer(template, np.uint8).copy()
        self._places = np.add.outer(np.array(places, np.int64), np.arange(4))

    def filled(self, numbers: np.ndarray) -> bytes:
        numbers = np.ascontiguousarray(numbers, "<f4")
        self._bytes[self._places] = numbers.view(np.uint8).reshape(-1, 4)
        return self._bytes.tobytes()


def chunk(
    tag: str,
    ahead: int,
    steps: Sequence[int],
    matrices: np.ndarray,
    described: Described | None = None,
) -> summary_pb2.Summary.Value:
    """Matrices of our own plugin, shape `(steps, rows, columns)`, float32.

    `ahead` steps of the series are in the file already. `described`, if given, goes
    along as metadata: what tells the rows and columns.
    """
    packed = np.frombuffer(packing.pack(tag, ahead, steps, matrices), np.uint8)
    metadata = None if described is None else _own_metadata(described.sealed())
    return _value(tag, _tensor(types_pb2.DT_UINT8, packed), metadata)


def text(tag: str, content: Mapping[str, Any]) -> summary_pb2.Summary.Value:
    """A JSON object of our own plugin, with at least one entry."""
    return _value(tag, _bytes(sealing.seal(content)), _own_metadata(_TEXT))


def scalar(tag: str, value: float, description: str = "") -> summary_pb2.Summary.Value:
    """A number for the Scalars and Time Series dashboards."""
    return _value(
        tag,
        _tensor(types_pb2.DT_FLOAT, np.asarray(value, np.float32)),
        _stock_metadata(scalar_metadata, description),
    )


def histogram(
    tag: str, buckets: np.ndarray, description: str | None = None
) -> summary_pb2.Summary.Value:
    """A histogram (`(buckets, 3)`: left, right, count) for the stock dashboards.

    Metadata goes with a description only.
    """
    metadata = None
    if description is not None:
        metadata = _stock_metadata(histogram_metadata, description)
    buckets = np.ascontiguousarray(buckets, np.float64)
    return _value(tag, _tensor(types_pb2.DT_DOUBLE, buckets), metadata)


def markdown(tag: str, content: str) -> summary_pb2.Summary.Value:
    """A text for the Text dashboard."""
    return text_summary.text_pb(tag, schema.well_formed(content)).value[0]


def layout(content: layout_pb2.Layout) -> summary_pb2.Summary.Value:
    """The charts of the Custom Scalars dashboard."""
    tensor = _bytes(content.SerializeToString())
    metadata = layout_metadata.create_summary_metadata()
    metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
    return _value(layout_metadata.CONFIG_SUMMARY_TAG, tensor, metadata)


def _value(
    tag: str,
    tensor: tensor_pb2.TensorProto,
    metadata: "summary_pb2.SummaryMetadata | None",
) -> summary_pb2.Summary.Value:
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


def _tensor(dtype: Any, values: np.ndarray) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, tensor_content=values.tobytes())
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def _bytes(content: bytes) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[content])


# The metadata of a text, which describes itself.
_TEXT = sealing.seal({"kind": sealing.TEXT})


def _own_metadata(content: bytes) -> summary_pb2.SummaryMetadata:
    return summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(
            plugin_name=schema.PLUGIN_NAME, content=content
        ),
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )


def _stock_metadata(plugin: Any, description: str) -> summary_pb2.SummaryMetadata:
    metadata = plugin.create_summary_metadata(display_name="", description=description)
    names = {"scalars": "DATA_CLASS_SCALAR", "histograms": "DATA_CLASS_TENSOR"}
    metadata.data_class = getattr(summary_pb2, names[plugin.PLUGIN_NAME])
    return metadata
