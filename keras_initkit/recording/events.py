"""Event files and the values in them, as TensorBoard's dashboards expect them."""

import itertools
import json
import os
import pathlib
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata

from keras_initkit import schema

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

    def write(self, step: int, values: "list[summary_pb2.Summary.Value]") -> None:
        """Writes one event. Metadata is kept on the first value of each tag only."""
        for value in values:
            if value.tag in self._described:
                value.ClearField("metadata")
            self._described.add(value.tag)
        if self._writer is None:
            self._writer = self._open()
        summary = summary_pb2.Summary(value=values)
        self._add(event_pb2.Event(step=step, wall_time=time.time(), summary=summary))

    def close(self) -> None:
        """Closes the file; a later write opens another."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._described.clear()

    def _open(self) -> Any:
        self._directory.mkdir(parents=True, exist_ok=True)
        name = (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}."
            f"{os.getpid()}.{next(_NUMBER):06d}.{schema.PLUGIN_NAME}"
        )
        self._writer = tf.io.TFRecordWriter(str(self._directory / name))
        self._add(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        return self._writer

    def _add(self, event: event_pb2.Event) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def matrix(
    tag: str, values: np.ndarray, content: Mapping[str, Any]
) -> summary_pb2.Summary.Value:
    """A float32 matrix of our own plugin; `content` is JSON metadata."""
    values = np.ascontiguousarray(values, np.float32)
    return _value(tag, _tensor(types_pb2.DT_FLOAT, values), _own_metadata(content))


def text(tag: str, content: Mapping[str, Any]) -> summary_pb2.Summary.Value:
    """A JSON object of our own plugin."""
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[json.dumps(content).encode()]
    )
    return _value(tag, tensor, _own_metadata({"v": schema.DATA_VERSION}))


def scalar(tag: str, value: float, description: str = "") -> summary_pb2.Summary.Value:
    """A number for the Scalars and Time Series dashboards."""
    return _value(
        tag,
        _tensor(types_pb2.DT_FLOAT, np.asarray(value, np.float32)),
        _stock_metadata(scalar_metadata, description),
    )


def histogram(
    tag: str, buckets: np.ndarray, description: str = ""
) -> summary_pb2.Summary.Value:
    """A histogram (`(buckets, 3)`: left, right, count) for the stock dashboards."""
    return _value(
        tag,
        _tensor(types_pb2.DT_DOUBLE, np.ascontiguousarray(buckets, np.float64)),
        _stock_metadata(histogram_metadata, description),
    )


def _value(
    tag: str, tensor: tensor_pb2.TensorProto, metadata: summary_pb2.SummaryMetadata
) -> summary_pb2.Summary.Value:
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


def _tensor(dtype: Any, values: np.ndarray) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, tensor_content=values.tobytes())
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


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
