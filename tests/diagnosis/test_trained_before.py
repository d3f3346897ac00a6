"""What begins with trained weights, or with a loss of a scale of its own."""

import keras
import numpy as np
import pytest
from records import Draft

import keras_initkit as kik
from keras_initkit import diagnosis


def drifting():
    """A draft whose signal grows tenfold a layer from the start."""
    draft = Draft()
    draft.values["activation"]["std"][:] = 10.0 ** np.arange(4)
    draft.values["weight"]["rms"][:, 1::2] = 0.0  # biases, as they are made
    for entry in draft.metadata["layers"]:
        entry["constant"] = {"bias": 0.0}
    return draft


def test_growth_by_draws_of_weights_is_told():
    (finding,) = diagnosis.judge(
        drifting().record(), rules=["PoorWeightInitialization"]
    )
    assert finding.rule == "PoorWeightInitialization"


def test_growth_that_training_made_is_not_the_initialization():
    draft = drifting()
    draft.values["weight"]["rms"][:, 1::2] = 0.01
    record = draft.record()
    rule = "PoorWeightInitialization"
    assert diagnosis.judge(record, rules=[rule]) == []
    assert diagnosis.not_judged(record)[rule].startswith(
        "begins with pretrained weights"
    )


def test_biases_drawn_at_random_tell_nothing():
    draft = drifting()
    draft.values["weight"]["rms"][:, 1::2] = 0.01
    for entry in draft.metadata["layers"]:
        entry["constant"] = {}
    assert diagnosis.judge(draft.record(), rules=["PoorWeightInitialization"])


@pytest.mark.parametrize("rule", ["LossNotDecreasing", "LearningRateTooLow"])
@pytest.mark.parametrize("start", [0.2, 2.0])
def test_loss_that_starts_low_need_not_fall(rule, start):
    draft = Draft()
    draft.loss[:] = start + 0.01 * np.sin(np.arange(len(draft.loss)))
    draft.values["update"]["update_to_weight_ratio"][:] = 1e-5
    record = draft.record()
    found = diagnosis.judge(record, rules=[rule])
    assert bool(found) == (start > 1)
    if start < 1:
        reason = diagnosis.not_judged(record)[rule]
        assert reason == "starts with a model that has already learned"


@pytest.mark.parametrize(("loss", "found"), [(2e-4, False), (2.0, True)])
def test_gradients_are_as_small_as_the_loss(loss, found):
    draft = Draft()
    draft.loss = loss * 0.99 ** np.asarray(draft.steps, float)
    draft.values["gradient"]["rms"][:] = 8e-7
    findings = diagnosis.judge(draft.record(), rules=["VanishingGradient"])
    assert bool(findings) == found


def test_kernels_that_were_drawn_anew_are_not_trained():
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(8, kernel_initializer="zeros") for _ in range(2)]
    model = keras.Sequential([keras.Input((4,)), *hidden])
    kik.reinitialize(model, "random_normal")
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor()
    x, y = np.ones((4, 4), "float32"), np.ones((4, 8), "float32")
    model.fit(x, y, verbose=0, callbacks=[monitor])
    assert diagnosis.depth.trained_before(monitor.record) == set()


def test_trained_model_that_is_trained_on():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    y = (x[:, :1] > 0).astype("float32")
    layers = keras.layers
    stack = [layers.Dense(32, "relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((8,)), *stack, layers.Dense(1, "sigmoid")])
    rates = (0.01, 1e-6)
    known = []
    for rate in rates:
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        monitor = kik.SignalMonitor(every=5)
        model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])
        known.append(diagnosis.depth.trained_before(monitor.record))
        assert not [f for f in monitor.findings if f.severity != "info"]
    paths = [entry["path"] for entry in monitor.record.metadata["layers"]]
    assert known == [set(), set(paths)]
