"""From event files back to a `RunRecord`, by TensorBoard's own loader."""

import json
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.util import tensor_util

from keras_initkit import schema
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format import packing

logger = logging.getLogger(__name__)


def read_record(log_dir: str | pathlib.Path, thin: bool = True) -> RunRecord:
    """Reads the record of a run.

    Where a run was started again from an earlier step, what came later stands.

    Args:
        log_dir: The directory a monitor was given, or its `initkit` part.
        thin: Whether old steps thin out as in memory.

    Returns:
        A `RunRecord` whose values equal those recorded (metrics in float32).

    Raises:
        FileNotFoundError: If there is no record below `log_dir`.
    """
    path = pathlib.Path(log_dir)
    directory = path if path.name == schema.RECORD_RUN else path / schema.RECORD_RUN
    files = sorted(directory.glob("events.out.tfevents.*"))
    if not files:
        raise FileNotFoundError(
            f"`log_dir` must hold a record, event files in {schema.RECORD_RUN!r} below "
            f"it. Received: log_dir={str(log_dir)!r}"
        )
    record = RunRecord(thins=thin)
    contents: dict[str, dict[str, Any]] = {}
    matrices: dict[str, dict[int, np.ndarray]] = {}
    for value in _values(files):
        described = value.metadata.plugin_data.content
        if described:
            contents[value.tag] = json.loads(described)
        content = contents.get(value.tag, {})
        if value.tag == schema.RUN_TAG:
            record.metadata.update(json.loads(value.tensor.string_val[0]))
        elif "kind" not in content or value.tag.endswith(schema.FIRST_SUFFIX):
            continue
        elif content.get("v") != schema.DATA_VERSION:
            if described:  # once a file and series
                logger.warning(
                    "%s: skipping %r, which is of data version %s; version %s is read",
                    directory,
                    value.tag,
                    content.get("v"),
                    schema.DATA_VERSION,
                )
        else:
            chunk = _chunk(value.tensor, content)
            steps = matrices.setdefault(value.tag, {})
            while steps and next(reversed(steps)) >= chunk.steps[0]:
                steps.popitem()
            steps.update(zip(chunk.steps, chunk.values(), strict=True))
    for tag, steps in matrices.items():
        _take_in(record, tag, contents[tag], steps)
    return record


def _values(files: list[pathlib.Path]) -> Iterator[Any]:
    for file in files:
        for event in event_file_loader.EventFileLoader(str(file)).Load():
            yield from event.summary.value


def _chunk(tensor: Any, content: dict[str, Any]) -> packing.Chunk:
    packed = tensor_util.make_ndarray(tensor).tobytes()
    return packing.unpack(packed, len(content["tensors"]), len(content["columns"]))


def _take_in(
    record: RunRecord, tag: str, content: dict[str, Any], steps: dict[int, np.ndarray]
) -> None:
    """Adds the matrices of one tag to a record, in the order of their steps."""
    if content["kind"] == "metrics":
        for step, matrix in steps.items():
            values = matrix[0].tolist()
            record.add_scalars(step, dict(zip(content["columns"], values, strict=True)))
        return
    stores = {
        "statistics": record.series,
        "histogram": record.histograms,
        "time": record.time_steps,
    }
    kind = content["kind"]
    if kind not in stores:
        return
    tensors = tuple(map(schema.TensorKey.from_label, content["tensors"]))
    series = record.new_series(
        kind, content["signal"], tensors, tuple(content["columns"])
    )
    for step, matrix in steps.items():
        series.append(step, matrix)
    name = tag.removeprefix(f"{schema.PLUGIN_NAME}/").removesuffix(f"/{kind}")
    stores[kind][name] = series
