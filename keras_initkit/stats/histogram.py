"""Histograms of values by their leading bits: fixed bins, fixed cost, any magnitude.

A float32 number's sign, exponent and two leading bits of mantissa, read as an integer,
number the bins: four a factor of two, from 1e-38 to 3e38, of either sign. NaN and
infinities have bins of their own, so nothing fails on them.
"""

import functools

import numpy as np
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.stats.rows import evenly_spaced, odd_stride, small_together

# Sign (1 bit), exponent (8), leading mantissa (2).
_SHIFT = 32 - 11
BINS = 2**11
# A tensor of more values is read in evenly spaced rows that make up about as many.
SAMPLED_VALUES = 2**17


def bincounts(rows, wanted, compiled=False):
    """Counts the values of tensors by their leading bits.

    Args:
        rows: List of `Rows`; where one has more values than `SAMPLED_VALUES`, evenly
            spaced rows of it are counted.
        wanted: Scalar bool tensor; without it the counts are 0 and cost nothing.
        compiled: Whether XLA compiles the step, which needs another form.

    Returns:
        Int32 tensor of shape `(tensors, BINS)`.
    """

    def together(rows):
        return _counts_of_each(rows, wanted, compiled)

    def alone(x):
        return _counts_of_one()(wanted, x.values, odd_stride(x, _most(x)))

    return together(rows) if compiled else small_together(rows, together, alone)


def _counts_of_each(rows, wanted, compiled):
    """Counts tensors all at once, each with bins of its own."""
    shape = [len(rows), BINS]

    def count():
        samples = [tf.reshape(evenly_spaced(x, _most(x)), [-1]) for x in rows]
        if compiled:
            bins = [_bins(x) for x in samples]
            return tf.stack(
                [
                    tf.math.unsorted_segment_sum(tf.ones_like(one), one, BINS)
                    for one in bins
                ]
            )
        sizes = [x.shape[0] or tf.size(x) for x in samples]
        first = tf.repeat(tf.range(len(rows)) * BINS, sizes)
        bins = _bins(tf.concat(samples, axis=0)) + first
        return tf.reshape(_counted(bins, len(rows) * BINS), shape)

    return tf.cond(wanted, count, lambda: tf.zeros(shape, tf.int32))


@functools.cache
def _counts_of_one():
    """The counts of a large tensor, alone, so that it is not kept; traced once."""

    def count_if(wanted, values, stride):
        def count():
            sample = tf.reshape(values[::stride], [-1])
            return _counted(_bins(sample), BINS)[tf.newaxis]

        return tf.cond(wanted, count, lambda: tf.zeros([1, BINS], tf.int32))

    return tf.function(
        count_if,
        input_signature=[
            tf.TensorSpec([], tf.bool),
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([], tf.int32),
        ],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def _counted(bins, count):
    return tf.raw_ops.Bincount(arr=bins, size=count, weights=tf.zeros([0], tf.int32))


def _bins(values):
    bits = tf.bitcast(values, tf.uint32)
    return tf.cast(tf.bitwise.right_shift(bits, np.uint32(_SHIFT)), tf.int32)


def _most(rows):
    """How many rows of a tensor are read at most."""
    return max(1, SAMPLED_VALUES // (rows.units or SAMPLED_VALUES))


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
