"""Kinds of faults: which rules name them, and which may speak as well."""

from benchmarks.faults.settings import Kind

# A model that fails to train has a loss that does not fall: true of every fault.
ALWAYS = ("LossNotDecreasing",)

_SILENCE = (
    "AllZero",
    "DeadRelu",
    "NoGradient",
    "ConstantOutput",
    "RepresentationCollapse",
    "RankCollapse",
)
_DEPTH = ("PoorWeightInitialization", "TensorVariance", "TrainableDepth")
_BLOW_UP = ("ExplodingTensor", "NonFinite", "WeightUpdateRatio")
_OUT_OF_SCALE = (
    *_SILENCE,
    *_BLOW_UP,
    "LossAtInit",
    "SaturatedActivation",
    "ExplodingGradient",
    "VanishingGradient",
    "PoorWeightInitialization",
    "LearningRateTooHigh",
    "LearningRateTooLow",
)

KINDS = {
    # Kernels of one number: units are copies of each other; large ones blow signals up.
    "symmetry": Kind(
        ("SymmetricUnits", "AllZero"),
        (*_SILENCE, *_DEPTH, *_BLOW_UP, "VanishingGradient", "LossAtInit"),
    ),
    # Weights of a variance that shrinks signals.
    "weights too small": Kind(
        ("PoorWeightInitialization", "TensorVariance", "VanishingGradient"),
        (*_SILENCE, "TrainableDepth", "ExplodingGradient", "WeightUpdateRatio"),
    ),
    # Weights of a variance that blows signals up.
    "weights too large": Kind(
        ("PoorWeightInitialization", "TensorVariance", "ExplodingGradient"),
        (
            *_BLOW_UP,
            *_SILENCE,
            "LossAtInit",
            "SaturatedActivation",
            "TrainableDepth",
            "VanishingGradient",
            "LearningRateTooLow",
        ),
    ),
    # A stack whose gradients fade, by its activation or its weights.
    "vanishing": Kind(
        (
            "VanishingGradient",
            "PoorWeightInitialization",
            "UnsuitableHiddenActivation",
        ),
        (
            *_SILENCE,
            "TrainableDepth",
            "SaturatedActivation",
            "UnchangedTensor",
            "WeightUpdateRatio",
        ),
    ),
    # Activations that work where they are flat.
    "saturation": Kind(
        ("SaturatedActivation", "PoorWeightInitialization", "TensorVariance"),
        (
            *_SILENCE,
            "VanishingGradient",
            "ExplodingGradient",
            "TrainableDepth",
            "LossAtInit",
        ),
    ),
    # All inputs look alike behind some layer.
    "collapse": Kind(
        ("RankCollapse", "RepresentationCollapse", "TrainableDepth"),
        (
            "ConstantOutput",
            "SaturatedActivation",
            "LossAtInit",
            "PoorWeightInitialization",
            "VanishingGradient",
            "ExplodingGradient",
        ),
    ),
    # Layers that hardly speak hand on a smaller signal.
    "dead units": Kind(
        ("DeadRelu", "DeadBias"),
        (*_SILENCE, "VanishingGradient", "PoorWeightInitialization"),
    ),
    "hidden activation": Kind(
        ("UnsuitableHiddenActivation",),
        ("VanishingGradient", "PoorWeightInitialization", "RankCollapse"),
    ),
    "loss and output": Kind(
        ("LossActivationMismatch",),
        (*_SILENCE, "LossAtInit", "NonFinite"),
    ),
    "rate too high": Kind(
        ("LearningRateTooHigh", "LearningRateRange"),
        (
            *_SILENCE,
            *_BLOW_UP,
            "SaturatedActivation",
            "SymmetricUnits",
            "ExplodingGradient",
            "VanishingGradient",
            "OverRegularization",
        ),
    ),
    "rate too low": Kind(
        ("LearningRateTooLow", "LearningRateRange", "UnchangedTensor"),
    ),
    "nothing trained": Kind(("NotTrainable", "UnchangedTensor")),
    "input scale": Kind(
        ("UnscaledInput",),
        _OUT_OF_SCALE,
    ),
    "input lost": Kind(
        ("UnscaledInput", "RepresentationCollapse", "ConstantOutput"),
        (*_SILENCE, "DamagedTargets"),
    ),
    "target scale": Kind(
        ("UnscaledTarget",),
        (*_BLOW_UP, *_SILENCE, "LearningRateTooHigh", "LearningRateTooLow"),
    ),
    "labels": Kind(("DamagedTargets",), ("NonFinite",)),
    "NaN in the data": Kind(("NonFinite",), ("ConstantOutput",)),
    "regularization": Kind(
        ("OverRegularization",),
        (
            *_SILENCE,
            "VanishingGradient",
            "LearningRateTooHigh",
            "SymmetricUnits",
            "PoorWeightInitialization",
            "LossAtInit",
        ),
    ),
    "exploding in time": Kind(
        ("ExplodingGradient", "RecurrentScale", "ExplodingTensor"),
        (
            "NonFinite",
            "SaturatedActivation",
            "LossAtInit",
            "PoorWeightInitialization",
            "TensorVariance",
            "LearningRateTooHigh",
            "WeightUpdateRatio",
        ),
    ),
    "vanishing in time": Kind(
        ("VanishingThroughTime", "ForgetBias", "RecurrentScale"),
        ("VanishingGradient", "TensorVariance", "DamagedTargets"),
    ),
    "float16 underflow": Kind(
        ("Float16Underflow",),
        ("NoGradient", "VanishingGradient", "UnchangedTensor", "LearningRateTooLow"),
    ),
    "float16 overflow": Kind(
        ("Float16Overflow", "NonFinite"), ("UnscaledInput", *_OUT_OF_SCALE)
    ),
}
