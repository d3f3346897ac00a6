"""What batch normalization alone does to gradients over depth is no fault."""

import keras
import numpy as np
import pytest
from records import Draft

import keras_initkit as kik
from keras_initkit import diagnosis
from keras_initkit.diagnosis.depth import depth_profile, grown_by_normalization

k = keras.layers


def test_thirty_normalized_layers_are_told_nothing():
    layers = [k.Input((64,))]
    for _ in range(30):
        layers.append(k.Dense(64, use_bias=False, kernel_initializer="he_normal"))
        layers += [k.BatchNormalization(), k.ReLU()]
    model = keras.Sequential([*layers, k.Dense(10, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(128, 64)).astype("float32")
    diagnosed = kik.diagnose(model, x, np.arange(128) % 10)
    assert diagnosed.findings == []
    # It is there, as theory says: a factor 1.21 a layer.
    net = depth_profile(diagnosed.record, "gradient", "norm")
    back = np.log10(net.values[2] / net.values[-4]) / (len(net.keys) - 6)
    assert back == pytest.approx(np.log10(1.2112), rel=0.15)


@pytest.mark.parametrize(("decades", "found"), [(0.7, False), (1.1, True)])
def test_what_grows_faster_is_told(decades, found):
    """Of three layers behind one another, two normalized: 0.17 decades explained."""
    draft = Draft()
    for layer in draft.metadata["layers"][:2]:
        layer["class_name"] = "BatchNormalization"
    rms = draft.values["gradient"]["rms"]
    rms[:, ::2] = 1e-2 * 10 ** (-decades * np.arange(4))
    rms[:, 1::2] = rms[:, ::2]
    findings = diagnosis.judge(draft.record(), rules=["ExplodingGradient"])
    assert bool(findings) == found


def test_only_as_many_normalizations_count_as_there_are_layers_on_the_way():
    draft = Draft()
    for layer in draft.metadata["layers"]:
        layer["class_name"] = "BatchNormalization"
    record = draft.record()
    profile = depth_profile(record, "gradient", "rms")
    assert grown_by_normalization(record, profile) == pytest.approx(
        3 * 0.0832, rel=1e-3
    )
    record.metadata["layers"] = []
    assert grown_by_normalization(record, profile) == 0
