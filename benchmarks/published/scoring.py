"""From findings to what counts as detected, diagnosed, named, first and wrong. Pure."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from benchmarks.published.programs import Program
from benchmarks.published.trial import Outcome
from keras_initkit.diagnosis import Finding

BETTER = (
    0.02  # skill that the remedy of a finding must gain to be called true of a twin
)

# What our rules say, in the words of `faults` and `fair`; `None` for symptoms, which
# say that a program does not learn and not why.
WORDS: dict[str, str | None] = {
    "AllZero": None,
    "BatchOfOne": "batch_too_small",
    "ConstantInput": None,
    "ConstantOutput": None,
    "DamagedTargets": "bad_targets",
    "DeadBias": "poor_init",
    "DeadRelu": "dying_relu",
    "EqualWeights": "poor_init",
    "ExplodingGradient": "exploding_gradient",
    "ExplodingTensor": "exploding_gradient",
    "Float16Overflow": "nan_loss",
    "Float16Underflow": "vanishing_gradient",
    "ForgetBias": "poor_init",
    "FractionsAsIndices": "bad_inputs",
    "ImbalancedLabels": None,
    "InferenceDiffers": None,
    "InitializerMismatch": "poor_init",
    "LossActivationMismatch": "loss_activation_mismatch",
    "LossAtInit": "poor_init",
    "LossNotDecreasing": None,
    "LossSign": "wrong_loss",
    "NoGradient": None,
    "NoProgress": None,
    "NonFinite": "nan_loss",
    "NotTrainable": None,
    "OverRegularization": "over_regularization",
    "Overfitting": "overfitting",
    "Plateau": None,
    "PoorWeightInitialization": "poor_init",
    "RankCollapse": "poor_init",
    "RecurrentScale": "poor_init",
    "RepresentationCollapse": None,
    "SaturatedActivation": "saturated_activation",
    "SortedLabels": "not_shuffled",
    "SymmetricUnits": "symmetric_init",
    "TensorVariance": "poor_init",
    "TooFewEpochs": "too_few_epochs",
    "TrainableDepth": "poor_init",
    "UnchangedTensor": None,
    "UnlikeSplits": "unscaled_input",
    "UnscaledInput": "unscaled_input",
    "UnscaledTarget": "unscaled_target",
    "UnsuitableHiddenActivation": "hidden_activation",
    "VanishingGradient": "vanishing_gradient",
    "VanishingThroughTime": "vanishing_gradient",
    "WeightUpdateRatio": None,
}
SYMPTOMS = frozenset(rule for rule, word in WORDS.items() if word is None)

# The same words in DeepFD's types of faults. Nothing stands for `opt`, `layers`,
# `layer_properties`, `model_type` and `data_quality`.
TYPES: dict[str, frozenset[str]] = {
    "bad_inputs": frozenset({"wrong_prep"}),
    "bad_targets": frozenset({"wrong_prep"}),
    "batch_too_small": frozenset({"batch_size"}),
    "dying_relu": frozenset({"act"}),
    "exploding_gradient": frozenset(),
    "hidden_activation": frozenset({"act"}),
    "loss_activation_mismatch": frozenset({"act", "loss"}),
    "lr_too_high": frozenset({"lr"}),
    "lr_too_low": frozenset({"lr"}),
    "nan_in_data": frozenset({"missing_prep"}),
    "nan_loss": frozenset(),
    "over_regularization": frozenset(),
    "not_shuffled": frozenset({"wrong_prep"}),
    "overfitting": frozenset(),
    "poor_init": frozenset({"init"}),
    "saturated_activation": frozenset({"act"}),
    "symmetric_init": frozenset({"init"}),
    "too_few_epochs": frozenset({"epoch"}),
    "unscaled_input": frozenset({"missing_prep"}),
    "unscaled_target": frozenset({"missing_prep"}),
    "vanishing_gradient": frozenset({"act"}),
    "wrong_loss": frozenset({"loss"}),
}
# Settings that findings without a layer are about.
_SETTINGS = {
    "bad_inputs": "input",
    "bad_targets": "target",
    "batch_too_small": "batch_size",
    "loss_activation_mismatch": "loss",
    "lr_too_high": "optimizer",
    "lr_too_low": "optimizer",
    "nan_in_data": "input",
    "not_shuffled": "input",
    "too_few_epochs": "epochs",
    "unscaled_input": "input",
    "unscaled_target": "target",
    "wrong_loss": "loss",
}


def word_of(finding: Finding) -> str | None:
    """Returns what a finding says, in the words of `TYPES`; `None` for a symptom.

    Raises:
        KeyError: For a rule that `WORDS` does not know.
    """
    if finding.rule.startswith("LearningRate"):
        return "lr_too_high" if finding.measured > finding.threshold else "lr_too_low"
    if finding.rule == "NonFinite" and finding.layer is None:
        return "nan_in_data"
    return WORDS[finding.rule]


def types_of(finding: Finding) -> frozenset[str]:
    """Returns the types of faults that a finding names, in DeepFD's words."""
    return TYPES.get(word_of(finding) or "", frozenset())


def places_of(finding: Finding) -> set[str]:
    """Returns layer and setting that a finding names, as in `Program.mended`."""
    setting = _SETTINGS.get(word_of(finding) or "")
    layer = None if finding.layer is None else finding.layer.partition("/")[0]
    return {place for place in (setting, layer) if place is not None}


def loud(outcome: Outcome) -> list[Finding]:
    """Returns the findings of an outcome that count: warnings and errors."""
    return [finding for finding in outcome.findings if finding.severity != "info"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was made of one program.

    Attributes:
        program: The program.
        skill: Its skill after training.
        findings: Its warnings and errors.
        detected: Whether anything was found.
        diagnosed: Whether a finding names a type of its truth; of the healthy one,
            whether nothing was found.
        named: Whether one of these names a layer or setting that was mended.
        first: Whether the first finding shown names a true fault.
        wrong: Rules that were wrong.
        twin: The same of the twin, `None` where there is none.
    """

    program: Program
    skill: float
    findings: tuple[Finding, ...]
    detected: bool
    diagnosed: bool
    named: bool
    first: bool
    wrong: tuple[str, ...]
    twin: "TwinVerdict | None"


@dataclasses.dataclass(frozen=True)
class TwinVerdict:
    """What was made of a twin.

    Attributes:
        skill: Its skill after training.
        findings: Its warnings and errors.
        false: Rules of findings that are not true of it.
        errors: Those among them of severity error.
        helped: `{rule: skill}` of those whose remedy made it better.
    """

    skill: float
    findings: tuple[Finding, ...]
    false: tuple[str, ...]
    errors: tuple[str, ...]
    helped: dict[str, float]


def verdict(program: Program, outcome: Outcome, twin: TwinVerdict | None) -> Verdict:
    """Judges what was said of a program."""
    found = loud(outcome)
    truth, words = set(program.truth), {*program.faults, *program.fair}
    right = [finding for finding in found if types_of(finding) & truth]
    wrong = [
        finding.rule
        for finding in found
        if not types_of(finding) & truth
        and word_of(finding) not in words
        and finding.because_of is None
        and not (program.faults and finding.rule in SYMPTOMS)
    ]
    first = found[:1]
    return Verdict(
        program=program,
        skill=outcome.skill,
        findings=tuple(found),
        detected=bool(found),
        diagnosed=bool(right) if truth else not found,
        named=any(places_of(finding) & program.mended for finding in right),
        first=any(
            types_of(one) & truth or word_of(one) in program.faults for one in first
        ),
        wrong=tuple(dict.fromkeys(wrong)),
        twin=twin,
    )


def twin_verdict(
    program: Program, outcome: Outcome, remedied: Callable[[Finding], float | None]
) -> TwinVerdict:
    """Judges what was said of a twin.

    Args:
        program: The program that it is the twin of.
        outcome: What came of the twin.
        remedied: Returns the skill of the twin with the remedy of a finding applied,
            `None` where that cannot be done by itself.
    """
    found = loud(outcome)
    open_ = [f for f in found if word_of(f) not in program.fair_of_twin]
    helped: dict[str, float] = {}
    for finding in open_:
        skill = remedied(finding)
        if skill is not None and skill >= outcome.skill + BETTER:
            helped[finding.rule] = max(skill, helped.get(finding.rule, skill))
    false = [finding for finding in open_ if finding.rule not in helped]
    return TwinVerdict(
        skill=outcome.skill,
        findings=tuple(found),
        false=_rules(false),
        errors=_rules(f for f in false if f.severity == "error"),
        helped=helped,
    )


def _rules(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.rule for finding in findings))


@dataclasses.dataclass(frozen=True)
class Score:
    """The figures of a number of verdicts; `wrong` counts pairs of program and rule."""

    programs: int
    detected: int
    diagnosed: int
    named: int
    first: int
    wrong: int
    twins: int
    false_twins: int
    error_twins: int
    other_twins: int
    false_others: int


def score(verdicts: Sequence[Verdict]) -> Score:
    """Counts verdicts; twins that are confirmed, and the others apart."""
    confirmed = [v.twin for v in verdicts if v.twin and v.program.confirmed]
    others = [v.twin for v in verdicts if v.twin and not v.program.confirmed]
    return Score(
        programs=len(verdicts),
        detected=sum(v.detected for v in verdicts),
        diagnosed=sum(v.diagnosed for v in verdicts),
        named=sum(v.named for v in verdicts),
        first=sum(v.first for v in verdicts if v.program.truth),
        wrong=sum(len(v.wrong) for v in verdicts),
        twins=len(confirmed),
        false_twins=sum(bool(twin.false) for twin in confirmed),
        error_twins=sum(bool(twin.errors) for twin in confirmed),
        other_twins=len(others),
        false_others=sum(bool(twin.false) for twin in others),
    )


def published(programs: Sequence[Program], tool: str) -> tuple[int, int, int]:
    """Returns how many programs a published tool detected, diagnosed, localised."""
    columns = zip(*(program.published[tool] for program in programs), strict=True)
    detected, diagnosed, localised = map(sum, columns)
    return detected, diagnosed, localised
