"""Signals that shrink or grow with depth before training."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.depth import (
    Profile,
    depth_profile,
    grown_by_normalization,
    on_branches,
    tables_of,
    trained_before,
)
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short


@rule(
    "PoorWeightInitialization",
    severity="warning",
    by_signs=True,
    needs=("activation/std", "backprop/norm"),
    any_of=True,
    reference=f"{_common.GLOROT}; {_common.HE}; {_common.DEBUGGER}",
    thresholds={
        "decades": Threshold(
            1.0,
            "decades",
            "fitted change of the activations' std over the whole depth, up or down: a "
            "factor of 10 in std, 100 in variance",
        ),
        "slope": Threshold(
            0.15,
            "decades per weight layer",
            "width and pooling cause slower drifts in healthy deep models, too",
        ),
        "far": Threshold(2.0, "decades", "a drift that counts no matter how slow"),
        "backward_decades": Threshold(
            3.0,
            "decades",
            "the same for the norm of the back-propagated signal times that of the "
            "layer's output, a product unaffected by pooling and width",
        ),
        "steps": _common.START,
    },
    follows_from=(
        "SymmetricUnits",
        "DeadBias",
        "TensorVariance",
        "InitializerMismatch",
        "UnsuitableHiddenActivation",
    ),
    spans_depth=True,
)
def poor_weight_initialization(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The signal drifts with depth at the start of training, forward or backward."""
    judged = False
    known = trained_before(record)
    aside = tables_of(record) | on_branches(record) | known
    outputs, narrow = _common.output_layers(record), _narrow(record)
    for signal, decades in (
        ("activation", limits["decades"]),
        ("backprop", limits["backward_decades"]),
    ):
        steps = _common.steps_of(record, signal)
        if not steps or steps[0] >= limits["steps"]:
            continue
        forward = signal == "activation"
        spread = depth_profile(record, "activation", "std")
        profile = spread if forward else _carried(record)
        judged = True
        for net in [] if profile is None else profile.without(aside).by_net():
            way = np.sign(net.slope)
            if forward and way < 0 and any(key.layer in narrow for key in net.keys):
                continue  # what a few units let through is a matter of chance
            net = net.alike(way)
            change, slope = net.change, net.slope
            noise = _ERRORS * _by_chance(record, net)
            grows_back = not forward and slope < 0
            explained = grown_by_normalization(record, net) if grows_back else 0.0
            left = max(0.0, way * change - explained)
            steep = abs(slope) * left >= limits["slope"] * abs(change)
            if left < max(decades, noise) or not (left >= limits["far"] or steep):
                continue
            # A last layer may be large or small on purpose.
            rest = net.without(outputs)
            if len(set(rest.depths)) > 1 and not rest.slope / slope >= _SHARE:
                continue
            # Backward is against depth: what shrinks there grows with depth.
            verb = "grows" if (slope > 0) == forward else "shrinks"
            what = (
                "the activations' std"
                if forward
                else "the back-propagated signal (gradient times activation)"
            )
            factor = 10 ** (slope if forward else -slope)
            yield Fault(
                layer=net.keys[_place(net, forward)].layer,
                step=steps[0],
                measured=change if forward else -change,
                threshold=np.copysign(decades, change if forward else -change),
                message=f"{what} {verb} by a factor of {short(factor)} per "
                f"layer{'' if forward else ' on its way back'}, {abs(change):.1f} "
                "decades in all, before training.",
                remedy=_FITTING,
            )
            return  # the way back follows from the way forth
    if not judged:
        raise NotJudged("does not hold the start of training")
    if known.issuperset(_common.layers_in_order(record)):
        raise NotJudged("begins with pretrained weights")


_FITTING = (
    "Fit the variance to each layer: `kik.reinitialize(model, kik.recommend(model))`, "
    'or by hand `kernel_initializer="he_normal"` for ReLU and `"glorot_uniform"` for '
    "tanh and sigmoid."
)


# Standard errors beyond which a drift is none of chance.
_ERRORS = 5


# Share of the slope that a drift has without the last layers.
_SHARE = 0.3


# Fewer ReLU units are all 0 by a chance of over 0.4 %, 2^-units, whatever the weights.
_NARROW = 8


def _narrow(record: RunRecord) -> set[str]:
    """Returns the ReLU layers of so few units that their size is one of chance."""
    units = _common.units_of(record)
    layers = _common.relu_layers(record)
    return {one for one in layers if units.get(one, _NARROW) < _NARROW}


def _carried(record: RunRecord) -> Profile | None:
    """Returns the norm of each layer's gradient times that of its output, over depth.

    That is by how much the loss changes with the signal. Pooling, flattening, widths
    and normalization leave it as it is, whatever they do to the gradient of one entry.
    `None` where either is not recorded.
    """
    back = depth_profile(record, "backprop", "norm")
    forth = depth_profile(record, "activation", "norm")
    sizes = dict(zip(forth.keys, forth.values, strict=True))
    if not back.keys or not all(key in sizes for key in back.keys):
        return None
    values = back.values * np.array([sizes[key] for key in back.keys])
    return back._replace(values=values)


def _by_chance(record: RunRecord, profile: Profile) -> float:
    """Returns the standard error of a drift over layers of few units, in decades.

    The logarithm of a ReLU layer's second moment has a variance of 5 / units over draws
    of its weights, and those of layers one behind another add up.
    """
    units = _common.units_of(record)
    known = [units[key.layer] for key in profile.keys if key.layer in units]
    return float(np.sqrt(sum(5 / n for n in known)) / 2 / np.log(10))


def _place(profile: Profile, forward: bool) -> int:
    """Returns which layer to name: one that makes most of the change, or the last.

    Args:
        profile: Signals over depth that drift.
        forward: Whether the signal goes forward; backward, the last is the first layer.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        jumps = np.diff(np.log10(profile.values)) * np.sign(profile.change)
    jumps = np.nan_to_num(jumps, nan=0.0, posinf=0.0, neginf=0.0)
    largest = int(jumps.argmax())
    if len(jumps) > 1 and jumps[largest] > 0.5 * jumps[jumps > 0].sum():
        # Both ways, the weights between two layers are those of the later one.
        return largest + 1
    return len(profile.keys) - 1 if forward else 0
