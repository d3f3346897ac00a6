"""Weights: their initial variance, and the size of their steps."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.depth import (
    kernels_of,
    weight_of,
)
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.diagnosis.sampling import moment_range
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short
from keras_initkit_light.format.schema import TensorKey


@rule(
    "TensorVariance",
    severity="warning",
    by_signs=True,
    needs=("weight/std", "facts/layers"),
    reference=f"{_common.DEBUGGER}; {_common.DEEPDIAGNOSIS}",
    thresholds={
        "large": Threshold(
            50.0,
            "1",
            "variance of a kernel times its fan-in at the start, beyond its sampling "
            "error; 1 preserves a linear signal, 2 that of a ReLU",
        ),
        "small": Threshold(
            0.01,
            "1",
            "the same with the larger of its fans, for kernels whose output feeds "
            "further weights unchanged; those that start at 0, are normalized, or end "
            "a residual branch or the model may be small on purpose",
        ),
        "steps": _common.START,
    },
)
def tensor_variance(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A kernel starts with a variance far from what its fan-in requires."""
    steps = _common.steps_of(record, "weight")
    std = _common.statistic(record, "weight", "std")
    if std is None or steps[0] >= limits["steps"]:
        raise NotJudged("does not hold the start of training")
    # A table is looked up, not summed over.
    kernels = kernels_of(record, ("kernel", "recurrent_kernel"))
    feedforward = kernels_of(record, ("kernel",))
    for column, key in enumerate(_common.tensors_of(record, "weight")):
        shape, fans = _common.shape_of(record, key), _common.fans_of(record, key)
        if weight_of(key) not in kernels or shape is None or fans is None:
            continue
        fan_in, fan_out = fans
        variance = float(std[0, column]) ** 2
        low, high = moment_range(variance, float(np.prod(shape)))
        small = (
            0 < high * max(fan_in, fan_out) < limits["small"]
            and weight_of(key) in feedforward
            and _common.hands_on(record, key.layer)
        )
        if not small and not low * fan_in > limits["large"]:
            continue
        scaled = variance * (max(fan_in, fan_out) if small else fan_in)
        yield Fault(
            layer=key.layer,
            step=steps[0],
            measured=scaled,
            threshold=limits["small" if small else "large"],
            message=f"the variance of {_common.label(key)} times its "
            f"{'larger fan' if small else 'fan-in'} is {short(scaled)}, not about 1 "
            f"or 2: every layer like this {'shrinks' if small else 'blows up'} the "
            "signal.",
            remedy='Use `kernel_initializer="he_normal"` for ReLU or '
            '`"glorot_uniform"` for tanh and sigmoid instead of a fixed standard '
            "deviation.",
        )


@rule(
    "WeightUpdateRatio",
    severity="warning",
    by_signs=True,
    needs=("update/update_to_weight_ratio",),
    reference=_common.DEBUGGER,
    thresholds={
        "large": Threshold(
            0.1,
            "1",
            "norm of the update divided by that of the weight; about 1e-3 is healthy",
        ),
        "above": Threshold(
            30.0, "1", "the ratio divided by the median of all kernels, if it is large"
        ),
        "small": Threshold(1e-6, "1", "the ratio below which a kernel barely moves"),
        "below": Threshold(
            1e-3, "1", "the ratio divided by the median of all kernels, if it is small"
        ),
    },
    follows_from=(
        *_common.DATA,
        "UnscaledTarget",
        *_common.WEIGHTS,
        *_common.STEPS,
        "VanishingGradient",
        "ExplodingGradient",
    ),
)
def weight_update_ratio(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """One kernel's steps are far larger or smaller than those of the others."""
    ratios = update_ratios(record)
    if ratios.shape[1] < 3:
        raise NotJudged("has fewer than three kernels to compare")
    steps = _common.steps_of(record, "update")
    tensors = _common.tensors_of(record, "update")
    keys = [tensors[column] for column in _common.kernel_columns(record, "update")]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = ratios / _common.row_medians(ratios)[:, None]
        large = (ratios >= limits["large"]) & (relative >= limits["above"])
        large &= ratios * _grown(record) >= limits["large"]
        small = (ratios <= limits["small"]) & (relative <= limits["below"])
        small &= ratios > 0  # none at all is what UnchangedTensor judges
    for column, key in enumerate(keys):
        for far, name, way in ((large, "large", "lower"), (small, "small", "raise")):
            row = _common.persistent(far[:, column])
            if row is None:
                continue
            yield Fault(
                layer=key.layer,
                step=steps[row],
                measured=ratios[row, column],
                threshold=limits[name],
                message=f"a step changes {_common.label(key)} by "
                f"{short(ratios[row, column])} of its norm, "
                f"{short(relative[row, column])} times as much as the median kernel.",
                remedy=f"Bring its scale to that of the others "
                '(`kernel_initializer="he_normal"`), or use an optimizer that scales '
                f"each weight's step by itself, `keras.optimizers.Adam(1e-3)`, to "
                f"{way} it.",
            )


@rule(
    "UnchangedTensor",
    severity="error",
    by_signs=True,
    needs=("update/rms", "gradient/rms"),
    reference=_common.DEBUGGER,
    thresholds={
        "steps": Threshold(3, "recorded steps", "fewest without any change"),
        "converged": Threshold(
            1e-4,
            "1",
            "gradient rms divided by its largest value, below which a weight may "
            "stop changing",
        ),
    },
    follows_from=(
        "NotTrainable",
        *_common.STEPS[:1],
        "LearningRateTooLow",
        "NonFinite",
        "NoGradient",
        "VanishingGradient",
        "DeadRelu",
    ),
)
def unchanged_tensor(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A weight gets a gradient but does not change, up to the newest step."""
    optimizer = record.metadata.get("optimizer") or {}
    if (optimizer.get("gradient_accumulation_steps") or 1) > 1:
        raise NotJudged("accumulates gradients, so most steps change no weight")
    update = _common.statistic(record, "update", "rms")
    gradient = _common.statistic(record, "gradient", "rms")
    steps = _common.steps_of(record, "update")
    if update is None or gradient is None or len(update) != len(gradient):
        return
    if len(update) < limits["steps"]:
        raise NotJudged(f"has {len(update)} steps; {limits['steps']:.0f} are needed")
    places = {key: i for i, key in enumerate(_common.tensors_of(record, "gradient"))}
    roles = record.roles()
    layers: dict[str, int] = {}
    for column, key in enumerate(_common.tensors_of(record, "update")):
        if key not in places or roles.get(weight_of(key)) == "quantization":
            continue
        slopes = gradient[:, places[key]]
        # What has converged is still, too.
        alive = slopes > limits["converged"] * np.nanmax(slopes, initial=0.0)
        alive &= _beyond_rounding(record, key, slopes)
        still = (update[:, column] == 0) & alive
        moved = np.flatnonzero(~still)
        first = int(moved[-1]) + 1 if len(moved) else 0
        if len(still) - first >= limits["steps"]:
            layers[key.layer] = min(first, layers.get(key.layer, first))
    rate, scheduled = _common.learning_rate_of(record), optimizer.get("scheduled")
    known = "" if rate is None or scheduled else f" (learning rate {rate:g})"
    for layer, first in layers.items():
        yield Fault(
            layer=layer,
            step=steps[first],
            measured=0,
            threshold=0,
            message=f"the weights of {layer!r} have not changed at any of "
            f"{len(steps) - first} recorded steps since step {steps[first]}, though "
            f"they get a gradient{known}.",
            remedy=(
                "Check that the learning-rate schedule does not decay to 0"
                if scheduled
                else "Check that the learning rate is above 0, "
                "`model.optimizer.learning_rate = 1e-3`, that no callback sets it to 0"
            )
            + ", and that the optimizer was built for this model: call "
            "`model.compile(...)` again after changing layers.",
        )


# What is less of a weight changes nothing in float32: half the way to the next number.
_ROUNDING = 2.0**-25


def _beyond_rounding(
    record: RunRecord, key: TensorKey, slopes: np.ndarray
) -> np.ndarray:
    """Returns at which steps what SGD does to a weight is more than rounding takes.

    True where the optimizer is another, or its rate 0 or not known.
    """
    optimizer = record.metadata.get("optimizer") or {}
    rms = _common.statistic(record, "weight", "rms")
    keys = _common.tensors_of(record, "weight")
    rate = optimizer.get("learning_rate")
    plain = optimizer.get("name") == "sgd" and not optimizer.get("scheduled")
    if not plain or not rate or rms is None or key not in keys:
        return np.ones(len(slopes), bool)
    if len(rms) != len(slopes):
        return np.ones(len(slopes), bool)
    beyond = rate * slopes > _ROUNDING * rms[:, keys.index(key)]
    return np.asarray(beyond, bool)


def _grown(record: RunRecord) -> np.ndarray:
    """Returns each kernel's rms to that of one that keeps a signal, at most 1.

    Float64 `(steps, kernels)`; 1 where it is not known. A kernel that starts at 0 on
    purpose has a small norm while it grows, and a step is a large share of it.
    """
    columns = _common.kernel_columns(record, "update")
    keys = [_common.tensors_of(record, "update")[column] for column in columns]
    places = {key: n for n, key in enumerate(_common.tensors_of(record, "weight"))}
    rms = _common.statistic(record, "weight", "rms")
    steps = len(_common.steps_of(record, "update"))
    grown = np.ones((steps, len(keys)))
    for column, key in enumerate(keys):
        fans = _common.fans_of(record, key)
        if rms is None or fans is None or key not in places or len(rms) != steps:
            continue
        grown[:, column] = np.minimum(1.0, rms[:, places[key]] * np.sqrt(fans[0]))
    return grown


def update_ratios(record: RunRecord) -> np.ndarray:
    """Returns the kernels' update-to-weight ratios, float64 `(steps, kernels)`.

    A weight that is all zero has none (inf is turned to NaN).
    """
    ratios = _common.statistic(record, "update", "update_to_weight_ratio")
    columns = _common.kernel_columns(record, "update")
    if ratios is None or not columns:
        raise NotJudged("holds no updates of kernels")
    values = ratios[:, columns].astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)
