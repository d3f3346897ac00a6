"""The learning rate, judged by the effect of a step on the weights and the loss."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.constant_guess import constant_loss, learned_at_start
from keras_initkit.diagnosis.curve import loss_curve
from keras_initkit.diagnosis.registry import RULES, rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.diagnosis.rules.loss import needs_probabilities
from keras_initkit.diagnosis.rules.weights import update_ratios
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short

_SMITH = "Smith, 2017, https://arxiv.org/abs/1506.01186"
_BENGIO = "Bengio, 2012, https://arxiv.org/abs/1206.5533"
_SILENT = ("DeadRelu", "AllZero")
_FITS = 3.0  # how far a weight's rms may be from 1 / sqrt(fan_in) and be taken as it is
_HEALTHY = 1e-3  # norm of the update to that of the weight
_FALL = Threshold(
    0.05,
    "share of the first loss",
    "a loss that falls by more makes the learning rate good enough",
)


@rule(
    "LearningRateTrial",
    severity="warning",
    needs=("facts/learning_rate_trial",),
    reference=_SMITH,
    thresholds={
        "above": Threshold(
            2.0,
            "1",
            "the rate divided by the highest that learns; half a decade above that "
            "one, where the next was tried without success, most models learn worse "
            "or not at all",
        ),
        "below": Threshold(
            0.1,
            "1",
            "the rate divided by the lowest that learns: a hundredth of the proposal",
        ),
    },
    follows_from=_common.DATA,
)
def learning_rate_trial(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The learning rate is far outside the range that learns in a trial."""
    trial = record.metadata["learning_rate_trial"]
    if trial["proposal"] is None:
        raise NotJudged(f"has a trial without a proposal: {trial['reason']}")
    rate = trial["rate"]
    if rate is None:
        raise NotJudged("has a schedule: its first rate says nothing about the others")
    low, high = trial["low"], trial["high"]
    if low * limits["below"] <= rate <= high * limits["above"]:
        return
    limit, verb = (high, "Lower") if rate > high else (low, "Raise")
    yield Fault(
        layer=None,
        step=None,
        measured=rate,
        threshold=limit,
        message=f"the learning rate is {short(rate)}; in trials of {trial['steps']} "
        f"steps each, rates from {short(low)} to {short(high)} "
        f"learn{_at_that_rate(trial)}.",
        remedy=f"{verb} the learning rate, `model.optimizer.learning_rate = "
        f"{short(trial['proposal'])}`.",
    )


def _at_that_rate(trial: Mapping[str, Any]) -> str:
    """Tells in half a sentence what the present rate has come to, if it was tried."""
    tried = [one for one in trial["tried"] if one["rate"] == trial["rate"]]
    if not tried:
        return ""
    loss = "NaN or Inf" if tried[0]["loss"] is None else f"{tried[0]['loss']:.4g}"
    return f", and yours takes the loss from {trial['start']:.4g} to {loss}"


@rule(
    "LearningRateTooHigh",
    severity="warning",
    needs=("update/update_to_weight_ratio", "scalars/loss"),
    reference=f"{_BENGIO}; {_common.AUTOTRAINER}",
    thresholds={
        "ratio": Threshold(
            0.1,
            "1",
            "median over the kernels of the update's norm divided by the weight's, or "
            "by a third of the norm that preserves a signal if that is larger; about "
            "1e-3 is healthy",
        ),
        "rise": Threshold(
            2.0,
            "1",
            "highest loss divided by the first one; NaN and Inf count as higher "
            "than any",
        ),
        "fall": _FALL,
    },
    follows_from=(
        "LearningRateTrial",
        "LearningRateRange",
        *_common.DATA,
        "UnscaledTarget",
        *_common.WEIGHTS,
        "LossAtInit",
    ),
)
def learning_rate_too_high(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Steps are as large as the weights, and the loss rises or does not fall."""
    ratios, _ = _relative_steps(record)
    curve = loss_curve(record)
    if len(curve.losses) < 3 and curve.diverged is None:
        raise NotJudged(f"has {len(curve.losses)} losses; 3 are needed")
    large = np.nan_to_num(ratios) >= limits["ratio"]
    row = _common.persistent(large)
    diverged = curve.diverged is not None
    rose = diverged or curve.losses.max() >= limits["rise"] * abs(curve.start)
    died = False
    if large.any():
        # One leap may be enough to end where no gradient is.
        leap = int(np.flatnonzero(large)[0])
        died = _died_after(record, _common.steps_of(record, "update")[leap])
        row = leap if row is None and (rose or died) else row
    if row is None or (curve.fall >= limits["fall"] and not (diverged or died)):
        return
    rate = _common.learning_rate_of(record)
    better = None if rate is None else rate * 10 * _HEALTHY / ratios[row]
    how = "rises" if rose else "does not fall"
    if died:
        how = "stalls, as all outputs of a layer have been 0 since"
    now = f"NaN or Inf from step {curve.diverged} on"
    yield Fault(
        layer=None,
        step=_common.steps_of(record, "update")[row],
        measured=ratios[row],
        threshold=limits["ratio"],
        message=f"a step changes the kernels by {short(ratios[row])} of their norm "
        f"(median) and the loss {how}: {curve.start:.3g} at first, "
        f"{curve.losses.max():.3g} at its highest, "
        f"{now if diverged else f'{curve.end:.3g} now'}.",
        remedy=_set_rate("Lower", better, "1e-3 for Adam, 1e-2 for SGD"),
        severity="error" if rose or died else None,
    )


@rule(
    "LearningRateTooLow",
    severity="warning",
    needs=("update/update_to_weight_ratio", "scalars/loss"),
    reference=_BENGIO,
    thresholds={
        "ratio": Threshold(
            1e-4,
            "1",
            "median over the kernels of the update's norm divided by the weight's, or "
            "by three times the norm that preserves a signal if that is smaller; "
            "about 1e-3 is healthy",
        ),
        "creeping": Threshold(
            3e-4, "1", "the same for a loss that falls, with next to nothing learned"
        ),
        "left": Threshold(
            0.8,
            "share of the loss of a constant guess",
            "above it, next to nothing has been learned",
        ),
        "fall": _FALL,
        "steps": Threshold(
            100, "optimizer iterations", "fewest needed to judge, longer than a warm-up"
        ),
    },
    follows_from=(
        "LearningRateTrial",
        "LearningRateRange",
        *_common.STRUCTURE,
        *_common.WEIGHTS,
        "VanishingGradient",
    ),
)
def learning_rate_too_low(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Steps are tiny relative to the weights from the start; the loss barely falls."""
    _, ratios = _relative_steps(record)
    curve = _common.curve_over(record, limits["steps"])
    if _common.gradient_is_at_fault(record) or needs_probabilities(record):
        raise NotJudged("has faulty gradients, which make steps small")
    if learned_at_start(record):
        raise NotJudged("starts with a model that has already learned")
    scheduled = bool((record.metadata.get("optimizer") or {}).get("scheduled"))
    # A rate that a schedule brings down to nothing ends in steps of 0.
    row = _common.persistent((ratios < limits["ratio"]) & ((ratios > 0) | scheduled))
    # Down from a bad start to what a constant guess attains is nothing learnt.
    constant = constant_loss(record) or math.nan
    left = (curve.end - curve.penalty) / constant
    came_down = scheduled and 10 * ratios[-1] < np.nanmax(ratios)
    nothing = left >= (limits["left"] if came_down else 1)
    if not (curve.fall < limits["fall"] or nothing):
        row = None
    creeps = left >= limits["left"] and curve.is_falling() and not scheduled
    if row is None and creeps:
        row = _common.persistent((ratios > 0) & (ratios < limits["creeping"]))
    if row is None:
        return
    rate = _common.learning_rate_of(record)
    better = None if rate is None else rate * _HEALTHY / ratios[row]
    yield Fault(
        layer=None,
        step=_common.steps_of(record, "update")[row],
        measured=ratios[row],
        threshold=limits["ratio"],
        message=f"a step changes the kernels by {ratios[row]:.1g} of their norm "
        f"(median), and in {curve.span} iterations the loss went from "
        f"{curve.start:.4g} to {curve.end:.4g}.",
        remedy=_SLOWER
        if scheduled
        else _set_rate("Raise", better, "1e-3 for Adam, 1e-2 for SGD"),
    )


_SLOWER = (
    "Compile with a schedule of larger rates, or one that decays more slowly, over all "
    "steps of the training: `keras.optimizers.schedules.CosineDecay(1e-3, epochs * "
    "steps_per_epoch)`."
)


def _relative_steps(record: RunRecord) -> tuple[np.ndarray, np.ndarray]:
    """Returns the median over the kernels of a step to the weight, `(steps,)`, twice.

    A weight that is far too small is moved by a larger share of itself than one that
    fits, a far too large one by a smaller share: steps are held against the rms that
    keeps a signal, `1 / sqrt(fan_in)`, where a weight is below a third of that (first)
    or above three times that (second).
    """
    ratios = update_ratios(record)
    weight = _common.statistic(record, "weight", "rms")
    places = {key: n for n, key in enumerate(_common.tensors_of(record, "weight"))}
    tensors = _common.tensors_of(record, "update")
    keys = [tensors[column] for column in _common.kernel_columns(record, "update")]
    small, large = np.ones_like(ratios), np.ones_like(ratios)
    for column, key in enumerate(keys):
        shape = _common.shape_of(record, key)
        if weight is None or key not in places or not shape or len(weight) < len(small):
            continue
        rms = weight[: len(small), places[key]]
        fitting = 1 / math.sqrt(max(1, math.prod(shape[:-1])))
        small[:, column] = np.minimum(1, rms / (fitting / _FITS))
        large[:, column] = np.maximum(1, rms / (fitting * _FITS))
    return _common.row_medians(ratios * small), _common.row_medians(ratios * large)


def _died_after(record: RunRecord, step: int) -> bool:
    """Whether layers have died after a step, all of their outputs being 0 since."""
    dead = (f for name in _SILENT for f in RULES[name].judge(record))
    return any(f.severity == "error" and (f.step or 0) > step for f in dead)


# No larger rate is proposed: what keeps steps so small is something else.
_LARGEST = 1.0


def _set_rate(verb: str, rate: float | None, usual: str) -> str:
    if rate is None or rate > _LARGEST:
        return f"{verb} the learning rate; usual values are {usual}."
    return (
        f"{verb} the learning rate, `model.optimizer.learning_rate = {rate:.0e}`; "
        f"usual values are {usual}."
    )
