"""Histograms of values by their leading bits: fixed bins, fixed cost, any magnitude.

A float32 number's sign, exponent and two leading bits of mantissa, read as an integer,
number the bins: four a factor of two, from 1e-38 to 3e38, of either sign. NaN and
infinities have bins of their own, so nothing fails on them.
"""

import functools

import numpy as np
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.stats.rows import evenly_spaced

# Sign (1 bit), exponent (8), leading mantissa (2).
_SHIFT = 32 - 11
BINS = 2**11
# A tensor of more values is read in evenly spaced rows that make up about as many.
SAMPLED_VALUES = 2**17


def counts_of_all(values, sizes, wanted):
    """Counts the values of tensors by their leading bits, of all at once.

    Args:
        values: Float32 tensor of rank 1, the values of one tensor behind those of the
            other.
        sizes: Int32 of shape `(tensors,)`, how many values they have.
        wanted: Scalar bool tensor; without it the counts are 0 and cost nothing.

    Returns:
        Int32 tensor of shape `(tensors, BINS)`.
    """

    def count():
        return tf.raw_ops.RaggedBincount(
            splits=_splits(sizes),
            values=_bins(values),
            size=BINS,
            weights=tf.zeros([0], tf.int32),
        )

    return tf.cond(wanted, count, lambda: tf.zeros([tf.size(sizes), BINS], tf.int32))


def counts_of_one(rows, wanted, compiled):
    """Counts the values of one tensor, alone, so that it is not kept.

    Args:
        rows: `Rows`; where they have more values than `SAMPLED_VALUES`, evenly spaced
            ones are counted.
        wanted: As for `counts_of_all`.
        compiled: Whether XLA compiles the step, which needs another form.

    Returns:
        Int32 tensor of shape `(1, BINS)`.
    """

    def count():
        units = rows.units
        units = max(1, units) if isinstance(units, int) else tf.maximum(1, units)
        bins = _bins(tf.reshape(evenly_spaced(rows, SAMPLED_VALUES // units + 1), [-1]))
        if compiled:
            ones = tf.ones_like(bins)
            return tf.math.unsorted_segment_sum(ones, bins, BINS)
        return _counted(bins, BINS)

    counts = tf.cond(wanted, count, lambda: tf.zeros(BINS, tf.int32))
    return tf.expand_dims(counts, 0)


def _splits(sizes):
    """Returns where one of several that lie side by side begins, and the last ends."""
    if isinstance(sizes, np.ndarray):
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return tf.concat([[0], tf.cumsum(tf.cast(sizes, tf.int64))], axis=0)


def _counted(bins, count):
    return tf.raw_ops.Bincount(arr=bins, size=count, weights=tf.zeros([0], tf.int32))


def _bins(values):
    bits = tf.bitcast(values, tf.uint32)
    return tf.cast(tf.bitwise.right_shift(bits, np.uint32(_SHIFT)), tf.int32)


# Bins of one sign below those of infinities and NaN: 255 exponents of four bins.
_FINITE = 255 * 4


@functools.cache
def _edges():
    """Edges of the bins of finite positive numbers, `_FINITE + 1` in float64."""
    bits = np.arange(_FINITE + 1, dtype=np.uint32) << np.uint32(_SHIFT)
    edges = bits.view(np.float32).astype(np.float64)
    edges[-1] = 2.0**128
    edges.flags.writeable = False
    return edges


def magnitudes(counts):
    """Turns counts by leading bits into shares by octave of magnitude.

    Args:
        counts: Integer array of shape `(tensors, BINS)`.

    Returns:
        Float64 array of shape `(tensors, len(schema.HISTOGRAM_COLUMNS))`, rows adding
        up to 1 (NaN where nothing was counted).
    """
    counts = np.asarray(counts, np.float64)
    both = counts[:, : BINS // 2] + counts[:, BINS // 2 :]
    octaves = both[:, :_FINITE].reshape(len(counts), 255, 4).sum(axis=2)
    first = schema.FIRST_OCTAVE + 127
    last = first + schema.OCTAVES
    total = both.sum(axis=1, keepdims=True)
    columns = np.concatenate(
        [
            octaves[:, :1],
            octaves[:, 1:first].sum(axis=1, keepdims=True),
            octaves[:, first:last],
            octaves[:, last:].sum(axis=1, keepdims=True),
            both[:, _FINITE:].sum(axis=1, keepdims=True),
        ],
        axis=1,
    )
    with np.errstate(invalid="ignore"):
        return columns / total


def buckets(counts, low, high, resolution=2.0**-6):
    """Turns counts by leading bits into buckets of values, as TensorBoard draws them.

    Args:
        counts: Integer array of shape `(BINS,)`.
        low: Smallest of the values, where the first bucket begins (if it is finite).
        high: Largest of the values, where the last bucket ends.
        resolution: Bins nearer to 0 than this share of the largest magnitude are put
            together into one bucket around 0.

    Returns:
        Float64 array of shape `(buckets, 3)`: left edge, right edge, count. Values that
        are not finite are left out; without any other there are no buckets.
    """
    counts = np.asarray(counts, np.float64)
    edges = _edges()
    positive, negative = counts[:_FINITE], counts[BINS // 2 : BINS // 2 + _FINITE]
    occupied = np.flatnonzero(positive + negative)
    if not occupied.size:
        return np.zeros((0, 3))
    top = occupied[-1] + 1
    bottom = int(np.searchsorted(edges, edges[top] * resolution)) if top > 4 else top
    bottom = min(bottom, top)
    middle = positive[:bottom].sum() + negative[:bottom].sum()
    right = np.stack(
        [edges[bottom:top], edges[bottom + 1 : top + 1], positive[bottom:top]], axis=1
    )
    left = np.stack(
        [-edges[bottom + 1 : top + 1], -edges[bottom:top], negative[bottom:top]], axis=1
    )
    both = np.concatenate(
        [left[::-1], [[-edges[bottom], edges[bottom], middle]], right]
    )
    occupied = np.flatnonzero(both[:, 2])
    both = both[occupied[0] : occupied[-1] + 1]
    if low == high:
        # A width that can be seen, around the one value.
        width = abs(low) or 1.0
        marks = low + width * np.array([-0.5, -1 / 60, 1 / 60, 0.5])
        shares = [0.0, both[:, 2].sum(), 0.0]
        return np.stack([marks[:-1], marks[1:], shares], axis=1)
    if low < both[0, 1]:
        both[0, 0] = low
    if high > both[-1, 0]:
        both[-1, 1] = high
    return both
