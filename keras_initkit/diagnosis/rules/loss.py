"""The loss: where it starts, whether it falls, and what dominates it."""

import math
import re
from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.constant_guess import (
    BINARY,
    CATEGORICAL,
    is_plain,
    label_entropy,
    label_entropy_error,
    labels_each,
    learned_at_start,
)
from keras_initkit.diagnosis.curve import LossCurve, loss_curve
from keras_initkit.diagnosis.registry import RULES, rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short

_ZHANG = "Zhang et al., 2017, https://arxiv.org/abs/1611.03530"
_KROGH = "Krogh & Hertz, 1992, A Simple Weight Decay Can Improve Generalization"
_RECURRENT = re.compile("RNN|LSTM|GRU")
_STEPS = Threshold(
    100, "optimizer iterations", "fewest needed to judge, longer than a warm-up"
)
_POINTS = 8  # fewest recorded losses to judge by


@rule(
    "LossAtInit",
    severity="warning",
    by_signs=True,
    needs=("scalars/loss", "facts/loss", "facts/outputs"),
    reference=_common.RECIPE,
    thresholds={
        "excess": Threshold(
            3.0,
            "nats",
            "excess of the first loss, without regularization, over that of a uniform "
            "guess, log C for C classes and log 2 for two. Logits of variance v are "
            "v/2 above it; He's gain on the sum of three branches, each of rms 1, "
            "gives v = 6",
        ),
    },
    follows_from=(
        *_common.STRUCTURE[:1],
        "DamagedTargets",
        *_common.DATA,
        *_common.WEIGHTS,
    ),
)
def loss_at_init(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The loss of the untrained model is far above that of a uniform guess."""
    guess = _uniform_guess(record)
    curve = loss_curve(record)
    if not len(curve.steps) or curve.steps[0] != 0:
        raise NotJudged("does not hold a finite loss of the first step")
    start = curve.start - curve.penalty
    if start - guess < limits["excess"]:
        return
    layer = record.metadata["outputs"][0]["layer"]
    yield Fault(
        layer=layer,
        step=0,
        measured=start,
        threshold=guess + limits["excess"],
        message=f"the untrained model has a loss of {start:.3g}; that of a uniform "
        f"guess is {guess:.3g}: the model is confidently wrong, and training begins "
        "by unlearning that.",
        remedy="Start the last layer with smaller weights, `Dense(units, "
        "kernel_initializer=keras.initializers.VarianceScaling(0.01), "
        'bias_initializer="zeros")`, and scale the inputs to mean 0 and std 1.',
    )


@rule(
    "LossNotDecreasing",
    severity="warning",
    needs=("scalars/loss",),
    reference=f"{_common.DEBUGGER}; {_common.AUTOTRAINER}",
    thresholds={
        "fall": Threshold(
            0.01,
            "share of the first loss",
            "fall of the newest losses below the first one",
        ),
        "steps": _STEPS,
    },
    follows_from=(
        *_common.STRUCTURE,
        "DamagedTargets",
        *_common.DATA,
        "UnscaledTarget",
        *_common.WEIGHTS,
        *_common.STEPS,
        "LearningRateTooLow",
        "NotTrainable",
        "OverRegularization",
        "NonFinite",
        "ExplodingTensor",
        "DeadRelu",
        "AllZero",
        "SaturatedActivation",
        "RankCollapse",
        "RepresentationCollapse",
        "ConstantOutput",
        "NoProgress",
        "NoGradient",
        "VanishingGradient",
        "ExplodingGradient",
        "VanishingThroughTime",
        "UnchangedTensor",
    ),
)
def loss_not_decreasing(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The loss has not fallen since the start, and shows no downward trend."""
    curve = _long_enough(record, limits["steps"])
    if not curve.start > 0:
        raise NotJudged("starts with a loss that is not positive")
    if learned_at_start(record):
        raise NotJudged("starts with a model that has already learned")
    if curve.fall >= limits["fall"] or curve.is_falling():
        return
    if curve.fall_of_epochs >= limits["fall"] and curve.starts_by_chance():
        return
    yield Fault(
        layer=None,
        step=curve.steps[0],
        measured=curve.fall,
        threshold=limits["fall"],
        message=f"the loss was {curve.start:.4g} at step {curve.steps[0]} and is "
        f"{curve.end:.4g} after {curve.span} iterations.",
        remedy="Look at the findings for the layers first; if there are none, check "
        "whether the model can overfit one batch, `model.fit(x[:32], y[:32], "
        "epochs=200)`: if not, change the learning rate tenfold either way.",
    )


@rule(
    "OverRegularization",
    severity="warning",
    needs=("facts/penalty", "facts/dropout"),
    any_of=True,
    reference=_KROGH,
    thresholds={
        "penalty": Threshold(
            5.0,
            "1",
            "regularization loss at the start divided by the first loss without it",
        ),
        "shrinkage": Threshold(
            0.1,
            "1",
            "median over the kernels of the weights' rms divided by that at the start, "
            "where weights are penalized or decay",
        ),
        "dropout": Threshold(0.8, "share of the units", "rate of a dropout layer"),
    },
)
def over_regularization(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Penalties, weight decay or dropout outweigh the data."""
    for layer, rate in record.metadata.get("dropout") or ():
        if rate >= limits["dropout"]:
            yield Fault(
                layer=layer,
                step=None,
                measured=rate,
                threshold=limits["dropout"],
                message=f"layer {layer!r} drops {rate:.0%} of its inputs.",
                remedy="Lower the rate, `keras.layers.Dropout(0.3)`; 0.1 to 0.5 are "
                "usual.",
            )
    penalty = record.metadata.get("penalty") or 0.0
    decay = (record.metadata.get("optimizer") or {}).get("weight_decay")
    if not penalty and not decay:
        return
    weaker = "Weaken it: `kernel_regularizer=keras.regularizers.L2(1e-4)`"
    curve = loss_curve(record)
    if penalty and len(curve.losses) and curve.steps[0] == 0:
        data = max(curve.start - penalty, 1e-9 * penalty)
        # A loss of the data below 0 has no size to hold a penalty against.
        below = curve.start < (1 - 1e-3) * penalty
        if penalty >= limits["penalty"] * data and not below:
            yield Fault(
                layer=None,
                step=0,
                measured=penalty / data,
                threshold=limits["penalty"],
                message=f"{penalty:.3g} of the first loss of {curve.start:.3g} is "
                "regularization: training mostly shrinks the weights.",
                remedy=f"{weaker}.",
            )
            return
    ratio = _shrinkage(record)
    row = None if ratio is None else _common.persistent(ratio < limits["shrinkage"])
    if ratio is not None and row is not None:
        yield Fault(
            layer=None,
            step=_common.steps_of(record, "weight")[row],
            measured=ratio[row],
            threshold=limits["shrinkage"],
            message=f"regularization has shrunk the kernels to {short(ratio[row])} of "
            "their initial size (median of the rms).",
            remedy=f"{weaker}, `keras.optimizers.AdamW(1e-3, weight_decay=4e-3)`.",
        )


@rule(
    "DamagedTargets",
    severity="warning",
    needs=("facts/outputs",),
    reference=_ZHANG,
    thresholds={
        "gain": Threshold(
            0.02,
            "share of the entropy of the labels",
            "by which the newest losses must be below that entropy: a constant guess "
            "attains it without looking at the inputs",
        ),
        "learned": Threshold(
            0.1,
            "share of the entropy of the labels",
            "by which a quarter of all losses was below it at some time: what was "
            "learned and lost again was learnable",
        ),
        "steps": _STEPS,
        "recurrent_steps": Threshold(
            500,
            "optimizer iterations",
            "the same for recurrent models, which may need hundreds to get past the "
            "constant guess",
        ),
    },
)
def damaged_targets(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Targets that the loss does not accept, or that do not belong to the inputs."""
    impossible = list(_impossible_targets(record))
    if impossible:
        yield from impossible
        return
    target, loss = record.metadata.get("target"), record.metadata.get("loss")
    if not target or not loss or loss["name"] not in (*CATEGORICAL, BINARY):
        raise NotJudged("does not have a cross-entropy as its only loss")
    if target.get("entropy") is None:
        raise NotJudged("does not give the entropy of the labels")
    _plainly_averaged(record)
    if target["entropy"] <= 0.05:
        raise NotJudged("has a first batch of one class")
    if needs_probabilities(record):
        raise NotJudged("has a last layer that does not match the loss")
    if labels_each(target) > 1:
        raise NotJudged("has examples with several labels each")
    if _common.are_alike(record):
        raise NotJudged("has examples that are all identical")
    if _common.statistic(record, "update", "rms") is None:
        raise NotJudged("does not hold update/rms: perhaps nothing was trained")
    steps = limits["recurrent_steps" if _is_recurrent(record) else "steps"]
    curve = _long_enough(record, steps)
    entropy = label_entropy(record) or math.nan
    gain = 1 - (curve.end - curve.penalty) / entropy
    learned = 1 - (curve.best - curve.penalty) / entropy
    if gain >= limits["gain"] or learned >= limits["learned"] or curve.is_falling():
        return
    unsure = 2 * math.hypot(curve.scatter_of_end, label_entropy_error(record)) / entropy
    if gain + unsure >= limits["gain"]:
        raise NotJudged("has losses, or too few labels, that scatter by more than that")
    # What else keeps a model from learning is told by the rules about it.
    if _common.gradient_is_at_fault(record) or _training_is_at_fault(record):
        raise NotJudged("has other faults, which explain that the loss does not fall")
    yield Fault(
        layer=None,
        step=curve.steps[0],
        measured=gain,
        threshold=limits["gain"],
        message=f"after {curve.span} iterations the loss is {curve.end:.4g}; guessing "
        f"by label frequencies alone gives {entropy:.4g}. Gradients and steps look "
        "healthy, so the labels may not belong to these inputs.",
        remedy="Look at some pairs, `print(x[:5], y[:5])`; check that both were "
        "shuffled the same way, `order = rng.permutation(len(x)); x, y = x[order], "
        "y[order]`.",
    )


def _impossible_targets(record: RunRecord) -> Iterator[Fault]:
    outputs = _common.outputs_of(record)
    for output in outputs:
        loss, target, units = output.loss, output.target, output.units
        if loss is None or target is None or target["min"] is None:
            continue
        low, high, name = target["min"], target["max"], loss["name"]
        top: float
        if name == "sparse_categorical_crossentropy" and units:
            top = units - 1
            remedy = (
                "Number the classes from 0, "
                "`y = np.unique(y, return_inverse=True)[1]`, "
                f"or give the last layer as many units as there are classes, "
                f"`Dense({int(high) + 1})`."
            )
        elif name == BINARY or name == "categorical_crossentropy":
            top = 1
            remedy = (
                'Encode them as 0 and 1: `y = (y > 0).astype("float32")` for two '
                "classes, `y = keras.utils.to_categorical(y)` for several."
            )
        else:
            continue
        where = f"the targets{_common.of_which(output, outputs)} in "
        where += _common.looked_at(record)
        if not (0 <= low and high <= top):
            measured, limit = (low, 0) if low < 0 else (high, top)
            what = f"lie in [{low:g}, {high:g}]; {name} with {units} output units "
            what += f"accepts 0 to {top:g}"
        elif name.startswith("sparse") and target.get("integral") is False:
            measured, limit = high, top
            what = f"lie in [{low:g}, {high:g}] and are not whole numbers; {name} "
            what += "expects class indices, and truncates fractions"
            remedy = "Give it the unscaled class indices, "
            remedy += "`y = np.unique(y, return_inverse=True)[1]`: inputs are scaled, "
            remedy += "labels are not."
        else:
            continue
        yield Fault(
            layer=output.layer,
            step=record.metadata.get("fit", {}).get("first_step"),
            measured=measured,
            threshold=limit,
            message=f"{where} {what}.",
            remedy=remedy,
            severity="error",
        )


def needs_probabilities(record: RunRecord) -> bool:
    """Whether a loss of probabilities is known to get something else.

    One over classes takes those that sum to 1.
    """
    loss, outputs = record.metadata.get("loss"), record.metadata.get("outputs")
    if not loss or not outputs or loss["from_logits"] is not False:
        return False
    unknown = None
    fitting: tuple[str | None, ...] = ("softmax", unknown)
    if loss["name"] not in CATEGORICAL:
        fitting += ("sigmoid", "hard_sigmoid")
    return outputs[0]["activation"] not in fitting


def _is_recurrent(record: RunRecord) -> bool:
    layers = record.metadata.get("layers") or ()
    return any(_RECURRENT.search(layer["class_name"]) for layer in layers)


def _training_is_at_fault(record: RunRecord) -> bool:
    names = (
        "LearningRateTooHigh",
        "LearningRateTooLow",
        "UnchangedTensor",
        "OverRegularization",
    )
    wrong = any(RULES[name].judge(record) for name in names)
    return wrong or _common.scale_is_at_fault(record)


def _uniform_guess(record: RunRecord) -> float:
    """Returns the loss of a guess that gives every class the same probability."""
    _plainly_averaged(record)
    name, outputs = record.metadata["loss"]["name"], record.metadata["outputs"]
    if len(outputs) != 1:
        raise NotJudged("has several outputs")
    if name == BINARY:
        return math.log(2)
    units = outputs[0]["units"] or 0
    if name not in CATEGORICAL or units < 2:
        raise NotJudged("has no cross-entropy over classes as its loss")
    if labels_each(record.metadata.get("target")) > 1:
        raise NotJudged("has examples with several labels each")
    return math.log(units)


def _plainly_averaged(record: RunRecord) -> None:
    """Raises `NotJudged` unless the loss is a plain mean over the batch."""
    if not is_plain(record):
        raise NotJudged("has a loss that is weighted, or not a mean over the batch")


def _long_enough(record: RunRecord, steps: float) -> LossCurve:
    curve = loss_curve(record)
    if curve.span < steps or len(curve.losses) < _POINTS:
        raise NotJudged(
            f"holds {len(curve.losses)} finite losses over {curve.span} iterations; "
            f"{_POINTS} over {steps:.0f} are needed"
        )
    return curve


def _shrinkage(record: RunRecord) -> np.ndarray | None:
    """Returns the kernels' rms to that at the start, median `(steps,)`."""
    rms = _common.statistic(record, "weight", "rms")
    columns = _common.kernel_columns(record, "weight")
    if rms is None or not columns:
        return None
    columns = [column for column in columns if rms[0, column] > 0]
    return np.median(rms[:, columns] / rms[0, columns], axis=1) if columns else None
