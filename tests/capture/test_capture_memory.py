"""What stays of a training in memory when its model is gone."""

import collections
import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import ops

import keras_initkit as kik

X = np.ones((8, 4), np.float32)


def built():
    layers = [keras.layers.Dense(3, "relu"), keras.layers.Dense(1)]
    return keras.Sequential([keras.layers.Input((4,)), *layers])


def fitted(*callbacks, optimizer="sgd", **compiled):
    model = built()
    model.compile(optimizer, "mse", **compiled)
    data = X, X[:, :1]
    model.fit(*data, 4, verbose=0, validation_data=data, callbacks=callbacks)


def looped(monitor=None):
    model, optimizer = built(), keras.optimizers.SGD()

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(x) ** 2)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    run = step if monitor is None else monitor.instrument(step, model, optimizer)
    run(X)
    if monitor is not None:
        assert monitor.record.signal("update").steps.tolist() == [0]
        monitor.close()


TRAININGS = {
    "fit": fitted,
    "loop": looped,
    "adam": lambda *monitors: fitted(*monitors, optimizer="adam"),
    "executions": lambda *monitors: fitted(*monitors, steps_per_execution=2),
    "eager": lambda *monitors: fitted(*monitors, run_eagerly=True),
}
QUICK = ("fit", "loop")


def left_by(training):
    """Returns what stays of a training, behind one that fills caches: by kind."""

    def census():
        while gc.collect():
            pass
        of_interest = ("FuncGraph", "Sequential", "SignalMonitor", "Session", "Step")
        names = [type(one).__name__ for one in gc.get_objects()]
        count = collections.Counter(n for n in names if n.endswith(of_interest))
        count["functions"] = len(context.context().list_function_names())
        count["gradients"] = len(ops.gradient_registry._registry)
        return count

    training()
    before = census()
    training()
    return census() - before


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in TRAININGS
    ],
)
def test_a_watched_training_leaves_what_a_bare_one_leaves(name, tmp_path):
    train = TRAININGS[name]

    def watched():
        train(kik.SignalMonitor(tmp_path, every=1, evaluate=name != "loop"))

    assert left_by(watched) == left_by(train)
