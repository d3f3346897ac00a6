"""Outputs that carry no information: dead, saturated, all zero."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.depth import activation_of, depth_profile, kernel_columns
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord


@rule(
    "DeadRelu",
    severity="error",
    by_signs=True,
    needs=("activation/zero_fraction", "activation/dead_fraction"),
    any_of=True,
    reference=f"{_common.LU}; {_common.DEBUGGER}",
    thresholds={
        "zero_fraction": Threshold(
            1.0, "share of the outputs", "a ReLU layer whose every output is 0 is dead"
        ),
        "dead_fraction": Threshold(
            0.9,
            "share of the units",
            "units that are 0 over the whole batch; a healthy layer has up to half on "
            "images with black borders (a warning)",
        ),
        "of_few": Threshold(
            0.6,
            "share of the units",
            "the same for a layer of under ten units with at most two left, at each "
            "step since: with so few, each one counts, and half of them start dead by "
            "chance where all inputs are above 0",
        ),
        "of_outputs": Threshold(
            0.1,
            "share of the units",
            "the same for an output, beyond the share of targets that are always 0, at "
            "each step since; with few units, a single one exceeds it",
        ),
    },
    follows_from=(*_common.STRUCTURE[:1], *_common.DATA, *_common.WEIGHTS),
    follows_steps_of=("UnscaledTarget", *_common.STEPS, "OverRegularization"),
)
def dead_relu(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A ReLU layer, or most of its units, persistently outputs only zeros."""
    layers = _common.relu_layers(record)
    for layer, step, share in _filled(record, "zero_fraction", limits, layers):
        layers = layers - {layer}  # a dead layer's units are dead as well
        yield Fault(
            layer=layer,
            step=step,
            measured=share,
            threshold=limits["zero_fraction"],
            message=f"{share:.0%} of the outputs of ReLU layer {layer!r} are 0 from "
            f"step {step} on: no signal and no gradient passes.",
            remedy=_REVIVE,
        )
    told = set()
    for layer, step, share in _filled(record, "dead_fraction", limits, layers):
        told.add(layer)
        yield Fault(
            layer=layer,
            step=step,
            measured=share,
            threshold=limits["dead_fraction"],
            message=f"{share:.0%} of the units of ReLU layer {layer!r} are 0 for every "
            f"example from step {step} on: they pass no gradient and do not learn.",
            remedy=_REVIVE,
            severity="warning",
        )
    yield from _dead_among_few(record, limits, layers - told)


_REVIVE = (
    "Lower the learning rate, start from "
    '`kernel_initializer="he_normal", bias_initializer="zeros"`, or use '
    '`activation="leaky_relu"`.'
)
_FEW = 10  # units
_LEFT = 2  # units that are too few to go on with


def _dead_among_few(
    record: RunRecord, limits: Mapping[str, float], layers: set[str]
) -> Iterator[Fault]:
    """Yields units that are dead where each one counts: of few, and of an output."""
    shares = _common.statistic(record, "activation", "dead_fraction")
    if shares is None:
        return
    units, silent = _common.units_of(record), _silent_targets(record)
    steps = _common.steps_of(record, "activation")
    sound = _common.sound_steps(record, "activation")
    for column, key in _common.columns_of(record, "activation", layers):
        count, layer = units.get(key.layer, 0), key.layer
        if layer in silent:
            # One unit of a few is more than the share that is asked of many.
            limit = silent[layer] + max(limits["of_outputs"], 0.5 / max(count, 1))
        elif 1 < count < _FEW and layer not in _common.output_layers(record):
            # Two are left, up to rounding.
            limit = max(limits["of_few"], 1 - (_LEFT + 0.5) / count)
        else:
            continue
        row = _since_then(np.asarray(shares[:, column] >= limit) & sound)
        if row is None:
            continue
        share = float(shares[row:, column].min())
        of_output = layer in silent
        yield Fault(
            layer=layer,
            step=steps[row],
            measured=share,
            threshold=limit,
            message=f"{share:.0%} of the units of ReLU layer {layer!r} are 0 for every "
            f"example from step {steps[row]} on"
            + (
                ", though their targets are not: these outputs are lost, because they "
                "get no gradient."
                if of_output
                else ": with so few, each one counts."
            ),
            remedy="End in a linear layer, `Dense(units)`, or, where outputs must be "
            'positive, `Dense(units, "softplus")`.'
            if of_output
            else _REVIVE,
            severity="warning",
        )


def _silent_targets(record: RunRecord) -> dict[str, float]:
    """Returns of each ReLU output the share of its targets that are always 0."""
    try:
        outputs = _common.outputs_of(record)
    except NotJudged:
        return {}
    return {
        output.layer: output.target["silent"]
        for output in outputs
        if output.layer and output.target and "silent" in output.target
    }


def _since_then(shown: np.ndarray) -> int | None:
    """Returns since which step something shows at each one, of four or all there is."""
    missed = np.flatnonzero(~shown)
    first = int(missed[-1]) + 1 if len(missed) else 0
    return first if len(shown) - first >= min(_common.NEWEST, len(shown)) else None


@rule(
    "SaturatedActivation",
    severity="warning",
    by_signs=True,
    needs=("preactivation/saturation_fraction",),
    reference=f"{_common.GLOROT}; {_common.DEBUGGER}",
    thresholds={
        "saturation_fraction": Threshold(
            0.5,
            "share of the pre-activations",
            "those where the slope of the activation is below 5 % of its largest",
        ),
    },
    follows_from=(*_common.DATA, *_common.WEIGHTS),
    follows_steps_of=("UnscaledTarget", *_common.STEPS),
)
def saturated_activation(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """A hidden tanh, sigmoid or similar persistently operates where it is flat."""
    limit = limits["saturation_fraction"]
    shares = _common.statistic(record, "preactivation", "saturation_fraction")
    if shares is None:
        return
    # A trained classifier is sure of itself: its outputs saturate, as they should.
    outputs = _common.output_layers(record)
    steps = _common.steps_of(record, "preactivation")
    for column, key in enumerate(_common.tensors_of(record, "preactivation")):
        row = _common.persistent(shares[:, column] >= limit)
        if row is None or key.layer in outputs:
            continue
        name = activation_of(record, key.layer) or "activation"
        yield Fault(
            layer=key.layer,
            step=steps[row],
            measured=shares[row, column],
            threshold=limit,
            message=f"{shares[row, column]:.0%} of the pre-activations of "
            f"{key.layer!r} lie where {name} is flat, from step {steps[row]} on: "
            "almost no gradient passes.",
            remedy='Start from smaller weights, `kernel_initializer="glorot_uniform"`, '
            "scale the inputs to mean 0 and std 1, lower the learning rate, or put "
            "`keras.layers.BatchNormalization()` before the activation.",
        )


@rule(
    "AllZero",
    severity="error",
    by_signs=True,
    needs=("activation/zero_fraction",),
    reference=_common.DEBUGGER,
    thresholds={
        "zero_fraction": Threshold(
            1.0,
            "share of the outputs",
            "a layer whose every output is 0 carries no information",
        ),
    },
    follows_from=(*_common.WEIGHTS, "DeadRelu"),
    follows_steps_of=(*_common.STEPS, "OverRegularization"),
)
def all_zero(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A layer that owns a kernel and has no ReLU persistently outputs only zeros."""
    kernels = depth_profile(record, "activation", "zero_fraction")
    layers = {key.layer for key in kernels.keys} - _common.relu_layers(record)
    # Last layers and ends of branches may start at zero on purpose. Those that get a
    # gradient have left it by the next recorded step.
    stuck = _stuck_layers(record)
    for layer, step, share in _filled(record, "zero_fraction", limits, layers, stuck):
        yield Fault(
            layer=layer,
            step=step,
            measured=share,
            threshold=limits["zero_fraction"],
            message=f"{share:.0%} of the outputs of {layer!r} are 0 from step "
            f"{step} on: no signal passes.",
            remedy=_common.RANDOM_START,
        )


def _stuck_layers(record: RunRecord) -> set[str]:
    """Returns the layers whose kernels get no gradient at the first recorded step."""
    rms = _common.statistic(record, "gradient", "rms")
    keys = _common.tensors_of(record, "gradient")
    if rms is None:
        return set()
    columns = kernel_columns(record, "gradient")
    kernels = [(keys[column].layer, rms[0, column]) for column in columns]
    moving = {layer for layer, size in kernels if size != 0}
    return {layer for layer, _ in kernels} - moving


def _filled(
    record: RunRecord,
    name: str,
    limits: Mapping[str, float],
    layers: set[str],
    at_once: set[str] | None = None,
) -> Iterator[tuple[str, int, float]]:
    """Yields layer, first step and share of those persistently at their limit.

    All but those in `at_once`, if it is given, are judged from the second recorded step
    on.
    """
    shares = _common.statistic(record, "activation", name)
    if shares is None:
        return
    steps = _common.steps_of(record, "activation")
    sound = _common.sound_steps(record, "activation")
    told = set()
    for column, key in _common.columns_of(record, "activation", layers):
        first = 0 if at_once is None or key.layer in at_once else 1
        shown = np.asarray(shares[:, column] >= limits[name]) & sound
        row = _common.persistent(shown[first:])
        if row is not None and key.layer not in told:
            row += first
            told.add(key.layer)
            yield key.layer, steps[row], float(shares[row, column])
