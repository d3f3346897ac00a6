"""Every rule: trips on its fault, spares the near miss, says what it cannot judge."""

import numpy as np
import pytest
from edits import ALL, ALONE, edit, flat_loss, judged
from near_misses import NEAR_MISSES, UNJUDGED
from records import LAYERS, STEPS, Draft, moments
from trips import TRIPS

from keras_initkit import diagnosis
from keras_initkit.recording.record import RunRecord


def test_healthy_record_has_no_findings_and_is_judged_by_every_rule():
    assert diagnosis.judge(Draft().record()) == []
    assert diagnosis.not_judged(Draft().record()) == {}


@pytest.mark.parametrize("case", TRIPS)
def test_rule_trips_on_its_fault_and_names_the_place(case):
    change, (rule, severity, layer, step, measured, threshold) = TRIPS[case]
    (finding,) = judged(change)
    found = (finding.rule, finding.severity, finding.layer, finding.step)
    assert found == (rule, severity, layer, step)
    assert finding.measured == pytest.approx(measured, rel=1e-5)
    assert finding.threshold == pytest.approx(threshold, rel=1e-12)
    assert finding.message[-1] == finding.remedy[-1] == "."
    assert finding.message[0].islower() or finding.message[0].isdigit()
    assert finding.remedy.count("`") % 2 == 0
    assert finding.reference


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_rules_spare_the_near_miss(case):
    rule, change = NEAR_MISSES[case]
    assert judged(change) == []
    draft = Draft()
    change(draft)
    if case not in UNJUDGED:
        assert rule not in diagnosis.not_judged(draft.record())


def test_every_rule_has_a_case_and_a_near_miss():
    cases = {expected[0] for _, expected in TRIPS.values()}
    assert cases | {ALONE} == set(diagnosis.RULES)
    assert {rule for rule, _ in NEAR_MISSES.values()} | {ALONE} == set(diagnosis.RULES)


@pytest.mark.parametrize("name", diagnosis.RULES)
def test_rule_is_not_judged_where_what_it_needs_is_missing(name):
    rule = diagnosis.RULES[name]
    faults = [change for change, expected in TRIPS.values() if expected[0] == name]
    for change in faults or [flat_loss(2.3, 2.3)]:
        draft = Draft()
        change(draft)
        assert diagnosis.judge(draft.record(), rules=[name])
        lacking = [rule.needs] if rule.any_of else [(need,) for need in rule.needs]
        for needs in lacking:
            draft = Draft()
            change(draft)
            for need in needs:
                draft.without(need)
            record = draft.record()
            assert diagnosis.judge(record, rules=[name]) == []
            joined = " or ".join(needs)
            assert diagnosis.not_judged(record, rules=[name]) == {
                name: f"does not hold {joined}"
            }


@pytest.mark.parametrize("case", TRIPS)
def test_rule_without_metadata_says_the_same_or_that_it_cannot_judge(case):
    change, (rule, *_) = TRIPS[case]
    draft = Draft()
    change(draft)
    record = draft.without_facts().record()
    found = {f.rule for f in diagnosis.judge(record)} - {ALONE}
    # Whether a silent layer is a ReLU is known from the metadata alone.
    same = {"DeadRelu": "AllZero"}.get(rule, rule) if case == "dead" else rule
    silent = (
        rule in diagnosis.not_judged(record)
        # Whether there is a penalty, NaN in the data or a ReLU is told by facts alone.
        or case in ("penalty", "shrunk", "dropout", "nan in the inputs", "mostly dead")
        or case in ("two of three units are dead", "an output is dead")
        or case == "six of eight units are dead"
        # What a constant guess attains is told by the entropy of the labels.
        or case == "steps too small to leave chance"
    )
    assert found == (set() if silent else {same})


def test_empty_record_is_not_judged():
    assert diagnosis.judge(RunRecord()) == []
    assert set(diagnosis.not_judged(RunRecord())) == set(diagnosis.RULES)
    assert diagnosis.judge(Draft(steps=()).record()) == []


def test_symmetric_units_looks_at_outputs_where_weights_were_not_recorded():
    draft = Draft()
    del draft.values["weight"], draft.values["gradient"]
    draft.values["activation"]["distinct_units"][:, 1] = 1
    (finding,) = diagnosis.judge(draft.record())
    assert (finding.rule, finding.layer) == ("SymmetricUnits", "dense_1")


def test_nonfinite_weight_comes_before_what_is_computed_of_it():
    draft = Draft()
    TRIPS["nan at 10"][0](draft)
    draft.values["weight"]["nonfinite_count"][1, 0] = np.nan
    (finding,) = diagnosis.judge(draft.record())
    assert (finding.layer, finding.step) == ("dense", 10)
    assert finding.message.startswith("weight of 'dense/kernel' holds")


def test_nonfinite_gradient_starts_at_the_last_layer():
    (finding,) = judged(
        edit("gradient", "nonfinite_count", slice(2, None), slice(6), 1)
    )
    assert (finding.layer, finding.step) == ("dense_2", 20)


def test_nan_that_comes_into_the_first_layer_is_looked_for_in_the_data():
    draft = Draft()
    edit("activation", "nonfinite_count", slice(3, None), ALL, 5)(draft)
    (finding,) = diagnosis.judge(draft.record(), ["NonFinite"])
    assert (finding.layer, finding.step) == ("dense", 30)
    assert "its input is not" in finding.message
    assert "learning rate" not in finding.remedy
    # Weights that are about to overflow bring it about themselves.
    edit("weight", "rms", 3, ALL, 1e38)(draft)
    (finding,) = diagnosis.judge(draft.record(), ["NonFinite"])
    assert "its input is not" not in finding.message
    assert "learning rate" in finding.remedy


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_rules_get_along_with_any_numbers(value):
    draft = Draft()
    for statistics in draft.values.values():
        for values in statistics.values():
            values[:] = value
    for values in (*draft.histograms.values(), *draft.time_steps.values()):
        values[:] = value
    draft.loss = np.full(len(STEPS), value)
    found = {f.rule for f in diagnosis.judge(draft.record())}
    assert ("NonFinite" in found) == (value != 0)
    assert ("NoGradient" in found) == (value == 0)


def test_layer_that_starts_at_zero_is_told_at_once_only_if_it_gets_no_gradient():
    rules = ["AllZero"]
    for steps in (1, 2, None):
        draft = Draft()
        draft.values["activation"]["zero_fraction"][0, 3] = 1
        assert diagnosis.judge(draft.record(steps=steps), rules) == []
    draft.values["gradient"]["rms"][0, 6] = 0  # of its kernel
    (finding,) = diagnosis.judge(draft.record(steps=1), rules)
    assert (finding.layer, finding.step) == ("logits", 0)
    draft.without("gradient/rms")
    assert diagnosis.judge(draft.record(steps=1), rules) == []


def test_zero_head_blocks_the_first_gradient_only():
    draft = Draft()
    draft.values["weight"]["rms"][0, 6] = 0
    draft.values["gradient"]["rms"][0, :6] = 0
    rules = ["NoGradient"]
    assert diagnosis.judge(draft.record(steps=1), rules) == []
    # Where the last layer gets no gradient either, nothing will move.
    draft.values["gradient"]["rms"][0, 6:] = 0
    assert len(diagnosis.judge(draft.record(steps=1), rules)) == len(LAYERS)


def test_fault_is_found_when_it_comes_late_and_forgotten_when_it_went():
    late = judged(edit("activation", "zero_fraction", slice(9, None), 1, 1))
    assert [(f.rule, f.step) for f in late] == [("DeadRelu", 90)]
    assert judged(edit("activation", "zero_fraction", slice(10, None), 1, 1)) == []
    assert judged(edit("activation", "zero_fraction", slice(4, 10), 1, 1)) == []


def test_numbers_of_rows_are_no_scale():
    draft = Draft()
    draft.metadata["input"] = [moments(500.0, 300.0, 0.0, 1000.0) | {"integral": True}]
    rules = ["UnscaledInput"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.metadata["layers"][0]["roles"] = {"table": "table"}
    assert diagnosis.judge(draft.record(), rules) == []
    draft.metadata["input"][0]["integral"] = False
    assert len(diagnosis.judge(draft.record(), rules)) == 1
