"""What is said by signs in layers is milder where the model has learned."""

import numpy as np
import pytest
from records import STEPS, Draft

from keras_initkit import diagnosis

# The entropy of the draft's labels is 2.3.
LEARNED, SLOW, FLAT = 0.2, 0.5, 2.3


def dead(draft):
    draft.values["activation"]["zero_fraction"][:, 1] = 1.0
    draft.values["activation"]["dead_fraction"][:, 1] = 1.0


def mostly_dead(draft):
    draft.values["activation"]["dead_fraction"][:, 1] = 0.95


def told(change, end, rule="DeadRelu", **facts):
    draft = Draft()
    change(draft)
    draft.metadata |= facts
    draft.loss = np.geomspace(2.3, end, len(STEPS))
    draft.loss[-4:] = end
    (finding,) = diagnosis.judge(draft.record(), rules=[rule])
    return finding.severity, "has learned anyway" in finding.message


@pytest.mark.parametrize(
    ("change", "end", "severity", "disproved"),
    [
        (dead, FLAT, "error", False),
        (dead, SLOW, "error", False),
        (dead, LEARNED, "warning", True),
        (mostly_dead, SLOW, "warning", False),
        (mostly_dead, LEARNED, "info", True),
    ],
)
def test_what_a_rule_says_is_milder_where_the_model_has_learned(
    change, end, severity, disproved
):
    assert told(change, end) == (severity, disproved)


def test_a_loss_of_unknown_scale_disproves_nothing():
    assert told(dead, LEARNED, weighted=True) == ("error", False)


def test_a_loss_below_0_disproves_nothing():
    draft = Draft()
    dead(draft)
    draft.loss = np.linspace(2.3, -40, len(STEPS))
    (finding,) = diagnosis.judge(draft.record(), rules=["DeadRelu"])
    assert finding.severity == "error"


def test_a_loss_that_went_up_again_disproves_nothing():
    draft = Draft()
    dead(draft)
    draft.loss = np.full(len(STEPS), LEARNED)
    draft.loss[-4:] = FLAT
    (finding,) = diagnosis.judge(draft.record(), rules=["DeadRelu"])
    assert finding.severity == "error"


def test_what_is_measured_of_the_loss_or_is_not_finite_stays():
    draft = Draft()
    draft.loss = np.full(len(STEPS), LEARNED)
    draft.values["weight"]["nonfinite_count"][3:, 0] = 1.0
    findings = diagnosis.judge(draft.record(), rules=["NonFinite"])
    assert [finding.severity for finding in findings] == ["error"]


def test_review_weighs_as_judge_does():
    draft = Draft()
    mostly_dead(draft)
    draft.loss = np.full(len(STEPS), LEARNED)
    findings = diagnosis.review(draft.record(), rules=["DeadRelu", "Plateau"])
    assert [(f.rule, f.severity) for f in findings] == [("DeadRelu", "info")]
