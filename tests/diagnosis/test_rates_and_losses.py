"""Steps, rates and losses: what is to blame, and what only follows."""

import numpy as np
import pytest
from edits import (
    ALL,
    ALONE,
    KERNELS,
    RATIO,
    both,
    edit,
    fact,
    flat_loss,
    judged,
    symmetric,
)
from records import STEPS, Draft
from trips import TRIPS

from keras_initkit import diagnosis
from keras_initkit.diagnosis.curve import LossCurve


def test_symmetric_units_needs_the_gradient_or_two_steps():
    draft = Draft()
    symmetric(draft)
    rules = ["SymmetricUnits"]
    assert len(diagnosis.judge(draft.record(steps=1), rules)) == 1
    draft.without("gradient/distinct_units")
    assert diagnosis.judge(draft.record(steps=1), rules) == []
    assert len(diagnosis.judge(draft.record(steps=2), rules)) == 1


@pytest.mark.parametrize(
    "case", ["kernel too large", "signal grows", "loss at init", "pixels", "prices"]
)
def test_rate_that_is_too_high_follows_from_weights_or_data_that_are_too_large(case):
    draft = Draft()
    change, (cause, *_) = TRIPS[case]
    change(draft)
    edit(*RATIO, ALL, KERNELS, 0.4)(draft)
    draft.loss = draft.loss[0] * 2.0 ** np.arange(len(STEPS))
    found = {f.rule: f.because_of for f in diagnosis.judge(draft.record())}
    assert found["LearningRateTooHigh"] == cause
    assert found[cause] is None


def test_steps_are_held_against_weights_that_fit():
    # A tenth of what fits moves by three times as large a share, for no fault of the
    # rate; nine times as much by a third of it.
    for rms, rule in ((0.03, "LearningRateTooHigh"), (2.7, "LearningRateTooLow")):
        draft = Draft()
        high = rule == "LearningRateTooHigh"
        edit(*RATIO, ALL, KERNELS, 0.2 if high else 5e-5)(draft)
        draft.loss = 2.3 * (1 + 0.01 * np.arange(len(STEPS)))
        assert [f.rule for f in diagnosis.judge(draft.record(), [rule])] == [rule]
        edit("weight", "rms", ALL, KERNELS, rms)(draft)
        assert diagnosis.judge(draft.record(), [rule]) == []


def test_rate_is_named_where_a_leap_has_killed_the_layers():
    draft = Draft()
    edit(*RATIO, 0, KERNELS, 0.4)(draft)
    draft.loss = np.full(len(STEPS), 2.3)
    assert diagnosis.judge(draft.record(), ["LearningRateTooHigh"]) == []
    edit("activation", "zero_fraction", slice(1, None), 1, 1)(draft)
    found = {f.rule: f.because_of for f in diagnosis.judge(draft.record())}
    assert found["LearningRateTooHigh"] is None
    assert found["DeadRelu"] == "LearningRateTooHigh"
    # A loss that fell to that of a constant guess on the way is no excuse.
    draft.loss[1:] = 1.2
    assert len(diagnosis.judge(draft.record(), ["LearningRateTooHigh"])) == 1
    # One that was dead from the start was not killed.
    edit("activation", "zero_fraction", ALL, 1, 1)(draft)
    assert diagnosis.judge(draft.record(), ["LearningRateTooHigh"]) == []


def test_the_rate_tried_is_told_with_what_it_came_to():
    (finding,) = judged(fact("learning_rate_trial", rate=1.0))
    assert finding.message == (
        "the learning rate is 1; in trials of 5 steps each, rates from 0.0003 to 0.01 "
        "learn, and yours takes the loss from 2.4 to NaN or Inf."
    )
    assert "`model.optimizer.learning_rate = 0.003`" in finding.remedy
    (finding,) = judged(fact("learning_rate_trial", rate=7.0))  # it was not tried
    assert finding.message.endswith("rates from 0.0003 to 0.01 learn.")


def test_what_a_rate_does_follows_from_the_trial_of_it():
    draft = Draft()
    change = both(edit(*RATIO, ALL, KERNELS, 0.4), flat_loss(2.3, 2.4))
    both(change, fact("learning_rate_trial", rate=1.0))(draft)
    found = {f.rule: f.because_of for f in diagnosis.judge(draft.record())}
    assert found["LearningRateTrial"] is None
    assert found["LearningRateTooHigh"] == "LearningRateTrial"


def test_kernel_that_starts_at_zero_grows_by_large_steps():
    draft = Draft()
    draft.values["weight"]["rms"][:, 6] = 1e-3 * np.arange(len(STEPS))
    edit(*RATIO, ALL, 6, 0.5)(draft)
    assert diagnosis.judge(draft.record(), rules=["WeightUpdateRatio"]) == []
    draft.values["weight"]["rms"][:, 6] = 0.3
    assert len(diagnosis.judge(draft.record(), rules=["WeightUpdateRatio"])) == 1


def test_what_has_converged_may_stand_still():
    draft = Draft()
    draft.values["update"]["rms"][4:, 2] = 0
    rules = ["UnchangedTensor"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.values["gradient"]["rms"][4:, 2] = 1e-9
    assert diagnosis.judge(draft.record(), rules) == []


def test_accumulating_optimizer_may_leave_weights_unchanged():
    draft = Draft()
    TRIPS["unchanged"][0](draft)
    draft.metadata["optimizer"]["gradient_accumulation_steps"] = 4
    assert diagnosis.judge(draft.record()) == []
    assert "UnchangedTensor" in diagnosis.not_judged(draft.record())


def test_loss_not_decreasing():
    draft = Draft()
    flat_loss(2.3, 2.3)(draft)
    (finding,) = diagnosis.judge(draft.record(), rules=[ALONE])
    assert (finding.layer, finding.step, finding.threshold) == (None, 0, 0.01)
    draft.loss = np.linspace(2.3, 2.29, len(STEPS))  # slowly, but it falls
    assert diagnosis.judge(draft.record(), rules=[ALONE]) == []
    draft.loss = np.full(len(STEPS), 2.3)
    short = draft.record(steps=10)
    assert diagnosis.judge(short, rules=[ALONE]) == []
    assert diagnosis.not_judged(short, rules=[ALONE]) == {
        ALONE: "holds 10 finite losses over 90 iterations; 8 over 100 are needed"
    }


def test_labels_are_not_blamed_for_what_has_another_reason():
    draft = Draft()
    TRIPS["labels of others"][0](draft)
    edit("activation", "zero_fraction", ALL, 1, 1)(draft)
    record = draft.record()
    assert diagnosis.judge(record, rules=["DamagedTargets"]) == []
    assert "other faults" in diagnosis.not_judged(record)["DamagedTargets"]
    for change in (
        fact("loss", from_logits=False),  # of a linear layer
        edit(*RATIO, ALL, ALL, 1e-5),
    ):
        draft = Draft()
        TRIPS["labels of others"][0](draft)
        change(draft)
        assert "DamagedTargets" in diagnosis.not_judged(draft.record())
    draft = Draft()
    TRIPS["labels of others"][0](draft)
    draft.metadata["outputs"][0]["activation"] = "softmax"
    fact("loss", from_logits=False)(draft)
    assert diagnosis.not_judged(draft.record()) == {}


def test_rate_is_not_blamed_for_a_loss_that_gets_no_probabilities():
    draft = Draft()
    TRIPS["steps too small to leave chance"][0](draft)
    fact("loss", from_logits=False)(draft)
    record = draft.record()
    assert diagnosis.judge(record, rules=["LearningRateTooLow"]) == []
    reason = diagnosis.not_judged(record)["LearningRateTooLow"]
    assert reason == "has faulty gradients, which make steps small"


def test_weighted_loss_is_not_compared_with_a_uniform_guess():
    draft = Draft()
    TRIPS["loss at init"][0](draft)
    draft.metadata["weighted"] = True
    assert diagnosis.judge(draft.record(), rules=["LossAtInit"]) == []
    assert "LossAtInit" in diagnosis.not_judged(draft.record())


def test_steps_that_rounding_takes_are_no_fault_of_the_optimizer():
    draft = Draft()
    edit("update", "rms", ALL, slice(0, 2), 0)(draft)
    fact("optimizer", name="sgd", learning_rate=0.01)(draft)
    rules = ["UnchangedTensor"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    # A step of 0.01 * 5e-7 beside weights of 0.3.
    edit("gradient", "rms", ALL, slice(0, 2), 5e-7)(draft)
    assert diagnosis.judge(draft.record(), rules) == []
    fact("optimizer", name="adam")(draft)
    assert len(diagnosis.judge(draft.record(), rules)) == 1


def test_few_labels_do_not_tell_what_a_constant_guess_loses():
    draft = Draft()
    TRIPS["labels of others"][0](draft)
    draft.metadata["target"] |= {"entropy": 0.5, "shape": [64]}
    draft.loss = np.full(len(STEPS), 1.5)
    assert diagnosis.judge(draft.record(), ["DamagedTargets"])
    draft.metadata["target"]["shape"] = [8]
    assert diagnosis.judge(draft.record(), ["DamagedTargets"]) == []


def test_no_progress_names_the_layer_that_takes_the_signal():
    draft = Draft()
    TRIPS["a step takes nothing off the loss"][0](draft)
    draft.values["activation"]["rms"][:, 2:] = 1e-3
    (found,) = diagnosis.judge(draft.record(), ["NoProgress"])
    assert found.layer == "dense_2"


@pytest.mark.parametrize(
    ("start", "epochs", "expected"),
    [
        (0.10, [0.137, 0.127], True),  # an easy first batch
        (0.10, [0.40, 0.20], False),  # a loss that has leapt
        (0.10, [], False),
    ],
)
def test_first_loss_is_one_of_a_single_batch(start, epochs, expected):
    steps = np.arange(0, 401, 10)
    scatter = 0.006 * np.resize([1, -1, -1, 1], len(steps))
    losses = np.append(start, (0.128 + scatter)[1:])
    curve = LossCurve(steps, losses, epochs=np.array(epochs))
    assert curve.starts_by_chance() is expected
    if expected:
        assert curve.fall < 0 < 0.05 < curve.fall_of_epochs
