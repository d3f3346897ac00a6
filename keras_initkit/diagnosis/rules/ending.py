"""How training ended: too early, on a plateau, or overfitted. Used by `review`."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.constant_guess import constant_loss
from keras_initkit.diagnosis.curve import LossCurve, loss_curve
from keras_initkit.diagnosis.registry import RULES, rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord

_PRECHELT = "Prechelt, 1998, Early Stopping - But When?, Neural Networks: Tricks"
_SILENT = ("DeadRelu", "AllZero")


@rule(
    "TooFewEpochs",
    severity="warning",
    needs=("scalars/loss", "facts/fit"),
    reference=_PRECHELT,
    thresholds={
        "gain": Threshold(
            0.1,
            "share of the loss of a constant guess",
            "further fall of the loss in as many steps again, at half the pace of the "
            "newer half, since it slows down",
        ),
        "left": Threshold(
            0.2,
            "share of the loss of a constant guess",
            "below it, the model counts as trained",
        ),
        "unlearnt": Threshold(
            0.8,
            "share of the loss of a constant guess",
            "above it, next to nothing has been learned: the loss may then fall at any "
            "pace that does not slow down",
        ),
        "pace": Threshold(
            0.5,
            "1",
            "slope of the newer half divided by that of the older; below it, the "
            "fall slows down",
        ),
        "steps": Threshold(
            100,
            "optimizer iterations",
            "training that has learned next to nothing in fewer steps is too short, "
            "whatever its loss does",
        ),
    },
    follows_from=(
        *_common.STRUCTURE,
        "NonFinite",
        "ConstantInput",
        "DamagedTargets",
        "SymmetricUnits",
        "LearningRateTrial",
        "LearningRateRange",
        "LearningRateTooLow",
        "VanishingGradient",
        "DeadRelu",
        "ConstantOutput",
    ),
    judges="ended record",
)
def too_few_epochs(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Training stopped while the trend of the loss was still downward."""
    fit = record.metadata["fit"]
    curve = loss_curve(record)
    _ended_as_planned(fit, curve)
    constant = _constant_loss(record, curve)
    left = (curve.end - curve.penalty) / constant
    brief = curve.span < limits["steps"] and left >= limits["unlearnt"]
    falling = curve.is_falling() or curve.falls_by_epochs()
    if left < limits["left"] or not (falling or brief):
        return
    gain = min(-curve.slope * curve.span / 2, curve.end) / constant
    begun = left >= limits["unlearnt"] and curve.pace >= limits["pace"]
    if gain < limits["gain"] and not (begun or brief):
        return
    epochs = fit["epochs"]
    yield Fault(
        layer=None,
        step=int(curve.steps[len(curve.steps) // 2]),
        measured=gain if gain >= limits["gain"] else left,
        threshold=limits["gain" if gain >= limits["gain"] else "unlearnt"],
        message=f"training stopped after {epochs} epoch{'s' * (epochs > 1)} "
        f"({curve.steps[-1] + 1} steps) "
        + (
            f"while the loss, {curve.end:.4g}, was still falling; "
            if falling
            else f"at a loss of {curve.end:.4g}; "
        )
        + f"that of a constant guess is {constant:.4g}.",
        remedy=f"Train longer, `model.fit(x, y, epochs={4 * epochs})`, and stop by "
        "validation loss, `keras.callbacks.EarlyStopping(patience=5, "
        "restore_best_weights=True)`; a larger learning rate or smaller batches get "
        "more out of each epoch.",
    )


@rule(
    "Plateau",
    severity="warning",
    needs=("scalars/loss",),
    reference=_common.LU,
    thresholds={
        "fall": Threshold(
            0.01, "share of the loss", "largest fall over the newer half of training"
        ),
        "left": Threshold(
            0.2,
            "share of the loss of a constant guess",
            "below it, the model counts as trained",
        ),
    },
    follows_from=(*_SILENT, "NoGradient"),
    judges="ended record",
)
def plateau(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The loss has stalled, and parts of the model are dead."""
    curve = loss_curve(record)
    _long_enough(curve)
    left = (curve.end - curve.penalty) / _constant_loss(record, curve)
    half = curve.losses[len(curve.losses) // 2 :]
    still = not curve.is_falling() and -curve.slope * _span(curve) <= limits[
        "fall"
    ] * np.median(half)
    dead = [f for name in _SILENT for f in RULES[name].judge(record)]
    if not still or left < limits["left"] or not dead:
        return
    layers = ", ".join(dict.fromkeys(repr(finding.layer) for finding in dead))
    yield Fault(
        layer=dead[0].layer,
        step=int(curve.steps[len(curve.steps) // 2]),
        measured=left,
        threshold=limits["left"],
        message=f"the loss has stalled at {curve.end:.4g}, and units of {layers} are "
        "dead: they get no gradient and will not recover.",
        remedy=dead[0].remedy,
    )


@rule(
    "Overfitting",
    severity="warning",
    needs=("scalars/val_loss", "scalars/loss"),
    reference=_PRECHELT,
    thresholds={
        "rise": Threshold(
            0.1,
            "share of the lowest validation loss",
            "by which all of the newest are above it",
        ),
        "epochs": Threshold(
            2, "epochs", "fewest that are above it; twice as many are needed in all"
        ),
    },
    judges="ended record",
)
def overfitting(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The validation loss has risen again while the training loss kept falling."""
    steps, losses = record.scalars["val_loss"]
    values = np.asarray(losses, np.float64)
    if len(values) < 2 * limits["epochs"] or not np.isfinite(values).all():
        raise NotJudged("holds too few validation losses, or ones that are not finite")
    lowest = int(values.argmin())
    newest = values[lowest + 1 :]
    if len(newest) < limits["epochs"] or not values[lowest] > 0:
        return
    # By twice the scatter of the losses about their trend: of independent ones, the
    # median second difference is 1.65 standard deviations.
    scatter = float(np.median(np.abs(np.diff(values, 2)))) / 1.65
    above = newest[-int(limits["epochs"]) :] - values[lowest]
    curve = loss_curve(record)
    then = np.interp(steps[lowest], curve.steps, curve.losses)
    least = max(limits["rise"] * values[lowest], 2 * scatter)
    if above.min() < least or not curve.end < then:
        return
    yield Fault(
        layer=None,
        step=int(steps[lowest]),
        measured=above[-1] / values[lowest],
        threshold=limits["rise"],
        message=f"the validation loss was lowest, {values[lowest]:.4g}, at step "
        f"{steps[lowest]} and is {values[-1]:.4g} now, while the training loss went "
        f"from {then:.4g} to {curve.end:.4g}: the model is memorizing the training "
        "examples.",
        remedy="Stop there, `keras.callbacks.EarlyStopping(patience=5, "
        "restore_best_weights=True)`, use more data or augmentation, "
        "`keras.layers.Dropout(0.3)`, weight decay, "
        "`keras.optimizers.AdamW(1e-3, weight_decay=4e-3)`, or a smaller model.",
    )


def _long_enough(curve: LossCurve) -> None:
    if len(curve.losses) < 8:
        raise NotJudged(f"holds {len(curve.losses)} finite losses; 8 are needed")


def _span(curve: LossCurve) -> int:
    """Optimizer iterations of the newer half."""
    return int(curve.steps[-1] - curve.steps[len(curve.steps) // 2])


def _ended_as_planned(fit: Mapping[str, int], curve: LossCurve) -> None:
    """Raises `NotJudged` unless a `fit` came to the end of its epochs."""
    _long_enough(curve)
    if not fit.get("epochs") or not fit.get("steps_per_epoch"):
        raise NotJudged("does not say how many steps were planned")
    planned = fit["first_step"] + fit["epochs"] * fit["steps_per_epoch"]
    if curve.steps[-1] + 1 + int(np.diff(curve.steps).max()) < planned:
        raise NotJudged("was stopped before its last epoch, or began at a later one")


def _constant_loss(record: RunRecord, curve: LossCurve) -> float:
    """Returns the loss of the best constant guess, or the first loss."""
    start = curve.start - curve.penalty
    constant = constant_loss(record) or start
    if not 0 < constant < math.inf:
        raise NotJudged("starts with a loss that is not positive")
    return constant
