"""Initial weights that no initializer gives: they depend on the model, or on data.

Each begins with the model as it is built with Keras's own default, and changes it.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_initkit import reinit
from keras_initkit.experiments.batches import ShuffledBatches

# What the model is built with, before one of these changes it.
BASE = "glorot_uniform"
# Examples that data-dependent starts look at, or a batch, whichever is more.
_EXAMPLES = 256


def _recommended(model: keras.Model, x: Any, seed: int) -> None:
    reinit.reinitialize(model, reinit.recommend(model, x), seed=seed)


def _lsuv(model: keras.Model, x: Any, seed: int) -> None:
    reinit.lsuv(model, x, seed=seed)


def _preserve_signal(model: keras.Model, x: Any, seed: int) -> None:
    numbers = x.dtype.kind == "f"  # others are looked up, or cast by the model
    moments = (float(x.mean()), float(np.square(x).mean())) if numbers else 1.0
    reinit.preserve_signal(model, input_moments=moments)


STARTS: dict[str, Callable[[keras.Model, Any, int], None]] = {
    "recommended": _recommended,
    "lsuv": _lsuv,
    "preserve_signal": _preserve_signal,
}


def start(name: str, model: keras.Model, x: Any, batch_size: int, seed: int) -> None:
    """Changes the initial weights of a built model, in place.

    Args:
        name: One of `STARTS`.
        model: A built model.
        x: Training examples, of which the first in the order of `seed` are looked at.
        batch_size: Examples a step.
        seed: Integer.

    Raises:
        ValueError: If it does not work on this model.
    """
    examples, _ = ShuffledBatches(x, x, max(batch_size, _EXAMPLES), seed)[0]
    STARTS[name](model, examples, seed)
