"""What grows while a process trains for long, or many models."""

import contextlib
import ctypes
import gc
import resource
import subprocess
import sys
import tempfile
import threading
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


_MALLINFO = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _Allocated(ctypes.Structure):
    """What glibc's `mallinfo2` returns."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO)


def in_use():
    """Bytes that this process has asked for and not given back.

    What else `memory` counts is kept by the allocator for what comes next: it differs
    by some 10 MB from one moment to the next, and does not grow with the fits.
    """
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Allocated
    told = mallinfo()
    return told.uordblks + told.hblkhd


class Steps:
    """A run that steps are added to, without a training."""

    def __init__(self, log_dir):
        self.writer, self.record, self.done = RunWriter(log_dir), RunRecord(), 0

    def add(self, count):
        """Adds so many steps; returns the seconds of CPU that they took."""
        began = time.process_time()
        for step in range(self.done, self.done + count):
            written.add_step(self.writer, self.record, step)
        self.done += count
        return time.process_time() - began

    def close(self):
        self.writer.close()


X = np.random.default_rng(0).standard_normal((8000, 8)).astype(np.float32)


def small_model():
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.layers.Input((8,)), *layers])
    model.compile("sgd", "mse")
    return model


class Training(keras.callbacks.Callback):
    """A watched `fit` of a small model, in a thread that trains when it is told to."""

    def __init__(self, log_dir):
        super().__init__()
        self._left, self._ends = 0, False
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        monitor = kik.SignalMonitor(log_dir, every=1)
        self._thread = threading.Thread(target=self._fit, args=[monitor])
        self._thread.start()

    def add(self, count):
        """Trains so many steps; returns the seconds of CPU that they took."""
        self._left = count
        began = time.process_time()
        self._go.release()
        self._done.acquire()
        return time.process_time() - began

    def close(self):
        self._ends = True
        self._go.release()
        self._thread.join()

    def _fit(self, monitor):
        self._go.acquire()
        small_model().fit(
            X, X[:, 0], 8, epochs=10**6, verbose=0, callbacks=[monitor, self]
        )

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if not self._left:
            self._done.release()
            self._go.acquire()
        self.model.stop_training = self._ends


def slowness(run, begin, pairs=10):
    """Returns what the next steps of a run cost, over the second 1,000 of new ones.

    The steps are added in turn, ten and ten: what else runs on the machine slows both.

    Args:
        run: The run.
        begin: Function that begins a new one.
        pairs: How many new ones.
    """
    seconds = np.zeros(2)
    for _ in range(pairs):
        with contextlib.closing(begin()) as new:
            new.add(1000)
            for _ in range(100):
                seconds += run.add(10), new.add(10)
    return seconds[0] / seconds[1]


def long_run(begin):
    """What does not hold of 100,000 steps of a run, the last 10,000 beside new ones."""
    with contextlib.closing(begin()) as run:
        run.add(10_000)
        before = memory()
        run.add(80_000)
        grown = (memory() - before) / 1e6
        slower = slowness(run, begin)
    told = f"{grown:.1f} MB more, the last 1,000 × {slower:.3f}"
    print(told, file=sys.stderr)
    return "" if grown <= 20 and slower <= 1.05 else told


def beginning(kind, directory):
    """Returns a function that begins runs, each in a directory of its own."""
    return lambda: kind(tempfile.mkdtemp(dir=directory))


@fault(
    "100,000 steps",
    "memory grows by 20 MB at most after the first 10,000; 1,000 steps take at most "
    "5 % more CPU at the end than the second 1,000 of a run",
    full=1,
    short=0,
)
def long_runs(directory, count, rng):
    for _ in range(count):
        yield long_run(beginning(Steps, directory))


@fault("100,000 monitored steps of a `fit`", "as of 100,000 steps", full=1, short=0)
def long_fits(directory, count, rng):
    for _ in range(count):
        yield long_run(beginning(Training, directory))


def fit(watched):
    """Builds, compiles and trains a model, and lets go of it."""
    model = small_model()
    with tempfile.TemporaryDirectory() as log_dir:
        callbacks = [kik.SignalMonitor(log_dir, every=1)] if watched else []
        x = X[:64]
        model.fit(x, x[:, 0], 16, verbose=0, callbacks=callbacks)


def print_growth(watched, fits):
    """Prints what stays of so many fits, once the process is warm.

    Bytes in use; blocks of memory that Python's objects have, which lie apart from
    these; bytes of the whole process.
    """
    sizes = []
    for count in (20, fits):
        for _ in range(count):
            fit(watched)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        sizes.append((in_use(), sys.getallocatedblocks(), memory()))
    print(*(after - before for before, after in zip(*sizes, strict=True)))


def growth(watched, fits):
    """Returns what `print_growth` prints in a process of its own, of each fit."""
    code = f"from tests.faults import growth; growth.print_growth({watched}, {fits})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return np.array(done.stdout.split()[-3:], float) / fits


@fault(
    "60 fits of new models",
    "what stays of them, bytes in use and blocks of objects, is within 10 % of what "
    "bare fits leave",
    full=1,
    short=0,
)
def many_fits(directory, count, rng):
    for _ in range(count):
        bare, watched = growth(False, 60), growth(True, 60)
        told = (
            "{:.0f} bytes in use a fit for {:.0f}, {:.0f} blocks of objects for "
            "{:.0f}; the whole process {:.0f} bytes for {:.0f}"
        ).format(*np.stack([watched, bare], axis=1).ravel())
        print(told, file=sys.stderr)
        yield "" if (watched <= 1.1 * bare)[:2].all() else told
