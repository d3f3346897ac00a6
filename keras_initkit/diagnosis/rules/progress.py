"""Whether a first step makes any difference to weights and loss."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.depth import depth_profile, kernels_of, weight_of
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import TensorKey

# Half the distance between neighbouring float32 numbers, to the larger of them: what is
# smaller than that share of a weight changes nothing when it is added.
_ROUNDING = 2.0**-25
_TAKEN = 0.1  # what a layer leaves of the signal's rms that takes most of it


@rule(
    "NoProgress",
    severity="error",
    needs=("gradient/rms", "weight/rms", "facts/layers"),
    reference=_common.GLOROT,
    thresholds={
        "gain": Threshold(
            1e-7,
            "share of the loss",
            "reduction of the loss by the first step of all kernels, to first order: "
            "100,000 such steps would remove 1 %",
        ),
        "lost": Threshold(
            0.5,
            "share of the kernels",
            "those whose first step is lost in float32 rounding because their gradient "
            "has faded",
        ),
        "faded": Threshold(
            1e-6,
            "1",
            "gradient rms divided by the largest one, below which a gradient counts as "
            "faded; with a tiny rate, steps are lost even without that",
        ),
        "steps": Threshold(
            10, "optimizer iterations", "the start of training: later, it may be done"
        ),
    },
    follows_from=(
        "NotTrainable",
        "LearningRateTrial",
        "LearningRateRange",
        *_common.STRUCTURE,
        *_common.DATA,
        *_common.WEIGHTS,
        "VanishingGradient",
    ),
)
def no_progress(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The first step leaves the kernels or the loss practically unchanged."""
    optimizer = record.metadata.get("optimizer") or {}
    if optimizer.get("scheduled"):
        raise NotJudged("has a schedule: its first rate says nothing about the others")
    first = _first_step(record)
    if first.step >= limits["steps"]:
        raise NotJudged("does not hold the start of training")
    moves = first.gradient > 0
    if not moves.any():
        raise NotJudged("has no gradient at its first step")
    how = "" if first.taken else ", even with a learning rate of 1"
    remedy = (
        "Let the signal through before you train: `kik.reinitialize(model, "
        "kik.recommend(model))`, fewer layers, shortcuts, `x = keras.layers.add([x, "
        "block(x)])`, or `keras.layers.BatchNormalization()`."
    )
    faded = first.gradient < limits["faded"] * first.gradient.max()
    lost = moves & faded & (first.change < _ROUNDING * first.weight)
    if len(lost) > 2 and lost.mean() >= limits["lost"]:
        yield Fault(
            layer=first.layers[int(np.flatnonzero(lost)[0])],
            step=first.step,
            measured=lost.mean(),
            threshold=limits["lost"],
            message=f"{lost.sum()} of {len(lost)} kernels do not change at all at the "
            f"first step{how}: it is below float32 resolution relative to their "
            "weights.",
            remedy=remedy,
        )
        return
    loss = _first_loss(record, first.step)
    gain = float((first.gradient * first.change * first.size).sum()) / loss
    if gain < limits["gain"]:
        yield Fault(
            layer=_narrowest(record, first.step),
            step=first.step,
            measured=gain,
            threshold=limits["gain"],
            message=f"the first step of all kernels reduces the loss {loss:.3g} by a "
            f"share of only {gain:.1g}{how}: the model stays at a constant guess.",
            remedy=remedy,
        )


def _narrowest(record: RunRecord, step: int) -> str | None:
    """Returns the layer that takes nine tenths of the signal or more, if one does."""
    profile = depth_profile(record, "activation", "rms", step=step)
    if len(profile.keys) < 2 or not (profile.values > 0).all():
        return None
    kept = profile.values[1:] / profile.values[:-1]
    least = int(kept.argmin())
    return profile.keys[least + 1].layer if kept[least] < _TAKEN else None


class _FirstStep(NamedTuple):
    """The first step of the kernels, by arrays of one number for each.

    Attributes:
        step: Its optimizer iteration.
        taken: Whether `change` is what the optimizer did; else it is the gradient.
        layers: Their layers.
        gradient: Rms of their gradients.
        weight: Rms of the weights themselves.
        change: Rms of what the step changes them by.
        size: How many entries they have.
    """

    step: int
    taken: bool
    layers: list[str]
    gradient: np.ndarray
    weight: np.ndarray
    change: np.ndarray
    size: np.ndarray


def _first_step(record: RunRecord) -> _FirstStep:
    kernels = kernels_of(record, ("kernel", "recurrent_kernel"))  # tables move by rows
    gradient, weight = _first_rms(record, "gradient"), _first_rms(record, "weight")
    change = _first_rms(record, "update") or gradient
    keys = [
        key
        for key in gradient
        if weight_of(key) in kernels and key in weight and key in change
    ]
    if not keys:
        raise NotJudged("does not say which weights are kernels")
    return _FirstStep(
        step=_common.steps_of(record, "gradient")[0],
        taken=change is not gradient,
        layers=[key.layer for key in keys],
        gradient=np.array([gradient[key] for key in keys]),
        weight=np.array([weight[key] for key in keys]),
        change=np.array([change[key] for key in keys]),
        size=np.array([_size(record, key) for key in keys]),
    )


def _size(record: RunRecord, key: TensorKey) -> int:
    shape = _common.shape_of(record, key)
    return 1 if shape is None else math.prod(shape)


def _first_rms(record: RunRecord, signal: str) -> dict[TensorKey, float]:
    rms = _common.statistic(record, signal, "rms")
    keys = _common.tensors_of(record, signal)
    return {} if rms is None else dict(zip(keys, rms[0].tolist(), strict=True))


def _first_loss(record: RunRecord, step: int) -> float:
    loss = _common.loss_at(record, step)
    if loss is None or not 0 < loss < math.inf:
        raise NotJudged("does not hold a positive loss at its first step")
    return loss
