"""Norms alone, at each step or beside full detail: the same numbers, the same bits."""

import json
import random
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.schedules import every

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 8, 8, 3)).astype("float32")
Y = RNG.integers(0, 4, 40)
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BOTH = {"norms": every(1), "full": every(4)}
NORMS = ("rms", "norm", "nonfinite_count")


def build(**compiled):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(8, activation="tanh", name="hidden"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(4, name="out"),
        ],
        name="small",
    )
    model.compile("adam", CLASSES, **compiled)
    return model


def fit(*monitors, **compiled):
    """Trains ten steps; returns all variables."""
    model = build(**compiled)
    model.fit(X, Y, 8, 2, verbose=0, callbacks=list(monitors), shuffle=False)
    return [np.asarray(one) for one in (*model.variables, *model.optimizer.variables)]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


WAYS = {
    "graph": {},
    "xla": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "executions": {"steps_per_execution": 3},
}


@pytest.mark.parametrize("way", WAYS)
def test_norms_equal_those_of_full_detail_and_change_no_bit(way):
    full = kik.SignalMonitor(None, 1, rules=None)
    norms = kik.SignalMonitor(None, 1, detail="norms", rules=None)
    both = kik.SignalMonitor(None, detail=BOTH, rules=None)
    bare = fit(**WAYS[way])
    for monitor in (full, norms, both):
        assert_same(fit(monitor, **WAYS[way]), bare)
    assert "preactivation" in full.record.series
    assert set(norms.record.series) == set(schema.SIGNALS) - {"preactivation"}
    for signal, series in norms.record.series.items():
        known = full.record.signal(signal)
        assert series.tensors == known.tensors
        assert series.statistics[:3] == NORMS
        beside = both.record.norms[signal]
        for name in series.statistics:
            values = known.statistic(name)
            np.testing.assert_allclose(series.statistic(name), values, 1e-6)
            np.testing.assert_allclose(beside.statistic(name), values, 1e-6)
    for signal, series in both.record.series.items():
        assert series.steps.tolist() == [0, 4, 8]
        known = full.record.signal(signal)
        assert series.statistics == known.statistics
        np.testing.assert_array_equal(series.values, known.values[[0, 4, 8]])
    assert not norms.record.histograms
    assert both.record.histograms["gradient"].steps.tolist() == [0]


def test_monitors_of_different_detail_share_a_step():
    full = kik.SignalMonitor(None, 4, rules=None)
    norms = kik.SignalMonitor(None, 1, detail="norms", rules=None)
    assert_same(fit(full, norms), fit())
    assert full.record.signal("gradient").steps.tolist() == [0, 4, 8]
    series = norms.record.signal("gradient")
    assert series.statistics == NORMS
    assert series.steps.tolist() == list(range(10))


def test_a_step_that_draws_from_its_graph_is_run_by_one_twin():
    class Noisy(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = layers.Dense(4)

        def call(self, x):
            return self.layer(x)

        def train_step(self, data):
            x, y = data
            return super().train_step((x + tf.random.normal(tf.shape(x)), y))

    def weights(*callbacks):
        keras.utils.set_random_seed(3)
        model = Noisy()
        model.compile("adam", "mse")
        x = X[:, 0, 0]
        model.fit(x, x[:, :1], 4, verbose=0, callbacks=list(callbacks))
        return model.get_weights()

    schedules = {"norms": every(1), "full": lambda step: step == 4}
    monitor = kik.SignalMonitor(None, detail=schedules, rules=None)
    assert_same(weights(monitor), weights())
    assert monitor.record.signal("weight").steps.tolist() == [4]
    assert monitor.record.norms["weight"].steps.tolist() == list(range(10))


def test_a_schedule_that_answers_at_random_breaks_nothing():
    drawn = random.Random(0)
    schedules = {"norms": every(1), "full": lambda step: drawn.random() < 0.5}
    monitor = kik.SignalMonitor(None, detail=schedules, rules=None)
    assert_same(fit(monitor), fit())
    full = monitor.record.signal("gradient")
    assert 0 < len(full) < 10
    assert not (full.statistic("std") == 0).any()


def test_loop_of_ones_own_and_evaluation():
    monitor = kik.SignalMonitor(None, detail=BOTH, rules=None)
    model = build()
    optimizer = keras.optimizers.SGD(0.01)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = CLASSES(y, model(x, training=True))
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    watched = monitor.instrument(step, model, optimizer)
    for _ in range(6):
        watched(X[:8], Y[:8])
    monitor.close()
    assert monitor.record.signal("update").steps.tolist() == [0, 4]
    assert monitor.record.norms["update"].steps.tolist() == list(range(6))
    evaluated = kik.SignalMonitor(None, 5, detail="norms", evaluate=True, rules=None)
    model.fit(X, Y, 8, validation_data=(X, Y), verbose=0, callbacks=[evaluated])
    assert evaluated.record.signal("inference").statistics == NORMS
    assert evaluated.record.signal("state").statistics == NORMS


@pytest.mark.parametrize("detail", ["norms", BOTH], ids=["norms", "both"])
def test_what_is_written_is_what_is_recorded(detail, tmp_path):
    monitor = kik.SignalMonitor(tmp_path / "run", detail=detail)
    fit(monitor)
    record = monitor.record
    read = kik.RunRecord.load(tmp_path / "run")
    record.to_json(tmp_path / "record.json")
    again = kik.RunRecord.from_json(tmp_path / "record.json")
    for other in (read, again):
        assert record.diff(other).first is None
        assert set(other.norms) == set(record.norms)
    record.to_csv(tmp_path / "record.csv")
    lines = (tmp_path / "record.csv").read_text().splitlines()
    tensors = {signal: len(one.tensors) for signal, one in record.series.items()}
    most = record.norms if record.norms else record.series
    rows = sum(len(one) * tensors[one.signal] for one in most.values())
    rows += 0 if "preactivation" in most else 3 * tensors.get("preactivation", 0)
    assert len(lines) == rows + 1
    assert record.metadata["detail"] == {
        one: repr(schedule) for one, schedule in monitor._schedules.items()
    }
    budget = record.metadata["budget"]
    assert (budget["histogram_tags"] > 0) == (detail != "norms")
    size = sum(file.stat().st_size for file in (tmp_path / "run").iterdir())
    fixed = len(json.dumps(record.metadata)) * 4
    assert (
        size
        < 10 * budget["bytes_per_step"]
        + 3 * budget["bytes_per_histogram_step"]
        + 3 * fixed
        + 20_000
    )


def test_rules_judge_norms_as_they_judge_full_detail_and_name_what_they_lack():
    full = kik.SignalMonitor(None, 1, rules=None)
    norms = kik.SignalMonitor(None, 1, detail="norms", rules=None)
    for monitor in (full, norms):
        model = build()
        model.optimizer.learning_rate = 3.0
        model.fit(X, Y, 8, 6, verbose=0, callbacks=[monitor], shuffle=False)
    reasons = kik.diagnosis.not_judged(norms.record)
    assert reasons["AllZero"] == "does not hold activation/zero_fraction"
    wanted = [
        (one.rule, one.layer, one.step)
        for one in kik.review(full.record)
        if one.rule not in reasons
    ]
    found = [(one.rule, one.layer, one.step) for one in kik.review(norms.record)]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert len(found) > 1


def test_nan_is_counted():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((3,)), layers.Dense(4, name="only")])
    model.compile("sgd", "mse")
    x = np.ones((8, 3))
    x[0, 0] = np.nan
    monitor = kik.SignalMonitor(None, 1, detail="norms", rules=None)
    model.fit(x, x[:, :1], 8, verbose=0, callbacks=[monitor])
    series = monitor.record.signal("activation")
    assert series.statistic("nonfinite_count")[0] == [4]  # one example, four units
    assert np.isnan(series.statistic("rms")[0])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"detail": "all"}, ValueError, "`detail` must be one of ('full', 'norms')"),
        ({"detail": {}}, ValueError, "Received: detail={}"),
        ({"detail": {"half": 3}}, ValueError, "Received: detail={'half': 3}"),
        ({"detail": {"norms": 0}}, ValueError, "`every` must be a positive integer"),
        ({"detail": 3}, TypeError, "of type int"),
        ({"detail": BOTH, "every": 3}, ValueError, "`every` must be left out"),
    ],
)
def test_bad_details_are_named(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        kik.SignalMonitor(None, **given)
