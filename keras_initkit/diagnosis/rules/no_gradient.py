"""Layers that get no gradient: exactly 0, or none at all."""

from collections.abc import Iterator, Mapping

from keras_initkit.diagnosis._rule import Fault
from keras_initkit.diagnosis.depth import weight_of
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import INDEPENDENT


@rule(
    "NoGradient",
    severity="error",
    by_signs=True,
    needs=("gradient/rms",),
    reference=_common.DEBUGGER,
    follows_from=(
        *_common.STRUCTURE,
        *_common.DATA,
        *_common.WEIGHTS,
        "DeadRelu",
        "AllZero",
        "SaturatedActivation",
    ),
)
def no_gradient(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The weights of a layer get no gradient, or exactly 0 at every recorded step."""
    tensors = _common.tensors_of(record, "gradient")
    steps = _common.steps_of(record, "gradient")
    yield from _cut_off(record, steps[0])
    rms = _common.statistic(record, "gradient", "rms")
    if rms is None or _starts_from_zero(record):
        return
    for layer in dict.fromkeys(key.layer for key in tensors):
        columns = [i for i, key in enumerate(tensors) if key.layer == layer]
        if (rms[:, columns] == 0).all():
            yield Fault(
                layer=layer,
                step=steps[0],
                measured=0,
                threshold=0,
                message=f"the gradient of {layer!r} is exactly 0 "
                f"{_common.at_each(len(steps))}: the layer cannot learn.",
                remedy="Look for zero kernels or dead units after this layer, and for "
                "outputs that the loss does not use. " + _common.RANDOM_START,
            )


def _cut_off(record: RunRecord, step: int) -> Iterator[Fault]:
    """Yields the last layer that leads to the output and that no gradient leads to.

    Those ahead of it get none, either. A model with several outputs may leave some of
    them out of its loss.
    """
    trained = {key.layer for key in _common.tensors_of(record, "gradient")}
    independent = {
        layer
        for layer, reason in record.metadata.get("untapped", ())
        if INDEPENDENT in reason and layer not in trained
    }
    cut = [
        entry
        for entry in record.metadata.get("layers", ())
        if entry["path"] in independent and (entry.get("place") or {}).get("leads")
    ]
    if not cut or len(record.metadata.get("outputs") or ()) != 1:
        return
    last = max(cut, key=lambda entry: entry["place"]["depth"])["path"]
    others = f" (and {len(cut) - 1} more)" if len(cut) > 1 else ""
    yield Fault(
        layer=last,
        step=step,
        measured=0,
        threshold=0,
        message=f"the loss does not depend on the weights of {last!r}{others}, "
        "although its output leads to that of the model: the gradient is cut off in "
        "between, and the layer cannot learn.",
        remedy="Between it and the output, look for operations without a gradient: "
        "`stop_gradient`, `argmax`, `round`, comparisons, a cast to integers, NumPy. "
        "If this is intended, freeze the layers before it, `layer.trainable = False`, "
        "and recompile.",
        severity="warning",
    )


# Roles of weights that a signal is multiplied by: at zero, nothing gets through.
_FACTORS = ("kernel", "recurrent_kernel", "scale", "low_rank", "table")


def _starts_from_zero(record: RunRecord) -> bool:
    """Whether a factor that starts at zero, and will move, blocks the only step."""
    gradient = record.signal("gradient")
    weight = record.signal("weight")
    if gradient is None or len(gradient) != 1 or weight is None or not len(weight):
        return False
    rms = weight.statistic("rms")[0]
    roles = record.roles()
    zero = {
        key
        for key, size in zip(weight.tensors, rms, strict=True)
        if size == 0 and roles.get(weight_of(key)) in _FACTORS
    }
    moves = zip(gradient.tensors, gradient.statistic("rms")[0], strict=True)
    return any(key in zero and size > 0 for key, size in moves)
