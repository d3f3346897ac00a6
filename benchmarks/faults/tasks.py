"""What is learnt: real and generated data, and what can be done wrong with them."""

import dataclasses
import functools
from typing import Any

import numpy as np
from sklearn import datasets

import keras_initkit as kik

EXAMPLES = 6400
LENGTH = 40  # time steps of generated sequences
VOCABULARY = 500
REVIEW = 60  # words of a review


@dataclasses.dataclass(frozen=True)
class Task:
    """Training examples and what is asked of them.

    Attributes:
        x: Inputs.
        y: Targets.
        asks: `"classes"`, `"two classes"` (one logit) or `"numbers"`.
        units: Units that the answer takes.
        tokens: Size of the vocabulary, `None` where inputs are numbers.
    """

    x: np.ndarray
    y: np.ndarray
    asks: str
    units: int
    tokens: int | None = None


def load(name: str, damage: tuple[tuple[Any, ...], ...] = ()) -> Task:
    """Returns a task, damaged in the ways asked for."""
    task = TASKS[name]()
    for what, *arguments in damage:
        task = DAMAGES[what](task, *arguments)
    return task


def _real(name: str, **options: Any) -> Task:
    data = kik.data.load(name, limit=EXAMPLES, test_limit=10, **options)
    asks, units = ("two classes", 1) if name == "imdb" else ("classes", 10)
    # Parts come sorted in no particular order; `fit` shuffles.
    return Task(data.x_train, data.y_train, asks, units, data.vocabulary)


def _clusters() -> Task:
    """Ten clouds in 20 dimensions, two of each class."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((20, 20))
    which = rng.integers(0, 20, EXAMPLES)
    x = centres[which] + 0.5 * rng.standard_normal((EXAMPLES, 20))
    return _task(x, which % 10, "classes", 10)


def _spirals() -> Task:
    """Two arms that no straight line parts."""
    rng = np.random.default_rng(2)
    turn = np.sqrt(rng.random(EXAMPLES)) * 1.5 * np.pi
    label = rng.integers(0, 2, EXAMPLES)
    angle = turn + np.pi * label
    x = (turn / 2)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return _task(x + 0.05 * rng.standard_normal(x.shape), label, "two classes", 1)


def _waves() -> Task:
    """A smooth function of eight numbers."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((EXAMPLES, 8))
    y = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * x[:, 3]
    return _task(x, y / y.std(), "numbers", 1)


def _copies() -> Task:
    """Images to be put out as they were put in."""
    data = _real("mnist")
    return Task(data.x, data.x.reshape(len(data.x), -1), "numbers", 784)


def _tendency() -> Task:
    """Whether the numbers of a sequence add up to more than 0."""
    x = np.random.default_rng(4).standard_normal((EXAMPLES, LENGTH, 4))
    return _task(x, x[:, :, 0].sum(1) > 0, "two classes", 1)


def _memory() -> Task:
    """The sign of the first number of a sequence, noise behind it."""
    x = 0.3 * np.random.default_rng(5).standard_normal((EXAMPLES, LENGTH, 4))
    x[:, 0] *= 6
    return _task(x, x[:, 0, 0] > 0, "two classes", 1)


def _words() -> Task:
    """Which of four words stands somewhere in a sequence of 30."""
    rng = np.random.default_rng(6)
    x = rng.integers(5, 50, (EXAMPLES, 30))
    y = rng.integers(0, 4, EXAMPLES)
    x[np.arange(EXAMPLES), rng.integers(0, 30, EXAMPLES)] = y + 1
    return Task(x.astype("int32"), y.astype("int32"), "classes", 4, 50)


def _bundled(name: str, asks: str, units: int, scaled: bool = True) -> Task:
    """A small real set that scikit-learn brings along; its features scaled or raw."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if scaled:
        x = (x - x.mean(0)) / (x.std(0) + 1e-7)
    if asks == "numbers":
        y = (y - y.mean()) / y.std()
    order = np.random.default_rng(8).permutation(len(x))
    return _task(x[order], y[order], asks, units)


def _digits() -> Task:
    """Handwritten digits of 8 by 8 pixels."""
    task = _bundled("digits", "classes", 10, scaled=False)
    return dataclasses.replace(task, x=task.x.reshape(-1, 8, 8, 1) / 16)


def _rings() -> Task:
    """Two shells around one centre, in six dimensions."""
    rng = np.random.default_rng(9)
    label = rng.integers(0, 2, EXAMPLES)
    x = rng.standard_normal((EXAMPLES, 6))
    radius = 1 + label + 0.2 * rng.standard_normal(EXAMPLES)
    x *= (radius / np.linalg.norm(x, axis=1))[:, None]
    return _task(x, label, "two classes", 1)


def _friedman() -> Task:
    """Friedman's first function: five of ten inputs matter."""
    x, y = datasets.make_friedman1(EXAMPLES, noise=0.5, random_state=10)
    return _task((x - 0.5) * np.sqrt(12), (y - y.mean()) / y.std(), "numbers", 1)


def _gratings() -> Task:
    """Noisy stripes in one of four directions, 16 by 16 pixels."""
    rng = np.random.default_rng(11)
    label = rng.integers(0, 4, EXAMPLES)
    phase, angle = 2 * np.pi * rng.random(EXAMPLES), np.pi * label / 4
    row, column = np.mgrid[:16, :16]
    along = np.cos(angle)[:, None, None] * row + np.sin(angle)[:, None, None] * column
    x = np.sin(1.2 * along + phase[:, None, None])
    x += 0.8 * rng.standard_normal(x.shape)
    return _task(x[..., None], label, "classes", 4)


def _tones() -> Task:
    """Noisy oscillations of one of three frequencies, at any phase."""
    rng = np.random.default_rng(12)
    label = rng.integers(0, 3, EXAMPLES)
    phase = 2 * np.pi * rng.random(EXAMPLES)
    frequency = np.array([0.4, 0.9, 1.6])[label]
    x = np.sin(frequency[:, None] * np.arange(LENGTH) + phase[:, None])
    x += 0.3 * rng.standard_normal(x.shape)
    return _task(x[..., None], label, "classes", 3)


def _pulses() -> Task:
    """Whether the pulse in the first half of a sequence points up, noise around it."""
    rng = np.random.default_rng(13)
    x = 0.2 * rng.standard_normal((EXAMPLES, LENGTH, 3))
    up = rng.integers(0, 2, EXAMPLES)
    x[np.arange(EXAMPLES), rng.integers(0, LENGTH // 2, EXAMPLES), 1] += 4 * up - 2
    return _task(x, up, "two classes", 1)


def _majority() -> Task:
    """Which of two words is the more frequent among 24 others and both."""
    rng = np.random.default_rng(14)
    x = rng.integers(0, 30, (EXAMPLES, 24))
    x = np.where(x < 20, x % 2 + 1, x)
    y = (x == 1).sum(1) > (x == 2).sum(1)
    return Task(x.astype("int32"), y.astype("int32"), "two classes", 1, 30)


def _task(x: np.ndarray, y: np.ndarray, asks: str, units: int) -> Task:
    kind = "float32" if asks == "numbers" else "int32"
    return Task(x.astype("float32"), np.asarray(y).astype(kind), asks, units)


TASKS = {
    name: functools.cache(make)
    for name, make in {
        "mnist": lambda: _real("mnist"),
        "cifar10": lambda: _real("cifar10"),
        "imdb": lambda: _real("imdb", vocabulary=VOCABULARY, maxlen=REVIEW),
        "clusters": _clusters,
        "spirals": _spirals,
        "waves": _waves,
        "copies": _copies,
        "tendency": _tendency,
        "memory": _memory,
        "words": _words,
        "digits": _digits,
        "tumours": lambda: _bundled("breast_cancer", "two classes", 1),
        "tumours raw": lambda: _bundled("breast_cancer", "two classes", 1, False),
        "wines": lambda: _bundled("wine", "classes", 3),
        "diabetes": lambda: _bundled("diabetes", "numbers", 1),
        "rings": _rings,
        "friedman": _friedman,
        "gratings": _gratings,
        "tones": _tones,
        "pulses": _pulses,
        "majority": _majority,
    }.items()
}


def _of_inputs(change):
    return lambda task, *given: dataclasses.replace(task, x=change(task.x, *given))


def _of_targets(change):
    return lambda task, *given: dataclasses.replace(task, y=change(task.y, *given))


def _some_nan(values, share):
    """Every n-th example has a NaN in it."""
    values = values.astype("float32")
    values.reshape(len(values), -1)[:: round(1 / share), 0] = np.nan
    return values


def _shuffled(y, share=1.0):
    """Labels of a share of the examples are dealt out anew."""
    rng = np.random.default_rng(7)
    y = y.copy()
    some = rng.random(len(y)) < share
    y[some] = rng.permutation(y[some])
    return y


DAMAGES = {
    "inputs times": _of_inputs(lambda x, factor: x * np.float32(factor)),
    "inputs plus": _of_inputs(lambda x, offset: x + np.float32(offset)),
    "inputs NaN": _of_inputs(_some_nan),
    "inputs cut to whole numbers": _of_inputs(lambda x: np.floor(0.999 * x)),
    "targets times": _of_targets(lambda y, factor: y * np.float32(factor)),
    "targets plus": _of_targets(lambda y, offset: y + np.asarray(offset, y.dtype)),
    "targets NaN": _of_targets(_some_nan),
    "targets shuffled": _of_targets(_shuffled),
    "targets of -1 and 1": _of_targets(lambda y: 2.0 * y.astype("float32") - 1),
}
