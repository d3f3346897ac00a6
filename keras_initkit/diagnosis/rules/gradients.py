"""Gradients that fade or grow during backpropagation."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, Threshold
from keras_initkit.diagnosis.depth import (
    Profile,
    changes,
    depth_profile,
    grown_by_normalization,
    on_branches,
    tables_of,
    weight_of,
)
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.diagnosis.time_steps import first_to_last, gradients_through_time
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short

_CHANGE = Threshold(
    2.0,
    "decades",
    "fitted change of the kernels' gradient rms over the whole depth; 2 decades are a "
    "factor of 100",
)


@rule(
    "VanishingGradient",
    severity="warning",
    by_signs=True,
    needs=("gradient/rms",),
    reference=f"{_common.GLOROT}; {_common.AUTOTRAINER}",
    thresholds={
        "decades": _CHANGE,
        "ratio": Threshold(
            1e-3,
            "1",
            "gradient rms of one kernel whose output feeds further weights unchanged, "
            "divided by the median of all kernels",
        ),
        "floor": Threshold(
            1e-6,
            "loss per unit of weight",
            "gradient rms of the first kernels at the first recorded step (later, a "
            "small gradient may just mean that training is done); scaled by the loss "
            "where that is below 1, for example because of sample weights",
        ),
        "effect": Threshold(
            3e-4,
            "unit of the loss",
            "gradient norm times norm of these kernels, to which small gradients of "
            "many weights may add up; scaled likewise",
        ),
        "arrives": Threshold(
            0.03,
            "1",
            "gradient rms of a layer's bias divided by that of the last layer's: at or "
            "above it the gradient arrives, and the kernel's is small because of the "
            "layer's inputs",
        ),
    },
    follows_from=(
        *_common.STRUCTURE,
        *_common.DATA,
        *_common.WEIGHTS,
        "RecurrentScale",
        "ForgetBias",
        "DeadRelu",
        "SaturatedActivation",
    ),
    follows_steps_of=(*_common.STEPS, "OverRegularization"),
    spans_depth=True,
)
def vanishing_gradient(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Gradients persistently fade toward the input, or are tiny from the start."""
    remedy = (
        'Use `kernel_initializer="he_normal"` for ReLU or `"glorot_uniform"` for tanh, '
        "residual connections, `x = keras.layers.add([x, block(x)])`, or "
        "normalization, `keras.layers.BatchNormalization()`."
    )
    branches = on_branches(record)
    for profiles in _gradient_profiles(record):
        relative = _relative_to_weights(record, profiles)
        limit, decades = limits["ratio"], limits["decades"]
        arrived = _arrived(record, profiles[0][1], limits["arrives"])
        trend = _trend(profiles, 1, decades, "falls", remedy, relative, branches)
        yield from (fault for fault in trend if fault.layer not in arrived)
        # In parts of layers, and ahead of products and normalizations, the structure
        # may be the reason: queries and keys act by a softmax of their product.
        spared = {
            key.layer
            for key in profiles[0][1].keys
            if not _common.hands_on(record, key.layer)
        }
        faults = _outliers(profiles, -1, limit, "of", remedy, relative)
        yield from (fault for fault in faults if fault.layer not in spared | arrived)
        if relative is None:
            continue
        step, p = profiles[0][0], profiles[0][1].without(branches)
        effect = relative[0][1].without(branches).values
        scale = _scale_of_loss(record, step)
        tiny = (p.values > 0) & (p.values < scale * limits["floor"])
        tiny &= effect < scale * limits["effect"]
        # Of later ones and branches, the structure may be the reason: queries and keys
        # that start small have second-order effects. The first layers get their
        # gradient past them.
        first = p.depths == p.depths.min(initial=0)
        if first.any() and tiny[first].all():
            at = int(np.flatnonzero(tiny)[0])
            yield Fault(
                layer=p.keys[at].layer,
                step=step,
                measured=p.values[at],
                threshold=scale * limits["floor"],
                message=f"the gradient of {_common.label(p.keys[at])} has an rms of "
                f"only {p.values[at]:.1g} at step {step} ({int(tiny.sum())} of "
                f"{len(p.keys)} kernels are below {scale * limits['floor']:.0e}).",
                remedy=remedy,
            )


@rule(
    "ExplodingGradient",
    severity="warning",
    by_signs=True,
    needs=("gradient/rms",),
    reference=f"{_common.GLOROT}; {_common.AUTOTRAINER}; {_common.PASCANU}",
    thresholds={
        "decades": _CHANGE,
        "ratio": Threshold(
            1e3,
            "1",
            "gradient rms of one kernel divided by the median of all kernels, and by "
            "the largest of those behind it: an exploding gradient has grown on its "
            "way back",
        ),
        "time": Threshold(
            1e3,
            "1",
            "back-propagated rms at the first time step of a sequence divided by that "
            "at the last",
        ),
    },
    follows_from=(*_common.DATA, "UnscaledTarget", *_common.WEIGHTS, "RecurrentScale"),
    follows_steps_of=_common.STEPS,
    spans_depth=True,
)
def exploding_gradient(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Gradients grow toward the input or back in time, or one exceeds all others."""
    remedy = (
        'Lower the variance of the initial weights, `kernel_initializer="he_normal"`, '
        "clip the gradients, `keras.optimizers.Adam(1e-3, global_clipnorm=1.0)`, or "
        "normalize, `keras.layers.BatchNormalization()`."
    )
    branches = on_branches(record)
    for profiles in _gradient_profiles(record):
        # An entry of a small kernel that many positions share has a large gradient as a
        # matter of course.
        relative = _relative_to_weights(record, profiles)
        limit, decades = limits["ratio"], limits["decades"]
        if profiles:
            decades += grown_by_normalization(record, profiles[0][1])
        yield from _trend(profiles, -1, decades, "grows", remedy, relative, branches)
        yield from _outliers(profiles, 1, limit, "times", remedy, relative)
    for key, series, values in gradients_through_time(record):
        growth = np.array([first_to_last(row) for row in values])
        at = _common.persistent(growth >= limits["time"])
        if at is not None:
            yield Fault(
                layer=key.layer,
                step=series.steps[at],
                measured=growth[at],
                threshold=limits["time"],
                message=f"the gradient that reaches {_common.label(key)} grows by a "
                f"factor of {short(growth[at])} from the last time step back to the "
                "first.",
                remedy="Clip the gradients, `keras.optimizers.Adam(1e-3, "
                "global_clipnorm=1.0)`, and make the recurrent kernel orthogonal at "
                'the start, `recurrent_initializer="orthogonal"`.',
            )


def _scale_of_loss(record: RunRecord, step: int) -> float:
    """Returns the loss of a step where it is below 1, else 1.

    What multiplies the loss, such as weights of classes that sum to little, multiplies
    all gradients.
    """
    loss = _common.loss_at(record, step)
    return min(1.0, loss) if loss is not None and loss > 0 else 1.0


def _gradient_profiles(record: RunRecord) -> list[list[tuple[int, Profile]]]:
    """Returns the kernels' gradient rms over depth, by network and step.

    Of steps with finite weights; networks without any are left out.
    """
    values = _common.statistic(record, "gradient", "rms")
    if values is None:
        return []
    _common.kernel_columns(record, "gradient")  # or it cannot be judged
    first = depth_profile(record, "gradient", "rms").without(tables_of(record))
    steps = _common.steps_of(record, "gradient")
    sound = np.flatnonzero(_common.sound_steps(record, "gradient"))
    return [
        [
            (steps[row], net._replace(values=values[row, net.columns].astype(float)))
            for row in sound
        ]
        for net in first.by_net()
        if len(sound)
    ]


def _arrived(record: RunRecord, net: Profile, share: float) -> set[str]:
    """Returns the layers of a network whose bias the gradient reaches.

    A bias gets what reaches its layer's output, summed over the examples; the kernel
    gets that times the layer's inputs, which may be 0 for just those examples of which
    the loss has something to say. Told by the median over the recorded steps of its
    rms to that of the last layer's bias.
    """
    roles, layers = record.roles(), [key.layer for key in net.keys]
    values = _common.statistic(record, "gradient", "rms")
    biases = {
        key.layer: column
        for column, key in enumerate(_common.tensors_of(record, "gradient"))
        if roles.get(weight_of(key)) == "offset" and key.layer in layers
    }
    last = next((biases[one] for one in reversed(layers) if one in biases), None)
    if values is None or last is None:
        return set()
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.median(values / values[:, [last]], axis=0)
    return {layer for layer, column in biases.items() if shares[column] >= share}


def _relative_to_weights(
    record: RunRecord, profiles: list[tuple[int, Profile]]
) -> list[tuple[int, Profile]] | None:
    """Returns the kernels' gradient norm times the norm of the weight, by step.

    That is by how much the loss changes with the kernel's size: where layers pass their
    input on in proportion to their weights, as ReLU layers do, the same in all layers,
    whatever their shape (Euler's theorem). `None` where the weights are not known.
    """
    rms = _common.statistic(record, "weight", "rms")
    keys = profiles[0][1].keys if profiles else ()
    places = {key: i for i, key in enumerate(_common.tensors_of(record, "weight"))}
    shapes = [_common.shape_of(record, key) for key in keys]
    known = all(key in places for key in keys) and None not in shapes
    if rms is None or not known:
        return None
    rows = {step: n for n, step in enumerate(_common.steps_of(record, "weight"))}
    if not all(step in rows for step, _ in profiles):
        return None
    sizes = np.array([np.prod(shape or (1,)) for shape in shapes])
    columns = [places[key] for key in keys]
    weights = rms[:, columns] * sizes
    return [
        (step, profile._replace(values=profile.values * weights[rows[step]]))
        for step, profile in profiles
    ]


def _trend(
    profiles: list[tuple[int, Profile]],
    sign: int,
    limit: float,
    verb: str,
    remedy: str,
    relative: list[tuple[int, Profile]] | None,
    branches: set[str],
) -> Iterator[Fault]:
    """Yields the fault of gradients that fall (1) or grow (-1) on their way back.

    On their way past `branches`. Where they are given `relative` to the weights as
    well, these must do so, too.
    """
    past = [p.without(branches) for _, p in profiles]
    found = sign * changes(past, sign)
    beyond = found >= limit
    if relative is not None:
        others = [p.without(branches) for _, p in relative]
        beyond &= sign * changes(others, sign) >= limit
    row = _common.persistent(beyond)
    if row is None:
        return
    p = past[row].alike(sign)
    yield Fault(
        layer=p.keys[0].layer,
        step=profiles[row][0],
        measured=found[row],
        threshold=limit,
        message=f"the gradient's rms {verb} by {found[row]:.1f} decades from the last "
        f"to the first weight layer (a factor of {short(10**-p.slope)} per layer).",
        remedy=remedy,
    )


def _outliers(
    profiles: list[tuple[int, Profile]],
    sign: int,
    limit: float,
    relation: str,
    remedy: str,
    relative: list[tuple[int, Profile]] | None = None,
) -> Iterator[Fault]:
    """Yields the faults of single kernels with far larger (1) or smaller gradients."""
    if not profiles or len(profiles[0][1].keys) < 3:
        return
    far, ratios = _far_from_others(profiles, sign, limit)
    if relative is not None:
        far &= _far_from_others(relative, sign, limit)[0]
    for column, key in enumerate(profiles[0][1].keys):
        row = _common.persistent(far[:, column])
        if row is None:
            continue
        step, ratio = profiles[row][0], float(ratios[row, column])
        yield Fault(
            layer=key.layer,
            step=step,
            measured=ratio,
            threshold=limit,
            message=f"the gradient of {_common.label(key)} is {ratio:.1g} {relation} "
            "the median over all kernels.",
            remedy=remedy,
        )


def _far_from_others(
    profiles: list[tuple[int, Profile]], sign: int, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which kernels are far above (1) or below (-1) the median, and its ratios.

    They must be as far from the trend over depth: on a steady slope, that is the fault,
    and each kernel is where it leads. Those above must be as far from the largest
    behind them: where all others vanish, the last layer's gradient stands out, too.
    Both arrays have shape `(steps, kernels)`.
    """
    values = np.stack([p.values for _, p in profiles])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log(values), np.nan)
        ratios = logs - _common.row_medians(logs)[:, None]
        slopes = _common.row_medians(np.diff(logs, axis=1))[:, None]
        level = logs - slopes * np.arange(values.shape[1])
        steady = level - _common.row_medians(level)[:, None]
        far = np.minimum(sign * ratios, sign * steady) > sign * np.log(limit)
        if sign > 0:
            far &= logs - _largest_behind(logs) > np.log(limit)
    return far, np.exp(ratios)


def _largest_behind(values: np.ndarray) -> np.ndarray:
    """Returns the largest number behind each of a row; of the last, infinity."""
    largest = np.fmax.accumulate(values[:, ::-1], axis=1)[:, ::-1]
    return np.hstack([largest[:, 1:], np.full((len(values), 1), np.inf)])
