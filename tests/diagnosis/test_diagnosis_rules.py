"""Every rule: trips on its fault, spares the near miss, says what it cannot judge."""

import re

import numpy as np
import pytest
from records import LAYERS, STEPS, Draft, moments, split

from keras_initkit import diagnosis, schema
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import TensorKey


def depth(decades_per_layer):
    return 10.0 ** (decades_per_layer * np.arange(len(LAYERS)))


CLASSES = moments(4.5, 2.9, 0.0, 9.0) | {"integral": True}
SPARSE = {"name": "sparse_categorical_crossentropy", "from_logits": True}
PRICES = {
    "large": ("linear", moments(2e5, 0.0, 2e5, 2e5)),
    "beyond": ("sigmoid", moments(0.0, 1.0, -1.0, 1.0)),
    "classes": ("linear", moments(0.0, 1.0, -3.0, 3.0)),
    "fine": ("linear", moments(0.0, 1.0, -3.0, 3.0)),
}


def heads(case):
    """Classes, and a price beside them."""
    activation, price = PRICES[case]
    classes = {**CLASSES, "max": 10.0} if case == "classes" else CLASSES

    def change(draft):
        draft.metadata["outputs"].append(
            {"layer": "price", "activation": activation, "units": 1}
        )
        draft.metadata["losses"] = [SPARSE, {"name": "mean_squared_error"}]
        draft.metadata["targets"] = [classes, price]
        del draft.metadata["target"], draft.metadata["loss"]

    return change


def narrow(layer, units):
    """A layer of few units."""

    def change(draft):
        entry = next(e for e in draft.metadata["layers"] if e["path"] == layer)
        entry["weights"] = {"kernel": [11, units], "bias": [units]}

    return change


def several_labels(each):
    """Rows of 10 zeros and ones, as many of them ones on the average."""
    rows = moments(each / 10, 0.4, 0.0, 1.0) | {"shape": [512, 10], "entropy": 0.5}

    def change(draft):
        draft.metadata["target"] = rows
        draft.metadata["loss"]["name"] = "categorical_crossentropy"

    return change


def outputs_of_relu(units):
    """Numbers that a ReLU puts out, one column of which is always 0."""
    target = {**moments(1.0, 1.0, 0.0, 4.0), "silent": 0.25}

    def change(draft):
        narrow("logits", units)(draft)
        draft.metadata["layers"][-1]["activation"] = "relu"
        out = {"layer": "logits", "activation": "relu", "units": units}
        draft.metadata |= {"outputs": [out], "target": target}
        draft.metadata["loss"]["name"] = "mean_squared_error"

    return change


def one_example(draft):
    """A batch of one, and a batch normalization where a layer is."""
    draft.metadata["input"] = [moments(0.0, 1.0, -3.0, 3.0) | {"shape": [1, 4]}]
    draft.metadata["layers"][1]["class_name"] = "BatchNormalization"


def falling(start, end):
    """A loss that falls along a straight line."""

    def change(draft):
        draft.loss = np.linspace(start, end, len(STEPS))

    return change


def edit(signal, statistic, rows, columns, value):
    def change(draft):
        draft.values[signal][statistic][rows, columns] = value

    return change


def profile(signal, statistic, start, decades_per_layer):
    """Kernels (or outputs) whose statistic changes steadily with depth."""

    def change(draft):
        every = 2 if signal in ("gradient", "weight", "update") else 1
        draft.values[signal][statistic][:, ::every] = start * depth(decades_per_layer)
        if signal == "gradient":
            biases_like_kernels(draft)

    return change


def biases_like_kernels(draft):
    """What reaches a layer's output is the gradient of its bias."""
    gradient = draft.values["gradient"]["rms"]
    gradient[:, 1::2] = gradient[:, ::2]


def fact(key, **values):
    def change(draft):
        if isinstance(draft.metadata.get(key), dict):
            draft.metadata[key] = draft.metadata[key] | values
        else:
            draft.metadata[key] = values["value"]

    return change


def loss(*values):
    def change(draft):
        draft.loss = np.array(values, float)

    return change


def flat_loss(start, end):
    return loss(start, *(end + 0.01 * np.resize([1, -1, -1, 1], len(STEPS) - 1)))


def negative(start, end):
    """A loss that falls below 0, of a function that is none of Keras's."""

    def change(draft):
        draft.loss = np.linspace(start, end, len(STEPS))
        draft.metadata["loss"] = None

    return change


def metric(name, early, late):
    def change(draft):
        draft.metrics[name] = np.linspace(early, late, len(STEPS))
        few = len(STEPS) // 4
        draft.metrics[name][:few], draft.metrics[name][-few:] = early, late

    return change


def looked_up(integral):
    """An input between 0 and 1 that a table is fed with."""

    def change(draft):
        entry = draft.metadata["layers"][0]
        entry |= {"class_name": "Embedding", "roles": {"kernel": "table"}, "fans": {}}
        entry["place"]["fed"] = True
        given = {**moments(0.5, 0.3, 0.0, 1.0), "integral": integral}
        draft.metadata["input"] = [given]

    return change


def decayed(draft):
    rates = np.maximum(2e-3 * 0.1 ** np.arange(len(STEPS)), 1e-20)
    draft.values["update"]["update_to_weight_ratio"][:] = rates[:, None]


def both(*changes):
    def change(draft):
        for one in changes:
            one(draft)

    return change


def half(layer):
    """A layer that computes in float16."""

    def change(draft):
        draft.metadata["layers"][LAYERS.index(layer)]["dtype"] = "float16"

    return change


def table(layer):
    """A layer whose kernel is an embedding's."""

    def change(draft):
        entry = draft.metadata["layers"][LAYERS.index(layer)]
        entry["weights"] = {"embeddings": [11, 64]}
        for signal in ("gradient", "weight", "update"):
            kernel = TensorKey(layer, "kernel")
            at = draft.tensors[signal].index(kernel)
            draft.tensors[signal] = list(draft.tensors[signal])
            draft.tensors[signal][at] = TensorKey(layer, "embeddings")

    return change


def octaves(**shares):
    """Back-propagated values of all layers by octave: `up17=0.5` for 2^-17."""

    def change(draft):
        draft.histograms["backprop"][:] = 0
        for name, share in shares.items():
            column = name if name == "zero" else f"2^-{name[2:]}"
            at = schema.HISTOGRAM_COLUMNS.index(column)
            draft.histograms["backprop"][:, :, at] = share

    return change


def regression(activation, low, high):
    """A regression of targets in a range, behind an activation."""
    output = {"layer": "logits", "activation": activation, "units": 1}
    return both(
        fact("outputs", value=[output]),
        fact("loss", name="mean_squared_error"),
        fact("target", value=0, **moments((low + high) / 2, 1.0, low, high)),
    )


def symmetric(draft):
    for signal in ("weight", "gradient"):
        draft.values[signal]["distinct_units"][:, :2] = 1


def over_time(factor, length=32):
    """A gradient that loses a factor with each time step back."""

    def change(draft):
        row = np.full(schema.TIME_STEPS, np.nan)
        row[:length] = float(factor) ** -np.arange(length - 1, -1, -1)
        draft.time_steps["backprop"][:, 1] = row

    return change


def last_step_only(draft):
    draft.time_steps["backprop"][:, 1, :31] = 0


ALL = slice(None)
KERNELS = slice(None, None, 2)
RATIO = ("update", "update_to_weight_ratio")

# Name: what is wrong, and what the finding says: rule, severity, layer, step, measured,
# threshold.
# As `inspection.phases.Phase.to_dict` has it.
ORDERED = {
    "activation": "tanh",
    "layers": [*LAYERS[:3], "d", "e", "f"],
    "sigma_w": 0.8,
    "chi_1": 0.6,
    "phase": "ordered",
    "trainable_depth": 6.0,
}

TRIPS = {
    "six of eight units are dead": (
        both(narrow("dense_1", 8), edit("activation", "dead_fraction", ALL, 1, 6 / 8)),
        ("DeadRelu", "warning", "dense_1", 0, 0.75, 0.6875),
    ),
    "likelihood without a minus": (
        both(negative(-2.5, -14.0), metric("accuracy", 0.1, 0.11)),
        ("LossSign", "error", None, 0, 1.1, 1.25),
    ),
    "error with a minus": (
        both(negative(-1.0, -90.0), metric("mae", 1.0, 9.0)),
        ("LossSign", "error", None, 0, 9, 1.5),
    ),
    "classes come one behind the other": (
        lambda d: (fact("target", most_frequent=1.0)(d), d.metadata.pop("sample")),
        ("SortedLabels", "warning", None, 0, 1, 1),
    ),
    "tokens are scaled": (
        looked_up(integral=False),
        ("FractionsAsIndices", "error", "dense", 0, 1, 1),
    ),
    "schedule that comes down to nothing": (
        both(fact("optimizer", scheduled=True), decayed, flat_loss(2.3, 2.15)),
        ("LearningRateTooLow", "warning", None, 20, 2e-5, 1e-4),
    ),
    "loss creeps": (
        both(edit(*RATIO, ALL, KERNELS, 2e-4), falling(3.0, 2.0)),
        ("LearningRateTooLow", "warning", None, 0, 2e-4, 1e-4),
    ),
    "squared error creeps": (
        both(
            edit(*RATIO, ALL, KERNELS, 2e-4),
            fact("loss", name="mean_squared_error"),
            fact("target", **moments(0.0, 1.0, -3.0, 3.0)),
            falling(3.0, 0.9),
        ),
        ("LearningRateTooLow", "warning", None, 0, 2e-4, 1e-4),
    ),
    "validation is not scaled": (
        fact("splits", value=[split(), split(scale=1 / 255)]),
        ("UnlikeSplits", "warning", None, None, 255, 3),
    ),
    "a column has moved": (
        fact("splits", value=[split(shift=40.0)]),
        ("UnlikeSplits", "warning", None, None, 40, 3),
    ),
    "one class only": (
        fact("target", most_frequent=1.0),
        ("ImbalancedLabels", "warning", None, None, 1, 0.95),
    ),
    "nearly one class only": (
        fact("target", most_frequent=0.97),
        ("ImbalancedLabels", "info", None, None, 0.97, 0.95),
    ),
    "batches of one": (
        both(one_example, edit("activation", "rms", 0, 1, 0.0)),
        ("BatchOfOne", "error", "dense_1", 0, 1, 2),
    ),
    "two of three units are dead": (
        both(
            narrow("dense_1", 3),
            edit("activation", "dead_fraction", slice(4, None), 1, 2 / 3),
        ),
        ("DeadRelu", "warning", "dense_1", 40, 2 / 3, 0.6),
    ),
    "an output is dead": (
        both(outputs_of_relu(4), edit("activation", "dead_fraction", ALL, 3, 0.5)),
        ("DeadRelu", "warning", "logits", 0, 0.5, 0.375),
    ),
    "every example is the same": (
        fact("input", value=[{**moments(0.5, 1.0, -1.0, 2.0), "alike": True}]),
        ("ConstantInput", "error", None, 0, 1, 1),
    ),
    "one head's targets are large": (
        heads("large"),
        ("UnscaledTarget", "warning", "price", 0, 2e5, 30),
    ),
    "one head's targets are beyond it": (
        heads("beyond"),
        ("LossActivationMismatch", "error", "price", 0, 0.5, 0.1),
    ),
    "one head's classes have no unit": (
        heads("classes"),
        ("DamagedTargets", "error", "logits", 0, 10, 9),
    ),
    "nan at 10": (
        both(
            edit("activation", "nonfinite_count", slice(1, None), slice(2, None), 5),
            edit("gradient", "nonfinite_count", slice(1, None), ALL, 7),
        ),
        ("NonFinite", "error", "dense_2", 10, 5, 0),
    ),
    "nan in the inputs": (
        fact("input", value=[moments(0, 1, -3, 3) | {"nonfinite": 2}]),
        ("NonFinite", "error", None, 0, 2, 0),
    ),
    "outputs explode": (
        edit("activation", "rms", slice(5, None), 2, 2e4),
        ("ExplodingTensor", "error", "dense_2", 50, 2e4, 1e3),
    ),
    "weights explode": (
        edit("weight", "rms", slice(9, None), 4, 3e5),
        ("ExplodingTensor", "error", "dense_2", 90, 1e6, 1e3),
    ),
    "float16 overflows": (
        both(half("dense_1"), edit("activation", "min", ALL, 1, -0.75 * 65504)),
        ("Float16Overflow", "warning", "dense_1", 0, 0.75, 0.5),
    ),
    "float16 underflows": (
        both(half("dense_1"), octaves(up8=0.2, up15=0.6, zero=0.2)),
        ("Float16Underflow", "warning", "dense_1", 0, 0.75, 0.5),
    ),
    "float16 underflows though scaled": (
        both(half("dense_1"), octaves(up29=1), fact("optimizer", loss_scale=2.0**14)),
        ("Float16Underflow", "warning", "dense_1", 0, 1, 0.5),
    ),
    "symmetric": (symmetric, ("SymmetricUnits", "error", "dense", 0, 1, 1)),
    "no gradient": (
        edit("gradient", "rms", ALL, slice(2, 4), 0),
        ("NoGradient", "error", "dense_1", 0, 0, 0),
    ),
    "a step takes nothing off the loss": (
        edit("update", "rms", ALL, ALL, 1e-8),
        ("NoProgress", "error", None, 0, 1e-10 * 11 * 122 / 2.3, 1e-7),
    ),
    "gradient vanishes": (
        profile("gradient", "rms", 1e-5, 1.0),
        ("VanishingGradient", "warning", "dense", 0, 3, 2),
    ),
    "gradient of one vanishes": (
        edit("gradient", "rms", ALL, slice(2, 4), 1e-6),
        ("VanishingGradient", "warning", "dense_1", 0, 1e-4, 1e-3),
    ),
    "gradient of all is tiny": (
        edit("gradient", "rms", ALL, ALL, 1e-9),
        ("VanishingGradient", "error", "dense", 0, 1e-9, 1e-6),
    ),
    "gradient explodes": (
        profile("gradient", "rms", 1.0, -1.0),
        ("ExplodingGradient", "warning", "dense", 0, 3, 2),
    ),
    "gradient of one explodes": (
        edit("gradient", "rms", ALL, 4, 1e3),
        ("ExplodingGradient", "warning", "dense_2", 0, 1e5, 1e3),
    ),
    "gradient explodes through time": (
        over_time(0.5),
        ("ExplodingGradient", "warning", "dense_1", 0, 2.0**31, 1e3),
    ),
    "gradient vanishes through time": (
        over_time(20.0),
        ("VanishingThroughTime", "warning", "dense_1", 0, 3 / 32, 4 / 32),
    ),
    "dead": (
        edit("activation", "zero_fraction", slice(6, None), 1, 1),
        ("DeadRelu", "error", "dense_1", 60, 1, 1),
    ),
    "mostly dead": (
        edit("activation", "dead_fraction", slice(6, None), 1, 0.95),
        ("DeadRelu", "warning", "dense_1", 60, 0.95, 0.9),
    ),
    "saturated": (
        edit("preactivation", "saturation_fraction", ALL, 2, 0.8),
        ("SaturatedActivation", "warning", "dense_2", 0, 0.8, 0.5),
    ),
    "all zero": (
        edit("activation", "zero_fraction", ALL, 3, 1),
        ("AllZero", "error", "logits", 10, 1, 1),
    ),
    "rank collapses": (
        edit("activation", "effective_rank", 0, slice(1, 4), 1.1),
        ("RankCollapse", "warning", "dense_1", 0, 1.1, 1.2),
    ),
    "representation collapses": (
        edit("activation", "effective_rank", ALL, slice(1, 3), np.nan),
        ("RepresentationCollapse", "warning", "dense_1", 0, 0, 0),
    ),
    "constant output": (
        edit("activation", "effective_rank", slice(4, None), 3, np.nan),
        ("ConstantOutput", "error", "logits", 40, 0, 0),
    ),
    "signal shrinks": (
        profile("activation", "std", 1.0, -0.5),
        ("PoorWeightInitialization", "warning", "logits", 0, -1.5, -1),
    ),
    "signal grows": (
        profile("activation", "std", 1.0, 0.5),
        ("PoorWeightInitialization", "warning", "logits", 0, 1.5, 1),
    ),
    "signal shrinks in one layer": (
        edit("activation", "std", ALL, slice(2, None), 0.01),
        ("PoorWeightInitialization", "warning", "dense_2", 0, -2.4, -1),
    ),
    "signal grows on its way back through one layer": (
        edit("backprop", "norm", ALL, slice(2), 1.0),
        ("PoorWeightInitialization", "warning", "dense_2", 0, 3.6, 3),
    ),
    "signal shrinks on its way back": (
        profile("backprop", "norm", 1e-6, 1.1),
        ("PoorWeightInitialization", "warning", "dense", 0, -3.3, -3),
    ),
    "kernel too large": (
        edit("weight", "std", 0, 2, 5.0),
        ("TensorVariance", "warning", "dense_1", 0, 275, 50),
    ),
    "kernel too small": (
        edit("weight", "std", 0, 2, 0.01),
        ("TensorVariance", "warning", "dense_1", 0, 0.0032, 0.01),
    ),
    "steps of one too large": (
        edit(*RATIO, ALL, 2, 0.2),
        ("WeightUpdateRatio", "warning", "dense_1", 0, 0.2, 0.1),
    ),
    "steps of one too small": (
        edit(*RATIO, ALL, 2, 1e-7),
        ("WeightUpdateRatio", "warning", "dense_1", 0, 1e-7, 1e-6),
    ),
    "unchanged": (
        edit("update", "rms", slice(7, None), slice(2, 4), 0),
        ("UnchangedTensor", "error", "dense_1", 70, 0, 0),
    ),
    "stack off the edge of chaos": (
        fact("phases", value=[ORDERED | {"trainable_depth": 5.0}]),
        ("TrainableDepth", "warning", "dense", None, 6, 5.0),
    ),
    "rate above those that learn": (
        fact("learning_rate_trial", rate=1.0),
        ("LearningRateTrial", "warning", None, None, 1.0, 1e-2),
    ),
    "rate below those that learn": (
        fact("learning_rate_trial", rate=2e-5),
        ("LearningRateTrial", "warning", None, None, 2e-5, 3e-4),
    ),
    "steps too large": (
        both(edit(*RATIO, ALL, KERNELS, 0.4), flat_loss(2.3, 2.4)),
        ("LearningRateTooHigh", "warning", None, 0, 0.4, 0.1),
    ),
    "one leap": (
        both(edit(*RATIO, 1, KERNELS, 5), loss(2.4, 90, *[2.4] * 11)),
        ("LearningRateTooHigh", "error", None, 10, 5, 0.1),
    ),
    "leap to NaN": (
        both(edit(*RATIO, 0, KERNELS, 2), loss(2.3, *[np.nan] * 12)),
        ("LearningRateTooHigh", "error", None, 0, 2, 0.1),
    ),
    "leap to NaN after a while": (
        both(edit(*RATIO, 6, KERNELS, 2), loss(*[2.4] * 3, *[1.2] * 4, *[np.inf] * 6)),
        ("LearningRateTooHigh", "error", None, 60, 2, 0.1),
    ),
    "steps too small": (
        both(
            edit(*RATIO, ALL, ALL, 1e-5),
            loss(*np.linspace(2.3, 2.22, len(STEPS))),
        ),
        ("LearningRateTooLow", "warning", None, 0, 1e-5, 1e-4),
    ),
    "steps too small to leave chance": (
        both(edit(*RATIO, ALL, ALL, 1e-5), flat_loss(2.7, 2.42)),
        ("LearningRateTooLow", "warning", None, 0, 1e-5, 1e-4),
    ),
    "loss at init": (
        loss(*np.linspace(9.1, 1.0, len(STEPS))),
        ("LossAtInit", "warning", "logits", 0, 9.0, np.log(10) + 3),
    ),
    "penalty": (
        both(fact("penalty", value=20.0), loss(*np.linspace(22, 3, len(STEPS)))),
        ("OverRegularization", "warning", None, 0, 10, 5),
    ),
    "shrunk": (
        edit("weight", "rms", slice(3, None), KERNELS, 0.006),
        ("OverRegularization", "warning", None, 30, 0.02, 0.1),
    ),
    "dropout": (
        fact("dropout", value=[["drop", 0.95]]),
        ("OverRegularization", "warning", "drop", None, 0.95, 0.8),
    ),
    "class out of range": (
        fact("target", max=10.0),
        ("DamagedTargets", "error", "logits", 0, 10, 9),
    ),
    "several labels for a softmax": (
        several_labels(3.0),
        ("LossActivationMismatch", "warning", "logits", 0, 3, 1),
    ),
    "classes that were scaled like pixels": (
        fact("target", max=9 / 255, integral=False),
        ("DamagedTargets", "error", "logits", 0, 9 / 255, 9),
    ),
    "labels of -1 and 1": (
        both(
            fact("target", min=-1.0, max=1.0),
            fact("loss", name="binary_crossentropy"),
            loss(*np.linspace(0.8, 0.1, len(STEPS))),
        ),
        ("DamagedTargets", "error", "logits", 0, -1, 0),
    ),
    "labels of others": (
        flat_loss(2.7, 2.42),
        ("DamagedTargets", "warning", None, 0, 1 - 2.31 / np.log(10), 0.02),
    ),
    "pixels": (
        fact("input", value=[moments(33.0, 78.0, 0.0, 255.0)]),
        ("UnscaledInput", "warning", None, 0, np.hypot(33, 78), 10),
    ),
    "tiny inputs": (
        fact("input", value=[moments(0.0, 1e-3, -0.01, 0.01)]),
        ("UnscaledInput", "warning", None, 0, 1e-3, 0.01),
    ),
    "inputs far from 0": (
        fact("input", value=[moments(5.0, 0.1, 4.5, 5.5)]),
        ("UnscaledInput", "warning", None, 0, 50, 10),
    ),
    "prices": (
        both(
            fact("target", value=0, **moments(2e5, 9e4, 1e4, 9e5)),
            fact("loss", name="mean_squared_error"),
        ),
        ("UnscaledTarget", "warning", None, 0, np.hypot(2e5, 9e4), 30),
    ),
    "raw validation data": (
        edit("inference", "rms", slice(4, None), slice(None), 100.0),
        ("InferenceDiffers", "warning", "dense", 40, 100.0, 3.0),
    ),
    "numbers below 0 from a relu": (
        regression("relu", -3.0, 1.0),
        ("LossActivationMismatch", "error", "logits", 0, 0.75, 0.1),
    ),
    "numbers above 1 from a sigmoid": (
        regression("sigmoid", 0.0, 4.0),
        ("LossActivationMismatch", "error", "logits", 0, 0.75, 0.1),
    ),
}
# A loss that stands still follows from many faults: this rule has a test of its own.
ALONE = "LossNotDecreasing"


def embedded(draft):
    draft.metadata["layers"][0]["class_name"] = "Embedding"


def normalized(draft):
    draft.metadata["layers"].insert(
        1,
        {
            "path": "norm",
            "class_name": "BatchNormalization",
            "activation": None,
            "dtype": "float32",
            "weights": {"gamma": [64], "beta": [64]},
        },
    )


PIXELS = fact("input", value=[moments(33.0, 78.0, 0.0, 255.0)])

# Name: the rule, and what it is just not wrong about.
NEAR_MISSES = {
    "loss creeps by steps that are large enough": (
        "LearningRateTooLow",
        both(edit(*RATIO, ALL, KERNELS, 4e-4), falling(3.0, 2.0)),
    ),
    "small steps that have learnt": (
        "LearningRateTooLow",
        both(edit(*RATIO, ALL, KERNELS, 2e-4), falling(3.0, 1.5)),
    ),
    "loss creeps in a warm-up": (
        "LearningRateTooLow",
        both(
            edit(*RATIO, ALL, KERNELS, 2e-4),
            falling(3.0, 2.0),
            fact("optimizer", scheduled=True),
        ),
    ),
    "splits a little apart": (
        "UnlikeSplits",
        fact("splits", value=[split(scale=2.9, shift=2.9), split(scale=None)]),
    ),
    "nine in ten of one class": (
        "ImbalancedLabels",
        fact("target", most_frequent=0.9),
    ),
    "one of three units is dead": (
        "DeadRelu",
        both(narrow("dense_1", 3), edit("activation", "dead_fraction", ALL, 1, 1 / 3)),
    ),
    "signal fades in a few units": (
        "PoorWeightInitialization",
        both(narrow("dense_1", 7), profile("activation", "std", 1.0, -0.5)),
    ),
    "five of eight units are dead": (
        "DeadRelu",
        both(narrow("dense_1", 8), edit("activation", "dead_fraction", ALL, 1, 5 / 8)),
    ),
    "two of three units are silent at most steps": (
        "DeadRelu",
        both(
            narrow("dense_1", 3),
            edit("activation", "dead_fraction", ALL, 1, 2 / 3),
            edit("activation", "dead_fraction", 11, 1, 1 / 3),
        ),
    ),
    "an output whose targets are 0, too": (
        "DeadRelu",
        both(outputs_of_relu(4), edit("activation", "dead_fraction", ALL, 3, 0.25)),
    ),
    "one input of two is the same": (
        "ConstantInput",
        fact("input", value=[moments(0.0, 1.0, -3.0, 3.0), {**CLASSES, "alike": True}]),
    ),
    "heads on their own scales": ("UnscaledTarget", heads("fine")),
    "a step takes a little off the loss": (
        "NoProgress",
        edit("update", "rms", ALL, ALL, 2e-8),
    ),
    "steps are lost though no gradient has faded": (
        "NoProgress",
        both(
            edit("weight", "rms", ALL, slice(0, 6), 1e9),
            edit("weight", "rms", ALL, 6, 1e5),
        ),
    ),
    "numbers at the end of their range": (
        "NonFinite",
        both(
            edit("activation", "max", ALL, 1, 3e38), edit("weight", "rms", ALL, 0, 3e38)
        ),
    ),
    "gradient vanishes at one step": (
        "VanishingGradient",
        lambda d: d.values["gradient"]["rms"].__setitem__(
            1, np.repeat(1e-5 * depth(1.0), 2)
        ),
    ),
    "rows without a label beside rows of one": (
        "LossActivationMismatch",
        several_labels(0.9),
    ),
    "kernels whose inputs are 0 where the loss speaks": (
        "VanishingGradient",
        edit("gradient", "rms", ALL, KERNELS, 1e-5 * depth(1.0)),
    ),
    "one kernel of that kind": (
        "VanishingGradient",
        edit("gradient", "rms", ALL, 2, 1e-6),
    ),
    "gradient fades a little": (
        "VanishingGradient",
        profile("gradient", "rms", 1e-3, 0.6),
    ),
    "gradient of one is small": (
        "VanishingGradient",
        edit("gradient", "rms", ALL, slice(2, 4), 2e-5),
    ),
    "gradient grows a little": (
        "ExplodingGradient",
        profile("gradient", "rms", 1.0, -0.6),
    ),
    "gradient grows as kernels get smaller": (
        "ExplodingGradient",
        both(
            profile("gradient", "rms", 1.0, -1.0), profile("weight", "rms", 0.3e-3, 1.0)
        ),
    ),
    "gradient of one is large, its kernel small": (
        "ExplodingGradient",
        both(edit("gradient", "rms", ALL, 4, 1e3), edit("weight", "rms", ALL, 4, 1e-5)),
    ),
    "gradient of one is large": (
        "ExplodingGradient",
        edit("gradient", "rms", ALL, 4, 5.0),
    ),
    "gradient of rare words": (
        "VanishingGradient",
        both(table("dense"), edit("gradient", "rms", ALL, 0, 1e-6)),
    ),
    "gradient is 0 at some steps": (
        "NoGradient",
        edit("gradient", "rms", slice(1, None), 2, 0),
    ),
    "gradient fades through time": ("VanishingThroughTime", over_time(3.0)),
    "gradient grows a little through time": ("ExplodingGradient", over_time(0.85)),
    "last time step alone is used": ("VanishingThroughTime", last_step_only),
    "short sequence": ("VanishingThroughTime", over_time(20.0, length=6)),
    "kernel starts at zero and learns": (
        "SymmetricUnits",
        lambda d: edit("weight", "distinct_units", 0, 6, 1)(d),
    ),
    "layer of one unit": (
        "SymmetricUnits",
        lambda d: (
            edit("weight", "distinct_units", ALL, 6, 1)(d),
            edit("gradient", "distinct_units", ALL, 6, 1)(d),
            d.metadata["layers"][3]["weights"].update(kernel=[11, 1]),
        ),
    ),
    "dead at one step": ("DeadRelu", edit("activation", "zero_fraction", 3, 0, 1)),
    "dead until it recovers": (
        "DeadRelu",
        edit("activation", "zero_fraction", slice(5), 0, 1),
    ),
    "few dead units": ("DeadRelu", edit("activation", "dead_fraction", ALL, 1, 0.8)),
    "sparse ReLU": ("DeadRelu", edit("activation", "zero_fraction", ALL, 1, 0.99)),
    "sparse linear layer": (
        "AllZero",
        edit("activation", "zero_fraction", ALL, 3, 0.99),
    ),
    "saturated output": (
        "SaturatedActivation",
        edit("preactivation", "saturation_fraction", ALL, 3, 0.99),
    ),
    "a little saturated": (
        "SaturatedActivation",
        edit("preactivation", "saturation_fraction", ALL, 1, 0.4),
    ),
    "no squashing activation": (
        "SaturatedActivation",
        edit("preactivation", "saturation_fraction", ALL, ALL, np.nan),
    ),
    "outputs grow and stay small": (
        "ExplodingTensor",
        edit("activation", "rms", slice(5, None), 2, 900),
    ),
    "outputs are large from the start": (
        "ExplodingTensor",
        edit("activation", "rms", ALL, 2, 1e5),
    ),
    "large numbers in float32": (
        "Float16Overflow",
        edit("activation", "max", ALL, 1, 1e6),
    ),
    "large numbers in float16": (
        "Float16Overflow",
        both(half("dense_1"), edit("activation", "max", ALL, 1, 3e4)),
    ),
    "small gradients in float32": ("Float16Underflow", octaves(up40=1)),
    "small gradients in float16": (
        "Float16Underflow",
        both(half("dense_1"), octaves(up14=0.6, up15=0.4)),
    ),
    "small gradients scaled": (
        "Float16Underflow",
        both(half("dense_1"), octaves(up28=1), fact("optimizer", loss_scale=2.0**14)),
    ),
    "low rank from the start": (
        "RankCollapse",
        edit("activation", "effective_rank", ALL, ALL, 1.1),
    ),
    "low rank at the output": (
        "RankCollapse",
        edit("activation", "effective_rank", ALL, 3, 1.0),
    ),
    "low rank after training": (
        "RankCollapse",
        edit("activation", "effective_rank", slice(1, None), 2, 1.0),
    ),
    "predictions start equal": (
        "ConstantOutput",
        edit("activation", "effective_rank", 0, 3, np.nan),
    ),
    "layer without units": (
        "ConstantOutput",
        both(
            edit("activation", "effective_rank", ALL, 3, np.nan),
            edit("activation", "distinct_units", ALL, 3, np.nan),
        ),
    ),
    "batches of one": (
        "RepresentationCollapse",
        both(
            edit("activation", "effective_rank", ALL, ALL, np.nan),
            lambda d: d.metadata["input"][0].update(shape=[1, 4]),
        ),
    ),
    "signal shrinks a little": (
        "PoorWeightInitialization",
        profile("activation", "std", 1.0, -0.3),
    ),
    "small embedding": (
        "PoorWeightInitialization",
        both(table("dense"), edit("activation", "std", ALL, 0, 1e-3)),
    ),
    "signal shrinks a little on its way back": (
        "PoorWeightInitialization",
        profile("backprop", "norm", 1e-6, 0.9),
    ),
    "kernel a little large": ("TensorVariance", edit("weight", "std", 0, 2, 2.0)),
    "last kernel small": ("TensorVariance", edit("weight", "std", 0, 6, 1e-4)),
    "kernel zero": ("TensorVariance", edit("weight", "std", 0, 2, 0.0)),
    "steps of one large": ("WeightUpdateRatio", edit(*RATIO, ALL, 2, 0.02)),
    "steps of one small": ("WeightUpdateRatio", edit(*RATIO, ALL, 2, 1e-5)),
    "steps of a zero kernel": ("WeightUpdateRatio", edit(*RATIO, 0, 6, np.inf)),
    "unchanged for some steps": (
        "UnchangedTensor",
        edit("update", "rms", slice(2, 9), 2, 0),
    ),
    "unchanged without a gradient": (
        "UnchangedTensor",
        both(
            edit("update", "rms", slice(7, None), 2, 0),
            edit("gradient", "rms", slice(7, None), 2, 0),
        ),
    ),
    "stack as deep as it can be": (
        "TrainableDepth",
        fact("phases", value=[ORDERED]),
    ),
    "short stack": (
        "TrainableDepth",
        fact("phases", value=[ORDERED | {"layers": LAYERS, "trainable_depth": 1.0}]),
    ),
    "rate a little above": (
        "LearningRateTrial",
        fact("learning_rate_trial", rate=0.019),
    ),
    "rate a little below": (
        "LearningRateTrial",
        fact("learning_rate_trial", rate=4e-5),
    ),
    "no rate learns": (
        "LearningRateTrial",
        fact("learning_rate_trial", rate=1.0, proposal=None, reason="it is flat"),
    ),
    "rate of a schedule": (
        "LearningRateTrial",
        fact("learning_rate_trial", rate=None),
    ),
    "NaN after small steps": ("LearningRateTooHigh", loss(2.3, *[np.nan] * 12)),
    "large steps that learn": ("LearningRateTooHigh", edit(*RATIO, ALL, KERNELS, 0.4)),
    "small steps that learn": ("LearningRateTooLow", edit(*RATIO, ALL, KERNELS, 1e-5)),
    "confident start": ("LossAtInit", loss(*np.linspace(5.3, 1.0, len(STEPS)))),
    "confident start of a penalized model": (
        "LossAtInit",
        both(loss(*np.linspace(8.4, 1.0, len(STEPS))), fact("penalty", value=3.2)),
    ),
    "penalized": (
        "OverRegularization",
        both(fact("penalty", value=9.0), loss(*np.linspace(11.3, 3, len(STEPS)))),
    ),
    "shrunk without a penalty": (
        "OverRegularization",
        both(
            edit("weight", "rms", slice(3, None), KERNELS, 0.006),
            fact("penalty", value=0.0),
        ),
    ),
    "usual dropout": ("OverRegularization", fact("dropout", value=[["drop", 0.7]])),
    "all classes": ("DamagedTargets", fact("target", max=9.0)),
    "nothing trained": (
        "DamagedTargets",
        both(
            flat_loss(2.7, 2.42),
            lambda d: [d.values.pop(s) for s in ("gradient", "weight", "update")],
        ),
    ),
    "recurrent model learns late": (
        "DamagedTargets",
        both(
            flat_loss(2.7, 2.42),
            lambda d: d.metadata["layers"][1].update(class_name="LSTMCell"),
        ),
    ),
    "sigmoids for classes": (
        "DamagedTargets",
        both(
            flat_loss(2.7, 2.42),
            fact("loss", from_logits=False),
            lambda d: d.metadata["outputs"][0].update(activation="sigmoid"),
        ),
    ),
    "labels learnt slowly": (
        "DamagedTargets",
        loss(2.7, *np.linspace(2.42, 2.36, len(STEPS) - 1)),
    ),
    "learned and lost again": ("DamagedTargets", loss(2.6, *[1.9] * 5, *[2.4] * 7)),
    "loss falls by steps": ("DamagedTargets", loss(*[2.3] * 7, *[2.0] * 6)),
    "pixels of a normalized model": ("UnscaledInput", both(PIXELS, normalized)),
    "words": ("UnscaledInput", both(PIXELS, embedded)),
    "inputs a little large": (
        "UnscaledInput",
        fact("input", value=[moments(3.0, 7.0, 0.0, 20.0)]),
    ),
    "classes are no prices": ("UnscaledTarget", fact("target", value=0, rms=300.0)),
    "another batch": (
        "InferenceDiffers",
        edit("inference", "rms", slice(None), slice(None), 2.5),
    ),
    "numbers of a linear layer": (
        "LossActivationMismatch",
        regression("linear", -3.0, 1.0),
    ),
    "numbers a little beyond a tanh": (
        "LossActivationMismatch",
        regression("tanh", -1.05, 1.1),
    ),
    "classes of a relu": (
        "LossActivationMismatch",
        fact("outputs", value=[{"layer": "logits", "activation": "relu", "units": 10}]),
    ),
    "targets a little large": (
        "UnscaledTarget",
        both(
            fact("target", value=0, **moments(22.0, 9.0, 5.0, 50.0)),
            fact("loss", name="mean_squared_error"),
        ),
    ),
}
NEAR_MISSES |= {
    "likelihood of densities": (
        "LossSign",
        both(negative(-1.0, -14.0), metric("mae", 1.0, 1.4)),
    ),
    "loss below 0 and more hits": (
        "LossSign",
        both(negative(-2.5, -14.0), metric("accuracy", 0.1, 0.2)),
    ),
    "loss below 0 that hardly falls": (
        "LossSign",
        both(negative(-2.5, -3.0), metric("accuracy", 0.1, 0.1)),
    ),
    "one of another class": (
        "SortedLabels",
        lambda d: (fact("target", most_frequent=0.998)(d), d.metadata.pop("sample")),
    ),
    "a sample of a rare class": (
        "SortedLabels",
        fact("target", most_frequent=0.94),
    ),
    "tokens as they are": ("FractionsAsIndices", looked_up(integral=True)),
    "schedule that comes down when all is learnt": (
        "LearningRateTooLow",
        both(fact("optimizer", scheduled=True), decayed, falling(2.3, 0.5)),
    ),
    "a batch of one whose values stay": ("BatchOfOne", one_example),
    "a batch of several of which nothing is left": (
        "BatchOfOne",
        both(
            one_example,
            fact("input", value=[moments(0.0, 1.0, -3.0, 3.0)]),
            edit("activation", "rms", 0, 1, 0.0),
        ),
    ),
}

# Near misses that rules do not spare but leave alone.
UNJUDGED = (
    "sigmoids for classes",
    "batches of one",
    "recurrent model learns late",
    "nothing trained",
    "no rate learns",
    "rate of a schedule",
)


def judged(change, **options):
    draft = Draft()
    change(draft)
    findings = diagnosis.judge(draft.record(), **options)
    causes = diagnosis.causes_among(findings)
    return [f for f in causes if f.rule != ALONE]


def test_healthy_record_has_no_findings_and_is_judged_by_every_rule():
    assert diagnosis.judge(Draft().record()) == []
    assert diagnosis.not_judged(Draft().record()) == {}


@pytest.mark.parametrize("case", TRIPS)
def test_rule_trips_on_its_fault_and_names_the_place(case):
    change, (rule, severity, layer, step, measured, threshold) = TRIPS[case]
    (finding,) = judged(change)
    found = (finding.rule, finding.severity, finding.layer, finding.step)
    assert found == (rule, severity, layer, step)
    assert finding.measured == pytest.approx(measured, rel=1e-5)
    assert finding.threshold == pytest.approx(threshold, rel=1e-12)
    assert finding.message[-1] == finding.remedy[-1] == "."
    assert finding.message[0].islower() or finding.message[0].isdigit()
    assert finding.remedy.count("`") % 2 == 0
    assert finding.reference


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_rules_spare_the_near_miss(case):
    rule, change = NEAR_MISSES[case]
    assert judged(change) == []
    draft = Draft()
    change(draft)
    if case not in UNJUDGED:
        assert rule not in diagnosis.not_judged(draft.record())


def test_every_rule_has_a_case_and_a_near_miss():
    cases = {expected[0] for _, expected in TRIPS.values()}
    assert cases | {ALONE} == set(diagnosis.RULES)
    assert {rule for rule, _ in NEAR_MISSES.values()} | {ALONE} == set(diagnosis.RULES)


@pytest.mark.parametrize("name", diagnosis.RULES)
def test_rule_is_not_judged_where_what_it_needs_is_missing(name):
    rule = diagnosis.RULES[name]
    faults = [change for change, expected in TRIPS.values() if expected[0] == name]
    for change in faults or [flat_loss(2.3, 2.3)]:
        draft = Draft()
        change(draft)
        assert diagnosis.judge(draft.record(), rules=[name])
        lacking = [rule.needs] if rule.any_of else [(need,) for need in rule.needs]
        for needs in lacking:
            draft = Draft()
            change(draft)
            for need in needs:
                draft.without(need)
            record = draft.record()
            assert diagnosis.judge(record, rules=[name]) == []
            joined = " or ".join(needs)
            assert diagnosis.not_judged(record, rules=[name]) == {
                name: f"does not hold {joined}"
            }


@pytest.mark.parametrize("case", TRIPS)
def test_rule_without_metadata_says_the_same_or_that_it_cannot_judge(case):
    change, (rule, *_) = TRIPS[case]
    draft = Draft()
    change(draft)
    record = draft.without_facts().record()
    found = {f.rule for f in diagnosis.judge(record)} - {ALONE}
    # Whether a silent layer is a ReLU is known from the metadata alone.
    same = {"DeadRelu": "AllZero"}.get(rule, rule) if case == "dead" else rule
    silent = (
        rule in diagnosis.not_judged(record)
        # Whether there is a penalty, NaN in the data or a ReLU is told by facts alone.
        or case in ("penalty", "shrunk", "dropout", "nan in the inputs", "mostly dead")
        or case in ("two of three units are dead", "an output is dead")
        or case == "six of eight units are dead"
        # What a constant guess attains is told by the entropy of the labels.
        or case == "steps too small to leave chance"
    )
    assert found == (set() if silent else {same})


def test_empty_record_is_not_judged():
    assert diagnosis.judge(RunRecord()) == []
    assert set(diagnosis.not_judged(RunRecord())) == set(diagnosis.RULES)
    assert diagnosis.judge(Draft(steps=()).record()) == []


def test_symmetric_units_needs_the_gradient_or_two_steps():
    draft = Draft()
    symmetric(draft)
    rules = ["SymmetricUnits"]
    assert len(diagnosis.judge(draft.record(steps=1), rules)) == 1
    draft.without("gradient/distinct_units")
    assert diagnosis.judge(draft.record(steps=1), rules) == []
    assert len(diagnosis.judge(draft.record(steps=2), rules)) == 1


def test_symmetric_units_looks_at_outputs_where_weights_were_not_recorded():
    draft = Draft()
    del draft.values["weight"], draft.values["gradient"]
    draft.values["activation"]["distinct_units"][:, 1] = 1
    (finding,) = diagnosis.judge(draft.record())
    assert (finding.rule, finding.layer) == ("SymmetricUnits", "dense_1")


def test_nonfinite_weight_comes_before_what_is_computed_of_it():
    draft = Draft()
    TRIPS["nan at 10"][0](draft)
    draft.values["weight"]["nonfinite_count"][1, 0] = np.nan
    (finding,) = diagnosis.judge(draft.record())
    assert (finding.layer, finding.step) == ("dense", 10)
    assert finding.message.startswith("weight of 'dense/kernel' holds")


def test_nonfinite_gradient_starts_at_the_last_layer():
    (finding,) = judged(
        edit("gradient", "nonfinite_count", slice(2, None), slice(6), 1)
    )
    assert (finding.layer, finding.step) == ("dense_2", 20)


def test_nan_that_comes_into_the_first_layer_is_looked_for_in_the_data():
    draft = Draft()
    edit("activation", "nonfinite_count", slice(3, None), ALL, 5)(draft)
    (finding,) = diagnosis.judge(draft.record(), ["NonFinite"])
    assert (finding.layer, finding.step) == ("dense", 30)
    assert "what comes in is not" in finding.message
    assert "learning rate" not in finding.remedy
    # Weights that are about to overflow bring it about themselves.
    edit("weight", "rms", 3, ALL, 1e38)(draft)
    (finding,) = diagnosis.judge(draft.record(), ["NonFinite"])
    assert "what comes in" not in finding.message
    assert "learning rate" in finding.remedy


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_rules_get_along_with_any_numbers(value):
    draft = Draft()
    for statistics in draft.values.values():
        for values in statistics.values():
            values[:] = value
    for values in (*draft.histograms.values(), *draft.time_steps.values()):
        values[:] = value
    draft.loss = np.full(len(STEPS), value)
    found = {f.rule for f in diagnosis.judge(draft.record())}
    assert ("NonFinite" in found) == (value != 0)
    assert ("NoGradient" in found) == (value == 0)


def test_last_layer_stands_out_where_all_others_vanish_and_does_not_explode():
    draft = Draft()
    draft.values["gradient"]["rms"][:, 0:6] = 1e-9
    findings = diagnosis.judge(draft.record())
    assert {f.rule for f in findings} == {"VanishingGradient"}
    # The largest of those behind it is what a gradient has grown from.
    draft.values["gradient"]["rms"][:, 4] = 1e-4
    assert not diagnosis.judge(draft.record(), rules=["ExplodingGradient"])
    draft.values["gradient"]["rms"][:, 4] = 100.0
    (finding,) = diagnosis.judge(draft.record(), rules=["ExplodingGradient"])
    assert finding.layer == "dense_2"


@pytest.mark.parametrize(
    "case", ["kernel too large", "signal grows", "loss at init", "pixels", "prices"]
)
def test_rate_that_is_too_high_follows_from_weights_or_data_that_are_too_large(case):
    draft = Draft()
    change, (cause, *_) = TRIPS[case]
    change(draft)
    edit(*RATIO, ALL, KERNELS, 0.4)(draft)
    draft.loss = draft.loss[0] * 2.0 ** np.arange(len(STEPS))
    found = {f.rule: f.because_of for f in diagnosis.judge(draft.record())}
    assert found["LearningRateTooHigh"] == cause
    assert found[cause] is None


def test_steps_are_held_against_weights_that_fit():
    # A tenth of what fits moves by three times as large a share, for no fault of the
    # rate; nine times as much by a third of it.
    for rms, rule in ((0.03, "LearningRateTooHigh"), (2.7, "LearningRateTooLow")):
        draft = Draft()
        high = rule == "LearningRateTooHigh"
        edit(*RATIO, ALL, KERNELS, 0.2 if high else 5e-5)(draft)
        draft.loss = 2.3 * (1 + 0.01 * np.arange(len(STEPS)))
        assert [f.rule for f in diagnosis.judge(draft.record(), [rule])] == [rule]
        edit("weight", "rms", ALL, KERNELS, rms)(draft)
        assert diagnosis.judge(draft.record(), [rule]) == []


def test_rate_is_named_where_a_leap_has_killed_the_layers():
    draft = Draft()
    edit(*RATIO, 0, KERNELS, 0.4)(draft)
    draft.loss = np.full(len(STEPS), 2.3)
    assert diagnosis.judge(draft.record(), ["LearningRateTooHigh"]) == []
    edit("activation", "zero_fraction", slice(1, None), 1, 1)(draft)
    found = {f.rule: f.because_of for f in diagnosis.judge(draft.record())}
    assert found["LearningRateTooHigh"] is None
    assert found["DeadRelu"] == "LearningRateTooHigh"
    # A loss that fell to that of a constant guess on the way is no excuse.
    draft.loss[1:] = 1.2
    assert len(diagnosis.judge(draft.record(), ["LearningRateTooHigh"])) == 1
    # One that was dead from the start was not killed.
    edit("activation", "zero_fraction", ALL, 1, 1)(draft)
    assert diagnosis.judge(draft.record(), ["LearningRateTooHigh"]) == []


def test_gradient_that_falls_all_along_is_not_called_exploding_behind():
    draft = Draft(layers=tuple("abcdefghi"), units=(8,) * 9)
    draft.values["gradient"]["rms"][:, ::2] = 1e-6 * 10.0 ** np.arange(9)
    rules = [f.rule for f in diagnosis.judge(draft.record()) if f.layer != "b"]
    assert set(rules) == {"VanishingGradient"}
    draft.values["gradient"]["rms"][:, ::2] = 1e2 * 0.1 ** np.arange(9)
    assert {f.rule for f in diagnosis.judge(draft.record())} == {"ExplodingGradient"}


def test_layer_that_starts_at_zero_is_told_at_once_only_if_it_gets_no_gradient():
    rules = ["AllZero"]
    for steps in (1, 2, None):
        draft = Draft()
        draft.values["activation"]["zero_fraction"][0, 3] = 1
        assert diagnosis.judge(draft.record(steps=steps), rules) == []
    draft.values["gradient"]["rms"][0, 6] = 0  # of its kernel
    (finding,) = diagnosis.judge(draft.record(steps=1), rules)
    assert (finding.layer, finding.step) == ("logits", 0)
    draft.without("gradient/rms")
    assert diagnosis.judge(draft.record(steps=1), rules) == []


def test_zero_head_blocks_the_first_gradient_only():
    draft = Draft()
    draft.values["weight"]["rms"][0, 6] = 0
    draft.values["gradient"]["rms"][0, :6] = 0
    rules = ["NoGradient"]
    assert diagnosis.judge(draft.record(steps=1), rules) == []
    # Where the last layer gets no gradient either, nothing will move.
    draft.values["gradient"]["rms"][0, 6:] = 0
    assert len(diagnosis.judge(draft.record(steps=1), rules)) == len(LAYERS)


def test_fault_is_found_when_it_comes_late_and_forgotten_when_it_went():
    late = judged(edit("activation", "zero_fraction", slice(9, None), 1, 1))
    assert [(f.rule, f.step) for f in late] == [("DeadRelu", 90)]
    assert judged(edit("activation", "zero_fraction", slice(10, None), 1, 1)) == []
    assert judged(edit("activation", "zero_fraction", slice(4, 10), 1, 1)) == []


def test_the_rate_tried_is_told_with_what_it_came_to():
    (finding,) = judged(fact("learning_rate_trial", rate=1.0))
    assert finding.message == (
        "the learning rate is 1; tried for 5 steps each, those from 0.0003 to 0.01 "
        "learn, and yours takes the loss from 2.4 to NaN or Inf."
    )
    assert "`model.optimizer.learning_rate = 0.003`" in finding.remedy
    (finding,) = judged(fact("learning_rate_trial", rate=7.0))  # it was not tried
    assert finding.message.endswith("those from 0.0003 to 0.01 learn.")


def test_what_a_rate_does_follows_from_the_trial_of_it():
    draft = Draft()
    change = both(edit(*RATIO, ALL, KERNELS, 0.4), flat_loss(2.3, 2.4))
    both(change, fact("learning_rate_trial", rate=1.0))(draft)
    found = {f.rule: f.because_of for f in diagnosis.judge(draft.record())}
    assert found["LearningRateTrial"] is None
    assert found["LearningRateTooHigh"] == "LearningRateTrial"


def test_drift_is_judged_at_the_start_of_training_only():
    draft = Draft(steps=tuple(range(100, 221, 10)))
    profile("activation", "std", 1.0, 0.5)(draft)
    draft.loss = np.linspace(1, 0.5, 13)
    assert diagnosis.judge(draft.record()) == []
    reasons = diagnosis.not_judged(draft.record())
    assert reasons["PoorWeightInitialization"] == "does not hold the start of training"
    assert reasons["LossAtInit"] == "does not hold a finite loss of the first step"


def test_probabilities_do_not_count_as_drift():
    draft = Draft()
    draft.values["activation"]["std"][:, 2:] = [10**-0.9, 1e-4]
    assert [f.rule for f in diagnosis.judge(draft.record())]
    draft.metadata["layers"][-1]["activation"] = "softmax"
    assert diagnosis.judge(draft.record()) == []


def test_last_layer_may_be_small_on_purpose():
    draft = Draft()
    draft.values["activation"]["std"][:, 3] = 1e-4
    assert diagnosis.judge(draft.record()) == []


def placed(*places):
    """A draft whose layers stand at (net, depth)."""
    draft = Draft()
    for entry, (net, depth) in zip(draft.metadata["layers"], places, strict=True):
        entry["place"] = dict(net=net, depth=depth, hands_on=True, branch=False)
    return draft


@pytest.mark.parametrize("signal", ["activation", "backprop", "gradient"])
def test_layers_side_by_side_are_none_one_behind_another(signal):
    """Nor are those of two networks: a generator and its critic."""
    statistic = {"activation": "std", "backprop": "norm", "gradient": "rms"}[signal]
    change = profile(signal, statistic, 1e-3, 1.5)
    chain = placed((0, 0), (0, 1), (0, 2), (0, 3))
    towers = placed((0, 0), (0, 0), (0, 0), (0, 0))
    nets = placed((0, 0), (1, 0), (2, 0), (3, 0))
    for draft in (chain, towers, nets):
        change(draft)
    drift = {"PoorWeightInitialization", "VanishingGradient"}
    assert drift & {f.rule for f in diagnosis.judge(chain.record())}
    for draft in (towers, nets):
        found = [f for f in diagnosis.judge(draft.record()) if f.rule in drift]
        assert [f for f in found if "decades" in f.message] == []


@pytest.mark.parametrize("signal", ["activation", "backprop", "gradient"])
def test_what_is_on_residual_branches_makes_no_drift(signal):
    statistic = {"activation": "std", "backprop": "norm", "gradient": "rms"}[signal]
    draft = Draft()
    columns = [0, 2, 4, 6] if signal == "gradient" else [0, 1, 2, 3]
    values = draft.values[signal][statistic]
    values[:, columns] *= [1e-6, 1e-4, 1e-2, 1.0]
    drift = ["PoorWeightInitialization", "VanishingGradient"]
    assert diagnosis.judge(draft.record(), drift)
    for entry in draft.metadata["layers"][:2]:
        entry["place"]["branch"] = True
    values[:, columns[2]] = values[:, columns[3]]
    assert diagnosis.judge(draft.record(), drift) == []


@pytest.mark.parametrize("signal", ["activation", "gradient"])
def test_what_is_beside_the_way_makes_no_drift(signal):
    """Queries of the first block and a gate ahead of it have little; others do not."""
    statistic = {"activation": "std", "gradient": "rms"}[signal]
    draft = placed((0, 0), (0, 0), (0, 1), (0, 2))
    columns = [0, 2, 4, 6] if signal == "gradient" else [0, 1, 2, 3]
    draft.values[signal][statistic][:, columns] = [1e-5, 1e-2, 1e-2, 1e-2]
    biases_like_kernels(draft)
    drift = ["PoorWeightInitialization", "VanishingGradient"]
    found = [
        f for f in diagnosis.judge(draft.record(), drift) if "median" not in str(f)
    ]
    assert found == []
    draft.values[signal][statistic][:, columns[1]] = 1e-5
    biases_like_kernels(draft)
    found = [
        f for f in diagnosis.judge(draft.record(), drift) if "median" not in str(f)
    ]
    assert len(found) == 1


def test_slow_drift_counts_where_it_goes_far():
    layers = tuple(f"layer{n}" for n in range(20))
    for decades, told in ((0.12, 1), (0.07, 0)):
        draft = Draft(layers, (256,) * 20)
        draft.values["activation"]["std"][:] = 10.0 ** (-decades * np.arange(20))
        found = diagnosis.judge(draft.record(), rules=["PoorWeightInitialization"])
        assert len(found) == told


def test_layers_of_unlike_size_at_each_depth_make_no_drift():
    """Last layers of branches are small on purpose, the others are not."""
    draft = placed((0, 0), (0, 0), (0, 1), (0, 1))
    for values in ([1.0, 0.05, 1.0, 0.04], [1.0, 0.04, 1.0, 0.05]):
        draft.values["activation"]["std"][:] = values
        assert diagnosis.judge(draft.record(), rules=["PoorWeightInitialization"]) == []


def test_depth_is_that_of_the_graph_not_of_the_record():
    draft = placed((0, 3), (0, 2), (0, 1), (0, 0))
    profile("activation", "std", 1.0, -0.8)(draft)
    (finding,) = diagnosis.judge(draft.record(), rules=["PoorWeightInitialization"])
    assert finding.measured == pytest.approx(2.4)
    assert "grows" in finding.message


def test_gradient_of_one_entry_may_be_small_where_pooling_explains_it():
    """784 positions are averaged: each has 1/784 of the gradient, and all its size."""
    draft = Draft()
    draft.values["backprop"]["rms"][:, :3] /= 784
    draft.values["gradient"]["rms"][:, :4] /= 784
    draft.values["weight"]["rms"][:, :4] *= 784
    draft.values["weight"]["norm"] = draft.values["weight"]["rms"]
    assert diagnosis.judge(draft.record()) == []


def test_variance_is_judged_by_both_fans_and_by_what_follows():
    rules = ["TensorVariance"]

    def found(std, fans, hands_on=True, shape=(11, 32)):
        draft = Draft()
        draft.values["weight"]["std"][0, 2] = std
        entry = draft.metadata["layers"][1]
        entry["weights"]["kernel"] = list(shape)
        entry["fans"] = {"kernel": list(fans)} if fans else {}
        entry["place"]["hands_on"] = hands_on
        return len(diagnosis.judge(draft.record(), rules))

    assert found(0.005, (11, 32)) == 1
    assert found(0.005, (11, 32), hands_on=False) == 0  # ends a branch, or normalized
    assert found(0.03, (2, 3136)) == 0  # Glorot's rule
    assert found(0.5, (9, 9), shape=(3, 3, 256, 1)) == 0  # depthwise
    assert found(3.0, (256, 1), shape=(256, 32)) == 1
    assert found(3.0, None) == 0  # an unknown kind


def test_numbers_of_rows_are_no_scale():
    draft = Draft()
    draft.metadata["input"] = [moments(500.0, 300.0, 0.0, 1000.0) | {"integral": True}]
    rules = ["UnscaledInput"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.metadata["layers"][0]["roles"] = {"table": "table"}
    assert diagnosis.judge(draft.record(), rules) == []
    draft.metadata["input"][0]["integral"] = False
    assert len(diagnosis.judge(draft.record(), rules)) == 1


def test_table_may_be_asked_for_one_row():
    draft = Draft()
    draft.values["activation"]["effective_rank"][:, 0] = np.nan
    rules = ["RepresentationCollapse"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.metadata["layers"][0]["roles"] = {"kernel": "table"}
    assert diagnosis.judge(draft.record(), rules) == []


def test_branches_may_start_near_zero_while_the_first_layer_learns():
    draft = Draft()
    draft.values["gradient"]["rms"][:, [0, 2, 4, 6]] = 1e-12
    rules = ["VanishingGradient"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.values["gradient"]["rms"][:, 0] = 1e-2
    assert diagnosis.judge(draft.record(), rules) == []


def test_nothing_goes_through_time_without_recurrence():
    """A head that reads token 0 leaves the others without a gradient."""
    for change in (over_time(0.5), over_time(20.0)):
        draft = Draft()
        change(draft)
        assert diagnosis.judge(draft.record())
        del draft.metadata["layers"][1]["roles"]["recurrent_kernel"]
        assert diagnosis.judge(draft.record()) == []


def test_bottleneck_beside_the_way_folds_nothing():
    """A gate of squeeze and excitation; an attention scorer of one unit."""
    rules = ["RankCollapse"]
    draft = Draft()
    draft.values["activation"]["effective_rank"][:, 1] = 1.1
    assert diagnosis.judge(draft.record(), rules) == []
    draft.values["activation"]["effective_rank"][:, 2] = 1.1
    assert diagnosis.judge(draft.record(), rules) == []  # the logits differ
    draft.values["activation"]["effective_rank"][:, 3] = 1.1
    (finding,) = diagnosis.judge(draft.record(), rules)
    assert finding.layer == "dense_1"
    draft.values["activation"]["distinct_units"][:, 1:] = 1
    assert diagnosis.judge(draft.record(), rules) == []


def test_kernel_that_starts_at_zero_grows_by_large_steps():
    draft = Draft()
    draft.values["weight"]["rms"][:, 6] = 1e-3 * np.arange(len(STEPS))
    edit(*RATIO, ALL, 6, 0.5)(draft)
    assert diagnosis.judge(draft.record(), rules=["WeightUpdateRatio"]) == []
    draft.values["weight"]["rms"][:, 6] = 0.3
    assert len(diagnosis.judge(draft.record(), rules=["WeightUpdateRatio"])) == 1


def test_what_has_converged_may_stand_still():
    draft = Draft()
    draft.values["update"]["rms"][4:, 2] = 0
    rules = ["UnchangedTensor"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.values["gradient"]["rms"][4:, 2] = 1e-9
    assert diagnosis.judge(draft.record(), rules) == []


def test_accumulating_optimizer_may_leave_weights_unchanged():
    draft = Draft()
    TRIPS["unchanged"][0](draft)
    draft.metadata["optimizer"]["gradient_accumulation_steps"] = 4
    assert diagnosis.judge(draft.record()) == []
    assert "UnchangedTensor" in diagnosis.not_judged(draft.record())


def test_loss_not_decreasing():
    draft = Draft()
    flat_loss(2.3, 2.3)(draft)
    (finding,) = diagnosis.judge(draft.record(), rules=[ALONE])
    assert (finding.layer, finding.step, finding.threshold) == (None, 0, 0.01)
    draft.loss = np.linspace(2.3, 2.29, len(STEPS))  # slowly, but it falls
    assert diagnosis.judge(draft.record(), rules=[ALONE]) == []
    draft.loss = np.full(len(STEPS), 2.3)
    short = draft.record(steps=10)
    assert diagnosis.judge(short, rules=[ALONE]) == []
    assert diagnosis.not_judged(short, rules=[ALONE]) == {
        ALONE: "holds 10 finite losses over 90 iterations, 8 over 100 are needed"
    }


def test_labels_are_not_blamed_for_what_has_another_reason():
    draft = Draft()
    TRIPS["labels of others"][0](draft)
    edit("activation", "zero_fraction", ALL, 1, 1)(draft)
    record = draft.record()
    assert diagnosis.judge(record, rules=["DamagedTargets"]) == []
    assert "other faults" in diagnosis.not_judged(record)["DamagedTargets"]
    for change in (
        fact("loss", from_logits=False),  # of a linear layer
        edit(*RATIO, ALL, ALL, 1e-5),
    ):
        draft = Draft()
        TRIPS["labels of others"][0](draft)
        change(draft)
        assert "DamagedTargets" in diagnosis.not_judged(draft.record())
    draft = Draft()
    TRIPS["labels of others"][0](draft)
    draft.metadata["outputs"][0]["activation"] = "softmax"
    fact("loss", from_logits=False)(draft)
    assert diagnosis.not_judged(draft.record()) == {}


def test_rate_is_not_blamed_for_a_loss_that_gets_no_probabilities():
    draft = Draft()
    TRIPS["steps too small to leave chance"][0](draft)
    fact("loss", from_logits=False)(draft)
    record = draft.record()
    assert diagnosis.judge(record, rules=["LearningRateTooLow"]) == []
    reason = diagnosis.not_judged(record)["LearningRateTooLow"]
    assert reason == "has gradients at fault, which make steps small"


def test_weighted_loss_is_not_compared_with_a_uniform_guess():
    draft = Draft()
    TRIPS["loss at init"][0](draft)
    draft.metadata["weighted"] = True
    assert diagnosis.judge(draft.record(), rules=["LossAtInit"]) == []
    assert "LossAtInit" in diagnosis.not_judged(draft.record())


def test_layer_that_is_called_twice_is_told_once():
    draft = Draft()
    keys = draft.tensors["activation"]
    keys[2] = TensorKey("dense_1", "output", 1)
    draft.values["activation"]["zero_fraction"][:, 1:3] = 1
    found = [f.rule for f in diagnosis.judge(draft.record())]
    assert found.count("DeadRelu") == 1


def test_findings_are_sorted_by_severity_then_step():
    changes = ("float16 underflows", "weights explode", "no gradient")
    findings = judged(both(*(TRIPS[case][0] for case in changes)))
    assert [(f.severity, f.step) for f in findings] == [
        ("error", 0),
        ("error", 90),
        ("warning", 0),
    ]


def test_thresholds_can_be_replaced():
    loose = {"PoorWeightInitialization": {"decades": 2.0}}
    assert judged(TRIPS["signal grows"][0], rules=loose) == []


def test_a_dict_changes_some_rules_and_leaves_others_as_they_are():
    draft = Draft()
    TRIPS["signal grows"][0](draft)
    fact("learning_rate_trial", rate=1.0)(draft)
    names = {f.rule for f in diagnosis.judge(draft.record())}
    assert {"PoorWeightInitialization", "LearningRateTrial"} <= names
    without = {"PoorWeightInitialization": None, "LearningRateTrial": {"above": 200.0}}
    others = {f.rule for f in diagnosis.judge(draft.record(), without)}
    assert others == names - without.keys()


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        ({"AllZero": 3}, TypeError, "must have a dict {threshold: number} for 'AllZer"),
        ({"AllZero": {"zero_fraction": "x"}}, TypeError, "must have a dict {threshold"),
        ({"Nonsense": None}, ValueError, "must be among"),
        ("AllZero", TypeError, "must be a list of names"),
        (3, TypeError, "must be a list of names"),
    ],
)
def test_rules_that_are_none_are_refused(rules, error, words):
    for asking in (
        lambda: diagnosis.judge(RunRecord(), rules),
        lambda: diagnosis.review(RunRecord(), rules=rules),
        lambda: diagnosis.not_judged(RunRecord(), rules),
    ):
        with pytest.raises(error, match=re.escape(words)):
            asking()


def test_unknown_rule_raises():
    message = "`rules` must be among " + str(tuple(sorted(diagnosis.RULES)))
    message += ". Received: ('Nonsense',)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.judge(RunRecord(), rules=["Nonsense"])


def test_unknown_threshold_raises():
    message = (
        "`thresholds` of rule 'AllZero' must be among ('zero_fraction',). "
        "Received: ('share',)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.judge(RunRecord(), rules={"AllZero": {"share": 1.0}})


def test_unknown_severity_raises():
    fields = dict.fromkeys(diagnosis.Finding.__dataclass_fields__, "fatal")
    message = "`severity` must be one of ('info', 'warning', 'error'). "
    message += "Received: severity='fatal'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagnosis.Finding(**fields)


def test_every_rule_declares_what_users_read():
    for name, rule in diagnosis.RULES.items():
        assert rule.name == name
        assert rule.summary.endswith(".")
        assert rule.needs
        assert rule.reference
        assert all(t.meaning and t.unit for t in rule.thresholds.values())


def test_steps_that_rounding_takes_are_no_fault_of_the_optimizer():
    draft = Draft()
    edit("update", "rms", ALL, slice(0, 2), 0)(draft)
    fact("optimizer", name="sgd", learning_rate=0.01)(draft)
    rules = ["UnchangedTensor"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    # A step of 0.01 * 5e-7 beside weights of 0.3.
    edit("gradient", "rms", ALL, slice(0, 2), 5e-7)(draft)
    assert diagnosis.judge(draft.record(), rules) == []
    fact("optimizer", name="adam")(draft)
    assert len(diagnosis.judge(draft.record(), rules)) == 1


def test_few_labels_do_not_tell_what_a_constant_guess_loses():
    draft = Draft()
    TRIPS["labels of others"][0](draft)
    draft.metadata["target"] |= {"entropy": 0.5, "shape": [64]}
    draft.loss = np.full(len(STEPS), 1.5)
    assert diagnosis.judge(draft.record(), ["DamagedTargets"])
    draft.metadata["target"]["shape"] = [8]
    assert diagnosis.judge(draft.record(), ["DamagedTargets"]) == []


def test_no_progress_names_the_layer_that_takes_the_signal():
    draft = Draft()
    TRIPS["a step takes nothing off the loss"][0](draft)
    draft.values["activation"]["rms"][:, 2:] = 1e-3
    (found,) = diagnosis.judge(draft.record(), ["NoProgress"])
    assert found.layer == "dense_2"
