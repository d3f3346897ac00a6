"""Losses for models that are not compiled, targets where there are none."""

import keras
import numpy as np
from keras import ops


def default_loss(outputs, y):
    """Returns the Keras loss that targets and outputs suggest.

    Whole numbers against several outputs are classes, rows of one 1 too; zeros and
    ones labels; anything else numbers. Outputs that are probabilities are taken as
    such, others as logits.
    """
    y = np.asarray(y)
    shape = tuple(outputs.shape)
    several = len(shape) > 1 and shape[-1] > 1
    whole = bool(np.all(y == np.round(y)) and np.min(y) >= 0)
    if whole and several and y.shape in (shape[:-1], (*shape[:-1], 1)):
        logits = not _sums_to_one(outputs)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    if not whole or np.max(y) > 1:
        return keras.losses.MeanSquaredError()
    if several and y.shape == shape and np.all(y.sum(axis=-1) == 1):
        logits = not _sums_to_one(outputs)
        return keras.losses.CategoricalCrossentropy(from_logits=logits)
    logits = not _in_unit_interval(outputs)
    return keras.losses.BinaryCrossentropy(from_logits=logits)


def random_targets(outputs, seed=0):
    """Returns targets drawn at random, and the loss they are for.

    Random classes where each output row sums to 1, normal numbers elsewhere: what
    flows back does not depend on what the model is for, only on the model.
    """
    generator = np.random.default_rng(seed)
    if _sums_to_one(outputs):
        y = generator.integers(0, outputs.shape[-1], tuple(outputs.shape[:-1]))
        return y, keras.losses.SparseCategoricalCrossentropy()
    y = generator.standard_normal(tuple(outputs.shape)).astype("float32")
    return y, keras.losses.MeanSquaredError()


def _sums_to_one(outputs):
    values = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    if values.ndim < 2 or values.shape[-1] < 2 or not np.all(values >= 0):
        return False
    return bool(np.allclose(values.sum(axis=-1), 1, atol=1e-2))


def _in_unit_interval(outputs):
    values = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    return bool(np.all((values >= 0) & (values <= 1)))
