"""Stacks of layers on the phase diagram of mean-field theory."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras_initkit.diagnosis._rule import Fault, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short


@rule(
    "TrainableDepth",
    severity="warning",
    by_signs=True,
    needs=("facts/phases",),
    reference="Schoenholz et al. 2017, https://arxiv.org/abs/1611.01232",
    thresholds={
        "layers": Threshold(
            4,
            "layers",
            "a stack that trains anyway: after two layers, a decaying signal is still "
            "there",
        )
    },
    follows_from=(
        "SymmetricUnits",
        "DeadBias",
        "TensorVariance",
        "PoorWeightInitialization",
        "UnsuitableHiddenActivation",
    ),
    spans_depth=True,
)
def trainable_depth(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A stack off the edge of chaos is too deep to train."""
    for phase in record.metadata["phases"]:
        layers, depth = phase["layers"], phase["trainable_depth"]
        if depth is None or len(layers) <= max(depth, limits["layers"]):
            continue
        yield Fault(
            layer=layers[0],
            step=None,
            measured=len(layers),
            threshold=depth,
            message=_message(phase),
            remedy="Initialize the weights at the edge of chaos: "
            "`kik.reinitialize(model, kik.recommend(model))`; or shorten the stack "
            "with shortcuts or normalization.",
        )


def _message(phase: Mapping[str, Any]) -> str:
    alike = (
        "different inputs look alike"
        if phase["phase"] == "ordered"
        else "similar inputs look unrelated"
    )
    layers = phase["layers"]
    return (
        f"after about {phase['trainable_depth']:.0f} of the {len(layers)} "
        f"{phase['activation']} layers from {layers[0]!r} on, {alike}: with weights of "
        f"std {phase['sigma_w']:.3g}/√fan_in they are in the {phase['phase']} phase, "
        f"where gradients change by a factor of {short(math.sqrt(phase['chi_1']))} per "
        "layer."
    )
