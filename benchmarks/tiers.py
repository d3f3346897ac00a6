"""What each tier of detail costs, at every step: CPU, the first step, peak memory.

    python benchmarks/tiers.py [--models mnist_mlp,...] [--rounds 7]
                               [--beside keras,probe]
    python benchmarks/tiers.py --gpu          # wall time, for CPU time says nothing

CPU seconds of all threads, log and rules on. Ratios to the bare `fit` are taken turn by
turn, at one model, in one process: the median of the rounds, with the quartiles. What
the first step takes more (from the begin of `fit` to the end of the second step, which
a bare `fit` traces once more where the optimizer was given by name) and peak memory are
those of processes of their own, medians of three.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import overhead
import tensorflow as tf

import keras_initkit as kik

TIERS = ("norms", "full")
# Steps of a turn.
STEPS = {
    "mnist_mlp": 60,
    "cifar10_cnn": 12,
    "cifar10_resnet": 8,
    "imdb_lstm": 12,
    "transformer": 12,
    "mobilenet": 6,
}


def block(x, width):
    layers = keras.layers
    attended = layers.MultiHeadAttention(4, width // 4)(
        *[layers.LayerNormalization()(x)] * 2
    )
    x = x + attended
    hidden = layers.Dense(4 * width, "gelu")(layers.LayerNormalization()(x))
    return x + layers.Dense(width)(hidden)


def transformer(optimizer):
    inputs = keras.Input((64,), dtype="int32")
    x = keras.layers.Embedding(1000, 128)(inputs)
    for _ in range(4):
        x = block(x, 128)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def mobilenet(optimizer):
    model = keras.applications.MobileNetV3Small(
        (96, 96, 3), weights=None, classes=10, include_preprocessing=False
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def build(name, by_name=False):
    """Returns a compiled model; its optimizer an object or given by its name."""
    keras.utils.set_random_seed(0)
    optimizer = "adam" if by_name else keras.optimizers.Adam(1e-3)
    if name in ("transformer", "mobilenet"):
        return globals()[name](optimizer)
    model = overhead.build(name)
    model.compile(optimizer, model.loss)
    return model


def batches(name):
    rng = np.random.default_rng(0)
    if name == "transformer":
        x, y = rng.integers(1, 1000, (32, 64)), rng.integers(0, 2, 32)
    elif name == "mobilenet":
        x = rng.standard_normal((16, 96, 96, 3)).astype("float32")
        y = rng.integers(0, 10, 16)
    else:
        return overhead.batches(name)
    return tf.data.Dataset.from_tensors((x, y)).repeat().prefetch(2)


class Clock(keras.callbacks.Callback):
    """The seconds of an epoch's steps, and up to the end of the second.

    Args:
        seconds: What tells the time.
    """

    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds
        self.began = self.taken = self.two = 0.0

    def begin(self):
        self.began = self._seconds()
        return self

    def on_epoch_begin(self, epoch, logs=None):
        self._from = self._seconds()

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.two = self._seconds() - self.began

    def on_epoch_end(self, epoch, logs=None):
        self.taken = self._seconds() - self._from


def ways(directory, data, beside):
    made = {
        "bare": [],
        **{
            tier: [kik.SignalMonitor(f"{directory}/{tier}", 1, detail=tier)]
            for tier in TIERS
        },
        "keras": [
            keras.callbacks.TensorBoard(
                f"{directory}/keras", histogram_freq=1, update_freq=1
            )
        ],
        "probe": [],
    }
    if "probe" in beside:
        probe = overhead.Probe(f"{directory}/probe", 1, next(iter(data)))
        made["probe"] = [probe]
    return {way: made[way] for way in ("bare", *TIERS, *beside)}


def ratios(name, rounds, beside, seconds):
    """Returns `{way: ratios to the bare turn of the same round}`, bare in seconds."""
    directory = tempfile.mkdtemp(prefix="tiers-")
    data, model = batches(name), build(name)
    contestants, steps = ways(directory, data, beside), STEPS[name]
    found = {way: [] for way in contestants}
    for turn in range(rounds + 1):
        for way, callbacks in contestants.items():
            clock = Clock(seconds)
            model.fit(
                data,
                steps_per_epoch=steps if turn else 2,
                verbose=0,
                callbacks=[clock.begin(), *callbacks],
            )
            if turn:
                found[way].append(clock.taken)
    shutil.rmtree(directory)
    bare = np.array(found.pop("bare"))
    return {way: np.array(taken) / bare for way, taken in found.items()}, bare / steps


def alone(name, way, by_name):
    """Trains two steps and eighteen more: extra seconds, peak memory in MB."""
    directory = tempfile.mkdtemp(prefix="tiers-")
    data, model = batches(name), build(name, by_name)
    callbacks = ways(directory, data, ())[way]
    clock = Clock(time.process_time).begin()
    model.fit(data, steps_per_epoch=20, verbose=0, callbacks=[clock, *callbacks])
    shutil.rmtree(directory)
    return clock.two, overhead.peak_memory()


def each_alone(name, by_name, rounds=3):
    """Returns `{way: (seconds, MB)}`, medians of processes in turn."""
    found: dict = {}
    for _ in range(rounds):
        for way in ("bare", *TIERS):
            command = [sys.executable, __file__, "--alone", name, way, str(by_name)]
            told = subprocess.run(command, check=True, capture_output=True, text=True)
            taken = [float(one) for one in told.stdout.split()[-2:]]
            found.setdefault(way, []).append(taken)
    return {way: np.median(figures, axis=0) for way, figures in found.items()}


def show(name, rounds, beside, seconds):
    found, bare = ratios(name, rounds, beside, seconds)
    print(f"{name}: bare {1e3 * np.median(bare):.1f} ms a step", flush=True)
    for way, values in found.items():
        print(f"    {way:6} {overhead.spread(values)}", flush=True)
    for by_name in (False, True):
        taken = each_alone(name, by_name)
        first, memory = taken.pop("bare")
        given = "its name" if by_name else "an object"
        print(
            f"    optimizer by {given}: bare {first:.2f} s, {memory:.0f} MB; "
            + "; ".join(
                f"{way} {more - first:+.2f} s, {peak / memory:.3f}"
                for way, (more, peak) in taken.items()
            ),
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(STEPS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--beside", default="keras")
    parser.add_argument("--gpu", action="store_true", help="wall time, on a GPU")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        name, way, by_name = given.alone
        print(*alone(name, way, by_name == "True"))
        return
    gpus = tf.config.list_physical_devices("GPU")
    if given.gpu and not gpus:
        parser.error("`--gpu` needs a GPU, and TensorFlow sees none")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {len(gpus)} GPUs, Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, Keras "
        f"{keras.__version__}, {time.strftime('%Y-%m-%d')}",
        flush=True,
    )
    seconds = time.perf_counter if given.gpu else time.process_time
    beside = [way for way in given.beside.split(",") if way]
    for name in given.models.split(","):
        show(name, given.rounds, beside, seconds)


if __name__ == "__main__":
    main()
