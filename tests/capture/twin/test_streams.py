"""Steps that draw from TensorFlow's stateful generators draw what bare ones do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.capture.twin import streams

X = np.random.default_rng(0).random((40, 4)).astype("float32")


class Noisy(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(8, "relu")
        self.last = keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))

    def train_step(self, data):
        x, y = data
        return super().train_step((x + tf.random.normal(tf.shape(x)), y))


def weights(fits, steps):
    """Weights after one `fit` for each list of callbacks."""
    keras.utils.set_random_seed(3)
    model = Noisy()
    model.compile("adam", "mse", steps_per_execution=steps)
    for callbacks in fits:
        model.fit(X, X[:, :1], 4, epochs=2, verbose=0, callbacks=callbacks)
    return [np.asarray(weight).tobytes() for weight in model.weights]


@pytest.mark.parametrize("steps", [1, 3])
def test_all_steps_of_a_training_draw_from_one_stream(steps):
    monitor = kik.SignalMonitor(None, 3, rules=None)
    assert weights([[monitor], [monitor]], steps) == weights([[], []], steps)
    assert monitor.record.signal("weight").steps.tolist() == list(range(0, 40, 3))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("fails_at", [4, 6])
def test_a_monitor_that_gives_up_leaves_the_drawing_where_it_was(steps, fails_at):
    def schedule(step):
        if step >= fails_at:
            raise ZeroDivisionError("no schedule")
        return step % 3 == 0

    monitor = kik.SignalMonitor(None, schedule, rules=None)
    with pytest.warns(UserWarning, match="no schedule"):
        watched = weights([[monitor]], steps)
    assert watched == weights([[]], steps)


@pytest.mark.parametrize(
    ("every", "before"), [(3, [[]]), (lambda step: step > 5, [])], ids=["fit", "step"]
)
def test_a_stream_that_others_have_drawn_from_is_left_to_them(every, before):
    monitor = kik.SignalMonitor(None, every, rules=None)
    with pytest.warns(UserWarning, match="use `keras.random`"):
        watched = weights([*before, [monitor]], 1)
    assert watched == weights([*before, []], 1)
    assert not monitor.record.series


def graph_of(function):
    return tf.function(function).get_concrete_function().graph


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: tf.random.uniform([2], seed=1), True),
        (lambda: tf.random.shuffle([1, 2], seed=1), True),
        (lambda: tf.random.uniform([2]), False),
        (lambda: tf.random.stateless_uniform([2], [1, 2]), False),
        (lambda: keras.random.normal((2,), seed=1), False),
        (lambda: tf.function(lambda: tf.random.normal([2], seed=1))(), True),
        (
            lambda: tf.while_loop(
                lambda i: i < 2.0,
                lambda i: (i + 1.0 + 0.0 * tf.random.normal([], seed=1),),
                (tf.constant(0.0),),
            ),
            True,
        ),
    ],
    ids="seeded shuffle unseeded stateless keras nested loop".split(),
)
def test_what_draws_from_a_stream_of_its_graph(function, expected):
    tf.random.set_seed(None)
    assert streams.is_drawn_from(graph_of(function)) is expected
