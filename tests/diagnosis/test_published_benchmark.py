"""The published programs: the file, its builder and how findings are counted."""

import collections
import dataclasses

import numpy as np
import pytest

from benchmarks.published import remedies, scoring
from benchmarks.published.data import MAKERS
from benchmarks.published.programs import TOOLS, build, programs, steps_of
from benchmarks.published.trial import Outcome, skill_of
from keras_initkit import diagnosis
from keras_initkit.diagnosis import Finding

KNOWN = {str(one.post): one for one in programs() if one.faulty is not None}
REAL = ("mnist", "cifar10", "imdb")


def finding(rule, severity="warning", layer=None, measured=2.0, remedy=""):
    return Finding(rule, severity, layer, 0, measured, 1.0, "", remedy, "")


def test_the_file_holds_the_published_totals():
    # The sums of the columns of DeepFD's workbook, as its paper gives them.
    totals = {tool: scoring.published(programs(), tool) for tool in TOOLS}
    assert totals == {
        "UMLAUT": (50, 14, 12),
        "AutoTrainer": (12, 10, 8),
        "DeepLocalize": (36, 7, 5),
        "DeepFD": (47, 27, 22),
    }
    tiers = collections.Counter(one.tier for one in programs())
    assert tiers == {"faithful": 39, "approximate": 4, "unavailable": 9}


@pytest.mark.parametrize("name", [*KNOWN])
def test_each_program_names_known_words_and_data(name):
    program = KNOWN[name]
    words = {*program.faults, *program.fair, *program.fair_of_twin}
    assert words <= set(scoring.TYPES)
    for spec in filter(None, (program.faulty, program.twin)):
        assert spec["data"]["name"] in MAKERS


@pytest.mark.parametrize(
    "name",
    ["31556268", "48251943", "38648195", "44066044", "59282996", "58609115", "gol_nn"],
)
def test_programs_and_twins_build_and_take_a_step(name):
    for spec in (KNOWN[name].faulty, KNOWN[name].twin):
        model, examples = build(spec)
        some = slice(spec["batch_size"])
        loss = model.train_on_batch(examples.x[some], examples.y[some])
        assert np.isfinite(loss)
        assert len(examples.x) == len(examples.y) == len(examples.truth)
        assert 1 <= steps_of(spec, len(examples.x)) <= spec["most_steps"]


def test_data_are_what_the_posts_say():
    _, parabola = build(KNOWN["48221692"].faulty)
    np.testing.assert_allclose(parabola.y, parabola.x**2 + 3, rtol=1e-5)
    _, xor = build(KNOWN["34311586"].faulty)
    assert xor.y[:, 0].tolist() == [x != y for x, y in xor.x.tolist()]
    _, scaled = build(KNOWN["48221692"].twin)
    np.testing.assert_allclose(scaled.x.std(), 1, rtol=1e-5)


def test_skill_is_that_above_a_constant_guess():
    model, examples = build(KNOWN["48221692"].twin)
    model.layers[-1].kernel.assign(np.zeros((5, 1)))
    assert skill_of(model, examples) == pytest.approx(0, abs=1e-6)


def test_every_rule_has_a_word_or_is_called_a_symptom():
    rules = {*diagnosis.RULES, *diagnosis.LINTS}
    loud = {
        name
        for name in rules
        if name not in diagnosis.LINTS or diagnosis.LINTS[name].severity != "info"
    }
    words = {scoring.word_of(finding(rule)) for rule in loud}
    assert words <= {None, *scoring.TYPES}


def mended(**given):
    return dataclasses.replace(KNOWN["48221692"], **given)


@pytest.mark.parametrize(
    ("found", "diagnosed", "named", "first", "wrong"),
    [
        ([finding("LossActivationMismatch", layer="dense_1")], True, True, True, ()),
        ([finding("LossActivationMismatch", layer="dense")], True, False, True, ()),
        ([finding("UnsuitableHiddenActivation", layer="dense")], 1, False, True, ()),
        ([finding("LearningRateTooHigh")], False, False, False, ("rate",)),
        ([finding("LossNotDecreasing")], False, False, False, ()),
        ([finding("UnscaledTarget")], False, False, False, ()),
        ([finding("LossActivationMismatch", "info")], False, False, False, ()),
        ([], False, False, False, ()),
    ],
)
def test_verdicts_on_a_faulty_program(found, diagnosed, named, first, wrong):
    # A linear last layer for the sigmoid is the mend; scales are fair to name.
    program = mended(truth=("act",), faults=("loss_activation_mismatch",))
    verdict = scoring.verdict(program, Outcome(0.0, tuple(found)), None)
    assert verdict.diagnosed == diagnosed
    assert verdict.named == named
    assert verdict.first == first
    assert len(verdict.wrong) == len(wrong)
    assert verdict.detected == any(one.severity != "info" for one in found)


def test_a_finding_on_a_twin_is_false_unless_its_remedy_helps():
    program = mended(fair_of_twin=("unscaled_input",))
    rate, scale = finding("LearningRateTooLow"), finding("UnscaledInput")
    outcome = Outcome(0.5, (rate, scale, finding("DeadRelu", "error", "dense")))
    skills = {"LearningRateTooLow": 0.6, "DeadRelu": 0.51}
    verdict = scoring.twin_verdict(program, outcome, lambda one: skills[one.rule])
    assert verdict.false == verdict.errors == ("DeadRelu",)
    assert verdict.helped == {"LearningRateTooLow": 0.6}
    nothing = scoring.twin_verdict(program, outcome, lambda one: None)
    assert nothing.false == ("LearningRateTooLow", "DeadRelu")


def test_the_healthy_program_is_diagnosed_by_silence():
    healthy = KNOWN["41372874"]
    assert healthy.truth == ()
    assert scoring.verdict(healthy, Outcome(1.0, ()), None).diagnosed
    said = Outcome(1.0, (finding("DeadRelu"),))
    assert not scoring.verdict(healthy, said, None).diagnosed


@pytest.mark.parametrize("name", ["48934338", "34311586"])
def test_remedies_change_what_they_name_and_leave_the_program(name):
    spec = KNOWN[name].faulty
    told = finding(
        "LearningRateTooHigh", remedy="`model.optimizer.learning_rate = 2e-05`"
    )
    assert remedies.remedied(spec, told)["optimizer"]["learning_rate"] == 2e-5
    assert spec["optimizer"]["learning_rate"] != 2e-5
    redrawn = remedies.remedied(spec, finding("PoorWeightInitialization"))
    build(redrawn)
    assert redrawn["layers"] != spec["layers"]
    assert remedies.remedied(spec, finding("LossNotDecreasing")) is None


@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_real_data_come_as_pixels():
    """A stand-in comes as pixels, too."""
    pytest.importorskip("sklearn")
    model, examples = build(KNOWN["47352366"].faulty)
    assert examples.x.shape[1:] == (28, 28, 1)
    assert 0 <= examples.x.min() < 0.1 < examples.x.max() <= 1
    assert model.output_shape == (None, 10)
