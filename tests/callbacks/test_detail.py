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


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=[pytest.mark.slow] * (way == "xla")) for way in WAYS],
)
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


class Once:
    """A schedule that says yes to one iteration, the first time it is asked."""

    def __init__(self, iteration):
        self._left = {iteration}

    def __call__(self, iteration):
        due = iteration in self._left
        self._left.discard(iteration)
        return due


@pytest.mark.parametrize("eagerly", [False, True])
def test_a_schedule_is_asked_once_of_an_iteration(eagerly):
    schedules = {"norms": every(2), "full": Once(3)}
    monitor = kik.SignalMonitor(None, detail=schedules, rules=None)
    fit(monitor, run_eagerly=eagerly)
    assert monitor.record.signal("weight").steps.tolist() == [3]
    assert monitor.record.norms["weight"].steps.tolist() == [0, 2, 3, 4, 6, 8]
    monitor = kik.SignalMonitor(None, Once(1), rules=None)
    weight = keras.Variable(1.0)
    model = keras.Sequential([layers.Input((1,)), layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1)

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(tf.ones((2, 1)))) * weight
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    watched = monitor.instrument(
        step if eagerly else tf.function(step), model, optimizer
    )
    for _ in range(4):
        watched()
    assert monitor.record.signal("weight").steps.tolist() == [1]


def test_a_loop_goes_on_where_a_step_cannot_be_prepared(monkeypatch):
    model = keras.Sequential([layers.Input((1,)), layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1)
    calls = []
    monitor = kik.SignalMonitor(None, 1, rules=None)
    watched = monitor.instrument(lambda: calls.append(1), model, optimizer)

    def broken(detail):
        raise ZeroDivisionError("injected")

    monkeypatch.setattr(watched._twins, "current", broken)
    with pytest.warns(UserWarning, match="preparing a step failed .*injected"):
        watched()
    watched()
    assert len(calls) == 2


def test_a_run_is_not_resumed_in_another_detail(tmp_path):
    def train(detail, epochs):
        point = kik.ResumePoint(tmp_path / "point.npz")
        how = {"detail": detail} | ({} if detail is BOTH else {"every": 1})
        monitor = kik.SignalMonitor(tmp_path / "log", rules=None, **how)
        model = build()
        model.fit(X, Y, 8, epochs, verbose=0, callbacks=[monitor, point])

    for epochs, detail in enumerate(["full", "full", "norms", BOTH, BOTH], 1):
        train(detail, epochs)
    records = [
        kik.RunRecord.load(tmp_path / "log", run=run)
        for run in kik.RunRecord.runs(tmp_path / "log")
    ]
    found = sorted(
        (tuple(record.metadata["detail"]), len(record.scalars["loss"][0]))
        for record in records
    )
    assert found == [(("full",), 10), (("full", "norms"), 10), (("norms",), 5)]
    assert not any(record.missing for record in records)


def test_rules_read_norms_where_they_have_more_steps():
    x = X.copy()
    x[20] = np.nan
    schedules = {"norms": 1, "full": 100}
    monitor = kik.SignalMonitor(None, detail=schedules, on_finding=lambda _: None)
    build().fit(x, Y, 4, 2, verbose=0, callbacks=[monitor], shuffle=False)
    steps = {one.rule: one.step for one in kik.review(monitor.record)}
    assert steps["NonFinite"] == 5
    never = {"norms": 1, "full": lambda step: False}
    monitor = kik.SignalMonitor(None, detail=never, rules=None)
    build().fit(X, Y, 4, 2, verbose=0, callbacks=[monitor])
    reasons = kik.diagnosis.not_judged(monitor.record)
    assert "VanishingGradient" not in reasons
    assert reasons["AllZero"] == "does not hold activation/zero_fraction"


@pytest.mark.parametrize("full", [3, lambda step: False], ids=["full", "never"])
def test_a_record_shows_its_norms(full):
    monitor = kik.SignalMonitor(None, detail={"norms": 1, "full": full}, rules=None)
    fit(monitor)
    record = monitor.record
    assert "norms of gradient: 10 steps" in repr(record)
    assert "steps 0 to 9" in str(record)
    assert "norms of 10 steps" in str(record)
    keys, values = record.profile("gradient", "rms", step=1)
    series = record.norms["gradient"]
    assert keys == series.tensors
    np.testing.assert_array_equal(values, series.statistic("rms")[1])
    assert record.signal("gradient") is not None
    with pytest.raises(KeyError, match="statistic"):
        record.profile("gradient", "nothing")


def test_norms_are_compared_with_those_among_all_statistics():
    full = kik.SignalMonitor(None, 1, rules=None)
    both = kik.SignalMonitor(None, detail={"norms": 1, "full": 3}, rules=None)
    for monitor in (full, both):
        fit(monitor)
    tolerance = 1e-6
    for one, other in ((full, both), (both, full)):
        assert one.record.diff(other.record, tolerance=tolerance).first is None
    both.record.norms["gradient"]._values[1] *= 2
    for one, other in ((full, both), (both, full)):
        first = one.record.diff(other.record, tolerance=tolerance).first
        assert (first.step, first.signal) == (1, "gradient")


def test_rows_are_there_once_where_steps_begin_anew():
    schedules = {"norms": 1, "full": lambda step: step == 3}
    monitor = kik.SignalMonitor(None, detail=schedules, rules=None)
    model = build()
    for examples in (10, 4, 10):
        model.compile("adam", CLASSES)
        model.fit(X[:examples], Y[:examples], 2, verbose=0, callbacks=[monitor])
    steps = [
        row["step"]
        for row in monitor.record.rows()
        if (row["signal"], row["layer"], row["tensor"])
        == ("weight", "small/out", "kernel")
    ]
    assert sorted(steps) == sorted([*range(5), *range(2), *range(5)])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"detail": "all"}, ValueError, "`detail` must be one of ('full', 'norms')"),
        ({"detail": {}}, ValueError, "Received: detail={}"),
        ({"detail": {"half": 3}}, ValueError, "Received: detail={'half': 3}"),
        (
            {"detail": {"norms": 0}},
            ValueError,
            "`detail['norms']` must be a positive integer",
        ),
        ({"detail": 3}, TypeError, "of type int"),
        ({"detail": BOTH, "every": 3}, ValueError, "`every` must be omitted"),
        (
            {"detail": BOTH, "every": np.array([1, 2])},
            ValueError,
            "`every` must be omitted",
        ),
    ],
)
def test_bad_details_are_named(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        kik.SignalMonitor(None, **given)
