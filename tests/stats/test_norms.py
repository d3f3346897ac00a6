"""Sums of squares: right for any scale, with what is not finite counted."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from keras_initkit import stats
from keras_initkit.stats import norms as norms_room
from keras_initkit.stats.norms import norms

RNG = np.random.default_rng(0)
SHAPES = [(3, 4), (5,), (), (2, 3, 4, 5), (0, 4), (600, 700)]
ODD = {
    "zeros": np.zeros((3, 3)),
    "nan": [1.0, np.nan, 2.0],
    "infinite": [np.inf, 1.0, -np.inf],
    "both": [np.inf, np.nan, 1.0],
    "huge": RNG.normal(size=(30, 4)) * 1e30,
    "tiny": RNG.normal(size=(30, 4)) * 1e-30,
    "one huge": [1e-10] * 100 + [3e38],
}


def expected(arrays):
    with np.errstate(all="ignore"):
        squares = [np.sum(np.square(one.astype("float64"))) for one in arrays]
    return [
        [one.size for one in arrays],
        squares,
        [np.sum(~np.isfinite(one)) for one in arrays],
    ]


def computed(arrays, way):
    tensors = [tf.constant(one) for one in arrays]
    if way == "eager":
        return norms(tensors)
    specs = [
        tf.TensorSpec([None, *one.shape[1:]] if one.ndim else [], one.dtype)
        for one in arrays
    ]
    compiled = way == "xla"
    function = tf.function(
        lambda *args: norms(list(args), compiled),
        input_signature=specs,
        autograph=False,
        jit_compile=compiled,
    )
    return function(*tensors)


@pytest.mark.parametrize("way", ["eager", "graph", "xla"])
def test_sums_of_squares_and_counts(way):
    arrays = [RNG.normal(size=shape).astype("float32") for shape in SHAPES]
    arrays += [np.asarray(one, "float32") for one in ODD.values()]
    arrays += [RNG.normal(size=(9, 9)).astype("float16")]
    for got, want in zip(computed(arrays, way), expected(arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(-34, 37)), min_size=1)
)
def test_any_scale(drawn):
    arrays = [
        np.float32(RNG.normal(size=size)) * np.float32(10.0) ** np.float32(power)
        for size, power in drawn
    ]
    found = norms([tf.constant(one) for one in arrays])
    for got, want in zip(found, expected(arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_few_tensors_share_a_condition_and_large_ones_share_none():
    tensors = [tf.zeros([10]), tf.zeros([20]), tf.zeros([600, 600]), tf.zeros([5])]
    assert list(norms_room._together(tensors)) == [[0, 1], [2, 3]]


def test_care_is_not_taken_where_all_is_well(monkeypatch):
    def fail(*args):
        raise AssertionError("care was taken")

    monkeypatch.setattr(norms_room, "_with_care", fail)
    norms([tf.constant([1.0, 0.0]), tf.zeros([0]), tf.constant([1e-10])])
    with pytest.raises(AssertionError, match="care"):
        norms([tf.constant([1e-20])])


def test_reduce_gives_partials_that_merge():
    parts = [RNG.normal(size=(7, 3)).astype("float32") for _ in range(3)]
    reduction = [stats.reduction_of("gradient", 2, detail="norms")]
    scalars = [stats.reduce([tf.constant(one)], reduction)["scalars"] for one in parts]
    layout = stats.Layout.of_moments(1)
    found = stats.finalize(stats.merge(np.stack(scalars)), layout)
    names = list(stats._finalize.schema.STATISTICS)
    whole = np.concatenate(parts).astype("float64")
    assert found[0, names.index("norm")] == pytest.approx(np.linalg.norm(whole), 1e-6)
    rms = np.sqrt(np.mean(whole**2))
    assert found[0, names.index("rms")] == pytest.approx(rms, 1e-6)
