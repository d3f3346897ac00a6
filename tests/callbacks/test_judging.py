"""Rules in training: told once, cleared once, acted upon, never in training's way."""

import json
import logging
import re

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

import keras_initkit as kik
from keras_initkit import diagnosis, schema
from keras_initkit.callbacks import judging
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import TensorKey

LOGGER = "keras_initkit.callbacks.judging"


def data(count=256):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 8)).astype("float32")
    return x, (x[:, :1] > 0).astype("float32")


def model_of(initializer="he_normal"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((8,)),
            keras.layers.Dense(16, "relu", kernel_initializer=initializer, name="one"),
            keras.layers.Dense(16, "relu", kernel_initializer=initializer, name="two"),
            keras.layers.Dense(
                1, "sigmoid", kernel_initializer=initializer, name="last"
            ),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model


def train(model, monitor, steps=16):
    x, y = data(16 * steps)
    return model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[monitor])


def told(caplog):
    return [r.getMessage() for r in caplog.records if r.name == LOGGER]


def ones(**options):
    """A monitor that asks few rules, of a model whose weights are all one."""
    return kik.SignalMonitor(None, every=1, rules=["SymmetricUnits"], **options)


def written_findings(log_dir):
    """Returns the lists of findings in the event files, in order."""
    accumulator = event_accumulator.EventAccumulator(
        str(log_dir), size_guidance={"tensors": 0}
    ).Reload()
    if schema.FINDINGS_TAG not in accumulator.Tags()["tensors"]:
        return []
    return [
        json.loads(event.tensor_proto.string_val[0])["findings"]
        for event in accumulator.Tensors(schema.FINDINGS_TAG)
    ]


def test_healthy_training_is_silent(caplog, tmp_path):
    monitor = kik.SignalMonitor(tmp_path, every=2)
    train(model_of(), monitor)
    assert monitor.findings == []
    assert told(caplog) == []
    assert written_findings(tmp_path) == [[]]  # judged, and found in order


def test_without_rules_nothing_is_told_of_findings(tmp_path):
    train(model_of(), kik.SignalMonitor(tmp_path, every=2, rules=None))
    assert written_findings(tmp_path) == []


def test_fault_is_told_once_with_its_remedy_and_summed_up(caplog, tmp_path):
    monitor = kik.SignalMonitor(tmp_path, every=1, rules=["SymmetricUnits"])
    train(model_of("ones"), monitor)
    found = [(f.rule, f.layer.split("/")[-1], f.step) for f in monitor.findings]
    assert found == [("SymmetricUnits", "one", 0), ("SymmetricUnits", "two", 0)]
    first, summary = told(caplog)
    assert first.startswith("error SymmetricUnits in 'sequential")
    assert "he_normal" in first
    assert re.search(r"The same applies to 'sequential\w*/two'\.$", first)
    assert summary == "findings: 2 open, 0 cleared (error SymmetricUnits)"
    written = written_findings(tmp_path)[-1]
    assert [one["layer"] for one in written] == [f.layer for f in monitor.findings]
    assert all(one["cleared"] is None for one in written)
    assert all("unit" in one for one in written)


def test_training_stops(caplog):
    model = model_of("ones")
    train(model, ones(on_finding="stop"))
    # Asked after the first step, ahead of the second.
    assert int(model.optimizer.iterations) == 2
    assert model.stop_training


def test_training_raises_and_leaves_the_model_clean(tmp_path):
    model = model_of("ones")
    monitor = kik.SignalMonitor(
        tmp_path, every=1, rules=["SymmetricUnits"], on_finding="raise"
    )
    with pytest.raises(kik.TrainingFault, match=r"^error SymmetricUnits in ") as caught:
        train(model, monitor)
    assert caught.value.findings == monitor.findings
    assert int(model.optimizer.iterations) == 1
    assert RunRecord.load(tmp_path).signal("weight").steps.tolist() == [0]
    plain = model.make_train_function(force=False)
    assert model.train_function is plain or not hasattr(model.train_function, "orders")
    x, y = data()
    model.fit(x, y, epochs=1, verbose=0)
    assert monitor.record.signal("weight").steps.tolist() == [0]


def test_function_is_called_with_each_finding_and_nothing_is_logged(caplog):
    found = []
    train(model_of("ones"), ones(on_finding=found.append))
    assert [f.layer.split("/")[-1] for f in found] == ["one", "two"]
    assert told(caplog) == []


def test_rules_can_be_left_out_chosen_and_tuned():
    names = set(kik.diagnosis.RULES)
    assert judging._asked(None) == dict.fromkeys(names)
    assert judging._asked("default") == {name: {} for name in names}
    assert judging._asked(["AllZero"]) == dict.fromkeys(names) | {"AllZero": {}}
    tuned = {"AllZero": None, "DeadRelu": {"dead_fraction": 0.5}}
    assert judging._asked(tuned) == {name: {} for name in names} | tuned


def test_less_grave_findings_are_recorded_but_not_told(caplog):
    found = []
    monitor = kik.SignalMonitor(
        None,
        every=1,
        rules=["UnscaledInput"],
        on_finding=found.append,
        severity="error",
    )
    x, y = data(64)
    model_of().fit(100 * x, y, verbose=0, callbacks=[monitor])
    assert [f.rule for f in monitor.findings] == ["UnscaledInput"]
    assert told(caplog) == []


def test_monitors_of_one_fit_tell_a_fault_of_the_model_once(caplog):
    options = {"every": 1, "rules": ["UnscaledInput"]}
    monitors = [
        kik.ActivationMonitor(None, **options),
        kik.WeightMonitor(None, **options),
    ]
    x, y = data(64)
    model_of().fit(100 * x, y, verbose=0, callbacks=monitors)
    assert [len(m.findings) for m in monitors] == [1, 1]
    assert len([one for one in told(caplog) if "UnscaledInput in" in one]) == 0
    assert len([one for one in told(caplog) if one.startswith("warning Uns")]) == 1


class Training:
    """A record that grows by hand, and the judge that is asked about it."""

    def __init__(self, **options):
        self.record = RunRecord(
            metadata={
                "layers": [
                    {
                        "path": "dense",
                        "class_name": "Dense",
                        "activation": "relu",
                        "weights": {"kernel": [8, 4]},
                    }
                ]
            }
        )
        self.judge = judging.Judge(**options)
        self.judge.begin(keras.callbacks.History())
        self.steps = 0

    def step(self, zeros):
        names = schema.statistics_of("activation")
        row = np.where([name == "zero_fraction" for name in names], zeros, 0.3)
        key = TensorKey("dense", "output")
        self.record.add("activation", (key,), self.steps, row[None])
        self.steps += 1
        return self.judge.ask(self.record, self.steps - 1, self.steps)


def test_finding_clears_and_is_told_to(caplog):
    caplog.set_level(logging.WARNING, LOGGER)
    training = Training(rules=["DeadRelu"])
    opened = [training.step(1.0) for _ in range(3)]
    assert [len(found) for found in opened] == [1, 0, 0]
    assert len(training.judge.findings) == 1
    for _ in range(4):
        assert training.step(0.5) == []
    assert training.judge.findings == []
    (case,) = training.judge.to_dicts()
    assert (case["rule"], case["step"], case["cleared"]) == ("DeadRelu", 0, 6)
    training.judge.summarize()
    first, gone, summary = told(caplog)
    assert first.startswith("error DeadRelu in 'dense' since step 0: 100%")
    assert gone == "gone at step 6: DeadRelu in 'dense'"
    assert summary == "findings: 0 open, 1 cleared"


def test_rules_are_asked_seldom_and_within_their_share_of_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(judging.time, "perf_counter", lambda: clock[0])
    training = Training(rules=["DeadRelu"])
    assert not training.judge.is_due(0)
    assert training.judge.is_due(1)
    training.step(0.5)
    assert not training.judge.is_due(1)
    training.judge.ask(training.record, 0, 40)
    assert next(n for n in range(40, 60) if training.judge.is_due(n)) == 50
    # It took a second: no more before fifty have passed.
    training.judge._spent = 1.0
    clock[0] = 49.0
    assert not training.judge.is_due(50)
    clock[0] = 50.0
    assert training.judge.is_due(50)


def test_rule_that_fails_costs_one_warning(monkeypatch):
    def fails(*args, **kwargs):
        raise KeyError("broken")

    training = Training(rules=["DeadRelu"])
    monkeypatch.setattr(judging.diagnosis, "judge", fails)
    message = (
        "SignalMonitor stops applying rules, because one of them failed "
        "(KeyError('broken'))."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        assert training.step(1.0) == []
    assert not training.judge.is_due(1000)


WRONG = {
    "rules": ("DeadRelu", "`rules` must be 'default', None, a list of names or a dict"),
    "on_finding": ("ignore", "`on_finding` must be a function of a finding or one of"),
    "severity": ("fatal", "`severity` must be one of ('info', 'warning', 'error')."),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_argument_raises(name):
    value, message = WRONG[name]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*'{value}'$"):
        kik.SignalMonitor(None, **{name: value})
    with pytest.raises(ValueError, match=r"^`rules` must be among"):
        kik.SignalMonitor(None, rules=["Nonsense"])
    with pytest.raises(ValueError, match=r"^`thresholds` of rule 'AllZero' must be"):
        kik.SignalMonitor(None, rules={"AllZero": {"share": 1.0}})


@pytest.mark.parametrize(
    ("threshold", "changed", "unit"),
    [
        (0.9, {}, "share of the units"),
        (1.0, {}, "share of the outputs"),
        (0.7, {}, None),  # none of the rule's
        (0.7, {"dead_fraction": 0.7}, "share of the units"),
        (1.0, {"dead_fraction": 1.0}, None),  # of two in different units
    ],
)
def test_unit_is_that_of_the_threshold_compared_with(threshold, changed, unit):
    assert diagnosis.RULES["DeadRelu"].unit_of(threshold, **changed) == unit
