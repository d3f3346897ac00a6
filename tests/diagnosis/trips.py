"""What each rule trips on: `{case: (edit, what the finding says)}`."""

import numpy as np
from edits import (
    ALL,
    KERNELS,
    ORDERED,
    RATIO,
    both,
    decayed,
    edit,
    fact,
    falling,
    flat_loss,
    half,
    heads,
    looked_up,
    loss,
    metric,
    narrow,
    negative,
    octaves,
    one_example,
    outputs_of_relu,
    over_time,
    profile,
    regression,
    several_labels,
    symmetric,
)
from records import STEPS, moments, split

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
