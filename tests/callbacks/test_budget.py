"""The budget that is told ahead bounds what is then written."""

import logging
from unittest import mock

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_file_loader

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.recording.log import stock
from keras_initkit_light.format import packing

layers = keras.layers


def shared_and_nested():
    """A layer called twice, a model inside, a layer of three outputs, sequences."""
    inner = [layers.Input((6, 4)), layers.Dense(4, activation="tanh", name="twice")]
    block = keras.Sequential(inner, name="block")
    inputs = layers.Input((6, 4))
    x = block(block(inputs))
    x, *states = layers.LSTM(3, return_sequences=True, return_state=True)(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), *states])
    return keras.Model(inputs, layers.Dense(1, name="out")(x))


class Subclassed(keras.Model):
    """Calls one layer three times from code that no graph tells of."""

    def __init__(self):
        super().__init__()
        self.same = layers.Dense(4, activation="relu", name="same")
        self.out = layers.Dense(1, name="out")

    def call(self, x):
        for _ in range(3):
            x = self.same(x)
        return self.out(layers.GlobalAveragePooling1D(name="pool")(x))


@pytest.fixture(scope="module", params=[shared_and_nested, Subclassed])
def run(request, tmp_path_factory):
    """A run with histograms at every other step, and what was told of it."""
    keras.utils.set_random_seed(0)
    model = request.param()
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((40, 6, 4)).astype(np.float32)
    path = tmp_path_factory.mktemp("run")
    monitor = kik.SignalMonitor(path, every=1, histograms=2)
    told = []

    class Listening(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            told.append(monitor.record.metadata.get("budget"))

    # A chunk a step takes the most bytes, and its steps can be told apart.
    with mock.patch.object(packing, "MOST_STEPS", 1):
        model.fit(x, x[:, 0, 0], 8, verbose=0, callbacks=[monitor, Listening()])
    return model, monitor, path, told


def events_of(path):
    for file in (*path.glob("*tfevents*"), *path.glob("initkit/*tfevents*")):
        yield from event_file_loader.EventFileLoader(str(file)).Load()


def test_tags_and_bytes_stay_within_the_budget(run):
    _, monitor, path, _ = run
    budget = monitor.record.metadata["budget"]
    plugins, sizes = {}, {}
    for event in events_of(path):
        sizes[event.step] = sizes.get(event.step, 0) + event.ByteSize() + 16
        for value in event.summary.value:
            plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
    scalars = {t for t, plugin in plugins.items() if plugin == "scalars"}
    scalars = {tag for tag in scalars if not tag.startswith("metrics/")}
    histograms = {t for t, plugin in plugins.items() if plugin == "histograms"}
    assert len(scalars) <= budget["scalar_tags"] <= 1.5 * len(scalars)
    assert len(histograms) <= budget["histogram_tags"] <= 1.5 * len(histograms)
    # Step 0 brings what is written once, the last one the facts of the whole run.
    assert sizes[1] <= budget["bytes_per_step"] <= 3 * sizes[1] + 2048
    most = budget["bytes_per_histogram_step"]
    assert sizes[2] <= most <= 4 * sizes[2] + 2048


def test_budget_is_told_before_the_first_step_of_a_built_model(run):
    model, monitor, _, told = run
    if isinstance(model, Subclassed):
        assert told[0] is None  # it is built in the first step
    else:
        assert told[0] == monitor.record.metadata["budget"]
    assert set(monitor.record.metadata["budget"]["statistics"]) == set(schema.SIGNALS)


def test_budget_is_logged_once_for_a_run_on_disk(tmp_path, caplog):
    model = keras.Sequential(
        [layers.Input((2,)), *(layers.Dense(2) for _ in range(90))]
    )
    model.compile("sgd", "mse")
    with caplog.at_level(logging.INFO, "keras_initkit"):
        for path in (tmp_path, None):
            monitor = kik.SignalMonitor(path, every=kik.schedules.first(1))
            monitor.set_model(model)
            monitor.set_params({"steps": 1})
            model.history = keras.callbacks.History()
            monitor.on_train_begin()
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith(f"{tmp_path}: at most ")
    budget = monitor.record.metadata["budget"]
    assert f"{budget['scalar_tags']} scalars and {budget['histogram_tags']} " in text
    most, _ = stock.STATISTICS[0]
    assert text.endswith(f", because more would exceed {most} scalars")
    assert "stock dashboards show only activation std, gradient rms" in text
