"""What the tests of distribution train: here on one device, in a process on several.

Run as a program it makes the strategy (`mirrored`: two logical CPUs, `workers`: one of
the processes of `TF_CONFIG`), trains bare and watched, and saves the weights, how often
the step was traced, and what was recorded below a directory.
"""

import collections
import contextlib
import functools
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.capture.tapping import collector as collecting

# Sizes of the batches of each fit. Halves of 4 rows; then 4 and 1, or 1 and none.
FITS = ((8, 5), (8, 1))
RATE = 0.1
TOLERANCE = 1e-5
_RNG = np.random.default_rng(7)
# Five words and a class.
ROWS = np.concatenate(
    [_RNG.integers(0, 12, (13, 5)), _RNG.integers(0, 3, (13, 1))], axis=1
)


# How often the step was traced: the plain one, its twin.
traced: collections.Counter = collections.Counter()


class Model(keras.Model):
    """Trains as Keras's own, on inputs and targets in one array.

    With several workers, Keras 3.15 fails (watched or not) on data in a tuple, whose
    shapes it cannot tell, and on logs without an axis, which it reduces over axis 0.
    """

    def train_step(self, data):
        return {k: tf.reshape(v, [1]) for k, v in super().train_step(data).items()}

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        traced["plain" if collecting.active() is None else "twin"] += 1
        return super().compute_loss(x, x[:, 5], y_pred, sample_weight, training)


def build(scope=None):
    """A model with sparse gradients, dead units and moments easily got wrong."""
    keras.utils.clear_session(free_memory=False)
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


def training_that_noticed(directories, way="fit"):
    """Lists the weights that are not bit-equal to those of a bare training."""
    faults = []
    for directory in directories:
        with np.load(directory / f"{way}_bare.npz") as bare:
            with np.load(directory / f"{way}_watched.npz") as watched:
                assert len(bare.files) == len(watched.files) > 0
                faults += [
                    f"{directory.name}: weight {name} differs"
                    for name in bare.files
                    if not np.array_equal(bare[name], watched[name])
                ]
    return faults


def tracings(directories, way="fit"):
    """Lists where a step was traced more often than in a bare training."""
    faults = []
    for directory in directories:
        bare, watched = (
            collections.Counter(
                json.loads((directory / f"{way}_{name}.json").read_text())
            )
            for name in ("bare", "watched")
        )
        if watched["plain"] > bare["plain"] or watched["twin"] > bare["plain"]:
            faults.append(f"{directory.name}: bare {bare}, watched {watched}")
        faults += ["no twin ran"] * (not watched["twin"])
    return faults


def incompleteness(record):
    """Lists what does not show, or is not listed as, what it is on one device."""
    known = alone().metadata["untapped"]
    faults = [one for one in record.metadata["untapped"] if one not in known]
    return faults + [
        name
        for name in record.series.keys() | alone().series.keys()
        if (found := record.series.get(name)) is None
        or found.tensors != alone().series[name].tensors
        or found.steps.tolist() != [0, 1, 2, 3]
    ]


# Statistics without a unit that are no shares of something counted.
RELATIVE = ("effective_rank", "update_to_weight_ratio", "distance_from_initialization")


def untruth(record):
    """Compares a record with that of the same batches on one device.

    Every fit starts from the same weights, so the first of its two steps must agree in
    all, and the second in what the forward pass shows. How much an example counts in
    the loss of a batch that does not halve is for Keras to say: there, the gradient
    must be the one that the optimizer applied.

    Returns:
        What differs, and the worst error of each signal, in units of a tensor's rms.
    """
    faults, worst = [], {}
    for name, series in record.series.items():
        one = alone().series[name]
        forward = name in ("activation", "preactivation", "weight")
        steps = slice(None) if forward else slice(None, None, 2)
        size = one.statistic("rms")[steps]
        for statistic in series.statistics:
            found, expected = series.statistic(statistic), one.statistic(statistic)
            found, expected = found[steps], expected[steps]
            if schema.STATISTICS[statistic].unit == "signal":
                scale = np.abs(expected) + size
            elif statistic in RELATIVE:
                scale = np.abs(expected)
            else:
                scale = np.zeros_like(size)
            same = (found == expected) | (np.isnan(found) & np.isnan(expected))
            difference = np.zeros_like(found)
            np.subtract(found, expected, out=difference, where=~same)
            difference = np.abs(difference)
            if not (same | (difference <= TOLERANCE * scale)).all():
                faults.append(f"{name} {statistic}")
            errors = difference / np.where(scale > 0, scale, 1.0)
            worst[name] = max(float(errors.max()), worst.get(name, 0.0))
        shares = record.histograms[name].values - alone().histograms[name].values
        # A value on an edge may be rounded over it.
        if not (np.abs(shares[steps]).sum(axis=2) <= 0.05).all():
            faults.append(f"{name} histograms")
    return faults + _gradients_not_applied(record), worst


def _gradients_not_applied(record):
    gradient, update = record.signal("gradient"), record.signal("update")
    weight = record.signal("weight").statistic("norm")
    rounding = 1e-6 * (weight + update.statistic("norm"))
    moved, expected = update.statistic("norm"), RATE * gradient.statistic("norm")
    applied = (np.abs(moved - expected) <= rounding).all()
    seen = (moved > 100 * rounding).mean() > 0.5
    return ["the gradient is not the one that was applied"] * (not (applied and seen))


def row(name, record, promises, worst):
    """A row of the table of kinds, as text."""
    return json.dumps(
        {
            "name": name,
            "promises": {promise: not faults for promise, faults in promises.items()},
            "tensors": sum(len(series.tensors) for series in record.series.values()),
            "untapped": record.metadata["untapped"],
            "worst": worst,
            "again": "one device",
        },
        default=float,
    )


def assert_promises(name, directories, way, record_property):
    """Checks a training of `main`; `directories` are those of all its processes."""
    record = kik.RunRecord.load(directories[0] / f"{way}_run")
    wrong, worst = untruth(record)
    promises = {
        "bit-equal": training_that_noticed(directories, way),
        "traced": tracings(directories, way),
        "complete": incompleteness(record),
        "true": wrong,
    }
    record_property("kind", row(name, record, promises, worst))
    assert not any(promises.values()), promises


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
    for way, run in {"fit": train, "loop": train_by_hand}.items():
        monitor = monitor_in(directory / f"{way}_run")
        for name, watching in (("bare", None), ("watched", monitor)):
            traced.clear()
            np.savez(directory / f"{way}_{name}.npz", *run(watching, strategy))
            (directory / f"{way}_{name}.json").write_text(json.dumps(traced))


if __name__ == "__main__":
    main(*sys.argv[1:])
