"""A twin is a copy of the plain step's graph, and the plain step stays as it is."""

import threading
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.capture.twin import notes, replay
from keras_initkit.structure import keras_private, tensorflow_private

k = keras.layers
RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 5, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 24)


def built():
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            k.Conv1D(6, 2, activation="relu"),
            k.BatchNormalization(),
            k.Dropout(0.3, seed=1),
            k.LSTM(4, recurrent_dropout=0.2, seed=2),
            k.Dense(3, activation="softmax"),
        ]
    )


def unbuilt():
    return keras.Sequential([k.Flatten(), k.Dense(5, "gelu"), k.Dense(3, "softmax")])


def words():
    inputs = keras.Input((5, 4))
    ids = keras.ops.cast(keras.ops.argmax(inputs, axis=-1), "int32")
    x = k.Embedding(4, 6)(ids)
    x = k.MultiHeadAttention(2, 3)(x, x) + x
    x = k.LayerNormalization()(x)
    return keras.Model(inputs, k.Dense(3, "softmax")(x[:, 0]))


class Penalized(keras.Model):
    """A tape within a tape, a loop, a branch and Python within the step."""

    def __init__(self):
        super().__init__()
        self.flat, self.first = k.Flatten(), k.Dense(6, activation="tanh", name="first")
        self.last = k.Dense(3, activation="softmax", name="last")

    def call(self, x):
        return self.last(self.first(self.flat(x)))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                outputs = self(x, training=True)
            slope = tf.reduce_mean(inner.gradient(outputs, x) ** 2)
            total = tf.while_loop(
                lambda i, _: i < 3,
                lambda i, s: (i + 1, s + tf.reduce_sum(self.first.kernel**2)),
                [0, 0.0],
            )[1]
            weight = tf.cond(slope > 0, lambda: total * 1e-3, lambda: total)
            doubled = tf.py_function(lambda v: 2 * v, [slope], tf.float32)
            doubled.set_shape([])
            loss = self.compute_loss(x, y, outputs) + slope + weight + doubled
        weights = self.trainable_variables
        self.optimizer.apply_gradients(
            zip(outer.gradient(loss, weights), weights, strict=True)
        )
        return {"loss": loss, "slope": slope, "name": tf.constant("step")}


class Twice(keras.Model):
    """A step that updates the weights twice, each by an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.flat, self.first = k.Flatten(), k.Dense(4, activation="relu", name="first")
        self.last = k.Dense(3, activation="softmax", name="last")
        self.other = keras.optimizers.SGD(0.1)

    def call(self, x):
        return self.last(self.first(self.flat(x)))

    def train_step(self, data):
        x, y = data
        for optimizer in (self.optimizer, self.other):
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            weights = self.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


MODELS = {
    "built": (built, {}),
    "unbuilt": (unbuilt, {}),
    "words": (words, {"optimizer": "adamw"}),
    "executions": (built, {"steps_per_execution": 3}),
    "float16": (unbuilt, {"optimizer": keras.optimizers.LossScaleOptimizer}),
    "penalized": (Penalized, {}),
    "twice": (Twice, {}),
    "compiled": (unbuilt, {"jit_compile": True}),
}


def trained(name, *callbacks):
    """Returns a model that was trained, and how often Python ran its step."""
    build, options = MODELS[name]
    options = {"optimizer": "adam", **options}
    if isinstance(options["optimizer"], type):
        options["optimizer"] = options["optimizer"](keras.optimizers.Adam(), 2.0)
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = build()
    model.compile(loss="sparse_categorical_crossentropy", **options)
    original, calls = model.train_step, []

    def train_step(data):
        calls.append(1)
        return original(data)

    model.train_step = train_step
    model.fit(
        X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks
    )
    return model, len(calls)


def state(model):
    return [np.asarray(v) for v in [*model.variables, *model.optimizer.variables]]


@pytest.fixture
def copied(monkeypatch):
    """Counts the steps that are copied."""
    made, original = [], replay._Copies

    def copies(*args):
        made.append(original(*args))
        return made[-1]

    monkeypatch.setattr(replay, "_Copies", copies)
    return made


def by_python():
    return mock.patch.object(notes.Notes, "is_whole", return_value=False)


LONG = ("built", "words")
QUICK = ("float16", "penalized")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in MODELS],
)
def test_a_copy_records_what_a_twin_traced_by_python_records(name, copied):
    bare, times = trained(name)
    copy, by_code = (kik.SignalMonitor(None, every=1, histograms=True) for _ in "ab")
    watched, times_watched = trained(name, copy)
    assert copied
    assert times_watched == times
    with by_python():
        _, times_by_code = trained(name, by_code)
    assert times_by_code > times
    assert copy.record.diff(by_code.record).first is None
    assert copy.record.metadata["untapped"] == by_code.record.metadata["untapped"]
    for signal in kik.schema.SIGNALS:
        one, other = (m.record.signal(signal).tensors for m in (copy, by_code))
        more = ["output#2"] if name == "penalized" and signal == "backprop" else []
        # How the slope changes with an output of which the loss takes the logits.
        assert [key.tensor for key in one if key not in other] == more
        assert [key for key in one if key in other] == list(other)
    for one, other in zip(state(bare), state(watched), strict=True):
        np.testing.assert_array_equal(one, other)


def step_graph(model):
    """Returns the ops of the step that a model was trained by, and what they read."""
    found = []

    def look(graph):
        if graph.name == "one_step_on_data":
            found.append(graph)
            return
        for op in graph.get_operations():
            for inner in filter(None, tensorflow_private.graphs_called_by(op)):
                look(inner)

    held = keras_private.held_by(model.train_function)
    # Since Keras 3.16 a single step runs without the loop.
    for run in (held["multi_step_on_iterator"], held["one_step_on_data"].__wrapped__):
        for concrete in [] if found else run._list_all_concrete_functions():
            look(concrete.graph)
    return [
        (
            op.type,
            [t.name for t in op.inputs],
            sorted(o.name for o in op.control_inputs),
        )
        for op in found[-1].get_operations()
        if op.type != "Placeholder"
    ]


@pytest.mark.parametrize(
    "name",
    ["penalized", "twice", *(pytest.param(n, marks=pytest.mark.slow) for n in LONG)],
)
def test_the_plain_step_has_the_ops_of_a_bare_one(name):
    bare, _ = trained(name)
    ops = step_graph(bare)
    watched, _ = trained(name, kik.SignalMonitor(None, every=4))
    assert step_graph(watched) == ops
    assert len(ops) > 50


def test_what_comes_back_through_a_layer_that_passes_its_input_on_is_told_apart(copied):
    """The sum of it and of the way around it is all that a tape could tell."""

    def train(monitor):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((4,))
        x = k.Dense(4, name="first")(inputs)
        model = keras.Model(inputs, k.Add()([x, k.Dropout(0.0, name="same")(x)]))
        model.compile("sgd", "mse")
        model.fit(X[:, 0], X[:, 1], verbose=0, callbacks=[monitor])
        return monitor.record.signal("backprop").statistic("rms")[0]

    first, same, total = train(kik.SignalMonitor(None, every=1))
    assert not copied
    np.testing.assert_allclose([first, same], [2 * total, total], rtol=1e-5)


def test_batches_of_another_kind_are_traced_by_python(copied):
    model = keras.Sequential([keras.Input((None, 4)), k.LSTM(3), k.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[monitor])
    assert len(copied) == 1
    model.fit(X[:, :3], Y, batch_size=8, verbose=0, callbacks=[monitor])
    assert len(copied) == 1
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[monitor])
    assert monitor.record.signal("gradient").steps.tolist() == list(range(9))


@pytest.mark.parametrize("at", [0, 60])
def test_a_copy_that_fails_is_traced_by_python(at, monkeypatch):
    bare, _ = trained("unbuilt")
    calls, original = [], tensorflow_private.copy_op

    def copy_op(*args):
        calls.append(1)
        if len(calls) == at + 1:
            raise RuntimeError("on purpose")
        return original(*args)

    monkeypatch.setattr(tensorflow_private, "copy_op", copy_op)
    monitor = kik.SignalMonitor(None, every=1)
    watched, _ = trained("unbuilt", monitor)
    assert len(calls) == at + 1
    assert monitor.record.signal("backprop").steps.tolist() == list(range(6))
    for one, other in zip(state(bare), state(watched), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("function", ["begin_update", "end_update", "settle"])
def test_what_cannot_be_noted_is_traced_by_python(function, monkeypatch, copied):
    def fail(*args, **kwargs):
        raise RuntimeError("on purpose")

    bare, _ = trained("unbuilt")
    monkeypatch.setattr(notes.Notes, function, fail)
    monitor = kik.SignalMonitor(None, every=1)
    watched, _ = trained("unbuilt", monitor)
    assert not copied
    assert monitor.record.signal("backprop").steps.tolist() == list(range(6))
    for one, other in zip(state(bare), state(watched), strict=True):
        np.testing.assert_array_equal(one, other)


def test_tapes_are_asked_by_none_but_those_who_note():
    from tensorflow.python.eager import imperative_grad

    original = imperative_grad.imperative_grad
    entered, left = threading.Event(), threading.Event()

    def other():
        with tensorflow_private.gradients_also(list, lambda *_: None):
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=other)
    with tensorflow_private.gradients_also(list, lambda *_: None):
        assert imperative_grad.imperative_grad is not original
        thread.start()
        entered.wait(10)
    assert imperative_grad.imperative_grad is not original
    left.set()
    thread.join()
    assert imperative_grad.imperative_grad is original
