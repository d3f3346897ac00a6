"""Histograms by leading bits against numpy's own."""

import numpy as np
import pytest
import tensorflow as tf

from keras_initkit import schema, stats

RNG = np.random.default_rng(1)


def counted(x, compiled=False, wanted=True):
    @tf.function(jit_compile=compiled)
    def count(x):
        reductions = [stats.Reduction()] * 2
        reduced = stats.reduce([x, x[:1]], reductions, tf.constant(wanted), compiled)
        return reduced["histogram"]

    return count(tf.constant(x))[0].numpy()


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_magnitudes_are_shares_by_octave(compiled):
    x = (RNG.standard_normal((200, 50)) * 1e-3).astype(np.float32)
    x[0, :10] = 0.0
    (shares,) = stats.magnitudes(counted(x, compiled)[None])
    columns = dict(zip(schema.HISTOGRAM_COLUMNS, shares, strict=True))
    assert columns["zero"] == pytest.approx(10 / x.size)
    exponents = np.floor(np.log2(np.abs(x[x != 0]))).astype(int)
    for exponent in range(-25, 0):
        expected = np.count_nonzero(exponents == exponent) / x.size
        assert columns[f"2^{exponent}"] == pytest.approx(expected)
    assert shares.sum() == pytest.approx(1)


def test_nan_infinity_and_extremes_have_places():
    x = np.array([[np.nan, -np.inf, np.inf, 1e-30, 1e30, -1e30, 0.0, 1.5]], np.float32)
    (shares,) = stats.magnitudes(counted(x)[None]) * x.size
    columns = dict(zip(schema.HISTOGRAM_COLUMNS, shares, strict=True))
    assert columns["nonfinite"] == 3
    assert columns["below"] == 1
    assert columns["above"] == 2
    assert columns["zero"] == 1
    assert columns["2^0"] == 1


def buckets_of(x):
    finite = x[np.isfinite(x)]
    low, high = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
    return stats.buckets(counted(x), low, high)


def test_buckets_hold_every_finite_value_in_its_place():
    x = RNG.normal(0.2, 1.0, (100, 40)).astype(np.float32)
    left, right, count = buckets_of(x).T
    assert (left[1:] == right[:-1]).all()
    assert (right > left).all()
    edges = np.append(left, right[-1])
    assert (edges[0], edges[-1]) == (x.min(), x.max())
    # Bins of negative numbers are open on the other side; no value lies on an edge.
    np.testing.assert_array_equal(count, np.histogram(x, edges)[0])
    assert count.sum() == x.size


def test_buckets_of_relu_outputs_begin_at_zero():
    x = np.maximum(RNG.standard_normal((100, 40)), 0).astype(np.float32)
    left, right, count = buckets_of(x).T
    assert left[0] == 0
    assert right[-1] == x.max()
    assert count[0] >= np.count_nonzero(x == 0)


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-20])
def test_buckets_of_a_constant_are_a_spike(value):
    left, right, count = buckets_of(np.full((5, 2), value, np.float32)).T
    assert count.tolist() == [0, 10, 0]
    assert left[1] < np.float32(value) < right[1]
    assert right[1] - left[1] < (right[-1] - left[0]) / 20


def test_buckets_without_finite_values_are_none():
    assert buckets_of(np.full((3, 1), np.nan, np.float32)).shape == (0, 3)


def test_a_large_tensor_is_sampled_fairly():
    x = np.tile(2.0 ** np.arange(8, dtype=np.float32), (200_000, 1))
    counts = counted(x)
    assert counts.sum() < x.size / 4
    used = counts[counts > 0]
    assert len(used) == 8
    assert (used == used[0]).all()


def test_unwanted_histogram_counts_nothing():
    assert counted(np.ones((4, 4), np.float32), wanted=False).sum() == 0
