"""What the model outputs, and whether targets and loss fit it."""

import math
from collections.abc import Iterator, Mapping, Sequence

from keras_initkit.diagnosis._rule import Fault, Threshold
from keras_initkit.diagnosis.constant_guess import labels_each
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord

# Lowest and highest value of activations that do not reach every number.
_RANGES = {
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "elu": (-1.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}


@rule(
    "LossActivationMismatch",
    severity="error",
    needs=("facts/outputs", "facts/predicted"),
    any_of=True,
    reference=_common.NEURALINT,
    thresholds={
        "beyond": Threshold(
            0.1,
            "share of the range of the targets",
            "how far the targets of the first batch extend beyond the range of the "
            "last activation",
        ),
    },
)
def loss_activation_mismatch(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Targets outside the range of the last activation, or several labels for one."""
    outputs = _common.outputs_of(record)
    yield from _several_labels(record, outputs)
    yield from _no_probabilities(record, outputs)
    for output in outputs:
        loss, target, activation = output.loss, output.target, output.activation
        if loss is None or target is None or target["min"] is None:
            continue
        if loss["name"] not in _common.REGRESSION or activation not in _RANGES:
            continue
        low, high = _RANGES[activation]
        below, above = low - target["min"], target["max"] - high
        beyond = max(below, above) / ((target["max"] - target["min"]) or 1.0)
        if beyond <= limits["beyond"]:
            continue
        reach = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
        yield Fault(
            layer=output.layer,
            step=_common.first_step(record),
            measured=beyond,
            threshold=limits["beyond"],
            message=f"the targets{_common.of_which(output, outputs)} in "
            f"{_common.looked_at(record)} lie in [{target['min']:.3g}, "
            f"{target['max']:.3g}]; {activation} outputs only {reach}.",
            remedy="End in a linear layer, `Dense(units)`, or scale the targets into "
            "that range and undo this in predictions.",
        )


# What rounding makes of 0 and 1.
_ROUNDING = 1e-3


def _no_probabilities(
    record: RunRecord, outputs: Sequence[_common.Output]
) -> Iterator[Fault]:
    """Yields the fault of outputs of unknown range that are no probabilities."""
    predicted = record.metadata.get("predicted") or ()
    if len(predicted) != len(outputs):
        return
    for output, moments in zip(outputs, predicted, strict=True):
        loss, low, high = output.loss, moments["min"], moments["max"]
        is_known = output.layer is not None and (
            output.activation is None or output.activation in _RANGES
        )
        if loss is None or not loss["name"].endswith("crossentropy"):
            continue
        if is_known or loss["from_logits"] is not False or low is None:
            continue
        if -_ROUNDING <= low and high <= 1 + _ROUNDING:
            continue
        yield Fault(
            layer=output.layer,
            step=_common.first_step(record),
            measured=low if low < 0 else high,
            threshold=0 if low < 0 else 1,
            message=f"the model outputs {low:.3g} to "
            f"{high:.3g}{_common.of_which(output, outputs)}; {loss['name']} expects "
            "probabilities, and clips what lies outside [0, 1], which then gets no "
            "gradient.",
            remedy="Tell the loss that they are logits, "
            "`keras.losses.SparseCategoricalCrossentropy(from_logits=True)` and the "
            'like, or end in `Dense(units, activation="softmax")`, or `"sigmoid"` for '
            "independent labels.",
        )


def _several_labels(
    record: RunRecord, outputs: Sequence[_common.Output]
) -> Iterator[Fault]:
    """Yields the fault of outputs that share one label among those of an example."""
    for output in outputs:
        loss, target = output.loss, output.target
        if loss is None or target is None or loss["name"] != "categorical_crossentropy":
            continue
        labels = labels_each(target)
        if labels <= 1:
            continue  # rows without any, such as padding, may be meant
        yield Fault(
            layer=output.layer,
            step=_common.first_step(record),
            measured=labels,
            threshold=1,
            message=f"the examples{_common.of_which(output, outputs)} in "
            f"{_common.looked_at(record)} have {labels:.3g} labels each; "
            "categorical_crossentropy expects the probabilities of one, which sum to "
            "1.",
            remedy="Predict each label independently: `Dense(units, "
            'activation="sigmoid")` and `model.compile(optimizer="adam", '
            'loss="binary_crossentropy")`.',
            severity="warning",
        )
