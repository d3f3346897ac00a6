"""What monitoring costs, beside a bare `fit` and what people write by hand.

    python benchmarks/overhead.py [--models mnist_mlp,...] [--every 1,16] [--rounds 5]
                                  [--beside keras,probe]
    python benchmarks/overhead.py --scaling       # against depth and width
    python benchmarks/overhead.py --alone         # peak memory and the first step
    python benchmarks/overhead.py --signals       # each signal alone, every step

All ways take turns at one model, in one process, so that a busy machine slows all of
them alike; a figure is the median over the rounds of the ratio to the bare `fit` of the
same round, with the quartiles behind it. What a `fit` does once, in the steps up to its
second monitored one (it opens files, describes the run, asks the rules for the first
time), is told apart. The ways:

- ours: `SignalMonitor`, all signals, histograms as by default, written to disk;
- keras: `keras.callbacks.TensorBoard(histogram_freq=1, update_freq=every)`, which sees
  weights only, once an epoch;
- probe: by hand, a second forward and backward pass under a `GradientTape` and a model
  of all activations on the same batch, mean, standard deviation and histogram of each
  tensor by `tf.summary`.
"""

import argparse
import collections
import contextlib
import functools
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.callbacks import monitor as monitoring
from keras_initkit.callbacks import writing
from keras_initkit.capture import session
from keras_initkit.capture.twin import twins

BATCH = 128
MODELS = ("mnist_mlp", "cifar10_cnn", "cifar10_resnet", "imdb_lstm")
# Steps of one turn at least, and monitored ones among them.
STEPS = {"mnist_mlp": 60, "cifar10_cnn": 16, "cifar10_resnet": 16, "imdb_lstm": 16}
MONITORED = {"mnist_mlp": 30, "cifar10_cnn": 2, "cifar10_resnet": 2, "imdb_lstm": 2}


def batches(name):
    """One batch, again and again, as a data set: what it holds costs nothing."""
    rng = np.random.default_rng(0)
    if name.startswith("imdb"):
        x = rng.integers(1, 9000, (BATCH, 200)).astype("int32")
        y = rng.integers(0, 2, BATCH)
    else:
        shape = (28, 28, 1) if name.startswith("mnist") else (32, 32, 3)
        x = rng.standard_normal((BATCH, *shape)).astype("float32")
        y = rng.integers(0, 10, BATCH)
    return tf.data.Dataset.from_tensors((x, y)).repeat().prefetch(2)


def build(name):
    return kik.models.build(name, initializer="he_normal", seed=1)


class Probe(keras.callbacks.Callback):
    """What people write today where they want gradients and activations logged."""

    def __init__(self, log_dir, every, batch):
        super().__init__()
        self.every = every
        self.x, self.y = batch
        self.writer = tf.summary.create_file_writer(str(log_dir))
        self.steps = 0

    def on_train_begin(self, logs=None):
        layers = [
            layer
            for layer in self.model.layers
            if keras.backend.is_float_dtype(layer.output.dtype)
        ]
        outputs = [one.output for one in layers]
        names = [one.name for one in layers]
        model = keras.Model(self.model.inputs, [*outputs, self.model.output])

        @tf.function
        def look(x, y):
            with tf.GradientTape() as tape:
                *activations, prediction = model(x, training=True)
                loss = self.model.compute_loss(x=x, y=y, y_pred=prediction)
            weights = [v.value for v in self.model.trainable_variables]
            return activations, tape.gradient(loss, weights)

        self.look, self.names = look, names

    def on_train_batch_end(self, batch, logs=None):
        if self.steps % self.every == 0:
            activations, gradients = self.look(self.x, self.y)
            paths = [v.path for v in self.model.trainable_variables]
            with self.writer.as_default(step=self.steps):
                for name, tensor in zip(
                    [*self.names, *paths], [*activations, *gradients], strict=True
                ):
                    tensor = tf.convert_to_tensor(tensor)
                    tf.summary.scalar(f"{name}/mean", tf.reduce_mean(tensor))
                    tf.summary.scalar(f"{name}/std", tf.math.reduce_std(tensor))
                    tf.summary.histogram(name, tensor)
        self.steps += 1


class Stopwatch:
    """Two callbacks, ahead of all others and behind: the time of an epoch's steps.

    Args:
        begins: How many steps of a `fit` are timed apart, as `first`: what it does once
            is not the cost of a step.
    """

    def __init__(self, begins=0):
        self.seconds = self.first = 0.0
        self._begins = begins
        start = keras.callbacks.Callback()
        stop = keras.callbacks.Callback()
        start.on_epoch_begin = self._start
        start.on_train_batch_begin = self._step
        stop.on_epoch_end = self._stop
        self.around = lambda callbacks: [start, *callbacks, stop]

    def _start(self, epoch, logs=None):
        self._from = time.perf_counter()

    def _step(self, batch, logs=None):
        if batch == self._begins and batch:
            now = time.perf_counter()
            self._from, self.first = now, now - self._from

    def _stop(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self._from


class Way:
    """A model that is trained with the callbacks of one way, a turn at a time."""

    def __init__(self, model, make_callbacks, data):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="overhead-"))
        self.model = model
        self.callbacks = make_callbacks(self.directory)
        self.data = data
        self.first = self.turn(1)
        self.begun = 0.0

    def turn(self, steps, begins=0):
        """Returns the seconds of so many steps, behind those with which it begins."""
        watch = Stopwatch(begins)
        self.model.fit(
            self.data,
            steps_per_epoch=begins + steps,
            verbose=0,
            callbacks=watch.around(self.callbacks),
        )
        self.begun = watch.first
        return watch.seconds

    def written(self):
        files = (f for f in self.directory.rglob("*") if f.is_file())
        return sum(file.stat().st_size for file in files)

    def close(self):
        shutil.rmtree(self.directory)


def ways(every, data):
    batch = next(iter(data))
    return {
        "bare": lambda directory: [],
        "ours": lambda directory: [kik.SignalMonitor(directory, every=every)],
        "keras": lambda directory: [
            keras.callbacks.TensorBoard(
                str(directory), histogram_freq=1, update_freq=every
            )
        ],
        "probe": lambda directory: [Probe(directory, every, batch)],
    }


def spread(values):
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:7.3f} ({low:.3f} to {high:.3f})"


# The methods in which a monitored step passes, `{name: (class, method name)}`.
PHASES = {
    "monitored": (session.Session, "run"),
    "host": (twins.Twins, "read"),
    "receive": (monitoring.SignalMonitor, "_receive"),
    "write": (writing.GuardedLog, "_write"),
}


@contextlib.contextmanager
def clocked(**methods):
    """Sums up the seconds inside methods, `{name: (class, method name)}`."""
    seconds = collections.Counter()
    originals = {}
    for name, (owner, method) in methods.items():
        originals[name] = original = getattr(owner, method)

        @functools.wraps(original)
        def timed(*args, _original=original, _name=name, **kwargs):
            start = time.perf_counter()
            try:
                return _original(*args, **kwargs)
            finally:
                seconds[_name] += time.perf_counter() - start

        setattr(owner, method, timed)
    try:
        yield seconds
    finally:
        for name, (owner, method) in methods.items():
            setattr(owner, method, originals[name])


def compare(name, every, rounds, beside):
    """Prints one line of the table: a model at one cadence, and other ways beside."""
    data = batches(name)
    steps = max(-(-STEPS[name] // every), MONITORED[name]) * every
    all_ways = ways(every, data)
    # One model for all: of two that are alike, one is up to a tenth faster.
    model = build(name)
    contestants = {
        way: Way(model, all_ways[way], data) for way in ("bare", "ours", *beside)
    }
    for contestant in contestants.values():
        contestant.turn(2 * every)
    before = contestants["ours"].written()
    seconds, begun = ({way: [] for way in contestants} for _ in range(2))
    with clocked(**PHASES) as clock:
        for _ in range(rounds):
            for way, contestant in contestants.items():
                seconds[way].append(contestant.turn(steps, every + 1))
                begun[way].append(contestant.begun)
    bare = np.array(seconds["bare"])
    monitored = rounds * (steps / every + 2)
    step = 1e3 * np.median(bare) / steps
    others = [way for way in contestants if way != "bare"]
    cells = [spread(np.array(seconds[way]) / bare) for way in others]
    extra = {way: np.median(np.array(seconds[way]) - bare) for way in others}
    print(f"{name:15}{every:5}{step:9.2f} " + "  ".join(cells), flush=True)
    once = np.median(np.subtract(begun["ours"], begun["bare"]))
    once -= extra["ours"] * 2 * every / steps
    phases = {key: 1e3 * value / monitored for key, value in clock.items()}
    device = phases["monitored"] - phases["host"] - phases["receive"]
    written = (contestants["ours"].written() - before) / monitored / 1024
    print(
        f"{'':20} a monitored step: {device:.2f} ms in TensorFlow, finishing "
        f"{phases['host']:.2f}, keeping {phases['receive'] - phases['write']:.2f}, "
        f"writing {phases['write']:.2f}; {written:.1f} kB; once a fit, about "
        f"{1e3 * once:.0f} ms{_times_as_dear(extra)}",
        flush=True,
    )
    for contestant in contestants.values():
        contestant.close()


def _times_as_dear(extra):
    if "probe" not in extra or extra["ours"] <= 0:
        return ""
    return f"; the probe {extra['probe'] / extra['ours']:.1f} times as dear"


def each_signal(name, rounds):
    """Prints what each signal alone costs where every step is monitored."""
    data = batches(name)
    sets = {signal: (signal,) for signal in schema.SIGNALS}
    sets["all"] = sets["all, histograms"] = tuple(schema.SIGNALS)
    contestants = {"bare": Way(build(name), lambda directory: [], data)}
    for label, signals in sets.items():
        counts = "histograms" in label
        # A model each: one that is watched in other ways in turn is traced each time.
        contestants[label] = Way(
            build(name),
            lambda directory, signals=signals, counts=counts: [
                kik.SignalMonitor(
                    None, 1, signals=signals, histograms=counts, rules=None
                )
            ],
            data,
        )
    for contestant in contestants.values():
        contestant.turn(2)
    steps = STEPS[name]
    wall, cpu = ({way: [] for way in contestants} for _ in range(2))
    for _ in range(rounds):
        for way, contestant in contestants.items():
            started = time.process_time()
            wall[way].append(contestant.turn(steps) * 1e3 / steps)
            cpu[way].append((time.process_time() - started) * 1e3 / steps)
    for way, contestant in contestants.items():
        ratio = spread(np.array(wall[way]) / wall["bare"])
        extra = np.median(np.subtract(cpu[way], cpu["bare"]))
        print(f"{name:15} {way:16} {ratio}  {extra:+8.2f} ms of CPU a step", flush=True)
        contestant.close()


def alone(name, way):
    """Trains 20 steps: peak memory in MB, and the seconds of the first step."""
    data = batches(name)
    contestant = Way(build(name), ways(1, data)[way], data)
    contestant.turn(20)
    return peak_memory(), contestant.first


def peak_memory():
    """Returns the most memory that this process has held, in MB.

    What `resource` tells of a new process begins with that of the one it came from.
    """
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status does not tell VmHWM: this is no Linux")


def each_alone(name, rounds):
    """Prints what ways take in processes of their own, medians of so many each."""
    found = {}
    for way in ("bare", "ours") * rounds:
        command = [sys.executable, __file__, "--way", name, way]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        found.setdefault(way, []).append([float(x) for x in told.stdout.split()[-2:]])
    for way, figures in found.items():
        peak, first = np.median(figures, axis=0)
        of_peak, of_first = (peak, first) / np.median(found["bare"], axis=0)
        print(
            f"{name:15} {way}: peak {peak:.0f} MB ({of_peak:.3f}), first step "
            f"{first:.2f} s ({of_first:.2f})",
            flush=True,
        )


def plain(depth, width):
    # Keras walks a functional model by recursion.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 50 * depth))
    inputs = keras.Input((width,))
    x = inputs
    for _ in range(depth):
        x = keras.layers.Dense(width, "relu", kernel_initializer="he_normal")(x)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    return model


def scaling(rounds):
    """Prints what every monitored step and the first one cost more, by size."""
    print(f"{'depth':>7}{'width':>7}  extra ms a step    ...a layer  extra s at first")
    for depth, width in (
        *((depth, 16) for depth in (10, 100, 1000)),
        *((4, width) for width in (64, 512, 4096)),
    ):
        x = np.random.default_rng(0).standard_normal((BATCH, width)).astype("float32")
        y = np.zeros((BATCH, 1), "float32")
        data = tf.data.Dataset.from_tensors((x, y)).repeat()
        models = {"bare": plain(depth, width), "ours": plain(depth, width)}
        callbacks = {"bare": [], "ours": [kik.SignalMonitor(None, every=1, rules=None)]}
        first, seconds = {}, {"bare": [], "ours": []}
        steps = 10
        for turn in range(rounds + 1):
            for way, model in models.items():
                watch = Stopwatch()
                around = watch.around(callbacks[way])
                model.fit(
                    data,
                    steps_per_epoch=steps if turn else 1,
                    verbose=0,
                    callbacks=around,
                )
                if turn:
                    seconds[way].append(watch.seconds)
                else:
                    first[way] = watch.seconds
        extra = np.median(np.subtract(seconds["ours"], seconds["bare"])) / steps * 1e3
        print(
            f"{depth:7}{width:7}{extra:17.2f}{extra / (depth + 1):14.3f}"
            f"{first['ours'] - first['bare']:18.2f} (bare {first['bare']:.2f})",
            flush=True,
        )
        keras.utils.clear_session()


def _several(check):
    """Returns a type of an option: a list of values, with commas between them."""

    def parse(text):
        return [check(one) for one in text.split(",") if one]

    return parse


def _one_of(*names):
    def check(name):
        if name not in names:
            raise argparse.ArgumentTypeError(
                f"{name!r} is none of {', '.join(names)} (several: commas between them)"
            )
        return name

    return check


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=_several(_one_of(*MODELS)), default=MODELS)
    parser.add_argument("--every", type=_several(_positive), default="1,10,16,100")
    parser.add_argument("--rounds", type=_positive, default=5)
    parser.add_argument(
        "--beside", type=_several(_one_of("keras", "probe")), default="keras,probe"
    )
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--signals", action="store_true")
    parser.add_argument("--way", nargs=2, metavar=("MODEL", "WAY"))
    arguments = parser.parse_args()
    if arguments.way:
        print(*alone(*arguments.way))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, Keras "
        f"{keras.__version__}, {time.strftime('%Y-%m-%d')}, batches of {BATCH}",
        flush=True,
    )
    if arguments.scaling:
        scaling(arguments.rounds)
    elif arguments.signals:
        for name in arguments.models:
            each_signal(name, arguments.rounds)
    elif arguments.alone:
        for name in arguments.models:
            each_alone(name, arguments.rounds)
    else:
        beside = arguments.beside
        heads = "".join(f"{way + ' / bare':26}" for way in ("ours", *beside))
        print(f"{'model':15}every  ms/step    {heads.rstrip()}")
        for name in arguments.models:
            for every in arguments.every:
                compare(name, every, arguments.rounds, beside)


if __name__ == "__main__":
    main()
