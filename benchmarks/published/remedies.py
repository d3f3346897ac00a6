"""Remedies that can be applied to a program without its author."""

import copy
import re
from collections.abc import Callable
from typing import Any

from benchmarks.published.programs import Spec
from keras_initkit.diagnosis import Finding

_RATE = re.compile(r"learning_rate = ([\d.e+-]+)")
_Change = Callable[[dict[str, Any], Finding], None]


def remedied(spec: Spec, finding: Finding) -> Spec | None:
    """Returns a program with a finding's remedy; `None` where that needs a mind."""
    change = _CHANGES.get(finding.rule)
    if change is None:
        return None
    mended = copy.deepcopy(dict(spec))
    change(mended, finding)
    return None if mended == spec else mended


def _scale_input(spec, finding):
    spec["input"] = {**spec.get("input", {}), "scaling": "standard"}


def _scale_target(spec, finding):
    spec["target"] = {**spec.get("target", {}), "scaling": "standard"}


def _set_rate(spec, finding):
    told = _RATE.search(finding.remedy)
    if told is not None:
        spec["optimizer"]["learning_rate"] = float(told.group(1))


def _redraw(spec, finding):
    for layer in _weighted(spec):
        saturating = layer.get("activation") in ("tanh", "sigmoid")
        layer["kernel_initializer"] = "glorot_uniform" if saturating else "he_normal"
        layer.pop("bias_initializer", None)


def _use_relu(spec, finding):
    for layer in _weighted(spec)[:-1]:
        layer.update(activation="relu", kernel_initializer="he_normal")


def _use_leaky_relu(spec, finding):
    for layer in _weighted(spec)[:-1]:
        if layer.get("activation") == "relu":
            layer["activation"] = "leaky_relu"


def _drop_less(spec, finding):
    for layer in spec["layers"]:
        if layer["type"] == "Dropout":
            layer["rate"] = min(layer["rate"], 0.3)


def _end_as_the_loss_wants(spec, finding):
    if spec["loss"] == "binary_crossentropy":
        last = "sigmoid"
    elif spec["loss"].endswith("categorical_crossentropy"):
        last = "softmax"
    else:
        last = "linear"
    layers = _weighted(spec)
    if layers:
        layers[-1]["activation"] = last


def _train_longer(spec, finding):
    spec["epochs"] *= 4
    spec["most_steps"] *= 4


def _weighted(spec):
    return [one for one in spec["layers"] if "units" in one or "filters" in one]


_CHANGES: dict[str, _Change] = {
    "TooFewEpochs": _train_longer,
    "UnscaledInput": _scale_input,
    "UnscaledTarget": _scale_target,
    "LossActivationMismatch": _end_as_the_loss_wants,
    "LearningRateTooHigh": _set_rate,
    "LearningRateTooLow": _set_rate,
    "LearningRateRange": _set_rate,
    "PoorWeightInitialization": _redraw,
    "SymmetricUnits": _redraw,
    "TensorVariance": _redraw,
    "UnsuitableHiddenActivation": _use_relu,
    "VanishingGradient": _use_relu,
    "SaturatedActivation": _use_relu,
    "DeadRelu": _use_leaky_relu,
    "OverRegularization": _drop_less,
}
