"""What a whole set tells that one batch does not: a sample of it, and of another."""

import math

import keras
import numpy as np

from keras_initkit.structure import description, splits

# Examples that are looked at: the first, which make the step, and some spread over the
# set, fewer where they are large.
FIRST, MOST_EXAMPLES, MOST_ENTRIES = 256, 4096, 2**24


def facts_of_set(model, x, y, validation):
    """Returns the facts of a sample of arrays, in place of those of a batch.

    Args:
        model: The model.
        x: Inputs, as `diagnose` takes them; of a data set nothing is told, since to
            read on would use up what its owner means to read.
        y: Targets, or `None`.
        validation: `(x, y)` of the other split, or `None`.

    Returns:
        The facts of `description.of_batch`, `"sample"` (`examples` that were looked at,
        `of` how many) and `"splits"` (see `splits.apart`); those that can be told.
    """
    names = getattr(model, "output_names", ())
    sample = _sample(x, y)
    if sample is None:
        return {}
    facts = description.of_batch((*sample, None), names)
    del facts["weighted"]
    count = len(keras.tree.flatten(sample[0])[0])
    facts["sample"] = {"examples": count, "of": len(keras.tree.flatten(x)[0])}
    other = None if validation is None else _sample(*validation)
    if other is not None:
        facts["splits"] = splits.apart(sample, other)
    return facts


def _sample(x, y):
    """Returns examples spread over arrays, `None` for what is no array of numbers."""
    arrays = [one for one in keras.tree.flatten((x, y)) if one is not None]
    if not arrays or not all(map(_is_array, arrays)):
        return None
    sizes = {len(one) for one in arrays}
    (size, *others) = sizes
    if others or not size:
        return None
    entries = max(math.prod(one.shape[1:]) for one in arrays)
    most = min(MOST_EXAMPLES, MOST_ENTRIES // max(1, entries))
    spread = np.linspace(0, size - 1, min(size, most)).astype(int)
    chosen = np.union1d(np.arange(min(size, FIRST)), spread)

    def some(one):
        return None if one is None else np.asarray(one)[chosen]

    return tuple(keras.tree.map_structure(some, part) for part in (x, y))


def _is_array(value):
    """Whether a value is an array with examples, or an eager tensor."""
    return bool(getattr(value, "shape", None)) and hasattr(value, "__array__")
