"""The data: inputs and targets on scales that models do not expect."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.depth import tables_of, weight_layers
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord
from keras_initkit.report.numbers import short

_LECUN = "LeCun et al., 1998, Efficient BackProp, section 4.3"
_UMLAUT = "Schoop et al., 2021, UMLAUT (CHI)"
# Layers that bring their inputs to a scale, or do not compute with their values.
_SCALING = (
    "BatchNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "Normalization",
    "Rescaling",
)
_LOOKING_UP = ("Embedding", "CategoryEncoding", "Hashing", "IntegerLookup", "OneHot")


@rule(
    "UnscaledInput",
    severity="warning",
    needs=("facts/input", "facts/layers"),
    reference=f"{_LECUN}; {_UMLAUT}",
    thresholds={
        "large": Threshold(
            10.0, "unit of the input", "rms of the first batch; 1 is what layers expect"
        ),
        "small": Threshold(0.01, "unit of the input", "the same"),
        "offset": Threshold(10.0, "1", "mean divided by std, either sign"),
    },
)
def unscaled_input(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The inputs are far from mean 0 and std 1, and no layer rescales them."""
    first, ahead = _first_layers(record)
    if any(entry["class_name"].startswith(_LOOKING_UP) for entry in first):
        return
    scaling = [e["path"] for e in first if e["class_name"].startswith(_SCALING)]
    if scaling:
        # One behind the other, or one for each of several inputs.
        if len(record.metadata["input"]) == 1:
            scaling = ([path for path in scaling if path in ahead] or scaling)[-1:]
        for layer in scaling:
            yield from _badly_scaled(record, layer, limits)
        return
    looks_up = bool(tables_of(record))
    for moments in record.metadata["input"]:
        if looks_up and moments["integral"]:
            continue  # numbers of rows, in a layer of whatever name
        rms, mean, std = moments["rms"], moments["mean"], moments["std"]
        if not rms:
            continue
        offset = abs(mean) / std if std > 0 else 0.0
        if rms > limits["large"]:
            measured, limit, what = rms, limits["large"], f"have an rms of {rms:.3g}"
        elif rms < limits["small"] and not _of_norm_one(moments):
            measured, limit, what = rms, limits["small"], f"have an rms of {rms:.1g}"
        elif offset > limits["offset"]:
            measured, limit = offset, limits["offset"]
            what = f"have mean {mean:.3g} and std {short(std)}"
        else:
            continue
        yield Fault(
            layer=None,
            step=_common.first_step(record),
            measured=measured,
            threshold=limit,
            message=f"the inputs of {_common.looked_at(record)} {what}: initializers "
            "expect mean 0 and std 1.",
            remedy="Scale them, `x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-7)`, "
            "images with `keras.layers.Rescaling(1 / 255)`, or let "
            "`keras.layers.Normalization()` do it (`.adapt(x)` first).",
        )
        return


def _of_norm_one(moments: Mapping[str, Any]) -> bool:
    """Whether examples are of norm 1 over many columns, as rows of tf-idf are."""
    norm = moments["rms"] * math.sqrt(math.prod(moments["shape"][1:] or (1,)))
    return bool(0.5 <= norm <= 2)


def _badly_scaled(
    record: RunRecord, layer: str, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Yields the fault of a layer that scales the inputs to another size than 1."""
    rms = _common.statistic(record, "activation", "rms")
    keys = _common.tensors_of(record, "activation")
    columns = [column for column, key in enumerate(keys) if key.layer == layer]
    if rms is None or not columns:
        return
    measured = float(rms[0, columns[0]])
    limit = limits["large" if measured > 1 else "small"]
    entry = next(e for e in record.metadata["layers"] if e["path"] == layer)
    by_batch = entry["class_name"].startswith("BatchNormalization")
    if not measured or limits["small"] <= measured <= limits["large"]:
        return
    yield Fault(
        layer=layer,
        step=_common.steps_of(record, "activation")[0],
        measured=measured,
        threshold=limit,
        message=f"layer {layer!r} turns its input into values with an rms of "
        f"{measured:.1g}: initializers expect mean 0 and std 1.",
        remedy="Call it without `training=False`, which makes it use its moving "
        "averages: at first these scale nothing."
        if by_batch
        else "Scale once, either in the model or before it; a "
        "`keras.layers.Normalization()` must see the training data before training, "
        "`.adapt(x)`.",
    )


@rule(
    "FractionsAsIndices",
    severity="error",
    needs=("facts/input", "facts/layers"),
    reference="Keras, https://keras.io/api/layers/core_layers/embedding/",
)
def fractions_as_indices(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """An embedding is given fractions, and looks up only their integer parts."""
    inputs = record.metadata["input"]
    places = {e["path"]: e.get("place") or {} for e in record.metadata["layers"]}
    fed = [path for path in sorted(tables_of(record)) if places[path].get("fed")]
    if not fed or len(inputs) != 1 or inputs[0]["integral"] or not inputs[0]["rms"]:
        return
    low, high = inputs[0]["min"], inputs[0]["max"]
    yield Fault(
        layer=fed[0],
        step=_common.first_step(record),
        measured=1,
        threshold=1,
        message=f"layer {fed[0]!r} looks up rows by index, but is given fractions, "
        f"{low:.3g} to {high:.3g} in {_common.looked_at(record)}: they are truncated "
        "to integers.",
        remedy='Give it the token ids unscaled, `x = x.astype("int32")`.',
    )


@rule(
    "ConstantInput",
    severity="error",
    needs=("facts/input",),
    reference=_common.RECIPE,
)
def constant_input(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """All examples are identical."""
    if not _common.are_alike(record):
        return
    yield Fault(
        layer=None,
        step=_common.first_step(record),
        measured=1,
        threshold=1,
        message=f"all examples are the same, in {_common.looked_at(record)}: whatever "
        "the model learns, it can only predict a constant.",
        remedy="Inspect the data where they are read and scaled, `print(x[:3])`: look "
        "for an index that does not advance, a division by a number too large for the "
        "dtype, or one example repeated.",
    )


@rule(
    "BatchOfOne",
    severity="error",
    needs=("facts/input", "activation/rms"),
    reference="Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167",
)
def batch_of_one(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Batch normalization gets one value per channel, and turns each into 0."""
    inputs = record.metadata["input"]
    if not inputs or any(moments["shape"][:1] != [1] for moments in inputs):
        return
    rms = _common.statistic(record, "activation", "rms")
    keys = _common.tensors_of(record, "activation")
    normalizing = {
        entry["path"]
        for entry in record.metadata.get("layers", ())
        if entry["class_name"] == "BatchNormalization"
    }
    silent = [
        key.layer
        for column, key in enumerate(keys)
        if rms is not None and rms[0, column] == 0 and key.layer in normalizing
    ]
    if not silent:
        return
    others = f" (and {len(silent) - 1} more)" if len(silent) > 1 else ""
    yield Fault(
        layer=silent[0],
        step=_common.steps_of(record, "activation")[0],
        measured=1,
        threshold=2,
        message=f"the batches hold one example each, and {silent[0]!r}{others} "
        "normalizes over the batch: each value is its own mean, so only 0 remains.",
        remedy="Train on larger batches, `model.fit(x, y, batch_size=32)`, or use a "
        "normalization that treats each example separately, "
        "`keras.layers.LayerNormalization()`.",
    )


@rule(
    "UnscaledTarget",
    severity="warning",
    needs=("facts/target", "facts/targets"),
    any_of=True,
    reference=_LECUN,
    thresholds={
        "large": Threshold(
            30.0, "unit of the target", "rms of the first batch; outputs start near 1"
        ),
    },
)
def unscaled_target(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The targets of a regression are far larger than the initial outputs."""
    outputs = _common.outputs_of(record)
    for output in outputs:
        loss, target = output.loss, output.target
        if loss is None or target is None or loss["name"] not in _common.REGRESSION:
            continue
        if not target["rms"] or target["rms"] <= limits["large"]:
            continue
        which = _common.of_which(output, outputs)
        others = " and outweigh those of the other outputs" if which else ""
        yield Fault(
            layer=output.layer if which else None,
            step=_common.first_step(record),
            measured=target["rms"],
            threshold=limits["large"],
            message=f"the targets{which} in {_common.looked_at(record)} have mean "
            f"{target['mean']:.3g} and std {target['std']:.3g}; outputs start near 1, "
            f"so the first gradients are huge{others}, or training takes long.",
            remedy="Scale them, `y = (y - mean) / std` with mean and std of the "
            "training set, and undo this in predictions, `model.predict(x) * std + "
            "mean`.",
        )


@rule(
    "UnlikeSplits",
    severity="warning",
    needs=("facts/splits",),
    reference=_LECUN,
    thresholds={
        "scale": Threshold(
            3.0, "1", "ratio of the std in validation to that in training, either way"
        ),
        "shift": Threshold(
            3.0,
            "standard deviations",
            "between the means of a column; beyond five standard errors",
        ),
    },
)
def unlike_splits(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Training and validation data are on different scales."""
    for split in record.metadata["splits"]:
        scale, shift = split["scale"], split["shift"]
        factor = 1.0 if not scale else max(scale, 1 / scale)
        if factor > limits["scale"]:
            measured, limit = factor, limits["scale"]
            what = f"a standard deviation {scale:.3g} times that of the training data"
        elif shift > limits["shift"]:
            measured, limit = shift, limits["shift"]
            column = "" if split["column"] is None else f" in column {split['column']}"
            what = (
                f"a mean{column} {shift:.3g} standard deviations away from that of "
                "the training data"
            )
        else:
            continue
        yield Fault(
            layer=None,
            step=None,
            measured=measured,
            threshold=limit,
            message=f"the {split['what']} of the validation data have {what}.",
            remedy="Scale both by the statistics of the training data, `x_validation = "
            "(x_validation - mean) / std`, or in the model, with one "
            "`keras.layers.Normalization()` adapted to the training data.",
        )
        return


@rule(
    "ImbalancedLabels",
    severity="info",
    needs=("facts/sample", "facts/target"),
    reference="He & Garcia, 2009, Learning from Imbalanced Data",
    thresholds={
        "share": Threshold(
            0.95, "share of the labels", "that of the most frequent class"
        ),
        "examples": Threshold(100, "examples", "fewest needed to judge"),
    },
)
def imbalanced_labels(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Nearly all labels belong to one class."""
    share = record.metadata["target"].get("most_frequent")
    if share is None:
        raise NotJudged("has targets that are not labels of one class each")
    if record.metadata["sample"]["examples"] < limits["examples"]:
        raise NotJudged("holds too few examples")
    if share < limits["share"]:
        return
    yield Fault(
        layer=None,
        step=None,
        measured=share,
        threshold=limits["share"],
        message=f"{share:.1%} of the labels in {_common.looked_at(record)} belong to "
        "one class: "
        + (
            "they offer nothing to learn."
            if share == 1
            else "a model gets that accuracy without learning anything."
        ),
        severity="warning" if share == 1 else None,
        remedy="Weight the classes, `model.fit(..., class_weight={0: 1.0, 1: 20.0})`, "
        "and use a metric that accounts for the rare one, "
        '`keras.metrics.AUC(curve="PR")`.',
    )


@rule(
    "SortedLabels",
    severity="warning",
    needs=("facts/target", "facts/outputs"),
    reference="Bengio, 2012, https://arxiv.org/abs/1206.5533, section 3.1",
    thresholds={
        "examples": Threshold(16, "examples", "fewest in a batch needed to judge"),
    },
)
def sorted_labels(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """All labels of the first batch belong to one class."""
    target = record.metadata["target"]
    share, shape = target.get("most_frequent"), target["shape"]
    units = record.metadata["outputs"][0].get("units") or 2
    if share is None or tuple(shape[1:]) not in ((), (1,), (units,)):
        raise NotJudged("has targets that are not labels of one class each")
    # Of a sample of the data, ImbalancedLabels tells.
    is_batch = "sample" not in record.metadata
    if share < 1 or not is_batch or shape[0] < limits["examples"]:
        return
    yield Fault(
        layer=None,
        step=_common.first_step(record),
        measured=1,
        threshold=1,
        message=f"all {shape[0]} labels of the first batch belong to one class: either "
        "the examples come sorted, and each step unlearns the previous class, or "
        "other classes are very rare.",
        remedy="Shuffle them: `model.fit(x, y, shuffle=True)`, and for a dataset "
        "`dataset.shuffle(10_000)` before `batch`.",
        # Of two classes, one may be so rare.
        severity=None if units > 2 else "info",
    )


def _first_layers(record: RunRecord) -> tuple[list[dict[str, Any]], set[str]]:
    """Returns what is known of the layers up to the second one that owns a kernel.

    In the order in which they put out, where that is recorded: a model without a graph
    holds its layers in any. And the paths of those ahead of the first with a kernel.
    """
    owners = set(weight_layers(record))
    order = [key.layer for key in _common.tensors_of(record, "activation")]
    places = {path: n for n, path in reversed([*enumerate(order)])}
    layers = list(record.metadata["layers"])
    if all(entry["path"] in places for entry in layers if _has_weights(entry)):
        layers = [entry for entry in layers if entry["path"] in places]
        layers.sort(key=lambda entry: places[entry["path"]])
    first, ahead, kernels = [], set(), 0
    for entry in layers:
        kernels += entry["path"] in owners
        if kernels > 1:
            break
        first.append(entry)
        if not kernels:
            ahead.add(entry["path"])
    return first, ahead


def _has_weights(entry: Mapping[str, Any]) -> bool:
    return bool(entry["weights"])
