"""What each rule just spares: `{case: (rule, edit)}`."""

import numpy as np
from edits import (
    ALL,
    CLASSES,
    KERNELS,
    ORDERED,
    PIXELS,
    RATIO,
    both,
    decayed,
    depth,
    edit,
    embedded,
    fact,
    falling,
    flat_loss,
    half,
    heads,
    last_step_only,
    looked_up,
    loss,
    metric,
    narrow,
    negative,
    normalized,
    octaves,
    one_example,
    outputs_of_relu,
    over_time,
    profile,
    regression,
    several_labels,
    table,
)
from records import LAYERS, STEPS, moments, split

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
    "loss of Keras's below 0": (
        "LossSign",
        both(
            negative(-0.03, -0.9),
            metric("mae", 0.3, 0.6),
            lambda d: d.metadata.update(
                loss={
                    "name": "cosine_similarity",
                    "from_logits": None,
                    "reduction": "sum_over_batch_size",
                    "weighted": False,
                }
            ),
        ),
    ),
    "targets that the loss masks": (
        "NonFinite",
        lambda d: (fact("target", nonfinite=200)(d), d.metadata.pop("sample")),
    ),
    "data that the step has filled": (
        "NonFinite",
        both(fact("sample", nonfinite_in_step=90), fact("target", nonfinite=200)),
    ),
    "last layer that starts at zero": (
        "ConstantOutput",
        both(
            edit("activation", "effective_rank", ALL, 3, np.nan),
            edit("weight", "rms", ALL, 6, 0.0),
        ),
    ),
    "gate that starts at zero": (
        "RepresentationCollapse",
        both(
            edit("activation", "effective_rank", ALL, 1, np.nan),
            edit("weight", "rms", ALL, 2, 0.0),
        ),
    ),
    "rows of norm 1": (
        "UnscaledInput",
        fact("input", value=[moments(5e-4, 9e-3, 0.0, 1.0) | {"shape": [512, 12_000]}]),
    ),
    "few labels of a rare class": (
        "DamagedTargets",
        both(
            fact(
                "target",
                entropy=0.227,
                most_frequent=0.94,
                shape=[256],
                min=0.0,
                max=1.0,
            ),
            fact("loss", name="binary_crossentropy", from_logits=False),
            lambda d: d.metadata["outputs"][0].update(activation="sigmoid", units=1),
            fact("penalty", value=0.0),
            flat_loss(0.227, 0.228),
        ),
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
    "few labels of a rare class",
    "sigmoids for classes",
    "batches of one",
    "recurrent model learns late",
    "nothing trained",
    "no rate learns",
    "rate of a schedule",
)
