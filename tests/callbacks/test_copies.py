"""Copies of a monitor: the same settings, a copy of its record, and no model."""

import copy
import pickle

import keras
import numpy as np
import pytest

from keras_initkit import GradientMonitor, SignalMonitor, schedules

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
WAYS = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda monitor: pickle.loads(pickle.dumps(monitor)),
}


def a_model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3, "relu", name="h"), keras.layers.Dense(1, name="o")]
    model = keras.Sequential([keras.layers.Input((4,)), *layers], name="net")
    model.compile("adam", "mse")
    return model


def fitted(monitor, model=None):
    model = model or a_model()
    model.fit(X, X[:, :1], batch_size=4, verbose=0, callbacks=[monitor])
    return model


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("used", [False, True])
def test_copy_has_the_settings_and_the_record(way, used, tmp_path):
    monitor = SignalMonitor(
        tmp_path / "one",
        schedules.first(2) | schedules.every(3),
        signals=("update", "gradient"),
        layers="h",
        histograms=2,
        rules={"DeadRelu": None},
        severity="error",
    )
    if used:
        fitted(monitor)
    other = WAYS[way](monitor)
    for name in ("log_dir", "signals", "histograms", "_schedules"):
        assert getattr(other, name) == getattr(monitor, name)
    assert other.model is None
    assert other.record is not monitor.record
    assert other.record.diff(monitor.record).equal
    assert other.findings == monitor.findings
    held = len(monitor.record.series.get("update", ()))
    other.log_dir = tmp_path / "two"
    fitted(other)
    assert other.record.signal("update").steps.tolist() == [0, 1, 3]
    assert {key.layer for key in other.record.signal("update").tensors} == {"net/h"}
    assert len(monitor.record.series.get("update", ())) == held
    assert list((tmp_path / "two").glob("*tfevents*"))


@pytest.mark.parametrize("way", WAYS)
def test_copy_of_a_used_monitor_records_as_a_fresh_one(way):
    fresh, used = SignalMonitor(every=1), SignalMonitor(every=1)
    fitted(fresh)
    fitted(used)
    other = WAYS[way](used)
    other.record = type(other.record)()
    fitted(other)
    assert other.record.diff(fresh.record).equal


@pytest.mark.parametrize("way", WAYS)
def test_copy_goes_on_in_series_of_its_own(way):
    monitor = SignalMonitor(every=2)
    model = fitted(monitor)
    other = WAYS[way](monitor)
    fitted(other, model)
    assert other.record.series["update"].steps.tolist() == [0, 2]
    assert other.record.series["update#1"].steps.tolist() == [4, 6]


def test_copies_of_subclasses_keep_what_is_theirs():
    class Mine(GradientMonitor):
        def __init__(self):
            super().__init__(every=2)
            self.note = ["a"]

    monitor = Mine()
    fitted(monitor)
    other = copy.deepcopy(monitor)
    assert type(other) is Mine
    assert other.note == ["a"]
    assert other.note is not monitor.note
    assert other.signals == ("backprop", "gradient")


def test_copies_watch_the_layers_that_were_given():
    model = a_model()
    other = copy.deepcopy(SignalMonitor(every=1, layers=model.layers[0]))
    fitted(other, model)
    assert {key.layer for key in other.record.signal("update").tensors} == {"net/h"}


def test_copy_taken_while_fit_runs_is_as_any_other():
    taken = []

    class Taking(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            taken.append(copy.deepcopy(monitor))

    monitor = SignalMonitor(every=1)
    model = a_model()
    model.fit(X, X[:, :1], batch_size=4, verbose=0, callbacks=[monitor, Taking()])
    assert len(taken) == 4
    fitted(taken[-1])
    assert monitor.record.signal("update").steps.tolist() == [0, 1, 2, 3]


def test_watched_models_are_copied_and_cloned():
    model = fitted(SignalMonitor(every=1))
    for other in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        keras.models.clone_model(model),
    ):
        other.compile("sgd", "mse")
        monitor = SignalMonitor(every=1)
        fitted(monitor, other)
        assert len(monitor.record.signal("update")) == 4


def test_keras_tuner_takes_monitors(tmp_path):
    tuner_room = pytest.importorskip("keras_tuner")

    def build(hp):
        units = hp.Int("units", 2, 4)
        layers = [keras.layers.Input((4,)), keras.layers.Dense(units)]
        model = keras.Sequential([*layers, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    tuner = tuner_room.RandomSearch(
        build,
        objective="val_loss",
        max_trials=2,
        executions_per_trial=2,
        directory=tmp_path,
    )
    monitor = SignalMonitor(every=1)
    fitted(monitor)
    held = len(monitor.record.signal("update"))
    tuner.search(
        X, X[:, :1], validation_data=(X, X[:, :1]), verbose=0, callbacks=[monitor]
    )
    assert len(tuner.oracle.trials) == 2
    assert len(monitor.record.signal("update")) == held
