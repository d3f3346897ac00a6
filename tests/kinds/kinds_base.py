"""What a kind of model or training is, and the data that all kinds are trained on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers
RNG = np.random.default_rng(0)
BATCH, STEPS = 8, 20
# As many as two executions of 16 steps and one step more.
MOST = BATCH * 33
LONG_X = RNG.standard_normal((MOST, 6)).astype(np.float32)
LONG_Y = RNG.integers(0, 3, MOST)
X, Y = LONG_X[: BATCH * STEPS], LONG_Y[: BATCH * STEPS]
IMAGES = RNG.standard_normal((BATCH * STEPS, 10, 10, 3)).astype(np.float32)
WORDS = RNG.integers(1, 30, (BATCH * STEPS, 7))
T = RNG.standard_normal((BATCH * STEPS, 2)).astype(np.float32)
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def train_once(kind, model, callbacks):
    """Trains a model; returns the models trained."""
    x = kind.x() if callable(kind.x) else kind.x
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **kind.fit}
    model.fit(x, kind.y, callbacks=list(callbacks), **options)
    return [model]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of model or training.

    Attributes:
        build: Function without arguments that gives a compiled model.
        x: Inputs of all steps (an array, a dict, a function that makes a data set).
        y: Targets, or None where `x` holds them.
        fit: Further arguments of `fit`.
        train: Function of the kind, a model and callbacks that trains.
        every: Monitor every so many steps.
        step: The monitored step whose values are recomputed.
        skipped: By how many steps it is further on than its batch is in the data.
        again: How they are recomputed: by the same model in `"float64"`; where it draws
            random numbers or rounds by design, in its own types, `"eager"`; or in a
            `"graph"`, where the graph rounds less often than ops one by one.
        deep: Where rounding in the model's own types grows beyond the tolerance, a
            third way to recompute them: a statistic may then differ from the second by
            a small multiple of what the third differs from it.
        histograms: Whether histograms are recorded, too.
        no_weights: Whether weights are not trained by `model.optimizer`.
        untapped: Names (last part of the path) of layers that are listed with a reason
            why they, or a signal of theirs, are not recorded.
    """

    build: Callable[[], keras.Model]
    x: Any = None
    y: Any = None
    fit: dict = dataclasses.field(default_factory=dict)
    train: Callable = train_once
    every: int = 7
    step: int = 14
    skipped: int = 0
    again: str = "float64"
    deep: str = ""
    histograms: bool = False
    no_weights: bool = False
    untapped: tuple[str, ...] = ()

    def batch(self):
        """The inputs, targets and sample weights of the step to recompute."""
        index = self.step - self.skipped
        if callable(self.x):
            batches = self.x()
            if isinstance(batches, keras.utils.PyDataset):
                batches = [batches[i] for i in range(len(batches))]
            x, y, *weights = list(batches)[index]
            return x, y, weights[0] if weights else None
        part = slice(index * BATCH, (index + 1) * BATCH)
        x, y, weights = keras.tree.map_structure(
            lambda array: None if array is None else array[part],
            (self.x, self.y, self.fit.get("sample_weight")),
        )
        if "class_weight" in self.fit:
            weights = np.array([self.fit["class_weight"][c] for c in y], np.float32)
        return x, y, weights


def compiled(inputs, outputs, loss=CLASSES, optimizer=None, **options):
    model = keras.Model(inputs, outputs)
    model.compile(optimizer or keras.optimizers.Adam(1e-3), loss, **options)
    return model


def mlp(**options):
    inputs = layers.Input((6,))
    x = layers.Dense(8, activation="relu", name="a")(inputs)
    x = layers.Dense(8, activation="tanh", name="b")(x)
    return compiled(inputs, layers.Dense(3, name="c")(x), **options)


def dataset(ragged=False):
    count = len(X) - (3 if ragged else 0)
    return tf.data.Dataset.from_tensor_slices((X[:count], Y[:count])).batch(BATCH)
