"""What the rate that `kik.learning_rate_trial` proposes loses against a full sweep.

    python -m benchmarks.learning_rate_trial [--half tuned] [--only NAME]

Each set-up is trained from the same weights at thirteen rates, two a decade from 1e-5
to 10, on the same batches; what counts is the accuracy on a thousand other examples (of
numbers: the share of the variance that is explained), at the rate that is proposed
against the best of the thirteen. Of models that cannot learn as they are, no rate is to
be proposed. Sweeps are kept in a folder and go on where they were stopped; a trial
takes a second and is made anew.

The set-ups were shared out before any constant of the trial was tuned: to tune on, and
held back. The figures that count are those of the latter.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_initkit as kik
from benchmarks.faults import models, tasks
from benchmarks.faults.settings import HALVES, Setting
from keras_initkit.experiments.batches import ShuffledBatches

TUNED, HELD_BACK = HALVES
RATES = tuple(10 ** (-5 + n / 2) for n in range(13))
TEST = 1000  # examples, or a fifth of a small set
TARGET = 0.02  # what a proposal may lose

SGD = {"optimizer": "sgd", "rate": 1e-2}
MOMENTUM = {**SGD, "options": {"momentum": 0.9}}
GLOROT = {"kernel": "glorot_uniform"}
LARGE = {"class_name": "RandomNormal", "config": {"stddev": 1.0}}
SMALL_CNN = {"model": "cnn", "depth": 2, "width": 8}
SMALL_RESNET = {"model": "resnet", "depth": 2, "width": 8, "normalized": True}
SMALL_RNN = {"model": "rnn", "depth": 1, "width": 32}
SMALL_ATTENTION = {
    "model": "attention",
    "depth": 2,
    "width": 32,
    "normalized": True,
    **GLOROT,
}

HEALTHY = {
    TUNED: {
        "mlp-mnist-adam": Setting("mnist"),
        "mlp-digits-sgd": Setting("digits", **SGD),
        "mlp-waves-sgd": Setting("waves", **SGD),
        "mlp-clusters-tanh-momentum": Setting(
            "clusters", activation="tanh", **GLOROT, **MOMENTUM
        ),
        "mlp-mnist-depth-10-adam": Setting("mnist", depth=10),
        "mlp-tumours-adam": Setting("tumours"),
        "cnn-gratings-adam": Setting("gratings", **SMALL_CNN),
        "cnn-mnist-momentum": Setting("mnist", **SMALL_CNN, **MOMENTUM),
        "resnet-gratings-sgd": Setting("gratings", **SMALL_RESNET, **SGD),
        "gru-tones-adam": Setting("tones", cell="GRU", **SMALL_RNN),
        "attention-majority-adam": Setting("majority", **SMALL_ATTENTION),
    },
    HELD_BACK: {
        "mlp-mnist-sgd": Setting("mnist", **SGD),
        "mlp-mnist-tanh-depth-8-momentum": Setting(
            "mnist", depth=8, activation="tanh", **GLOROT, **MOMENTUM
        ),
        "mlp-digits-adam": Setting("digits"),
        "mlp-digits-dropout-adam": Setting("digits", dropout=0.3),
        "mlp-rings-adam": Setting("rings"),
        "mlp-rings-sgd": Setting("rings", **SGD),
        "mlp-friedman-adam": Setting("friedman"),
        "mlp-friedman-momentum": Setting("friedman", **MOMENTUM),
        "mlp-spirals-adam": Setting("spirals"),
        "mlp-wines-sgd": Setting("wines", steps=100, **SGD),
        "mlp-clusters-selu-adam": Setting(
            "clusters", activation="selu", kernel="lecun_normal"
        ),
        "mlp-mnist-normalized-sgd": Setting("mnist", normalized=True, **SGD),
        "cnn-mnist-adam": Setting("mnist", **SMALL_CNN),
        "cnn-mnist-sgd": Setting("mnist", **SMALL_CNN, **SGD),
        "cnn-gratings-momentum": Setting("gratings", **SMALL_CNN, **MOMENTUM),
        "cnn-cifar10-adam": Setting("cifar10", **SMALL_CNN),
        "cnn-cifar10-normalized-momentum": Setting(
            "cifar10", **SMALL_CNN, normalized=True, **MOMENTUM
        ),
        "resnet-digits-adam": Setting("digits", **SMALL_RESNET),
        "resnet-cifar10-momentum": Setting("cifar10", **SMALL_RESNET, **MOMENTUM),
        "lstm-tones-adam": Setting("tones", **SMALL_RNN),
        "gru-pulses-adam": Setting("pulses", cell="GRU", **SMALL_RNN),
        "lstm-tendency-momentum": Setting("tendency", **SMALL_RNN, **MOMENTUM),
        "rnn-tendency-adam": Setting("tendency", cell="SimpleRNN", **SMALL_RNN),
        "gru-imdb-adam": Setting("imdb", cell="GRU", **SMALL_RNN),
        "attention-words-adam": Setting("words", **SMALL_ATTENTION),
        "attention-imdb-adam": Setting("imdb", **SMALL_ATTENTION),
        "attention-pulses-sgd": Setting("pulses", **SMALL_ATTENTION, **SGD),
        "attention-tones-momentum": Setting("tones", **SMALL_ATTENTION, **MOMENTUM),
    },
}
SICK = {
    TUNED: {
        "mlp-mnist-zero-adam": Setting("mnist", kernel="zeros"),
        "mlp-mnist-exploding-adam": Setting("mnist", kernel=LARGE),
        "mlp-mnist-depth-30-glorot-adam": Setting("mnist", depth=30, **GLOROT),
        "mlp-digits-dead-sgd": Setting(
            "digits", bias={"class_name": "Constant", "config": {"value": -20.0}}, **SGD
        ),
        "mlp-mnist-inputs-255-sgd": Setting(
            "mnist", damage=(("inputs times", 255.0),), **SGD
        ),
    },
    HELD_BACK: {
        "cnn-gratings-zero-adam": Setting("gratings", kernel="zeros", **SMALL_CNN),
        "mlp-rings-zero-sgd": Setting("rings", kernel="zeros", **SGD),
        "cnn-cifar10-exploding-adam": Setting(
            "cifar10", kernel=LARGE, model="cnn", depth=3, width=16
        ),
        "mlp-digits-exploding-momentum": Setting(
            "digits", kernel=LARGE, depth=5, **MOMENTUM
        ),
        "mlp-digits-depth-30-glorot-sgd": Setting("digits", depth=30, **GLOROT, **SGD),
        "mlp-friedman-depth-30-glorot-adam": Setting("friedman", depth=30, **GLOROT),
        "mlp-mnist-sigmoid-depth-20-adam": Setting(
            "mnist", depth=20, activation="sigmoid", **GLOROT
        ),
        "mlp-clusters-dead-adam": Setting(
            "clusters",
            bias={"class_name": "Constant", "config": {"value": -30.0}},
        ),
        "mlp-mnist-inputs-1e4-momentum": Setting(
            "mnist", damage=(("inputs times", 1e4),), **MOMENTUM
        ),
        "cnn-gratings-inputs-1e3-adam": Setting(
            "gratings", damage=(("inputs times", 1e3),), depth=3, width=8, model="cnn"
        ),
    },
}


def split(task):
    """Returns the examples to train on and those to test on."""
    count = len(task.x)
    test = min(TEST, count // 5)
    return (task.x[:-test], task.y[:-test]), (task.x[-test:], task.y[-test:])


def built(setting, task):
    """Returns the model of a set-up, the same one each time."""
    keras.utils.set_random_seed(setting.seed)
    return models.build(setting, task)


def skill(task, outputs, y):
    """Returns the accuracy; of numbers, the share of the variance explained."""
    outputs = outputs.reshape(len(y), -1)
    if not np.isfinite(outputs).all():
        return 0.0
    if task.asks == "numbers":
        return max(0.0, 1 - float(np.mean((outputs[:, 0] - y) ** 2) / np.var(y)))
    chosen = outputs[:, 0] > 0 if task.asks == "two classes" else outputs.argmax(1)
    return float(np.mean(chosen == y))


def sweep(setting):
    """Returns the skill after training at each of the rates."""
    task = tasks.load(setting.data, setting.damage)
    (x, y), (x_test, y_test) = split(task)
    model = built(setting, task)
    model.optimizer.build(model.trainable_variables)
    start, state = model.get_weights(), [v.numpy() for v in model.optimizer.variables]
    found = []
    for rate in RATES:
        model.set_weights(start)
        for variable, value in zip(model.optimizer.variables, state, strict=True):
            variable.assign(value)
        model.optimizer.learning_rate = rate
        batches = ShuffledBatches(x, y, setting.batch, setting.seed)
        epochs = -(-setting.steps // len(batches))
        for _ in range(epochs):
            steps = min(len(batches), setting.steps)
            model.fit(
                batches, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0
            )
        outputs = model.predict(x_test, batch_size=TEST, verbose=0)
        found.append(skill(task, outputs, y_test))
    return found


def trial(setting):
    """Returns what the trial says, as a dict, with its CPU seconds."""
    task = tasks.load(setting.data, setting.damage)
    (x, y), _ = split(task)
    model = built(setting, task)
    began = time.process_time()
    found = kik.learning_rate_trial(model, x, y, batch_size=setting.batch)
    return found.to_dict() | {"cpu": time.process_time() - began}


class Sweeps:
    """Sweeps, kept in a file from one run to the next."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "sweeps.jsonl"
        lines = self._file.read_text().splitlines() if self._file.exists() else ()
        self._known = dict(json.loads(line) for line in lines)

    def of(self, setting):
        if setting.digest not in self._known:
            found = sweep(setting)
            with self._file.open("a") as file:
                file.write(json.dumps([setting.digest, found]) + "\n")
            self._known[setting.digest] = found
        return self._known[setting.digest]


def lost(skills, proposal):
    """Returns what a proposal loses against the best rate, `None` without one."""
    if proposal is None:
        return None
    nearest = int(np.argmin(np.abs(np.log(np.array(RATES) / proposal))))
    return max(skills) - skills[nearest]


def report(half, sweeps, only):
    """Prints a line for each set-up of a half, and the figures."""
    print(
        f"\n{half}\n{'set-up':36} {'best':>8} {'skill':>6} {'proposed':>9} {'lost':>6}"
    )
    losses, silent, spoken, seconds = [], 0, 0, []
    for name, setting in HEALTHY[half].items():
        if only not in (None, name):
            continue
        skills, found = sweeps.of(setting), trial(setting)
        loss = lost(skills, found["proposal"])
        best = RATES[int(np.argmax(skills))]
        said = found["reason"] or f"{found['proposal']:9.2g} {loss:6.3f}"
        print(f"{name:36} {best:8.2g} {max(skills):6.3f} {said}", flush=True)
        silent += loss is None
        losses += [] if loss is None else [loss]
        seconds.append(found["cpu"])
    for name, setting in SICK[half].items():
        if only not in (None, name):
            continue
        found = trial(setting)
        spoken += found["proposal"] is not None
        said = found["reason"] or f"SPEAKS: {found['proposal']:.2g}"
        print(f"{name:36} {'sick':>15} {said}", flush=True)
        seconds.append(found["cpu"])
    within = sum(loss <= TARGET for loss in losses)
    median, most = (float(pick(losses or [0.0])) for pick in (np.median, max))
    print(
        f"speaks on {len(losses)} of {len(losses) + silent} that are sane; of these "
        f"loses at most {TARGET} on {within}, in the median {median:.3f}, at most "
        f"{most:.3f}; speaks on {spoken} of "
        f"{len(SICK[half])} that are sick; {np.median(seconds):.1f} CPU seconds "
        "(median)."
    )


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning_rate_trial",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--half", choices=HALVES, help="one half only")
    parser.add_argument("--only", help="one set-up")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default="logdir/learning_rate_trial",
        help="where sweeps are kept",
    )
    options = parser.parse_args()
    sweeps = Sweeps(options.out)
    for half in HALVES:
        if options.half in (None, half):
            report(half, sweeps, options.only)


if __name__ == "__main__":
    main()
