"""What grows while a process trains for long, or many models."""

import ctypes
import gc
import resource
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.recording import RunRecord, RunWriter
from tests.faults import written
from tests.faults.registry import fault


def memory():
    """Bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Steps:
    """A run that steps are added to."""

    def __init__(self, log_dir):
        self.writer, self.record, self.done = RunWriter(log_dir), RunRecord(), 0

    def add(self, count):
        """Adds so many steps; returns the seconds of CPU that they took."""
        began = time.process_time()
        for step in range(self.done, self.done + count):
            written.add_step(self.writer, self.record, step)
        self.done += count
        return time.process_time() - began


def slowness(run, directory):
    """Returns what the next steps of a run cost, over the second 1,000 of new ones.

    The steps are added in turn, ten and ten: what else runs on the machine slows both.
    """
    seconds = np.zeros(2)
    for number in range(10):
        new = Steps(directory / f"new_{number}")
        new.add(1000)
        for _ in range(100):
            seconds += run.add(10), new.add(10)
        new.writer.close()
    return seconds[0] / seconds[1]


@fault(
    "100,000 steps",
    "memory grows by 20 MB at most after the first 10,000; 1,000 steps take at most "
    "5 % more CPU at the end than the second 1,000 of a run",
    full=1,
    short=0,
)
def long_runs(directory, count, rng):
    for number in range(count):
        run = Steps(directory / str(number))
        run.add(10_000)
        before = memory()
        run.add(80_000)
        slower = slowness(run, directory)
        grown = (memory() - before) / 1e6
        run.writer.close()
        held = grown <= 20 and slower <= 1.05
        yield "" if held else f"{grown:.1f} MB more, the last 1,000 × {slower:.2f}"


X = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)


def fit(watched):
    """Builds, compiles and trains a model, and lets go of it."""
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.layers.Input((8,)), *layers])
    model.compile("sgd", "mse")
    with tempfile.TemporaryDirectory() as log_dir:
        callbacks = [kik.SignalMonitor(log_dir, every=1)] if watched else []
        model.fit(X, X[:, 0], 16, verbose=0, callbacks=callbacks)


def print_growth(watched, fits):
    """Prints by how many bytes a process grows over so many fits, once it is warm."""
    sizes = []
    for count in (20, fits):
        for _ in range(count):
            fit(watched)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        sizes.append(memory())
    print(sizes[1] - sizes[0])


def growth(watched, fits):
    """Returns what `print_growth` prints in a process of its own."""
    code = f"from tests.faults import growth; growth.print_growth({watched}, {fits})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return int(done.stdout.split()[-1])


@fault(
    "60 fits of new models",
    "what stays of them is within 10 % of what bare fits leave",
    full=1,
    short=0,
)
def many_fits(directory, count, rng):
    for _ in range(count):
        bare, watched = growth(False, 60), growth(True, 60)
        told = f"{watched / 60e6:.2f} MB a fit for {bare / 60e6:.2f}"
        yield "" if watched <= 1.1 * bare else told
