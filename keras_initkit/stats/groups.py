"""Which tensors of a step are reduced together: small ones of like shape.

A deep model has many of them, and to reduce one by one costs as many ops as to reduce
all.
"""

import math
import typing

import numpy as np
import tensorflow as tf

# Entries, 1 MB: a tensor of as many is large. It is reduced and finished on its own,
# for it must not be kept until others are known.
_LARGE = 2**18
# So is one of as many that others would be copied with, which costs about a fifth of
# its reduction.
_LARGE_COPY = 2**16
# A length that is not known, such as that of a batch, counts as this.
_UNKNOWN_LENGTH = 64
# Entries of a group, of which a copy is made.
_MOST = 2**18


class Group(typing.NamedTuple):
    """Tensors that are reduced together.

    Attributes:
        numbers: Their numbers, in ascending order.
        entries: How many entries they have, about.
        is_large: Whether it is one tensor that is to be finished alone.
    """

    numbers: tuple
    entries: int
    is_large: bool = False


def groups(tensors, reductions, together):
    """Returns the `Group`s of tensors.

    Args:
        tensors: List of tensors with a static last axis.
        reductions: What is to be computed of each; those of a group agree.
        together: Whether a group may have several; it is copied.
    """
    made: list = []
    open_groups: dict = {}
    for number, (tensor, reduction) in enumerate(zip(tensors, reductions, strict=True)):
        shape = tensor.shape
        entries = _entries(shape)
        is_large = entries >= (_LARGE_COPY if together else _LARGE)
        group = Group((number,), entries, is_large)
        if together and not group.is_large and shape.rank:
            like = shape[1:] if shape.rank > 1 else shape
            kind = tensor.dtype, shape.rank, tuple(like), reduction
            place = open_groups.get(kind)
            if place is not None and made[place].entries + group.entries <= _MOST:
                both = made[place].numbers + group.numbers
                made[place] = Group(both, made[place].entries + group.entries)
                continue
            open_groups[kind] = len(made)
        made.append(group)
    return made


def _entries(shape):
    return math.prod(_UNKNOWN_LENGTH if length is None else length for length in shape)


def stack(tensors):
    """Puts the rows of the tensors of a group one below the other.

    Returns:
        A tensor of shape `(rows, units)`; how many rows each has and, for tensors of
        rank 3, how long its second axis is, both int32 of shape `(tensors,)`.
    """
    shape = tensors[0].shape
    as_matrix = tf.constant([-1, shape[-1]])
    if None in shape[1:]:
        values = tf.concat([tf.reshape(x, as_matrix) for x in tensors], axis=0)
    else:
        values = tf.concat(tensors, axis=0)
        values = values if shape.rank == 2 else tf.reshape(values, as_matrix)
    if all(tensor.shape.is_fully_defined() for tensor in tensors):
        shapes = np.array([tensor.shape for tensor in tensors], np.int32)
    else:
        shapes = tf.stack([tf.shape(tensor) for tensor in tensors])
    counts = tf.reduce_prod(shapes[:, :-1], axis=1)
    lengths = [tf.convert_to_tensor(shapes[:, 1])] if shape.rank == 3 else []
    return [values, counts, *lengths]
