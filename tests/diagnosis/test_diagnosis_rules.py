"""Every rule: fires on a record built to trip it, silent on a healthy one."""

import dataclasses
import re

import numpy as np
import pytest

from keras_initkit import diagnosis
from keras_initkit.recording.record import RunRecord, SignalSeries
from keras_initkit_tensorboard.schema import TensorKey

STATISTICS = ("std", "rms", "zero_fraction", "nonfinite_count", "distinct_units")
LAYERS = ("dense", "dense_1", "dense_2", "logits")
UNITS = (64, 32, 16, 10)
STEPS = (0, 10, 20, 30)


def healthy(layers=LAYERS, steps=STEPS, units=UNITS):
    """A record of a dense net whose signals keep their size, as arrays to edit.

    `values[signal][statistic]` has shape `(steps, tensors)`; `make` builds the record.
    """
    weights = [TensorKey(n, t) for n in layers for t in ("kernel", "bias")]
    tensors = {
        "activation": [TensorKey(name, "output") for name in layers],
        "gradient": weights,
        "weight": weights,
    }
    values = {}
    for signal, keys in tensors.items():
        sizes = units if signal == "activation" else np.repeat(units, 2)
        start = {
            "std": 1.0,
            "rms": 1.0 if signal == "activation" else 1e-2,
            "zero_fraction": 0.5 if signal == "activation" else 0.0,
            "nonfinite_count": 0.0,
            "distinct_units": np.array(sizes[: len(keys)]),
        }
        values[signal] = {
            name: np.ones((len(steps), len(keys))) * start[name] for name in STATISTICS
        }
    metadata = {
        "layers": [
            {
                "path": name,
                "class_name": "Dense",
                "activation": "relu" if name != layers[-1] else "linear",
                "weights": {"kernel": [8, n], "bias": [n]},
            }
            for name, n in zip(layers, units, strict=False)
        ]
    }
    return tensors, values, metadata


def make(tensors, values, metadata, steps=STEPS):
    record = RunRecord(metadata=metadata)
    for signal, keys in tensors.items():
        if signal not in values:
            continue
        statistics = tuple(values[signal])
        series = SignalSeries(signal, tuple(keys), statistics)
        for row, step in enumerate(steps):
            matrix = np.stack([values[signal][name][row] for name in statistics], 1)
            series.append(step, matrix)
        record.series[signal] = series
    return record


def depth(decades_per_layer):
    return 10.0 ** (decades_per_layer * np.arange(len(LAYERS)))


def symmetric(v):
    v["weight"]["distinct_units"][:, :2] = 1
    v["gradient"]["distinct_units"][:, :2] = 1


def no_gradient(v):
    v["gradient"]["rms"][:, 2:4] = 0


def dead(v):
    v["activation"]["zero_fraction"][2:, 1] = 1


def all_zero(v):
    v["activation"]["zero_fraction"][:, 3] = 1


def vanish(v):
    v["gradient"]["rms"][:, ::2] = 1e-5 * depth(1.0)


def vanish_one(v):
    v["gradient"]["rms"][:, 2] = 1e-6


def vanish_all(v):
    v["gradient"]["rms"][:, :] = 1e-9


def explode(v):
    v["gradient"]["rms"][:, ::2] = depth(-1.0)


def explode_one(v):
    v["gradient"]["rms"][:, 4] = 1e3


def nan_at_10(v):
    v["activation"]["nonfinite_count"][1:, 2:] = 5
    v["gradient"]["nonfinite_count"][1:, :] = 7


def shrink(v):
    v["activation"]["std"] *= depth(-0.5)


def grow(v):
    v["activation"]["std"] *= depth(0.5)


VANISH, EXPLODE = "VanishingGradient", "ExplodingGradient"
CASES = {
    "symmetric": (symmetric, "SymmetricUnits", "error", "dense", 0, 1, 1),
    "no gradient": (no_gradient, "NoGradient", "error", "dense_1", 0, 0, 0),
    "dead": (dead, "DeadRelu", "error", "dense_1", 20, 1, 1),
    "all zero": (all_zero, "AllZero", "error", "logits", 0, 1, 1),
    "vanish": (vanish, VANISH, "warning", "dense", 0, 3, 2),
    "vanish one": (
        vanish_one,
        "VanishingGradient",
        "warning",
        "dense_1",
        0,
        1e-4,
        1e-3,
    ),
    "vanish all": (vanish_all, VANISH, "warning", "dense", 0, 1e-9, 1e-7),
    "explode": (explode, EXPLODE, "warning", "dense", 0, 3, 2),
    "explode one": (
        explode_one,
        "ExplodingGradient",
        "warning",
        "dense_2",
        0,
        1e5,
        1e3,
    ),
    "nonfinite": (nan_at_10, "NonFinite", "error", "dense_2", 10, 5, 0),
    "shrink": (shrink, "PoorWeightInitialization", "warning", "logits", 0, -1.5, -1),
    "grow": (grow, "PoorWeightInitialization", "warning", "logits", 0, 1.5, 1),
}


def test_healthy_record_has_no_findings():
    assert diagnosis.judge(make(*healthy())) == []


@pytest.mark.parametrize("case", CASES)
def test_rule_fires_on_its_fault_and_names_the_place(case):
    break_it, rule, severity, layer, step, measured, threshold = CASES[case]
    tensors, values, metadata = healthy()
    break_it(values)
    findings = diagnosis.judge(make(tensors, values, metadata))
    assert [f.rule for f in findings] == [rule]
    finding = findings[0]
    assert (finding.severity, finding.layer, finding.step) == (severity, layer, step)
    assert finding.measured == pytest.approx(measured, rel=1e-5)
    assert finding.threshold == threshold
    assert finding.message[-1] == finding.remedy[-1] == "."
    assert finding.reference


def test_every_rule_has_a_case():
    assert {case[1] for case in CASES.values()} == set(diagnosis.RULES)


@pytest.mark.parametrize("case", CASES)
def test_rule_is_silent_where_its_signals_are_missing(case):
    break_it, rule, *_ = CASES[case]
    tensors, values, metadata = healthy()
    break_it(values)
    needs = {tuple(need.split("/")) for need in diagnosis.RULES[rule].needs}
    for signal, statistic in needs:
        values.get(signal, {}).pop(statistic, None)
    assert diagnosis.judge(make(tensors, values, metadata), rules=[rule]) == []


@pytest.mark.parametrize("case", CASES)
def test_rule_needs_no_metadata(case):
    break_it, rule, *_ = CASES[case]
    tensors, values, _ = healthy()
    break_it(values)
    found = {f.rule for f in diagnosis.judge(make(tensors, values, {}))}
    # Whether a silent layer is a ReLU is known from the metadata alone.
    assert found == {{"DeadRelu": "AllZero"}.get(rule, rule)}


def test_empty_record_has_no_findings():
    assert diagnosis.judge(RunRecord()) == []
    tensors, values, metadata = healthy()
    assert diagnosis.judge(make(tensors, values, metadata, steps=())) == []


def test_symmetric_units_spares_a_zero_start_that_learns():
    tensors, values, metadata = healthy()
    values["weight"]["distinct_units"][0, 6] = 1
    assert diagnosis.judge(make(tensors, values, metadata)) == []


def test_symmetric_units_needs_the_gradient_or_two_steps():
    tensors, values, metadata = healthy()
    symmetric(values)
    record = make(tensors, values, metadata, steps=(0,))
    assert [f.rule for f in diagnosis.judge(record)] == ["SymmetricUnits"]
    del values["gradient"]
    assert diagnosis.judge(make(tensors, values, metadata, steps=(0,))) == []
    assert len(diagnosis.judge(make(tensors, values, metadata, steps=(0, 10)))) == 1


def test_symmetric_units_spares_a_layer_of_one_unit():
    tensors, values, metadata = healthy(units=(64, 32, 16, 1))
    assert diagnosis.judge(make(tensors, values, metadata)) == []


def test_symmetric_units_looks_at_outputs_where_weights_were_not_recorded():
    tensors, values, metadata = healthy()
    del values["weight"], values["gradient"]
    values["activation"]["distinct_units"][:, 1] = 1
    findings = diagnosis.judge(make(tensors, values, metadata))
    assert [(f.rule, f.layer) for f in findings] == [("SymmetricUnits", "dense_1")]


def test_nonfinite_weight_comes_before_what_is_computed_of_it():
    tensors, values, metadata = healthy()
    nan_at_10(values)
    values["weight"]["nonfinite_count"][1, 0] = np.nan
    (finding,) = diagnosis.judge(make(tensors, values, metadata))
    assert (finding.layer, finding.step) == ("dense", 10)
    assert finding.message.startswith("weight of 'dense/kernel' holds")


def test_nonfinite_gradient_starts_at_the_last_layer():
    tensors, values, metadata = healthy()
    values["gradient"]["nonfinite_count"][2:, :6] = 1
    (finding,) = diagnosis.judge(make(tensors, values, metadata))
    assert (finding.layer, finding.step) == ("dense_2", 20)


def test_fault_of_a_single_step_is_not_persistent():
    tensors, values, metadata = healthy()
    values["gradient"]["rms"][1, ::2] = 1e-5 * depth(1.0)
    values["activation"]["zero_fraction"][3, 0] = 1
    assert diagnosis.judge(make(tensors, values, metadata)) == []


def test_drift_is_judged_at_the_start_of_training_only():
    tensors, values, metadata = healthy()
    grow(values)
    record = make(tensors, values, metadata, steps=(100, 110, 120, 130))
    assert diagnosis.judge(record) == []


def test_probabilities_do_not_count_as_drift():
    tensors, values, metadata = healthy()
    values["activation"]["std"][:, 3] = 1e-4
    assert [f.rule for f in diagnosis.judge(make(tensors, values, metadata))]
    metadata["layers"][-1]["activation"] = "softmax"
    assert diagnosis.judge(make(tensors, values, metadata)) == []


def test_findings_are_sorted_by_severity_then_step():
    tensors, values, metadata = healthy()
    for break_it in (grow, dead, vanish, symmetric):
        break_it(values)
    findings = diagnosis.judge(make(tensors, values, metadata))
    assert [(f.severity, f.step) for f in findings] == [
        ("error", 0),
        ("error", 20),
        ("warning", 0),
        ("warning", 0),
    ]


def test_thresholds_can_be_replaced():
    tensors, values, metadata = healthy()
    grow(values)
    record = make(tensors, values, metadata)
    loose = {"PoorWeightInitialization": {"decades": 2.0}}
    assert diagnosis.judge(record, thresholds=loose) == []


def test_unknown_rule_raises():
    message = "`rules` must be among " + str(tuple(sorted(diagnosis.RULES)))
    message += ". Received: ('Nonsense',)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.judge(RunRecord(), rules=["Nonsense"])


def test_unknown_threshold_raises():
    message = (
        "`thresholds` of rule 'DeadRelu' must be among ('zero_fraction',). "
        "Received: ('share',)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.judge(RunRecord(), thresholds={"DeadRelu": {"share": 1.0}})


def test_unknown_severity_raises():
    fields = dict.fromkeys(
        [f.name for f in dataclasses.fields(diagnosis.Finding)], "fatal"
    )
    message = "`severity` must be one of ('info', 'warning', 'error'). "
    message += "Received: severity='fatal'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.Finding(**fields)


def test_every_rule_declares_what_users_read():
    for name, rule in diagnosis.RULES.items():
        assert rule.name == name
        assert rule.summary.endswith(".")
        assert rule.reference
        assert all(t.meaning and t.unit for t in rule.thresholds.values())
