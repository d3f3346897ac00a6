"""How a training ended: too early, on a plateau, or by heart. Asked by `review`."""

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
            "share of what a constant guess loses",
            "by which the loss would fall in as many steps again, at half of the pace "
            "of the newer half: it slows down",
        ),
        "left": Threshold(
            0.2, "share of what a constant guess loses", "less than that is learnt"
        ),
        "unlearnt": Threshold(
            0.8,
            "share of what a constant guess loses",
            "a loss above it has learnt next to nothing: it may fall at any pace, if "
            "that does not slow down",
        ),
        "pace": Threshold(
            0.5, "1", "slope of the newer half to that of the older: it slows down"
        ),
        "steps": Threshold(
            100,
            "optimizer iterations",
            "a shorter training that has learnt next to nothing is too short, whatever "
            "its loss does",
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
    """Training stopped while the loss was still falling by its own trend."""
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
        + f"a constant guess loses {constant:.4g}.",
        remedy=f"Train longer, `model.fit(x, y, epochs={4 * epochs})`, and stop by "
        "validation data, `keras.callbacks.EarlyStopping(patience=5, "
        "restore_best_weights=True)`; a larger learning rate or smaller batches make "
        "more of each epoch.",
    )


@rule(
    "Plateau",
    severity="warning",
    needs=("scalars/loss",),
    reference=_common.LU,
    thresholds={
        "fall": Threshold(
            0.01, "share of the loss", "fall of the newer half of training, at most"
        ),
        "left": Threshold(
            0.2, "share of what a constant guess loses", "less than that is learnt"
        ),
    },
    follows_from=(*_SILENT, "NoGradient"),
    judges="ended record",
)
def plateau(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The loss stands still, and parts of the model are dead."""
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
        message=f"the loss stands at {curve.end:.4g}, and units of {layers} are dead: "
        "they get no gradient and will not come back.",
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
            "by which the newest are above it, all of them",
        ),
        "epochs": Threshold(
            2, "epochs", "fewest that are above it; twice as many are needed"
        ),
    },
    judges="ended record",
)
def overfitting(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The validation loss has risen again while the training loss fell."""
    steps, losses = record.scalars["val_loss"]
    values = np.asarray(losses, np.float64)
    if len(values) < 2 * limits["epochs"] or not np.isfinite(values).all():
        raise NotJudged("holds too few validation losses, or some that are not finite")
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
        f"from {then:.4g} to {curve.end:.4g}: the model learns its examples by heart.",
        remedy="Stop there, `keras.callbacks.EarlyStopping(patience=5, "
        "restore_best_weights=True)`, use more data or augmentation, "
        "`keras.layers.Dropout(0.3)`, weight decay, "
        "`keras.optimizers.AdamW(1e-3, weight_decay=4e-3)`, or a smaller model.",
    )


def _long_enough(curve: LossCurve) -> None:
    if len(curve.losses) < 8:
        raise NotJudged(f"holds {len(curve.losses)} finite losses, 8 are needed")


def _span(curve: LossCurve) -> int:
    """Optimizer iterations of the newer half."""
    return int(curve.steps[-1] - curve.steps[len(curve.steps) // 2])


def _ended_as_planned(fit: Mapping[str, int], curve: LossCurve) -> None:
    """Raises `NotJudged` unless a `fit` came to the end of its epochs."""
    _long_enough(curve)
    if not fit.get("epochs") or not fit.get("steps_per_epoch"):
        raise NotJudged("does not tell how many steps were planned")
    planned = fit["first_step"] + fit["epochs"] * fit["steps_per_epoch"]
    if curve.steps[-1] + 1 + int(np.diff(curve.steps).max()) < planned:
        raise NotJudged("was stopped ahead of its epochs, or began at a later one")


def _constant_loss(record: RunRecord, curve: LossCurve) -> float:
    """Returns the loss of the best constant guess, or the first loss."""
    start = curve.start - curve.penalty
    constant = constant_loss(record) or start
    if not 0 < constant < math.inf:
        raise NotJudged("starts with a loss that is not above 0")
    return constant
