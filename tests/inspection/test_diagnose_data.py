"""What `diagnose` says of a whole set: spread examples, splits, labels."""

import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.inspection import samples
from keras_initkit.structure import splits


def model_of(width=4, units=1, loss="mse"):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(units)]
    model = keras.Sequential([keras.Input((width,)), *layers])
    model.compile("adam", loss)
    return model


def data(count=2000, width=4, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, width)).astype("float32")
    return x, x[:, :1]


def rules(*args, model=None, **options):
    found = kik.diagnose(model or model_of(), *args, **options).findings
    return [one.rule for one in found]


def test_what_the_first_batch_does_not_hold_is_seen():
    x, y = data()
    assert rules(x, y) == []
    late = x.copy()
    late[1500, 2] = np.nan
    assert rules(late, y) == ["NonFinite"]
    large = x.copy()
    large[300:] *= 100
    assert rules(large, y) == ["UnscaledInput"]
    found = kik.diagnose(model_of(), x, 1000 + y).findings
    assert "the 2000 examples" in found[0].message


def test_sorted_labels_are_counted_as_a_whole():
    x, _ = data()
    y = np.repeat([0, 1, 2, 7], 500)
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = kik.diagnose(model_of(units=4, loss=sparse), x, y).findings
    assert [one.rule for one in found] == ["DamagedTargets"]
    record = kik.diagnose(model_of(units=8, loss=sparse), x, y).record
    assert record.metadata["target"]["entropy"] == pytest.approx(np.log(4), rel=1e-6)


@pytest.mark.parametrize("scale", [1 / 255, 0.5])
def test_labels_that_were_scaled_are_an_error(scale):
    x, _ = data()
    y = np.arange(len(x)) % 8
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    (found,) = kik.diagnose(model_of(units=8, loss=sparse), x, y * scale).findings
    assert (found.rule, found.severity) == ("DamagedTargets", "error")
    assert "whole numbers" in found.message
    whole = kik.diagnose(model_of(units=8, loss=sparse), x, y.astype("float32"))
    assert "DamagedTargets" not in [one.rule for one in whole.findings]


def test_several_labels_of_a_softmax_are_told():
    x, _ = data()
    rng = np.random.default_rng(0)
    y = (rng.random((len(x), 8)) < 0.3).astype("float32")
    y[np.arange(len(x)), np.arange(len(x)) % 8] = 1
    softmax = keras.losses.CategoricalCrossentropy(from_logits=True)
    found = kik.diagnose(model_of(units=8, loss=softmax), x, y).findings
    assert [(one.rule, one.severity) for one in found] == [
        ("LossActivationMismatch", "warning")
    ]
    assert found[0].measured == pytest.approx(y.sum(axis=1).mean(), rel=1e-6)
    one_each = np.eye(8)[np.arange(len(x)) % 8]
    assert kik.diagnose(model_of(units=8, loss=softmax), x, one_each).findings == []
    shares = one_each * 0.9 + 0.1 / 8
    assert kik.diagnose(model_of(units=8, loss=softmax), x, shares).findings == []


def test_rare_classes_are_an_info():
    x, _ = data()
    y = (np.arange(2000) % 50 == 0).astype("float32")[:, None]
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    found = kik.diagnose(model_of(loss=binary), x, y).findings
    assert [(one.rule, one.severity) for one in found] == [("ImbalancedLabels", "info")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x, None),
        (lambda x: x / 255, "standard deviation 0.00"),
        (lambda x: x + np.float32([0, 0, 4.5, 0]), "mean in column 2"),
        (lambda x: x[:10] / 255, None),
    ],
    ids=["alike", "scaled", "moved", "too few"],
)
def test_splits_on_different_scales_are_told(change, said):
    x, y = data()
    other, _ = data(200, seed=1)
    other = change(other)
    validation = other, np.zeros((len(other), 1), "float32") + y[: len(other)]
    found = kik.diagnose(model_of(), x, y, validation_data=validation).findings
    assert [one.rule for one in found] == ([] if said is None else ["UnlikeSplits"])
    assert said is None or said in found[0].message


def test_small_splits_of_heavy_tails_are_not_apart():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one, other = (np.exp(rng.normal(size=(n, 6))) for n in (1000, 40))
        (found,) = splits.apart((one, None), (other, None))
        assert found["shift"] < 3


def test_sample_is_spread_holds_the_first_and_leaves_large_examples_out():
    x = np.arange(100_000, dtype="float32")[:, None]
    facts = samples.facts_of_set(model_of(1), x, None, None)
    assert 4096 <= facts["sample"]["examples"] <= 4096 + 256
    assert facts["sample"]["of"] == 100_000
    assert facts["input"][0]["max"] == 99_999
    # 64 of these spread over the set are as many entries as are read; the first 256,
    # which make the step, are always looked at.
    images = np.zeros((300, 512, 512, 1), np.uint8)
    sample = samples.facts_of_set(model_of(1), images, None, None)["sample"]
    assert 256 < sample["examples"] < 256 + 64


def test_what_is_no_array_is_judged_by_its_batch():
    x, y = data(64)
    assert samples.facts_of_set(model_of(), iter([(x, y)]), None, None) == {}
    record = kik.diagnose(model_of(), x.tolist(), y.tolist()).record
    assert "sample" not in record.metadata


def test_wrong_validation_data_raises():
    x, y = data(64)
    message = "`validation_data` must be a tuple `(x, y)` of arrays. Received: ndarray"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.diagnose(model_of(), x, y, validation_data=x)
