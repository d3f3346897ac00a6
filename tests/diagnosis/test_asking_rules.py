"""Which rules are asked, with which thresholds, and in which order they answer."""

import re

import pytest
from edits import both, fact, judged
from records import Draft
from trips import TRIPS

from keras_initkit import diagnosis
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import TensorKey


def test_layer_that_is_called_twice_is_told_once():
    draft = Draft()
    keys = draft.tensors["activation"]
    keys[2] = TensorKey("dense_1", "output", 1)
    draft.values["activation"]["zero_fraction"][:, 1:3] = 1
    found = [f.rule for f in diagnosis.judge(draft.record())]
    assert found.count("DeadRelu") == 1


def test_findings_are_sorted_by_severity_then_step():
    changes = ("float16 underflows", "weights explode", "no gradient")
    findings = judged(both(*(TRIPS[case][0] for case in changes)))
    assert [(f.severity, f.step) for f in findings] == [
        ("error", 0),
        ("error", 90),
        ("warning", 0),
    ]


def test_thresholds_can_be_replaced():
    loose = {"PoorWeightInitialization": {"decades": 2.0}}
    assert judged(TRIPS["signal grows"][0], rules=loose) == []


def test_a_dict_changes_some_rules_and_leaves_others_as_they_are():
    draft = Draft()
    TRIPS["signal grows"][0](draft)
    fact("learning_rate_trial", rate=1.0)(draft)
    names = {f.rule for f in diagnosis.judge(draft.record())}
    assert {"PoorWeightInitialization", "LearningRateTrial"} <= names
    without = {"PoorWeightInitialization": None, "LearningRateTrial": {"above": 200.0}}
    others = {f.rule for f in diagnosis.judge(draft.record(), without)}
    assert others == names - without.keys()


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        ({"AllZero": 3}, TypeError, "must map 'AllZero' to a dict {threshold: number}"),
        (
            {"AllZero": {"zero_fraction": "x"}},
            TypeError,
            "must map 'AllZero' to a dict {threshold",
        ),
        ({"Nonsense": None}, ValueError, "must be among"),
        ("AllZero", TypeError, "must be a list of names"),
        (3, TypeError, "must be a list of names"),
    ],
)
def test_rules_that_are_none_are_refused(rules, error, words):
    for asking in (
        lambda: diagnosis.judge(RunRecord(), rules),
        lambda: diagnosis.review(RunRecord(), rules=rules),
        lambda: diagnosis.not_judged(RunRecord(), rules),
    ):
        with pytest.raises(error, match=re.escape(words)):
            asking()


def test_unknown_rule_raises():
    message = "`rules` must be among " + str(tuple(sorted(diagnosis.RULES)))
    message += ". Received: ('Nonsense',)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.judge(RunRecord(), rules=["Nonsense"])


def test_unknown_threshold_raises():
    message = (
        "`thresholds` of rule 'AllZero' must be among ('zero_fraction',). "
        "Received: ('share',)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.judge(RunRecord(), rules={"AllZero": {"share": 1.0}})


def test_unknown_severity_raises():
    fields = dict.fromkeys(diagnosis.Finding.__dataclass_fields__, "fatal")
    message = "`severity` must be one of ('info', 'warning', 'error'). "
    message += "Received: severity='fatal'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.Finding(**fields)


def test_every_rule_declares_what_users_read():
    for name, rule in diagnosis.RULES.items():
        assert rule.name == name
        assert rule.summary.endswith(".")
        assert rule.needs
        assert rule.reference
        assert all(t.meaning and t.unit for t in rule.thresholds.values())
