"""Depth profiles: which tensors count, at which depth, with which slope."""

import numpy as np
import pytest

from keras_initkit.diagnosis import depth_profile, depth_slope
from keras_initkit.recording.record import RunRecord, SignalSeries
from keras_initkit_light.format.schema import TensorKey

WEIGHTS = {"kernel": [4, 4], "bias": [4]}


def record_of(activations, weights, metadata=()):
    record = RunRecord(metadata={"layers": list(metadata)})
    for signal, keys in (("activation", activations), ("gradient", weights)):
        if keys:
            series = SignalSeries(signal, tuple(keys), ("std", "rms"))
            for step in (0, 5):
                values = np.arange(1, len(keys) + 1.0)[:, None] * [1, 10] + step
                series.append(step, values)
            record.series[signal] = series
    return record


def out(*layers):
    return [TensorKey(name, "output") for name in layers]


def test_profile_keeps_the_layers_that_own_kernels():
    weights = [
        TensorKey("conv", "kernel"),
        TensorKey("conv", "bias"),
        TensorKey("bn", "gamma"),
        TensorKey("bn", "beta"),
        TensorKey("dense", "kernel"),
    ]
    record = record_of(out("conv", "bn", "pool", "dense"), weights)
    profile = depth_profile(record, "activation", "std")
    assert profile.keys == (TensorKey("conv", "output"), TensorKey("dense", "output"))
    assert profile.depths.tolist() == [0, 1]
    assert profile.columns.tolist() == [0, 3]
    assert profile.values.tolist() == [1, 4]
    profile = depth_profile(record, "gradient", "rms", step=5)
    assert [k.layer for k in profile.keys] == ["conv", "dense"]
    assert profile.values.tolist() == [15, 55]


def test_profile_finds_the_recurrent_layer_around_a_cell():
    weights = [
        TensorKey("embedding", "embeddings"),
        TensorKey("encoder/lstm/lstm_cell", "kernel"),
        TensorKey("encoder/lstm/lstm_cell", "recurrent_kernel"),
        TensorKey("dense", "kernel"),
    ]
    record = record_of(out("embedding", "encoder/lstm", "encoder", "dense"), weights)
    profile = depth_profile(record, "activation", "std")
    assert [k.layer for k in profile.keys] == ["embedding", "encoder/lstm", "dense"]
    assert profile.depths.tolist() == [0, 1, 2]
    assert depth_profile(record, "gradient", "rms").depths.tolist() == [0, 1, 1, 2]


def test_profile_of_activations_alone_asks_the_metadata():
    layers = [
        {"path": "a", "activation": "relu", "weights": WEIGHTS},
        {"path": "flatten", "activation": None, "weights": {}},
        {
            "path": "b",
            "activation": "softmax",
            "weights": WEIGHTS,
        },
    ]
    record = record_of(out("a", "flatten", "b"), [], layers)
    profile = depth_profile(record, "activation", "std")
    assert [k.layer for k in profile.keys] == ["a"]  # probabilities do not count


@pytest.mark.parametrize(
    ("signal", "statistic", "step"),
    [("gradient", "rms", 0), ("activation", "mean", 0), ("activation", "std", 3)],
)
def test_profile_of_what_was_not_recorded_is_empty(signal, statistic, step):
    profile = depth_profile(record_of(out("a"), []), signal, statistic, step=step)
    assert profile.keys == ()
    assert np.isnan(profile.slope)
    assert np.isnan(profile.change)


def test_depth_slope_is_decades_per_layer():
    assert depth_slope(np.arange(4), 0.5 ** np.arange(4)) == pytest.approx(-np.log10(2))
    assert depth_slope(np.array([0, 1, 1, 2]), np.array([1, 10, 10, 100])) == 1


@pytest.mark.parametrize(
    "values", [[], [1.0], [0.0, 0.0], [1.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]]
)
def test_depth_slope_needs_two_usable_depths(values):
    assert np.isnan(depth_slope(np.arange(len(values)), np.array(values)))


def test_depth_slope_leaves_out_values_without_logarithm():
    values = np.array([1.0, np.nan, 0.01, 0.0, np.inf])
    assert depth_slope(np.arange(5), values) == pytest.approx(-1)
