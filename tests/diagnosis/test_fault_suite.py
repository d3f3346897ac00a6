"""The suite of seeded faults: how it counts, and some of its set-ups in short."""

import dataclasses
import pathlib
import re

import pytest

from keras_initkit import diagnosis

pytest.importorskip("sklearn", reason="some of the data is scikit-learn's")
ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def suite():
    """The modules of the benchmark, which is run from the root of the repository."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        from benchmarks.faults import __main__, kinds, scoring, suite, trial

        rooms = (suite, kinds, scoring, trial, __main__)
        yield type("Suite", (), {k: v for room in rooms for k, v in vars(room).items()})


def test_setups_have_names_of_their_own_and_make_two_large_halves(suite):
    names = [one.name for one in suite.SETUPS]
    assert len(set(names)) == len(names)
    for half in ("tuned", "held back"):
        assert sum(one.half == half for one in suite.FAULTY) >= 50
        assert sum(one.half == half for one in suite.HEALTHY) >= 30


def test_no_training_is_in_both_halves(suite):
    trainings = {"tuned": set(), "held back": set()}
    for one in suite.SETUPS:
        trainings[one.half] |= {one.setting.digest, (one.twin or one.setting).digest}
    assert not trainings["tuned"] & trainings["held back"]


def test_every_kind_is_used_and_named_by_rules_that_exist(suite):
    assert {one.kind for one in suite.FAULTY} == set(suite.KINDS)
    known = {*diagnosis.RULES, *diagnosis.LINTS}
    for kind in suite.KINDS.values():
        assert {*kind.rules, *kind.symptoms} <= known
        assert 1 <= len(kind.rules) <= 3


def outcome(skill, *findings):
    keys = ("rule", "severity", "layer", "found")
    told = [dict(zip(keys, one, strict=True)) | {"message": "."} for one in findings]
    return {"skill": skill, "error": None, "findings": told}


def test_findings_are_counted_as_the_protocol_says(suite):
    dead = next(one for one in suite.FAULTY if one.kind == "dead units")
    well = suite.HEALTHY[0]
    place = dead.layers[0]
    trains, fails = outcome(0.8), 0.4
    verdicts = [
        suite.verdict(  # named in time, at the right layer
            dead,
            outcome(
                fails,
                ("DeadRelu", "error", f"{place}/inner", 100),
                ("DeadRelu", "error", "elsewhere", 110),
                ("NoGradient", "error", place, 0),  # a symptom
                ("LossAtInit", "warning", "logits", 0),  # wrong
                ("SaturatingStack", "info", None, 0),  # not loud enough to count
            ),
            trains,
        ),
        suite.verdict(  # named too late
            dead, outcome(fails, ("DeadRelu", "error", place, 110)), trains
        ),
        suite.verdict(  # at the wrong layer
            dead, outcome(fails, ("DeadBias", "warning", "logits", 0)), trains
        ),
        suite.verdict(dead, outcome(0.41), trains),  # does not hurt: not counted
        suite.verdict(dead, outcome(0.0), outcome(0.29)),  # nor where the twin fails
        suite.verdict(well, outcome(0.9), None),
        suite.verdict(
            well, outcome(0.9, ("DeadRelu", "error", place, 190)), None
        ),  # a false alarm, and a grave one
        suite.verdict(well, outcome(0.2), None),  # does not train: not counted
    ]
    score = suite.score(verdicts)
    assert (score.faulty, score.healthy, score.hits) == (3, 2, 2)
    assert (score.named, score.symptoms, score.false) == (3, 1, 2)
    assert (score.alarms, score.errors) == (1, 1)
    assert score.steps == (100, 0)
    assert score.layers == (True, False)
    assert score.recall == pytest.approx(2 / 3)
    assert score.precision == pytest.approx(3 / 5)
    assert score.strict_precision == pytest.approx(3 / 6)
    assert score.setup_precision == pytest.approx(2 / 3)
    assert score.layer == 0.5
    assert score.median_step == 50
    busiest, *_ = suite.by_rule(verdicts)
    assert dataclasses.astuple(busiest) == ("DeadRelu", 2, 2, 0, 1)


NAMED = (
    "mlp-clusters-bias-30-in-one",
    "mlp-spirals-constant",
    "mlp-waves-targets-times-100000",
    "mlp-clusters-nan",
)
HEALTHY = ("mlp-waves-adam",)


@pytest.mark.parametrize("name", NAMED + HEALTHY)
def test_fault_is_named_and_healthy_training_is_not(suite, name, tmp_path):
    (setup,) = (one for one in suite.SETUPS if one.name == name)
    short = dataclasses.replace(setup.setting, steps=suite.WITHIN + 1)
    trained = suite.run(short, tmp_path)
    trained["findings"] = suite.findings_of(trained, tmp_path)
    verdict = suite.verdict(setup, trained, None)
    assert verdict.false == ()
    assert verdict.hit == (name in NAMED)
    assert verdict.right_layer in (None, True)
    if name in HEALTHY:
        assert verdict.counts


def figures(shown):
    return shown[shown.index("Overall") : shown.index("CPU time")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")  # one fault
def test_command_trains_counts_and_keeps(suite, tmp_path, capsys, caplog):
    caplog.set_level("ERROR", "keras_initkit")  # as the command does, and put back
    command = ["--only", "mlp-spirals", "--out", str(tmp_path)]
    suite.main(command)
    shown = capsys.readouterr().out
    # Three of seven faults hurt; all of these are named, the healthy one is spared.
    assert re.search(r"faults named by step 100 +│ 1\.00 +│ 3 ", shown)
    assert re.search(r"healthy set-ups with a finding +│ 0 +│ 1 ", shown)
    assert "mlp-spirals-linear" in shown.partition("Not counted")[2]
    lines = (tmp_path / "outcomes.jsonl").read_text().splitlines()
    assert len(lines) == 8
    suite.main(command)
    again = capsys.readouterr().out
    # All but the times: nothing was trained again.
    assert figures(again) == figures(shown)
    assert (tmp_path / "outcomes.jsonl").read_text().splitlines() == lines
