"""One step's signals and gradients layer by layer, with theoretical predictions."""

import dataclasses
import math

from keras_initkit import diagnosis


@dataclasses.dataclass(frozen=True)
class LayerProfile:
    """One weight layer in the forward and the backward pass.

    Attributes:
        layer: Name of the layer.
        activation: Measured rms of its output; `None` for probabilities (a softmax or
            sigmoid in the last layer), whose scale carries no information.
        expected_activation: The rms that theory expects at these weights, `None`
            where it has no rule.
        backprop: Measured rms of the loss's gradient with respect to its output.
        expected_backprop: The theoretical prediction, with the last layer's taken as
            measured.
        gradient: Measured rms of the gradient of its kernel.
        update_ratio: Norm of the optimizer's next step on the kernel divided by the
            norm of the kernel; `None` for a model without an optimizer.
        dead: Share of units that are 0 over the whole batch.
    """

    layer: str
    activation: float | None
    expected_activation: float | None
    backprop: float | None
    expected_backprop: float | None
    gradient: float | None
    update_ratio: float | None
    dead: float | None


def layer_profiles(record, expected):
    """Lists the `LayerProfile` of each layer that has outputs, from input to output.

    Args:
        record: `RunRecord` of one step.
        expected: `theory.Expected` of the batch.
    """
    forwards = diagnosis.depth_profile(record, "activation", "rms")
    gradients = _by_owner(record, "gradient", "rms", max)
    ratios = _step_ratios(record)
    backs = _by_key(record, "backprop", "rms")
    dead = _by_key(record, "activation", "dead_fraction")
    own = {*forwards.keys, *_probabilities(record, forwards)}
    seen = _by_key(record, "activation", "rms")
    keys = [key for key in seen if key in own and key.tensor in ("output", "output_0")]
    measured = {key: seen[key] for key in forwards.keys}
    forward = expected.second_moments("activation", dict.fromkeys(keys, math.nan))
    backward = expected.second_moments(
        "backprop", {key: backs.get(key, math.nan) for key in keys}
    )
    return [
        LayerProfile(
            layer=key.layer if not key.call else f"{key.layer}@{key.call}",
            activation=measured.get(key),
            expected_activation=_root(forward.get(key)),
            backprop=backs.get(key),
            expected_backprop=_root(backward.get(key)),
            gradient=_of_owner(gradients, key.layer),
            update_ratio=_of_owner(ratios, key.layer),
            dead=dead.get(key),
        )
        for key in keys
    ]


def _probabilities(record, forwards):
    """Yields the outputs of weight layers that a profile of signals leaves out."""
    known = {key.layer for key in forwards.keys}
    owners = set(diagnosis.weight_layers(record)) - known
    for key in _by_key(record, "activation", "rms"):
        if key.layer in owners:
            yield key


def _by_key(record, signal, statistic):
    series = record.signal(signal)
    if series is None or statistic not in series.statistics:
        return {}
    values = series.statistic(statistic)[0].astype(float).tolist()
    return dict(zip(series.tensors, values, strict=True))


def _by_owner(record, signal, statistic, joined):
    """Returns a statistic of each layer's kernels, of several the largest."""
    found: dict[str, float] = {}
    kernels = diagnosis.kernels_of(record)
    for key, value in _by_key(record, signal, statistic).items():
        if (key.layer, key.tensor) in kernels:
            found[key.layer] = joined(value, found.get(key.layer, value))
    return found


def _step_ratios(record):
    """Returns the norm of each layer's kernel step over that of the kernel."""
    steps = _by_owner(record, "update", "norm", max)
    kernels = _by_owner(record, "weight", "norm", max)
    return {
        layer: step / kernels[layer]
        for layer, step in steps.items()
        if kernels.get(layer, 0) > 0
    }


def _of_owner(values, layer):
    inside = [v for k, v in values.items() if k == layer or k.startswith(f"{layer}/")]
    return max(inside, default=None)


def _root(moment):
    return None if moment is None else math.sqrt(moment)
