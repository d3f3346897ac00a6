"""Event files and the values in them, as TensorBoard's dashboards expect them."""

import itertools
import json
import os
import pathlib
import re
import socket
import time
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
from keras_initkit_light.format import packing

_NUMBER = itertools.count()


class EventFile:
    """An event file, made when the first event is written; each write reaches the disk.

    A killed run therefore leaves a log that is whole up to its last event.

    Args:
        directory: Where the file goes, made if need be.
    """

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        self._writer: Any = None
        self._described: set[str] = set()

    def describes(self, tag: str) -> bool:
        """Whether the file has the metadata of a tag, so that more would be ignored."""
        return tag in self._described

    def write(self, step: int, values: "list[summary_pb2.Summary.Value]") -> None:
        """Writes one event. Metadata is kept on the first value of each tag only."""
        for value in values:
            if value.tag in self._described:
                value.ClearField("metadata")
        summary = summary_pb2.Summary(value=values)
        event = event_pb2.Event(step=step, wall_time=time.time(), summary=summary)
        self._add(event.SerializeToString())
        self._described.update(value.tag for value in values)

    def write_scalars(self, step: int, scalars: "Scalars", numbers: np.ndarray) -> None:
        """Writes one event of as many numbers as there are `scalars`."""
        if not scalars.tags:
            return
        new = not self._described.issuperset(scalars.tags)
        event = event_pb2.Event(step=step, wall_time=time.time())
        # Messages of protocol buffers that are put one behind the other are merged.
        self._add(event.SerializeToString() + scalars.summary(numbers, described=new))
        self._described.update(scalars.tags)

    def close(self) -> None:
        """Closes the file; a later write opens another."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._described.clear()

    def _open(self) -> Any:
        import tensorflow as tf  # reading records does without

        self._directory.mkdir(parents=True, exist_ok=True)
        name = (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}."
            f"{os.getpid()}.{next(_NUMBER):06d}.{schema.PLUGIN_NAME}"
        )
        writer = tf.io.TFRecordWriter(str(self._directory / name))
        event = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
        writer.write(event.SerializeToString())
        return writer

    def _add(self, event: bytes) -> None:
        if self._writer is None:
            self._writer = self._open()
        self._writer.write(event)
        self._writer.flush()


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
    steps: Sequence[int],
    matrices: np.ndarray,
    content: Mapping[str, Any] | None = None,
) -> summary_pb2.Summary.Value:
    """Matrices of our own plugin, shape `(steps, rows, columns)`, float32.

    `content` is JSON metadata, if any: what tells the rows and columns.
    """
    packed = np.frombuffer(packing.pack(steps, matrices), np.uint8)
    metadata = None if content is None else _own_metadata(content)
    return _value(tag, _tensor(types_pb2.DT_UINT8, packed), metadata)


def text(tag: str, content: Mapping[str, Any]) -> summary_pb2.Summary.Value:
    """A JSON object of our own plugin."""
    metadata = _own_metadata({"v": schema.DATA_VERSION})
    return _value(tag, _bytes(json.dumps(content).encode()), metadata)


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
    return text_summary.text_pb(tag, content).value[0]


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


def _own_metadata(content: Mapping[str, Any]) -> summary_pb2.SummaryMetadata:
    return summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(
            plugin_name=schema.PLUGIN_NAME, content=json.dumps(content).encode()
        ),
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )


def _stock_metadata(plugin: Any, description: str) -> summary_pb2.SummaryMetadata:
    metadata = plugin.create_summary_metadata(display_name="", description=description)
    names = {"scalars": "DATA_CLASS_SCALAR", "histograms": "DATA_CLASS_TENSOR"}
    metadata.data_class = getattr(summary_pb2, names[plugin.PLUGIN_NAME])
    return metadata
