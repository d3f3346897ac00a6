"""Edits of a healthy draft of a record: what makes one sick, or nearly."""

import numpy as np
from records import LAYERS, STEPS, Draft, moments

from keras_initkit import diagnosis, schema
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


def judged(change, **options):
    draft = Draft()
    change(draft)
    findings = diagnosis.judge(draft.record(), **options)
    causes = diagnosis.causes_among(findings)
    return [f for f in causes if f.rule != ALONE]
