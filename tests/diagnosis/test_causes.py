"""Causes and consequences: which finding follows from which, and how they are shown."""

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import diagnosis
from keras_initkit.diagnosis import Finding, causes

LAYERS = ("one", "two", "three")
RULES = {*diagnosis.RULES, *diagnosis.LINTS}


def finding(rule, layer=None, step=0, severity="warning"):
    return Finding(rule, severity, layer, step, 1.0, 0.0, "", "", "")


def because(*findings):
    """Returns `{(rule, layer): because_of}`."""
    found = diagnosis.explained(findings, LAYERS)
    return {(one.rule, one.layer): one.because_of for one in found}


def test_causes_are_rules_and_form_no_circle_at_one_step():
    left = {}
    for rule in RULES:
        at_once, by_steps = causes.causes_of(rule)
        assert {*at_once, *by_steps} <= RULES, rule
        left[rule] = set(at_once)
    assert any(left.values())
    while left:
        first = [rule for rule, its in left.items() if not its & set(left)]
        assert first, f"a circle among {sorted(left)}"
        for rule in first:
            del left[rule]


@pytest.mark.parametrize(
    ("cause", "effect", "follows"),
    [
        # What the data do shows in any layer, from the first step on.
        (finding("UnscaledInput"), finding("DeadRelu", "two"), True),
        (finding("DeadRelu", "two"), finding("UnscaledInput"), False),
        # A rate acts by steps: what was so at the first is not its doing.
        (finding("LearningRateTooHigh"), finding("DeadRelu", "two", 1), True),
        (finding("LearningRateTooHigh"), finding("DeadRelu", "two", 0), False),
        (finding("LearningRateTooHigh", step=9), finding("DeadRelu", "two", 5), False),
        (finding("LearningRateRange", step=None), finding("DeadRelu", "two", 1), True),
        (
            finding("LearningRateRange", step=None),
            finding("DeadRelu", "two", None),
            False,
        ),
        # Signals go forward, gradients back.
        (finding("SymmetricUnits", "two", None), finding("AllZero", "three"), True),
        (
            finding("TensorVariance", "two"),
            finding("SaturatedActivation", "one"),
            False,
        ),
        (finding("DeadRelu", "two", 3), finding("NoGradient", "one", 3), True),
        (finding("DeadRelu", "two", 3), finding("NoGradient", "three", 3), False),
        # What is about all layers names but one.
        (finding("DeadRelu", "two", 3), finding("VanishingGradient", "three", 3), True),
        # What was there before is no consequence.
        (finding("DeadRelu", "two", 3), finding("NoGradient", "one", 0), False),
        (finding("SymmetricUnits", "one"), finding("UnscaledInput"), False),
    ],
)
def test_a_finding_follows_where_its_cause_acts(cause, effect, follows):
    expected = cause.rule if follows else None
    assert because(cause, effect)[effect.rule, effect.layer] == expected
    if follows:
        assert because(cause, effect)[cause.rule, cause.layer] is None


def test_consequences_are_told_their_first_cause():
    chain = [
        finding("LossNotDecreasing"),
        finding("NoGradient", "one", 2),
        finding("DeadRelu", "two", 2, "error"),
        finding("LearningRateTooHigh"),
    ]
    found = diagnosis.in_order(diagnosis.explained(chain, LAYERS))
    assert [one.rule for one in found] == [
        "LearningRateTooHigh",
        "DeadRelu",
        "LossNotDecreasing",
        "NoGradient",
    ]
    assert [one.because_of for one in found] == [None, *3 * ["LearningRateTooHigh"]]
    # It leads to an error, so it is one; what follows keeps its own severity.
    assert [one.severity for one in found] == ["error", "error", "warning", "warning"]
    assert diagnosis.explained(found, LAYERS) == found


def test_causes_keep_the_order_of_severity_and_step():
    found = diagnosis.in_order(
        [
            finding("UnscaledTarget", step=4),
            finding("SymmetricUnits", "one", 2, "error"),
            finding("UnscaledInput", step=2),
        ]
    )
    assert [one.rule for one in found] == [
        "SymmetricUnits",
        "UnscaledInput",
        "UnscaledTarget",
    ]


def test_a_consequence_whose_cause_is_gone_is_still_listed():
    lost = Finding(
        "DeadRelu", "error", "one", 1, 1, 0, "", "", "", "LearningRateTooHigh"
    )
    other = finding("UnscaledInput")
    assert diagnosis.in_order([lost, other]) == [other, lost]


def test_what_follows_is_told_in_a_sentence():
    effects = [finding("DeadRelu", name, 1) for name in LAYERS]
    found = diagnosis.explained([finding("LearningRateTooHigh"), *effects], LAYERS)
    sentence = diagnosis.consequences(found, "LearningRateTooHigh")
    assert sentence == "And 3 more that follow from it: DeadRelu (3)."
    assert diagnosis.consequences(found, "DeadRelu") == ""
    one = diagnosis.consequences(found[:2], "LearningRateTooHigh")
    assert one == "And 1 more that follows from it: DeadRelu."


def zeros(rate=0.01):
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(8, "relu", kernel_initializer="zeros", name=name)
        for name in LAYERS
    ]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def examples(count=64):
    x = np.random.default_rng(0).normal(size=(count, 4)).astype("float32")
    return x, x[:, :1]


def test_diagnosis_shows_the_cause_and_folds_what_follows():
    found = kik.diagnose(zeros(), *examples())
    roots = {one.rule for one in found.findings if one.because_of is None}
    assert roots == {"SymmetricUnits"}
    assert {one.because_of for one in found.findings} == {None, "SymmetricUnits"}
    text = str(found)
    assert text.count("What to do") == 1
    assert "more that follow from it" in text
    assert all("because_of" in one for one in found.to_dict()["findings"])


def test_monitor_acts_on_causes_only_and_keeps_the_rest():
    acted = []
    monitor = kik.SignalMonitor(None, every=1, on_finding=acted.append)
    x, y = examples(160)
    zeros().fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[monitor])
    assert {one.rule for one in acted} == {"SymmetricUnits"}
    kept = {one.rule: one.because_of for one in monitor.findings}
    assert kept.pop("SymmetricUnits") is None
    assert set(kept.values()) == {"SymmetricUnits"}


def test_log_tells_a_cause_with_what_follows_and_no_consequence(caplog):
    monitor = kik.SignalMonitor(None, every=1)
    x, y = examples(160)
    zeros().fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[monitor])
    told = [one.getMessage() for one in caplog.records]
    first = [text for text in told if text.startswith("error SymmetricUnits")]
    assert len(first) == 1
    assert "that follow from it: " in first[0]
    assert not [text for text in told if text.startswith(("error NoGr", "error Dead"))]


def stack(activation, depth, optimizer, width=32, **kernel):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(width, activation, **kernel) for _ in range(depth)]
    model = keras.Sequential([keras.Input((12,)), *layers, keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def severities(model, width=12):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, width)).astype("float32")
    found = kik.diagnose(model, x, rng.integers(0, 3, 256)).findings
    return {one.severity for one in found if one.because_of is None}


@pytest.mark.parametrize(
    ("activation", "optimizer"),
    [
        ("relu", keras.optimizers.SGD(0.01)),
        ("sigmoid", keras.optimizers.SGD(0.01)),
        ("sigmoid", keras.optimizers.Adam(1e-3)),
    ],
    ids=["relu", "sigmoid", "sigmoid, adam"],
)
def test_thirty_layers_that_cannot_learn_are_an_error(activation, optimizer):
    # Of a gradient of 1e-22 Adam, too, makes a step that rounding takes away.
    assert severities(stack(activation, 30, optimizer)) == {"error"}


@pytest.mark.parametrize(
    "model",
    [
        lambda: stack("relu", 30, "sgd", kernel_initializer="he_normal"),
        lambda: stack("tanh", 30, "sgd"),
        lambda: stack("relu", 3, keras.optimizers.SGD(1e-4)),
        lambda: stack("relu", 12, "adam"),
    ],
    ids=["He", "tanh", "small rate", "twelve"],
)
def test_what_learns_or_learns_slowly_is_no_error(model):
    assert "error" not in severities(model())


def test_a_schedule_that_starts_at_zero_is_not_judged_by_its_first_step():
    warm = keras.optimizers.schedules.CosineDecay(0.0, 100, warmup_target=0.1)
    model = stack("relu", 3, keras.optimizers.SGD(warm))
    assert "error" not in severities(model)
