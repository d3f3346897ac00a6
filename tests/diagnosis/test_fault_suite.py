"""The suite of seeded faults: how it counts, and some of its set-ups in short."""

import dataclasses
import pathlib

import pytest

from keras_initkit import diagnosis

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def suite():
    """The modules of the benchmark, which is run from the root of the repository."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        from benchmarks.faults import kinds, scoring, suite, trial

        yield type("Suite", (), vars(suite) | vars(kinds) | vars(scoring) | vars(trial))


def test_setups_have_names_of_their_own_and_fall_into_both_halves(suite):
    names = [one.name for one in suite.SETUPS]
    assert len(set(names)) == len(names)
    for some, fewest in ((suite.FAULTY, 50), (suite.HEALTHY, 30)):
        assert len(some) >= fewest
        held_back = sum(one.half == "held back" for one in some)
        assert fewest / 3 < held_back < len(some) - fewest / 3
    # The halves are what they are: which one a name falls into never changes.
    by_name = {one.name: one.half for one in suite.SETUPS}
    assert by_name["mlp-mnist-zeros"] == "tuned"


def test_every_kind_is_used_and_named_by_rules_that_exist(suite):
    assert {one.kind for one in suite.FAULTY} == set(suite.KINDS)
    known = {*diagnosis.RULES, *diagnosis.LINTS, "TrainableDepth"}
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
