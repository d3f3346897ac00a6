"""Numbers out of range: NaN and Inf, runaway growth, the limits of float16."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit import schema
from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.judging import layers_of
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short
from keras_initkit_light.format.schema import TensorKey

_MIXED = "Micikevicius et al., 2018, https://arxiv.org/abs/1710.03740"
# Largest finite float16 is 65504; the smallest normal one 2^-14.
_LARGEST, _SMALLEST_EXPONENT = 65504.0, -14
_NEAR_OVERFLOW = (
    1e15  # squares of such float32 numbers, summed up, come near the largest
)

# The signals of a step in the order in which they are computed.
_ORDER = (
    ("weight",),
    ("preactivation", "activation"),
    ("backprop", "gradient"),
    ("update",),
)

_CALM = (
    "Lower the learning rate tenfold and clip the gradients, "
    "`keras.optimizers.Adam(1e-4, global_clipnorm=1.0)`; if it happens at the first "
    'step, lower the scale of the initial weights, `kernel_initializer="he_normal"`.'
)


@rule(
    "NonFinite",
    severity="error",
    needs=(
        "facts/input",
        "facts/target",
        "scalars/loss",
        "weight/nonfinite_count",
        "activation/nonfinite_count",
        "preactivation/nonfinite_count",
        "backprop/nonfinite_count",
        "gradient/nonfinite_count",
        "update/nonfinite_count",
    ),
    any_of=True,
    reference=_common.DEBUGGER,
    follows_from=(
        *_common.STRUCTURE[:1],
        "DamagedTargets",
        *_common.DATA,
        "UnscaledTarget",
        *_common.WEIGHTS,
        "RecurrentScale",
        "ExplodingGradient",
        "Float16Overflow",
    ),
    follows_steps_of=_common.STEPS,
)
def non_finite(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The first tensor, in the order of the computation, that holds NaN or Inf."""
    first = _first_of_all(record)
    bad = list(_bad_data(record))
    if bad and first is None and _steps_are_sound(record):
        return  # what is missing is filled, or masked by the loss
    yield from bad
    if bad:
        return  # data make all the rest
    if first is None:
        yield from _bad_loss(record)
        return
    signal, key, step, count = first
    message = (
        f"{signal} of {_common.label(key)} holds {count:.0f} NaN or Inf at step {step}"
    )
    remedy = f"{_CALM} Check the data as well: `np.isfinite(x).all()`."
    if signal in ("backprop", "gradient") and _forward_is_sound(record, step):
        if key.layer in _common.output_layers(record):
            message += (
                ", though all outputs are finite: the loss has no finite gradient "
                "there, or targets in that batch are not finite"
            )
        else:
            message += (
                ", though all outputs are finite: a gradient became so during "
                "backpropagation"
            )
        remedy = (
            "Look for NaN in all targets, `np.isfinite(y).all()`. Keep the loss, and "
            "functions inside the model, away from points where their slope is "
            "infinite: `keras.ops.sqrt(keras.ops.maximum(x, 1e-7))`, "
            "`keras.ops.log(keras.ops.maximum(x, 1e-7))`, `x / (y + 1e-7)`, and "
            "`keras.ops.clip(x, -1 + 1e-6, 1 - 1e-6)` ahead of acos. A `where` does "
            "not help: the slope of the branch not taken is still NaN."
        )
    elif _comes_in(record, signal, key, step):
        message += ", though its weights are finite: its input is not"
        remedy = (
            "Look for NaN, Inf and huge numbers in all the data, "
            "`np.isfinite(x).all()`, and drop or replace them: "
            "`x = np.nan_to_num(x, posinf=0.0, neginf=0.0)`."
        )
    yield Fault(
        layer=key.layer,
        step=step,
        measured=count,
        threshold=0,
        message=f"{message}.",
        remedy=remedy,
    )


def _bad_loss(record: RunRecord) -> Iterator[Fault]:
    """Yields the fault of a loss that never is finite where all tensors are."""
    if "loss" not in record.scalars or record.signal("gradient") is None:
        return
    steps, losses = map(np.asarray, record.scalars["loss"])
    if not len(losses) or np.isfinite(losses.astype(float)).any():
        return
    since = int(steps[0])
    yield Fault(
        layer=None,
        step=since,
        measured=1,
        threshold=0,
        message=f"the loss has been NaN or Inf since step {since}, though outputs, "
        "gradients and weights are finite: the loss function itself produces it.",
        remedy="Keep arguments of logarithms and roots above 0, and divisors away from "
        "0: `keras.ops.log(keras.ops.maximum(x, 1e-7))`, a standard deviation as "
        "`keras.ops.softplus(x) + 1e-3`.",
    )


def _comes_in(record: RunRecord, signal: str, key: TensorKey, step: int) -> bool:
    """Whether NaN or Inf come into the first layer: its weights are finite and small.

    A training that had begun before was healthy then.
    """
    places = {
        one["path"]: one.get("place") for one in record.metadata.get("layers", ())
    }
    place = places.get(key.layer) or {}
    if signal not in ("activation", "preactivation") or place.get("depth") != 0:
        return False
    values, steps = (
        _common.statistic(record, "weight", "rms"),
        _common.steps_of(record, "weight"),
    )
    if values is None or step not in steps:
        return False
    return bool((values[steps.index(step)] < _NEAR_OVERFLOW).all())


def _first_of_all(
    record: RunRecord,
) -> tuple[str, TensorKey, int, float] | None:
    """Returns signal, tensor, step and count of the first NaN or Inf of a run.

    A weight is what a step starts from; then forward, layer by layer, back from the
    last layer, and the update.
    """
    places = {path: number for number, path in enumerate(layers_of(record))}
    firsts = []
    for rank, signals in enumerate(_ORDER):
        for signal in signals:
            counts = _common.statistic(record, signal, "nonfinite_count")
            if counts is None:
                continue
            bad = np.isnan(counts) | (counts > 0)
            rows = np.flatnonzero(bad.any(axis=1))
            if not len(rows):
                continue
            step = _common.steps_of(record, signal)[rows[0]]
            keys = _common.tensors_of(record, signal)
            way = -1 if "gradient" in signals else 1
            for column in np.flatnonzero(bad[rows[0]]):
                place = places.get(keys[column].layer, column), int(column)
                order = step, rank, way * place[0], way * place[1]
                firsts.append((order, signal, keys[column], counts[rows[0], column]))
    if not firsts:
        return None
    (step, *_), signal, key, count = min(firsts, key=lambda first: first[0])
    return signal, key, step, float(count)


def _forward_is_sound(record: RunRecord, step: int) -> bool:
    """Whether weights and outputs of a step are known, finite and not near overflow."""
    for signal in ("weight", "activation"):
        values = _common.statistic(record, signal, "rms")
        steps = _common.steps_of(record, signal)
        if values is None or step not in steps:
            return False
        if not (values[steps.index(step)] < _NEAR_OVERFLOW).all():
            return False
    return True


def _steps_are_sound(record: RunRecord) -> bool:
    """Whether a step on data that hold NaN is known to have been finite throughout.

    Where the examples that were looked at are more than those of the step, some have
    to be among its own.
    """
    losses = np.asarray(record.scalars.get("loss", ((), ()))[1], float)
    if not len(losses) or not np.isfinite(losses).all():
        return False
    if record.signal("gradient") is None:
        return False
    sample = record.metadata.get("sample")
    return not sample or bool(sample.get("nonfinite_in_step"))


def _bad_data(record: RunRecord) -> Iterator[Fault]:
    target = record.metadata.get("target")
    data = [("inputs", one) for one in record.metadata.get("input") or ()]
    data += [] if target is None else [("targets", target)]
    for name, moments in data:
        if moments["nonfinite"]:
            yield Fault(
                layer=None,
                step=(record.metadata.get("fit") or {}).get("first_step"),
                measured=moments["nonfinite"],
                threshold=0,
                message=f"the {name} of {_common.looked_at(record)} hold "
                f"{moments['nonfinite']} NaN or Inf, "
                f"{moments['nonfinite'] / math.prod(moments['shape'] or (1,)):.1%}.",
                remedy="Drop or replace them before training: "
                "`x = np.nan_to_num(x, posinf=0.0, neginf=0.0)`, "
                "or `keep = np.isfinite(x).all(axis=1)`.",
            )


@rule(
    "ExplodingTensor",
    severity="error",
    needs=("activation/rms", "weight/rms"),
    any_of=True,
    reference=_common.DEBUGGER,
    thresholds={
        "growth": Threshold(
            1e3, "1", "rms relative to that at the first recorded step, persistently"
        ),
        "rms": Threshold(
            1e3,
            "unit of the signal",
            "smaller numbers are harmless, however much they grow",
        ),
    },
    follows_from=(*_common.DATA, "RecurrentScale"),
    follows_steps_of=("UnscaledTarget", *_common.STEPS, "ExplodingGradient"),
)
def exploding_tensor(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Outputs or weights grow a thousandfold during training, still finite."""
    for signal in ("activation", "weight"):
        rms = _common.statistic(record, signal, "rms")
        if rms is None:
            continue
        steps = _common.steps_of(record, signal)
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = rms / rms[0]
        far = (growth >= limits["growth"]) & (rms >= limits["rms"]) & np.isfinite(rms)
        found = [
            (row, column)
            for column in range(rms.shape[1])
            if (row := _common.persistent(far[:, column])) is not None
        ]
        if not found:
            continue
        # One cause runs through all layers behind it: the first is told.
        row, column = min(found)
        key = _common.tensors_of(record, signal)[column]
        yield Fault(
            layer=key.layer,
            step=steps[row],
            measured=growth[row, column],
            threshold=limits["growth"],
            message=f"the rms of the {signal} of {_common.label(key)} is "
            f"{short(rms[row, column])} at step {steps[row]}, "
            f"{short(growth[row, column])} times that at step {steps[0]}.",
            remedy=_CALM,
        )


@rule(
    "Float16Overflow",
    severity="warning",
    needs=("activation/max", "activation/min"),
    reference=_MIXED,
    thresholds={
        "share": Threshold(
            0.5,
            f"share of the largest float16, {_LARGEST:.0f}",
            "largest output, either sign",
        ),
    },
    follows_from=(*_common.DATA, *_common.WEIGHTS),
    follows_steps_of=_common.STEPS,
)
def float16_overflow(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The outputs of a float16 layer come close to the largest number of that type."""
    layers = _half_layers(record, "activation")
    low = _common.statistic(record, "activation", "min")
    high = _common.statistic(record, "activation", "max")
    if low is None or high is None:
        return
    steps = _common.steps_of(record, "activation")
    largest = np.maximum(np.abs(low), np.abs(high)) / _LARGEST
    for column, key in _common.columns_of(record, "activation", layers):
        row = _common.persistent(largest[:, column] >= limits["share"])
        if row is not None:
            share = largest[row, column]
            yield Fault(
                layer=key.layer,
                step=steps[row],
                measured=share,
                threshold=limits["share"],
                message=f"the largest output of {key.layer!r} is "
                f"{share * _LARGEST:.3g} at step {steps[row]}; the limit of float16 "
                f"is {_LARGEST:.0f}.",
                remedy="Compute this layer in float32, "
                '`Dense(units, dtype="float32")`, use `"mixed_bfloat16"`, or scale '
                "the inputs down.",
            )


@rule(
    "Float16Underflow",
    severity="warning",
    needs=("backprop/histogram",),
    reference=_MIXED,
    thresholds={
        "share": Threshold(
            0.5,
            "share of the values that are not 0",
            "back-propagated values below the normal range of float16 "
            f"(2^{_SMALLEST_EXPONENT}), including the loss scale",
        ),
    },
    follows_from=("VanishingGradient",),
)
def float16_underflow(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The gradient through a float16 layer falls below the normal range of float16."""
    layers = _half_layers(record, "backprop")
    scale = (record.metadata.get("optimizer") or {}).get("loss_scale")
    if scale is None:
        raise NotJudged("does not say what the loss scale is")
    series = [one for one in record.histograms.values() if one.signal == "backprop"]
    latest = series[-1]
    # Octaves of the unscaled values that are below the range once they are scaled.
    first_normal = _SMALLEST_EXPONENT - round(math.log2(scale))
    octaves = first_normal - schema.FIRST_OCTAVE
    first = schema.HISTOGRAM_COLUMNS.index(f"2^{schema.FIRST_OCTAVE}")
    below = latest.values[:, :, first - 1 : first + max(0, octaves)].sum(axis=2)
    nonzero = 1 - latest.values[:, :, schema.HISTOGRAM_COLUMNS.index("zero")]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(nonzero > 0, below / nonzero, 0.0)
    for column, key in enumerate(latest.tensors):
        row = _common.persistent(shares[:, column] >= limits["share"])
        if key.layer in layers and row is not None:
            step, share = int(latest.steps[row]), shares[row, column]
            yield Fault(
                layer=key.layer,
                step=step,
                measured=share,
                threshold=limits["share"],
                message=f"{share:.0%} of the gradient that reaches {key.layer!r} is "
                f"below the normal range of float16 at step {step} (loss scale "
                f"{scale:g}): it loses precision, or vanishes.",
                remedy="Scale the loss, "
                "`keras.optimizers.LossScaleOptimizer(optimizer)`, which `compile` "
                "does automatically under "
                '`keras.mixed_precision.set_global_policy("mixed_float16")`, or use '
                '`"mixed_bfloat16"`.',
            )


def _half_layers(record: RunRecord, signal: str) -> set[str]:
    """Returns the layers of a signal that compute in float16."""
    dtypes = {
        key.layer: _common.dtype_of(record, key.layer)
        for key in _common.tensors_of(record, signal)
    }
    if all(dtype is None for dtype in dtypes.values()):
        raise NotJudged("does not say which dtype layers compute in")
    return {layer for layer, dtype in dtypes.items() if dtype == "float16"}
