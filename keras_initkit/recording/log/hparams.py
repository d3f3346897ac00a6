"""A run's entry in TensorBoard's HParams and Text dashboards, without TensorFlow.

Event files of one run must not be open at the same time (readers that poll may then
lose the end of the older one), so each function here writes a file of its own and
closes it: call `write_session_start` before training, and `write_session_end` after the
monitor has closed.
"""

import contextlib
import math
import pathlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import (
    api_pb2,
    metadata,
    plugin_data_pb2,
    summary_v2,
)
from tensorboard.plugins.scalar import summary_v2 as scalar_summary
from tensorboard.plugins.text import summary_v2 as text_summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from keras_initkit import schema
from keras_initkit.recording.log import storage

# Tags of the session's metrics; no signal of `schema` has this name.
METRIC_PREFIX = "result/"

HParamValue = bool | int | float | str
_Add = Callable[[summary_pb2.Summary], None]


def write_session_start(
    log_dir: str | pathlib.Path,
    hparams: Mapping[str, HParamValue],
    metrics: Mapping[str, str],
    texts: Mapping[str, str] | None = None,
    varied: Collection[str] = (),
) -> None:
    """Writes what a run is, before it starts.

    Every run carries the list of the metrics, so that the HParams dashboard shows these
    columns alone (and not one for each of hundreds of scalar tags), whatever directory
    TensorBoard is started on.

    Args:
        log_dir: Directory of the run, made if need be. Its name names the session
            group.
        hparams: Hyperparameters of the run.
        metrics: `{name: description}` of the metrics that are columns of the
            dashboard. Its parallel coordinates leave out a run that lacks one of them,
            so name those that every run has.
        texts: `{tag: Markdown}` for the Text dashboard.
        varied: Names of the hyperparameters that tell runs apart; their columns come
            first.
    """
    experiment = api_pb2.Experiment(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=_type_of(value), differs=name in varied)
            for name, value in hparams.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(
                name=api_pb2.MetricName(tag=METRIC_PREFIX + name),
                display_name=name,
                description=description,
            )
            for name, description in metrics.items()
        ],
        time_created_secs=time.time(),
    )
    # Unique below one log directory; the column shows about the first 12 characters.
    path = storage.checked(log_dir, "log_dir")
    *above, name = pathlib.PurePath(storage.resolved(path)).parts[-3:]
    group = f"{name} ({'/'.join(above)})"
    with _events(path, step=0) as add:
        add(_hparams_summary(metadata.EXPERIMENT_TAG, experiment=experiment))
        add(summary_v2.hparams_pb(dict(hparams), trial_id=group))
        for tag, markdown in (texts or {}).items():
            add(text_summary.text_pb(tag, markdown))


def write_session_end(
    log_dir: str | pathlib.Path,
    metrics: Mapping[str, float],
    step: int,
    success: bool = True,
) -> None:
    """Writes what came out of a run, after it has ended.

    Args:
        log_dir: Directory of the run.
        metrics: `{name: value}`. Values that are not finite are left out: the
            dashboard cannot sort them.
        step: Optimizer iteration at which the metrics stand.
        success: Whether the run came to its end, even if to a bad one.
    """
    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    path = storage.checked(log_dir, "log_dir")
    with _events(path, step) as add:
        for name, value in metrics.items():
            if math.isfinite(value):
                add(scalar_summary.scalar_pb(METRIC_PREFIX + name, value))
        add(_hparams_summary(metadata.SESSION_END_INFO_TAG, session_end_info=end))


def _hparams_summary(tag: str, **data: Any) -> summary_pb2.Summary:
    summary = summary_pb2.Summary()
    summary.value.add(
        tag=tag,
        metadata=metadata.create_summary_metadata(
            plugin_data_pb2.HParamsPluginData(**data)
        ),
        tensor=metadata.NULL_TENSOR,
    )
    return summary


def _type_of(value: HParamValue) -> Any:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    if isinstance(value, str):
        return api_pb2.DATA_TYPE_STRING
    return api_pb2.DATA_TYPE_FLOAT64


@contextlib.contextmanager
def _events(path: str, step: int) -> Iterator[Callable[[summary_pb2.Summary], None]]:
    """Gives a function that writes a summary; the file is closed on leaving."""
    storage.make(path)
    writer = EventFileWriter(path, filename_suffix=f".{schema.PLUGIN_NAME}")
    try:
        yield lambda summary: writer.add_event(
            event_pb2.Event(step=step, wall_time=time.time(), summary=summary)
        )
    finally:
        writer.close()
