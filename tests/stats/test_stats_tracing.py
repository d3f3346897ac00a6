"""What is traced once for all models belongs to one of TensorFlow's contexts."""

import subprocess
import sys

PROGRAM = """
import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

import keras_initkit as kik
from keras_initkit.stats.tracing import keeps_traced, traced


def steps_of_a_fit(detail):
    model = keras.Sequential([keras.layers.Dense(3, "relu"), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor(every=1, detail=detail, rules=None)
    batch = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")
    model.fit(*batch, epochs=2, verbose=0, callbacks=[monitor])
    return list(monitor.record.signal("gradient").steps)


made = []


@keeps_traced()
def doubling(length):
    made.append(length)
    return traced(lambda x: 2 * x, [tf.TensorSpec([length], tf.float32)])


for _ in range(2):
    for _ in range(2):
        assert doubling(1)(tf.constant([3.0])).numpy().tolist() == [6.0]
        for detail in ("full", "norms"):
            assert steps_of_a_fit(detail) == [0, 1], detail
    # As tests of Keras's do.
    context._reset_context()
assert made == [1, 1], made
"""


def test_a_training_is_watched_in_another_context():
    # Tests behind it would lose what they made: in a process of its own.
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
