"""Partials against float64 numpy, over magnitudes, shapes and dtypes."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from keras_initkit import schema, stats

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((40, 30)).astype(np.float32)

TENSORS = {
    "normal": NORMAL,
    "relu": np.maximum(NORMAL, 0),
    "large_mean": (1000 + 0.1 * NORMAL).astype(np.float32),
    "tiny": NORMAL * np.float32(1e-25),
    "huge": NORMAL * np.float32(1e30),
    "zeros": np.zeros((4, 5), np.float32),
    "constant": np.full((7, 3), 0.1, np.float32),
    "one_value": np.array([[2.5]], np.float32),
    "vector": NORMAL[0],
    "rank_4": RNG.uniform(-3, 5, (6, 5, 4, 3)).astype(np.float32),
    "negative_zero": np.array([[-0.0, 0.0, 1.0, -1.0]], np.float32),
    "one_spike": np.concatenate([np.zeros((999, 1)), [[1e-6]]]).astype(np.float32),
}


def reference(x):
    """The statistics every signal has, in float64."""
    x = np.asarray(x, np.float64)
    return {
        "mean": x.mean(),
        "std": x.std(),
        "rms": np.sqrt(np.mean(x**2)),
        "norm": np.linalg.norm(x.ravel()),
        "min": x.min(),
        "max": x.max(),
        "zero_fraction": np.mean(x == 0),
        "nonfinite_count": np.count_nonzero(~np.isfinite(x)),
    }


def scalars(x, large=False):
    row, _ = stats.Reduction(zeros=True, large=large)(tf.convert_to_tensor(x))
    return row


def computed(x, compile_with, large=False):
    """The statistics as the monitor computes them for a gradient."""
    row = compile_with(functools.partial(scalars, large=large))(tf.constant(x))
    values = stats.finalize("gradient", row.numpy()[None])[0]
    return dict(zip(schema.statistics_of("gradient"), values, strict=True))


MODES = {
    "eager": lambda f: f,
    "graph": lambda f: tf.function(f),
    "xla": lambda f: tf.function(f, jit_compile=True),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("name", TENSORS)
def test_scalars_agree_with_float64(name, large, mode):
    x = TENSORS[name]
    values, expected = computed(x, MODES[mode], large), reference(x)
    for statistic, value in expected.items():
        # The mean may cancel: it is as exact as the values it is a mean of.
        slack = 1e-6 * expected["rms"] if statistic == "mean" else 0.0
        assert values[statistic] == pytest.approx(value, rel=1e-5, abs=slack), statistic


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_large_mean_keeps_its_variance(large):
    x = (1e4 + RNG.standard_normal(100_000)).astype(np.float32)
    assert computed(x, MODES["graph"], large)["std"] == pytest.approx(
        x.astype(np.float64).std(), rel=1e-5
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    x = tf.cast(NORMAL * 300, dtype)
    values = computed(x, MODES["graph"])
    expected = reference(tf.cast(x, tf.float64).numpy())
    for statistic, value in expected.items():
        assert values[statistic] == pytest.approx(
            value, rel=1e-5, abs=1e-6 * expected["rms"]
        )


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_nonfinite_entries_are_counted_and_propagate(large):
    x = NORMAL.copy()
    x[0, :3] = np.nan, np.inf, -np.inf
    values = computed(x, MODES["graph"], large)
    assert values["nonfinite_count"] == 3
    assert np.isnan([values["mean"], values["std"]]).all()


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_empty_tensor_has_no_statistics_but_counts(large):
    values = computed(np.zeros((0, 3), np.float32), MODES["graph"], large)
    assert values.pop("nonfinite_count") == 0
    assert np.isnan(list(values.values())).all()


@pytest.mark.parametrize("name", ["normal", "large_mean", "huge", "rank_4"])
def test_merged_parts_equal_the_whole(name):
    x = TENSORS[name]
    parts = [scalars(part).numpy()[None] for part in np.array_split(x, 3)]
    merged = stats.finalize("gradient", stats.merge(parts))
    whole = stats.finalize("gradient", scalars(x).numpy()[None])
    scale = reference(x)["rms"]
    np.testing.assert_allclose(merged[:, 1:], whole[:, 1:], rtol=1e-5)
    np.testing.assert_allclose(merged[:, 0], whole[:, 0], rtol=1e-5, atol=1e-6 * scale)


def test_unscaled_row_is_that_of_the_divided_tensor():
    row = stats.unscale(scalars(NORMAL * 512), 512.0).numpy()
    np.testing.assert_allclose(row, scalars(NORMAL).numpy(), rtol=1e-6)


def profile_statistics(x, source="layer"):
    signal = "activation" if source == "layer" else "weight"
    reduction = stats.Reduction(zeros=True, units=True, alive=source == "layer")
    row, profile = reduction(tf.constant(x))
    row = stats.finalize(signal, row.numpy()[None], [profile.numpy()])[0]
    return dict(zip(schema.statistics_of(signal), row, strict=True))


def test_dead_fraction_counts_units_silent_over_the_batch():
    x = np.abs(NORMAL) + 0.1
    x[:, :6] = 0.0
    x[3, 6] = 0.0  # silent once, not dead
    assert profile_statistics(x)["dead_fraction"] == pytest.approx(6 / 30)


@pytest.mark.parametrize("different", [1, 2, 17])
def test_distinct_units_counts_different_columns(different):
    columns = RNG.standard_normal((50, different)).astype(np.float32)
    x = columns[:, np.arange(40) % different]
    assert profile_statistics(x, "weight")["distinct_units"] == different


def test_distinct_units_of_continuous_weights_are_all():
    x = RNG.standard_normal((300, 2000)).astype(np.float32) * 1e-12
    assert profile_statistics(x, "weight")["distinct_units"] == 2000


def test_distinct_units_sees_a_last_bit_as_the_same_unit():
    x = np.repeat(RNG.standard_normal((64, 1)).astype(np.float32), 8, axis=1)
    x[:, 1] = np.nextafter(x[:, 1], np.float32(10))
    assert profile_statistics(x, "weight")["distinct_units"] == 1
    x[:, 1] *= 1.01
    assert profile_statistics(x, "weight")["distinct_units"] == 2


def test_zero_tensor_has_one_unit_and_it_is_dead():
    values = profile_statistics(np.zeros((9, 4), np.float32))
    assert values["distinct_units"] == 1
    assert values["dead_fraction"] == 1
