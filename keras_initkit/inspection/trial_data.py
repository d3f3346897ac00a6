"""The batches of a trial: some to step on, others to measure on."""

import itertools
import math
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_initkit.inspection.step import array_of_list, as_tensor
from keras_initkit.structure.needs import tensorflow as tf

# Batches to measure on: enough for their pairs to tell a gap from scatter.
MEASURED = 8
_BATCH_SIZE = 32  # that of `fit`
# Examples in one of them, for smaller and larger steps, too, where there are so many.
_FEWEST, _MOST = 16, 32


class TrialData(NamedTuple):
    """The batches of a trial, each a tuple `(x, y, sample_weight)` of tensors.

    Attributes:
        steps: One a step, over and over again where there are too few.
        measured: `MEASURED` batches of one size, of examples that no step sees, if
            there are sixteen at least.
        batch_size: Examples of a step.
        notes: What was done differently from what one might expect, in sentences.
    """

    steps: list[tuple[Any, ...]]
    measured: list[tuple[Any, ...]]
    batch_size: int
    notes: list[str]


def batches(x: Any, y: Any, steps: int, batch_size: int | None) -> TrialData:
    """Takes the batches of a trial from arrays or a data set.

    Args:
        x: Arrays, or a data set that gives batches.
        y: Targets, `None` for none or those of the data set.
        steps: How many batches are stepped on.
        batch_size: Examples of arrays in a batch; 32 for `None`.

    Raises:
        ValueError: If there are too few examples, sizes differ, `batch_size` is below 1
            or stands beside a data set, or the batches of one cannot be put together.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(
            f"`batch_size` must be at least 1. Received: batch_size={batch_size!r}"
        )
    if _is_array(x):
        data, size = (array_of_list(x), array_of_list(y), None), batch_size
    else:
        data, size = _of_data_set(x, y, steps)
        if batch_size is not None:
            raise ValueError(
                "`batch_size` must be omitted for a data set, which has its own. "
                f"Received: batch_size={batch_size!r}"
            )
    size = _BATCH_SIZE if size is None else size
    count = _examples(data)
    notes = []
    if count < 2 * MEASURED:
        part = max(1, count // MEASURED)
        held, stepped = np.arange(count), np.arange(count)
        notes.append(
            f"The loss is measured on the {count} training examples themselves."
        )
    else:
        # What no step takes, but half of the examples where steps take all of them.
        most = max(count // (2 * MEASURED), (count - steps * size) // MEASURED)
        part = min(_measured_size(size), most)
        order = np.random.default_rng(0).permutation(count)
        held, stepped = order[: MEASURED * part], order[MEASURED * part :]
    size = min(size, len(stepped))
    chosen = [np.take(held, range(m * part, (m + 1) * part)) for m in range(MEASURED)]
    begins = [n * size for n in range(steps)]
    rows = [np.take(stepped, range(b, b + size), mode="wrap") for b in begins]
    return TrialData(
        steps=[_some(data, one) for one in rows],
        measured=[_some(data, one) for one in chosen],
        batch_size=size,
        notes=notes,
    )


def _is_array(x):
    return isinstance(x, (np.ndarray, list, tuple, dict)) or hasattr(x, "shape")


def _measured_size(size):
    return min(max(size, _FEWEST), _MOST)


def _of_data_set(x, y, steps):
    """Returns `(x, y, sample_weight)` of its first batches, and their size."""
    if isinstance(x, keras.utils.PyDataset):
        numbers = itertools.count() if x.num_batches is None else range(x.num_batches)
        given = (x[number] for number in numbers)
    else:
        given = iter(x)
    unpacked = map(keras.utils.unpack_x_y_sample_weight, given)
    first = next(unpacked, None)
    if first is None:
        raise ValueError(
            "`x` must yield at least one batch. Received: an empty data set."
        )
    size = len(_tensors(first)[0])
    more = steps - 1 + math.ceil(MEASURED * _measured_size(size) / size)
    parts = [first, *itertools.islice(unpacked, more)]
    if y is not None:
        raise ValueError(
            "`y` must be omitted for a data set, which contains the targets. Received: "
            f"y of type {type(y).__name__}"
        )
    try:
        data = keras.tree.map_structure(
            lambda *some: None if some[0] is None else tf.concat(some, 0), *parts
        )
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            "`x` must yield batches that differ only in the number of examples; pad "
            "sequences to one length. Received: batches of shapes "
            f"{[[tuple(t.shape) for t in _tensors(one)] for one in parts[:3]]}"
        ) from error
    return data, size


def _tensors(data):
    return [one for one in keras.tree.flatten(data) if one is not None]


def _examples(data):
    sizes = {int(np.shape(one)[0]) for one in _tensors(data)}
    if len(sizes) != 1 or min(sizes) < MEASURED:
        raise ValueError(
            f"`x` and `y` must hold the same number of examples, at least {MEASURED}. "
            f"Received: {tuple(sorted(sizes))} examples."
        )
    return sizes.pop()


def _some(data, rows):
    """Returns some examples of each array, as tensors."""

    def taken(values):
        if values is None:
            return None
        if tf.is_tensor(values) or isinstance(values, tf.RaggedTensor):
            return as_tensor(tf.gather(values, rows))
        return as_tensor(np.asarray(values)[rows])

    return tuple(keras.tree.map_structure(taken, part) for part in data)
