"""Kills, damage, full disks, several writers: faults of a log that is written."""

import atexit
import contextlib
import json
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.callbacks import resume
from keras_initkit.recording import RunRecord, RunWriter
from tests.faults import damage, written
from tests.faults.registry import fault

# What a killed process may lose: the steps of so many seconds, or so many.
SECONDS, FEW = 1.0, 8


class Shared:
    """Numbers that a forked process leaves behind, whatever ends it."""

    def __init__(self, size=1 << 20):
        self._memory = mmap.mmap(-1, size)

    def put(self, number, value):
        struct.pack_into("<d", self._memory, 8 * number, value)

    def get(self, number):
        return struct.unpack_from("<d", self._memory, 8 * number)[0]

    def wait(self):
        """Waits for the first number to be put."""
        until = time.monotonic() + 60
        while not self.get(0) and time.monotonic() < until:
            time.sleep(0.001)


def forked(function, *args):
    """Runs a function in a forked process; returns its id."""
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        atexit._clear()  # what this process is to do at its end
        warnings.simplefilter("ignore")
        function(*args)
        atexit._run_exitfuncs()
    os._exit(0)


def write_on(log_dir, shared, pause):
    """Writes steps until something ends it; notes how many, and when."""
    writer, record = RunWriter(log_dir), RunRecord()
    for step in range(100_000):
        written.add_step(writer, record, step)
        shared.put(step + 1, time.time())
        shared.put(0, step + 1)
        time.sleep(pause)


def lost_by(log_dir, shared, ended):
    """What a process that was killed has lost beyond what it may."""
    done = int(shared.get(0))
    try:
        loaded = RunRecord.load(log_dir, thin=False)
    except FileNotFoundError:
        return "" if done <= FEW else "no log"
    series = loaded.signal("weight")
    kept = 0 if series is None else len(series)
    if series is not None and series.steps.tolist() != [*range(kept)]:
        return "gaps"
    if not loaded.missing:
        return "a killed process is not told"
    lost = done - kept
    if lost > FEW and ended - shared.get(kept + 1) > SECONDS:
        return f"{lost} steps of {ended - shared.get(kept + 1):.2f} s lost"
    return ""


@fault(
    "kill -9 of a process that writes",
    "its log is readable; at most the last second or 8 steps are lost, and told",
    full=150,
    short=4,
)
def kills(directory, count, rng):
    for number in range(count):
        shared, log_dir = Shared(), directory / str(number)
        pause = float(rng.choice([0.0, 0.002, 0.02, 0.1]))
        child = forked(write_on, log_dir, shared, pause)
        shared.wait()
        time.sleep(float(rng.uniform(0.05, 2.0)))
        ended = time.time()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        yield lost_by(log_dir, shared, ended)


@fault("SIGTERM", "as a kill", full=20, short=1)
def terminations(directory, count, rng):
    for number in range(count):
        shared, log_dir = Shared(), directory / str(number)
        child = forked(write_on, log_dir, shared, 0.005)
        shared.wait()
        time.sleep(float(rng.uniform(0, 1.5)))
        ended = time.time()
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        yield lost_by(log_dir, shared, ended)


def interrupted(log_dir, shared):
    # A program that was started in the background would not hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        write_on(log_dir, shared, 0.005)


@fault("SIGINT (Ctrl-C)", "nothing is lost, the log is closed", full=20, short=1)
def interruptions(directory, count, rng):
    for number in range(count):
        shared, log_dir = Shared(), directory / str(number)
        child = forked(interrupted, log_dir, shared)
        shared.wait()
        time.sleep(float(rng.uniform(0, 1.5)))
        os.kill(child, signal.SIGINT)
        os.waitpid(child, 0)
        loaded = RunRecord.load(log_dir, thin=False)
        lost = int(shared.get(0)) - len(loaded.signal("weight"))
        said = "; ".join(map(str, loaded.missing))
        yield said or (f"{lost} steps lost" if lost > 0 else "")


FITTED = """
    import json, os, sys, time
    import keras, numpy as np
    import keras_initkit as kik

    class Noting(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            print(json.dumps([batch, time.time()]), flush=True)

    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(4)])
    model.compile("sgd", "mse")
    x = np.ones((80_000, 8), "float32")
    monitor = kik.SignalMonitor(sys.argv[1], every=1)
    model.fit(x, x[:, :4], 8, verbose=0, callbacks=[monitor, Noting()])
"""


@fault("kill -9 of a `fit`", "as of any process that writes; every=1", full=10, short=0)
def kills_of_fits(directory, count, rng):
    command = [sys.executable, "-c", textwrap.dedent(FITTED)]
    for number in range(count):
        log_dir, shared = directory / str(number), Shared()
        with subprocess.Popen(
            [*command, str(log_dir)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            lines = [process.stdout.readline()]
            timer = threading.Timer(float(rng.uniform(0.5, 4)), process.kill)
            timer.start()
            lines += [*process.stdout]
            process.wait()
        ended = time.time()
        for line in lines:
            with contextlib.suppress(ValueError):
                step, then = json.loads(line)
                shared.put(step + 1, then)
                shared.put(0, step + 1)
        yield lost_by(log_dir, shared, min(ended, shared.get(int(shared.get(0))) + 0.5))


def arrays_of(epoch):
    return [np.full(20_000, epoch), np.full((300, 30), epoch, np.float32)]


def save_on(point, shared):
    for epoch in range(1, 100_000):
        state = damage.state_of(epoch, arrays_of(epoch))
        resume._replace(point.path, point._previous, state)
        shared.put(0, epoch)


@fault(
    "kill -9 while `ResumePoint` saves",
    "its file is whole and of the last epoch that was saved, or the one at hand",
    full=100,
    short=5,
)
def kills_of_saves(directory, count, rng):
    for number in range(count):
        shared = Shared()
        point = kik.ResumePoint(directory / str(number) / "resume.npz")
        child = forked(save_on, point, shared)
        shared.wait()
        time.sleep(float(rng.uniform(0.02, 0.2)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done, (_, state) = int(shared.get(0)), point._newest()
        epoch = 0 if state is None else state.epoch
        values = [] if state is None else state.listed("variable")
        same = all(map(np.array_equal, values, arrays_of(epoch)))
        yield "" if same and epoch in (done, done + 1) else f"{epoch} after {done}"


def damages(reader):
    if reader == RUST:
        return damage.trials_in_rust

    def trials(directory, count, rng):
        return damage.trials(reader, directory, count, rng)

    return trials


RUST = "the tab, by TensorBoard's Rust reader"

for _reader, _short in (
    ("RunRecord.load", 60),
    ("the tab", 40),
    (RUST, 40),
    ("RunRecord.from_json", 60),
    ("ResumePoint", 60),
    ("data.load", 60),
):
    fault(
        f"a file that is cut, flipped or zeroed: {_reader}",
        "what was written, or less and a word, or one error that names the file",
        full=10_000,
        short=_short,
    )(damages(_reader))


X = np.random.default_rng(0).standard_normal((160, 3)).astype(np.float32)


def trained(*callbacks):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0], 8, verbose=0, shuffle=False, callbacks=callbacks)
    return model.get_weights()


@contextlib.contextmanager
def files_up_to(size):
    """No file may grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_files():
    return len(os.listdir("/proc/self/fd"))


@fault(
    "a disk that is full",
    "the training is the same to the bit, one warning, and all is closed",
    full=30,
    short=1,
)
def full_disks(directory, count, rng):
    bare = trained()
    for number in range(count):
        with files_up_to(int(rng.integers(1, 60_000))):
            yield train_on_full(directory / str(number), bare)[0]


def train_on_full(log_dir, bare):
    """Trains where a log has no room; returns what did not hold, and the record."""
    before = open_files()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor = kik.SignalMonitor(log_dir, every=1)
        watched = trained(monitor)
    told = [one for one in caught if "cannot write" in str(one.message)]
    broken = ""
    if not all(map(np.array_equal, bare, watched)):
        broken = "another training"
    elif len(told) != 1 or len(monitor.record.signal("weight")) != 20:
        broken = f"{len(told)} warnings, {monitor.record}"
    elif open_files() != before:
        broken = f"{open_files() - before} files left open"
    return broken, monitor.record


@fault(
    "a directory that vanishes in mid-run",
    "one warning; it is created again, and holds all that was not yet written",
    full=30,
    short=2,
)
def vanished(directory, count, rng):
    for number in range(count):
        log_dir = directory / str(number)

        def vanish(log_dir=log_dir):
            shutil.rmtree(log_dir)

        yield lost_by_vanishing(log_dir, vanish, int(rng.integers(1, 100)))


def lost_by_vanishing(log_dir, vanish, at):
    """What does not hold where a log's directory vanishes ahead of a step."""
    writer, record = RunWriter(log_dir), RunRecord()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(120):
            if step == at:
                vanish()
            written.add_step(writer, record, step)
        writer.close()
    loaded = RunRecord.load(log_dir)
    steps = loaded.signal("weight").steps.tolist()
    if len(caught) != 1 or loaded.missing:
        return f"{len(caught)} warnings; {loaded.missing}"
    return "" if steps == [*range(steps[0], 120)] and steps[0] <= at else "lost"


def write_steps(log_dir):
    written.write(log_dir, range(20))


def other_than_whole(log_dir, count):
    """What does not hold of a directory with so many runs of 20 steps."""
    runs = RunRecord.runs(log_dir)
    loaded = [RunRecord.load(log_dir, run=one) for one in runs]
    lost = [one for one in loaded if one.missing or len(one.signal("weight")) != 20]
    whole = len(runs) == count and not lost
    return "" if whole else f"{len(runs)} runs, {len(lost)} lost"


@fault(
    "eight processes that write to one directory",
    "eight runs, each whole",
    full=20,
    short=1,
)
def crowds(directory, count, rng):
    for number in range(count):
        log_dir = directory / str(number)
        children = [forked(write_steps, log_dir) for _ in range(8)]
        for child in children:
            os.waitpid(child, 0)
        yield other_than_whole(log_dir, 8)


@fault("fits in four threads, one directory", "four runs, each whole", full=20, short=1)
def threads(directory, count, rng):
    for number in range(count):
        log_dir = directory / str(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            each = [
                threading.Thread(target=write_steps, args=(log_dir,)) for _ in range(4)
            ]
            for one in each:
                one.start()
            for one in each:
                one.join()
        yield other_than_whole(log_dir, 4)


@fault(
    "a process that is forked off in mid-run",
    "the log is the first one's",
    full=20,
    short=2,
)
def forks(directory, count, rng):
    for number in range(count):
        log_dir = directory / str(number)
        writer, record = RunWriter(log_dir), RunRecord()
        at = int(rng.integers(60))
        for step in range(60):
            written.add_step(writer, record, step)
            if step == at:
                os.waitpid(forked(writer.close), 0)
        writer.close()
        loaded = RunRecord.load(log_dir)
        yield "" if not loaded.missing and loaded.diff(record).equal else "another log"


def fit_with(monitor):
    warnings.simplefilter("ignore")
    trained(monitor)


@fault(
    "fits of one monitor in spawned processes",
    "a run of each, whole",
    full=10,
    short=1,
)
def spawns(directory, count, rng):
    spawning = multiprocessing.get_context("spawn")
    for number in range(count):
        log_dir, each = directory / str(number), 2
        monitor = kik.SignalMonitor(log_dir, every=1)
        with spawning.Pool(each) as pool:
            pool.map(fit_with, [monitor] * each, chunksize=1)
        yield other_than_whole(log_dir, each)


@fault(
    "a clock that goes back between runs",
    "the newest run is the newest",
    full=20,
    short=2,
)
def clocks(directory, count, rng):
    real = time.time
    for number in range(count):
        log_dir = directory / str(number)
        try:
            for length in (9, 5, 3):
                shift = float(rng.uniform(-1e6, 1e6))
                time.time = lambda shift=shift: real() + shift
                written.write(log_dir, range(length))
        finally:
            time.time = real
        lengths = [
            len(RunRecord.load(log_dir, run=one).signal("weight"))
            for one in RunRecord.runs(log_dir)
        ]
        newest = len(RunRecord.load(log_dir).signal("weight"))
        yield "" if (lengths, newest) == ([9, 5, 3], 3) else f"{lengths}, {newest}"
