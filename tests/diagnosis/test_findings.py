"""`Findings` prints itself, as advice."""

import copy
import pickle

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.diagnosis import Finding, Findings
from keras_initkit.report.finite import finite


def finding(rule, layer="dense", because_of=None):
    return Finding(
        rule,
        "error",
        layer,
        0,
        1.0,
        0.5,
        f"it is {rule}",
        f"mend {rule}",
        "",
        because_of,
    )


def test_findings_are_a_list_that_prints_causes_with_remedies():
    found = Findings([finding("Dead"), finding("NoGradient", because_of="Dead")])
    assert found == list(found)
    assert str(found).splitlines() == [
        "1 error",
        "",
        "error Dead in dense",
        "  It is Dead",
        "  What to do: mend Dead",
        "  And 1 more that follows from it: NoGradient.",
    ]
    assert "mend Dead" in found._repr_html_()


def test_what_follows_from_a_cause_that_has_ceased_is_told():
    assert "NoGradient" in str(Findings([finding("NoGradient", because_of="Dead")]))


def test_copies_say_what_the_original_says():
    for clean in (copy.deepcopy(Findings([], "fine")), Findings([], "fine")):
        assert str(pickle.loads(pickle.dumps(clean))) == "fine"


def test_a_clean_lint_says_what_was_checked():
    model = keras.Sequential([keras.layers.Dense(3)], name="mine")
    assert " ".join(str(kik.lint(model)).split()) == (
        f"mine: {len(kik.diagnosis.LINTS)} checks without data found nothing; its "
        "weights are not built yet, so they were not checked. `kik.diagnose(model, x, "
        "y)` looks at a batch as well."
    )
    model.build((None, 4))
    assert "not built" not in str(kik.lint(model, rules=["DeadBias"]))
    assert str(kik.lint(model, rules=["DeadBias"])).startswith("mine: 1 check without")


def test_a_monitor_tells_no_finding_from_not_judged():
    monitor = kik.SignalMonitor(every=1)
    assert str(monitor.findings) == "not judged: no step was monitored yet"
    without = kik.SignalMonitor(every=1, rules=())
    assert str(without.findings) == "not judged: the monitor has no rules"
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 4))
    model.fit(x, x[:, :1], verbose=0, callbacks=[monitor])
    assert str(monitor.findings) == "no finding"
    assert monitor.record.findings == []


def test_findings_are_read_back_with_their_record(tmp_path):
    keras.utils.set_random_seed(0)
    stack = [
        keras.layers.Dense(4, "relu", kernel_initializer="zeros"),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.layers.Input((4,)), *stack])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 4))
    monitor = kik.SignalMonitor(tmp_path, every=1, on_finding=lambda finding: None)
    model.fit(x, x[:, :1], verbose=0, callbacks=[monitor])
    read = kik.RunRecord.load(tmp_path)
    assert {one["rule"] for one in read.findings} >= {"SymmetricUnits"}
    assert read.findings == finite(monitor.record.findings)
    (title,) = (a for a in read.plot().axes if a.get_title().startswith("training"))
    assert "SymmetricUnits" in title.get_title()
