"""What is computed of a tensor, or of several alike, traced once for all of a kind."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from keras_initkit.stats import histogram, moments, profiles
from keras_initkit.stats.groups import stack
from keras_initkit.stats.reductions import Reduction
from keras_initkit.stats.rows import as_rows, stacked
from keras_initkit.stats.shared import flat, integers, side_by_side
from keras_initkit.stats.tracing import keeps_traced, traced

# How many kinds are remembered.
_KINDS = 1024
# How many sums `moments.sums` gives.
_SUMS = 4


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is done with a tensor, or several that are reduced together.

    Attributes:
        reduction: `Reduction`.
        alone: Whether it is finished alone, not with others.
        compiled: Whether XLA compiles the step.
    """

    reduction: Reduction
    alone: bool
    compiled: bool = False


def reduced_vectors(tensors, reduction):
    """Reduces vectors of one length, in place, of whose rows nothing is computed.

    Each is one row, and its units have one entry each. Returns what `reduced` does.
    """
    values = tf.cast(tf.stack(tensors), tf.float32)
    found = {
        "sums": flat(tf.stack(moments.sums_of_rows(values), axis=1)),
        "sizes": np.full(len(tensors), values.shape[1], np.int32),
        "values": values,
    }
    if reduction.counted_above is not None:
        above = profiles.are_above(values, reduction.counted_above)
        found["counts"] = tf.reshape(tf.cast(above, tf.float32), integers(1, -1))
    return found


def reduced(tensors, kind, in_place, wanted=None, gathered=None):
    """Reduces tensors of a kind.

    Args:
        tensors: List of tensors that `groups` put together.
        kind: Their `Kind`.
        in_place: Whether the ops go where they are called, for a list of one: fewer for
            one tensor, of which more is known, than those of a function for all alike,
            which also keeps a tensor until the last of them is done.
        wanted: Scalar bool tensor or `None`, as for `reduce`.
        gathered: As for `reduce`; only in place.

    Returns:
        A dict of their parts of what `reduce` returns, counts in a row, with `"gram"`
        (what `profiles.gram` gives of those that are ranked) and `"moments"` (float64
        `(tensors, 6)`) in place of scalars. Unless they are finished alone, `"sums"`
        (what `moments.sums` gives: float `(tensors * 4,)`, or in place a list),
        `"sizes"` (int32 `(tensors,)`) and `"values"` (float32 `(rows, units)`) take the
        place of moments and histogram.
    """
    counting = [] if wanted is None or not kind.alone else [wanted]
    if in_place:
        return _of_one(*tensors, *counting, kind=kind, in_place=True, gathered=gathered)
    several = len(tensors) > 1
    given = stack(tensors) if several else tensors
    likes = tuple((_any_length(x.shape), x.dtype) for x in given)
    return _of_like(kind, several, likes, len(counting))(*given, *counting)


def _any_length(shape):
    """Returns a shape for all of a rank; few units stay, for how they are counted."""
    few = [n if n is not None and n < profiles.NARROW else None for n in shape[-1:]]
    return (None,) * (shape.rank - len(few)) + tuple(few)


@keeps_traced(_KINDS)
def _of_like(kind, several, likes, counting):
    """Returns what reduces tensors, traced once for all that are like these."""
    reduce = _of_several if several else _of_one
    return traced(
        lambda *given: reduce(*given, kind=kind),
        [*(tf.TensorSpec(*like) for like in likes), *_COUNTING[:counting]],
    )


_COUNTING = (tf.TensorSpec([], tf.bool),)


def finished(parts, in_place, wanted=None):
    """Finishes the sums of small tensors, of all at once.

    Args:
        parts: What `reduced` returned of them.
        in_place: As for `reduced`.
        wanted: As for `reduced`.

    Returns:
        A dict of their moments and, with histograms, their counts by leading bits.
    """
    sums = tf.reshape(_joined_sums([part["sums"] for part in parts]), [-1, _SUMS])
    all_sizes = [part["sizes"] for part in parts]
    known = all(isinstance(one, np.ndarray) for one in all_sizes)
    sizes = (np.concatenate if known else tf.concat)(all_sizes, axis=0)
    values = [part["values"] for part in parts]
    counting = [] if wanted is None else [wanted]
    if not in_place:
        return _finishing(len(counting))(sums, sizes, _joined(values), *counting)

    def copied_if(needed):
        return tf.cond(needed, lambda: _joined(values), lambda: tf.zeros([0]))

    return _finish(sums, sizes, copied_if, *counting)


def _finish(sums, sizes, values, wanted=None):
    """Returns what `finished` does.

    Args:
        sums: Float64 tensor of shape `(tensors, 4)`.
        sizes: Int32 of shape `(tensors,)`.
        values: Function of whether they are needed that returns the entries of all.
        wanted: As for `reduced`.
    """
    of_sums = moments.of_sums(sums, sizes)
    needed = ~of_sums.all_settled
    entries = values(needed if wanted is None else needed | wanted)
    found = {"moments": moments.settled_with_care(of_sums, sizes, lambda: entries)}
    if wanted is not None:
        found["histogram"] = histogram.counts_of_all(entries, sizes, wanted)
    return found


def _joined_sums(sums):
    """Puts the sums of parts, tensors and lists of scalars, side by side."""
    joined: list = []
    for part in sums:
        if isinstance(part, list) and joined and isinstance(joined[-1], list):
            joined[-1] += part
        else:
            joined.append(list(part) if isinstance(part, list) else part)
    tensors = [tf.stack(one) if isinstance(one, list) else one for one in joined]
    return joined_as(tf.float64, tensors, axis=0)


def joined_as(dtype, tensors, axis):
    """Puts tensors of several types side by side, as a type that holds all of them."""
    if len({one.dtype for one in tensors}) > 1:
        tensors = [tf.cast(one, dtype) for one in tensors]
    return tf.cast(side_by_side(tensors, axis), dtype)


def _joined(values):
    """Puts the entries of tensors one behind the other."""
    return side_by_side([flat(each) for each in values])


@keeps_traced()
def _finishing(counting):
    """Returns what `finished` does out of place, traced once."""

    def finish(sums, sizes, values, *wanted):
        return _finish(sums, sizes, lambda needed: values, *wanted)

    signature = [
        tf.TensorSpec([None, _SUMS], tf.float64),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.float32),
        *_COUNTING[:counting],
    ]
    return traced(finish, signature)


def _of_one(tensor, wanted=None, *, kind, in_place=False, gathered=None):
    lengths = tf.shape(tensor)[1:2] if kind.reduction.timed else None
    return _of_rows(as_rows(tensor), lengths, kind, in_place, wanted, gathered)


def _of_several(values, counts, lengths=None, *, kind):
    return _of_rows(stacked(values, counts), lengths, kind)


def _of_rows(rows, lengths, kind, in_place=False, wanted=None, gathered=None):
    """Computes what `reduced` returns, of `Rows`."""
    reduction = kind.reduction
    if kind.alone and in_place:
        # By a function: conditions are dear to trace.
        plain = dataclasses.replace(kind, reduction=Reduction())
        found = reduced([rows.values], plain, False, wanted)
    else:
        found = _moments(rows, kind, wanted, in_place)
    if reduction.ranked:
        found["gram"] = profiles.gram(rows, gathered)
    if reduction.counted_above is not None:
        limit = reduction.counted_above
        found["counts"] = profiles.counts(rows, limit, kind.compiled)
    if reduction.projected_rows:
        found["projections"] = profiles.projections(
            rows, reduction.projected_rows, reduction.part, kind.compiled
        )
    if reduction.timed:
        found["time"] = profiles.squares_by_time(rows, lengths)
    return found


def _moments(rows, kind, wanted, in_place):
    """Computes moments and histogram, or what they are finished of."""
    if kind.compiled:
        found = {"moments": tf.stack([moments.compiled_moments(rows.values)])}
    else:
        sums = moments.sums(rows)
        sizes = rows.counts * rows.units
        if not kind.alone:
            sums = sums if in_place else flat(tf.stack(sums, axis=-1))
            return {"sums": sums, "sizes": sizes, "values": rows.values}
        sums = tf.reshape(tf.cast(tf.stack(sums), tf.float64), [1, _SUMS])
        of_sums = moments.of_sums(sums, sizes)
        values = functools.partial(flat, rows.values)
        found = {"moments": moments.settled_with_care(of_sums, sizes, values)}
    if wanted is not None:
        found["histogram"] = histogram.counts_of_one(rows, wanted, kind.compiled)
    return found
