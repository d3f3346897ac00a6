"""What the tests of distribution train: here on one device, in a process on several.

Run as a program it makes the strategy (`mirrored`: two logical CPUs, `workers`: one of
the processes of `TF_CONFIG`), trains bare and watched, and saves the weights and what
was recorded below a directory.
"""

import contextlib
import functools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import schema

# Sizes of the batches of each fit. Halves of 4 rows; then 4 and 1, or 1 and none.
FITS = ((8, 5), (8, 1))
RATE = 0.1
_RNG = np.random.default_rng(7)
# Five words and a class.
ROWS = np.concatenate(
    [_RNG.integers(0, 12, (13, 5)), _RNG.integers(0, 3, (13, 1))], axis=1
)


class Model(keras.Model):
    """Trains as Keras's own, on inputs and targets in one array.

    With several workers, Keras 3.15 fails (watched or not) on data in a tuple, whose
    shapes it cannot tell, and on logs without an axis, which it reduces over axis 0.
    """

    def train_step(self, data):
        return {k: tf.reshape(v, [1]) for k, v in super().train_step(data).items()}

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        return super().compute_loss(x, x[:, 5], y_pred, sample_weight, training)


def build(scope=None):
    """A model with sparse gradients, dead units and moments easily got wrong."""
    keras.utils.clear_session()
    with scope or contextlib.nullcontext():
        keras.utils.set_random_seed(1)
        inputs = keras.layers.Input((6,), dtype="int32")
        x = keras.layers.Embedding(12, 4, name="words")(inputs[:, :5])
        x = keras.layers.Dense(6, activation="relu", name="each")(x)
        x = keras.layers.Flatten()(x)
        x = keras.layers.Dense(8, activation="tanh", name="hidden")(x)
        model = Model(inputs, keras.layers.Dense(3, name="head")(x))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(RATE), loss)
    for name, mean in (("each", -0.2), ("hidden", 0.3)):
        kernel = model.get_layer(name).kernel
        kernel.assign(kernel.numpy() + mean)
    return model


def batches(sizes):
    """A data set of batches of these sizes."""
    parts = [tf.data.Dataset.from_tensor_slices(ROWS[:n]).batch(n) for n in sizes]
    data = parts[0]
    for part in parts[1:]:
        data = data.concatenate(part)
    return data


def train(monitor=None, strategy=None):
    """Trains a model anew in every fit; returns the weights after each."""
    model = build(strategy and strategy.scope())
    start, ends = model.get_weights(), []
    for sizes in FITS:
        model.set_weights(start)
        callbacks = [monitor] if monitor else []
        model.fit(batches(sizes), shuffle=False, verbose=0, callbacks=callbacks)
        ends += model.get_weights()
    return ends


def train_by_hand(monitor=None, strategy=None):
    """Does what `train` does by a loop of one's own."""
    model = build(strategy and strategy.scope())
    strategy = strategy or tf.distribute.get_strategy()

    def one(rows):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(rows, None, model(rows, training=True))
        weights = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, weights), weights)
        return tf.reduce_sum(loss)

    @tf.function(reduce_retracing=True)
    def step(rows):
        losses = strategy.run(one, (rows,))
        return {"loss": strategy.reduce("SUM", losses, axis=None)}

    if monitor:
        step = monitor.instrument(step, model, model.optimizer)
    start, ends = model.get_weights(), []
    for sizes in FITS:
        model.set_weights(start)
        for rows in strategy.experimental_distribute_dataset(batches(sizes)):
            step(rows)
        ends += model.get_weights()
    return ends


@functools.cache
def alone():
    """The record of the same fits on one device."""
    monitor = monitor_in(None)
    train(monitor)
    return monitor.record


def monitor_in(directory):
    return kik.SignalMonitor(directory, every=1, histograms=1)


def run_apart(kind, directory, **environment):
    """Starts this file as a process of its own and returns it."""
    return subprocess.Popen(
        [sys.executable, __file__, kind, str(directory)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    """Waits for a process of `run_apart`, which must end well."""
    try:
        output, _ = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, output[-4000:]


def assert_training_did_not_notice(directory, way="fit"):
    with np.load(directory / f"{way}_bare.npz") as bare:
        with np.load(directory / f"{way}_watched.npz") as watched:
            assert len(bare.files) == len(watched.files) > 0
            for name in bare.files:
                np.testing.assert_array_equal(bare[name], watched[name])


def assert_statistics_of_the_global_batch(record):
    """Compares a record with that of the same batches on one device.

    Every fit starts from the same weights, so the first of its two steps must agree in
    all, and the second in what the forward pass shows. How much an example counts in
    the loss of a batch that does not halve is for Keras to say: there, the gradient
    must be the one that the optimizer applied.
    """
    assert record.series.keys() == alone().series.keys() == set(schema.SIGNALS)
    for name, series in record.series.items():
        one = alone().series[name]
        assert series.tensors == one.tensors
        assert series.steps.tolist() == one.steps.tolist() == [0, 1, 2, 3]
        forward = name in ("activation", "preactivation", "weight")
        steps = slice(None) if forward else slice(None, None, 2)
        size = one.statistic("rms")[steps]
        for statistic in series.statistics:
            found, expected = series.statistic(statistic), one.statistic(statistic)
            found, expected = found[steps], expected[steps]
            unit = schema.STATISTICS[statistic].unit
            if unit == "signal":
                tolerance = 1e-5 * (np.abs(expected) + size)
                assert (np.abs(found - expected) <= tolerance).all(), (name, statistic)
            elif statistic in ("effective_rank", "update_to_weight_ratio"):
                np.testing.assert_allclose(found, expected, 1e-5, 0, True, statistic)
            else:
                np.testing.assert_array_equal(found, expected, f"{name} {statistic}")
        shares = record.histograms[name].values - alone().histograms[name].values
        # A value on an edge may be rounded over it.
        assert (np.abs(shares[steps]).sum(axis=2) <= 0.05).all(), name
    gradient, update = record.signal("gradient"), record.signal("update")
    weight = record.signal("weight").statistic("norm")
    rounding = 1e-6 * (weight + update.statistic("norm"))
    moved, expected = update.statistic("norm"), RATE * gradient.statistic("norm")
    assert (np.abs(moved - expected) <= rounding).all()
    assert (moved > 100 * rounding).mean() > 0.5


def _strategy(kind):
    if kind == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def main(kind, directory):
    """Trains bare and watched under a strategy."""
    strategy = _strategy(kind)
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True)
    ways = {"fit": train, "loop": train_by_hand}
    for way, run in ways.items() if kind == "mirrored" else [("fit", train)]:
        np.savez(directory / f"{way}_bare.npz", *run(None, strategy))
        monitor = monitor_in(directory / f"{way}_run")
        np.savez(directory / f"{way}_watched.npz", *run(monitor, strategy))


if __name__ == "__main__":
    main(*sys.argv[1:])
