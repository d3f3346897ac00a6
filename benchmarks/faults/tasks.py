"""What is learnt: real and generated data, and what can be done wrong with them."""

import dataclasses
import functools
from typing import Any

import numpy as np

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
