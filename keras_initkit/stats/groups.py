"""Which tensors of a step are reduced together: small ones of like shape.

A deep model has many of them, and to reduce one by one costs as many ops as to reduce
all. Vectors, such as biases, are put together in every model that XLA does not compile:
the rows of a matrix.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

# Entries, 1 MB: a tensor of as many is large. It is reduced and finished on its own,
# for it must not be kept until others are known.
_LARGE = 2**18
# Where others are copied, so is one of as many, for a copy costs about a fifth of its
# reduction.
_LARGE_COPY = 2**16
# A length that is not known, such as that of a batch, counts as this: of longer ones
# there is more than these numbers say.
_UNKNOWN_LENGTH = 64
# Entries of a group, of which a copy is made.
_MOST = 2**18


@dataclasses.dataclass
class Group:
    """Tensors that are reduced together.

    Attributes:
        numbers: List of their numbers, in ascending order.
        entries: How many entries they have, about.
        is_large: Whether it is one tensor that is to be finished alone.
        are_vectors: Whether they are vectors of one length, which is known.
    """

    numbers: list
    entries: int = 0
    is_large: bool = False
    are_vectors: bool = False


def groups(tensors, reductions, together, alone=False):
    """Returns the `Group`s of tensors.

    Args:
        tensors: List of tensors with a static last axis.
        reductions: What is to be computed of each; those of a group agree.
        together: Whether small ones are copied to be reduced together, and fewer are
            small; else each is a group of its own, but for vectors.
        alone: Whether each is a group of its own whatever it is.
    """
    made: list = []
    open_groups: dict = {}
    for number, (tensor, reduction) in enumerate(zip(tensors, reductions, strict=True)):
        entries = entries_of(tensor.shape)
        is_large = entries >= (_LARGE_COPY if together else _LARGE)
        are_vectors = tensor.shape.rank == 1 and reduction.is_of_entries
        kind = tensor.dtype, reduction, _likeness(tensor.shape, reduction)
        has_company = (together or are_vectors) and not alone
        if not has_company or is_large or not entries or not tensor.shape.rank:
            made.append(Group([number], entries, is_large))
            continue
        group = open_groups.get(kind)
        if group is None or group.entries + entries > _MOST:
            group = open_groups[kind] = Group([], are_vectors=are_vectors)
            made.append(group)
        group.numbers.append(number)
        group.entries += entries
    return made


def _likeness(shape, reduction):
    """Returns what the shapes of a group agree in.

    Where as many rows are sampled as there are, shorter tensors are filled up to the
    longest: with what is known, to no more than twice as much.
    """
    rank = shape.rank
    rows = None
    if reduction.projected_rows and shape.is_fully_defined():
        rows = math.prod(shape[:-1]).bit_length()
    return rank, tuple(shape[1:] if rank > 1 else shape), rows


def entries_of(shape):
    """Returns how many entries a shape has, about."""
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
