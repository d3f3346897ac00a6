"""HParams entries, read back by TensorBoard's own HParams code."""

import math

import pytest
from tensorboard.backend.event_processing import (
    data_provider,
    plugin_event_multiplexer,
)
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tensorboard.util import tensor_util

from keras_initkit.recording.log import hparams

METRICS = {"accuracy": "on the test set", "loss_final": "on the test set"}


@pytest.fixture
def log_dir(tmp_path):
    for name, seed, accuracy in (("he", 0, 0.75), ("he", 1, 0.5), ("zero", 0, None)):
        path = tmp_path / "mnist" / f"{name}-seed{seed}"
        values = {"initializer": name, "seed": seed, "limited": True}
        hparams.write_session_start(path, values, METRICS, {"data": "**real** data"})
        if accuracy is not None:
            results = {"accuracy": accuracy, "loss_final": math.nan}
            hparams.write_session_end(path, results, step=7, success=seed == 0)
    return tmp_path


@pytest.fixture
def events(log_dir):
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(log_dir))
    multiplexer.Reload()
    return multiplexer


def session_groups(provider):
    """Returns the experiment and the groups that the dashboard shows."""
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    context = RequestContext()
    data = backend.hparams_metadata(context, "")
    experiment = backend.experiment_from_metadata(context, "", True, data, [])
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=10,
        include_metrics=True,
        allowed_statuses=[
            api_pb2.STATUS_SUCCESS,
            api_pb2.STATUS_FAILURE,
            api_pb2.STATUS_RUNNING,
            api_pb2.STATUS_UNKNOWN,
        ],
    )
    handler = list_session_groups.Handler(context, backend, "", request)
    return experiment, handler.run().session_groups


def test_hparams_dashboard_shows_every_run_with_its_metrics(events, log_dir):
    provider = data_provider.MultiplexerDataProvider(events, str(log_dir))
    experiment, groups = session_groups(provider)
    # The dashboard has an order of its own.
    assert {h.name: h.type for h in experiment.hparam_infos} == {
        "initializer": api_pb2.DATA_TYPE_STRING,
        "seed": api_pb2.DATA_TYPE_FLOAT64,
        "limited": api_pb2.DATA_TYPE_BOOL,
    }
    assert [(m.name.tag, m.display_name) for m in experiment.metric_infos] == [
        ("result/accuracy", "accuracy"),
        ("result/loss_final", "loss_final"),
    ]
    rows = {}
    for group in groups:
        (session,) = group.sessions
        values = {m.name.tag: (m.value, m.training_step) for m in group.metric_values}
        hp = group.hparams
        above, _, name = f"{log_dir.name}/{session.name}".rpartition("/")
        assert group.name == f"{name} ({above})"
        assert hp["limited"].bool_value is True
        rows[session.name] = (
            hp["initializer"].string_value,
            hp["seed"].number_value,
            session.status,
            values,
        )
    assert rows == {
        "mnist/he-seed0": (
            "he",
            0,
            api_pb2.STATUS_SUCCESS,
            {"result/accuracy": (0.75, 7)},
        ),
        "mnist/he-seed1": (
            "he",
            1,
            api_pb2.STATUS_FAILURE,
            {"result/accuracy": (0.5, 7)},
        ),
        "mnist/zero-seed0": ("zero", 0, api_pb2.STATUS_UNKNOWN, {}),
    }


def test_text_reads_back(events):
    (event,) = events.Tensors("mnist/he-seed0", "data")
    assert tensor_util.make_ndarray(event.tensor_proto).item() == b"**real** data"


def test_each_write_is_a_closed_file_of_its_own(log_dir):
    files = sorted((log_dir / "mnist" / "he-seed0").iterdir())
    assert len(files) == 2
