"""Depth profiles: which tensors count, at which depth, with which slope."""

import numpy as np
import pytest

from keras_initkit.diagnosis import depth_profile, depth_slope, weight_layers
from keras_initkit.diagnosis.depth import Profile, changes, kernel_columns
from keras_initkit.recording.record import RunRecord
from keras_initkit.recording.series import SignalSeries
from keras_initkit_light.format.schema import TensorKey

WEIGHTS = {"kernel": [4, 4], "bias": [4]}
ROLES = {
    "kernel": "kernel",
    "recurrent_kernel": "recurrent_kernel",
    "embeddings": "table",
    "bias": "offset",
    "beta": "offset",
    "gamma": "scale",
    "alpha": "scale",
    "scale": "scale",
}
KNOWN = {"kernel": "kernel", "bias": "offset"}


def record_of(activations, weights, metadata=()):
    entries = metadata or [
        {"path": key.layer, "weights": {}, "roles": {key.tensor: ROLES[key.tensor]}}
        for key in weights
    ]
    record = RunRecord(metadata={"layers": list(entries)})
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


def test_depth_counts_no_scales():
    """PReLU's alpha and RMSNormalization's scale made 17 weight layers of 9."""
    names = [name for n in range(8) for name in (f"d{n}", f"p{n}")] + ["head"]
    weights = [
        key
        for name in names
        for key in (
            [TensorKey(name, "alpha"), TensorKey(name, "scale")]
            if name.startswith("p")
            else [TensorKey(name, "kernel"), TensorKey(name, "bias")]
        )
    ]
    record = record_of(out(*names), weights)
    assert len(weight_layers(record)) == 9
    assert depth_profile(record, "gradient", "rms").depths.tolist() == list(range(9))
    assert depth_profile(record, "activation", "rms").depths.tolist() == list(range(9))


def test_record_without_roles_has_no_weight_layers():
    record = record_of(out("a"), [TensorKey("a", "kernel")])
    record.metadata = {}
    assert weight_layers(record) == ()
    assert kernel_columns(record, "gradient") == []


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
        {"path": "a", "activation": "relu", "weights": WEIGHTS, "roles": KNOWN},
        {"path": "flatten", "activation": None, "weights": {}},
        {
            "path": "b",
            "activation": "softmax",
            "weights": WEIGHTS,
            "roles": KNOWN,
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


@pytest.mark.parametrize("first", [0, 1])
def test_shallow_layers_are_those_of_the_lesser_depths(first):
    depths = np.array([first, first, first + 1])
    values = np.array([0.01, 1.0, 0.3])
    nets = np.zeros(3, int)
    profile = Profile(("gate", "way", "head"), depths, np.arange(3), values, nets)
    assert profile.alike(1).keys == ("way", "head")
    assert profile.alike(-1).keys == ("gate", "head")


@pytest.mark.parametrize("sign", [1, -1])
def test_changes_of_many_steps_are_those_of_each(sign):
    rng = np.random.default_rng(0)
    odd = [1, 1, 1, 0, np.nan, np.inf]
    for _ in range(200):
        size = rng.integers(0, 8)
        depths = np.sort(rng.integers(0, 5, size))
        profiles = [
            Profile(
                tuple(range(size)),
                depths,
                np.arange(size),
                10.0 ** rng.normal(size=size) * rng.choice(odd, size),
                np.zeros(size, int),
            )
            for _ in range(3)
        ]
        expected = [profile.alike(sign).change for profile in profiles]
        np.testing.assert_allclose(changes(profiles, sign), expected, 1e-9, 1e-12)
