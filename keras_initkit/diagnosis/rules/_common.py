"""What the rules share: references, remedies, and how a record is read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_initkit.diagnosis import depth
from keras_initkit.diagnosis._rule import NotJudged, Threshold
from keras_initkit.diagnosis.curve import LossCurve, loss_curve
from keras_initkit.diagnosis.depth import activation_of, kernels_of, weight_layers
from keras_initkit.diagnosis.registry import RULES
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import TensorKey

GLOROT = "Glorot & Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html"
PASCANU = "Pascanu et al., 2013, https://arxiv.org/abs/1211.5063"
HE = "He et al., 2015, https://arxiv.org/abs/1502.01852"
NEURALINT = "Nikanjam et al., 2021, NeuraLint, https://arxiv.org/abs/2105.08095"
DEBUGGER = (
    "Amazon SageMaker Debugger, built-in rules, "
    "https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html"
)
AUTOTRAINER = "Zhang et al., 2021, AUTOTRAINER (ICSE)"
DEEPDIAGNOSIS = "Wardat et al., 2022, DeepDiagnosis (ICSE)"
LU = "Lu et al., 2020, https://arxiv.org/abs/1903.06733"
RECIPE = (
    "Karpathy, 2019, A Recipe for Training Neural Networks, "
    "https://karpathy.github.io/2019/04/25/recipe/"
)

START = Threshold(
    10, "optimizer iterations", "the start of training: later steps are not"
)
RANDOM_START = (
    "Initialize the kernels randomly, with a variance that fits the layer: "
    '`Dense(units, "relu", kernel_initializer="he_normal")`, `"glorot_uniform"` for '
    "tanh and sigmoid."
)

# Losses of numbers.
REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
)

# Causes that many rules share, the likeliest first: what the model is given, what it
# starts from, and how it steps.
DATA = ("ConstantInput", "BatchOfOne", "FractionsAsIndices", "UnscaledInput")
WEIGHTS = (
    "SymmetricUnits",
    "DeadBias",
    "TensorVariance",
    "PoorWeightInitialization",
    "TrainableDepth",
)
STRUCTURE = ("LossActivationMismatch", "UnsuitableHiddenActivation")
STEPS = ("LearningRateTrial", "LearningRateRange", "LearningRateTooHigh")

RELU = ("relu", "relu6")
# Rules whose findings explain small steps and a loss that stands still.
_OF_GRADIENTS = (
    "NonFinite",
    "SymmetricUnits",
    "NoGradient",
    "VanishingGradient",
    "DeadRelu",
    "SaturatedActivation",
    "AllZero",
    "RepresentationCollapse",
    "PoorWeightInitialization",
)

# Rules whose findings explain large steps and a loss that rises. A signal that shrinks
# explains neither.
_OF_SCALE = ("PoorWeightInitialization", "TensorVariance", "LossAtInit")
_OF_DATA = ("UnscaledInput", "UnscaledTarget")

# What shows at this share of the recorded steps is persistent...
PERSISTENT = 0.5
# ...and so is what all of the newest show: the last quarter, at least so many, of at
# least twice as many.
NEWEST = 4


def persistent(mask: np.ndarray) -> int | None:
    """Returns since which recorded step a fault persists, `None` if it does not.

    A fault of single steps is none. It persists if it shows at half of the recorded
    steps or more, or at all of the newest: the last quarter, four or more of eight or
    more.

    Args:
        mask: Whether it shows, bool of shape `(steps,)`.

    Returns:
        Index of the first step that shows it; where only the newest do, of the first
        of the unbroken row.
    """
    shown = np.flatnonzero(mask)
    if not len(shown):
        return None
    if len(shown) >= PERSISTENT * len(mask):
        return int(shown[0])
    newest = max(NEWEST, len(mask) // 4)
    if len(mask) >= 2 * NEWEST and mask[-newest:].all():
        return int(np.flatnonzero(~mask)[-1]) + 1
    return None


def statistic(record: RunRecord, signal: str, name: str) -> np.ndarray | None:
    """Returns a statistic `(steps, tensors)`, `None` if it was not recorded."""
    series = record.signal(signal)
    if series is None or not len(series) or name not in series.statistics:
        return None
    return series.statistic(name)


def tensors_of(record: RunRecord, signal: str) -> tuple[TensorKey, ...]:
    """Returns the tensors of a signal's latest series."""
    series = record.signal(signal)
    return () if series is None else series.tensors


def steps_of(record: RunRecord, signal: str) -> list[int]:
    """Returns the recorded steps of a signal's latest series."""
    series = record.signal(signal)
    return [] if series is None else series.steps.tolist()


def curve_over(record: RunRecord, steps: float) -> LossCurve:
    """Returns the loss curve of a record that spans so many iterations.

    Raises:
        NotJudged: If it spans fewer.
    """
    curve = loss_curve(record)
    if curve.span < steps:
        raise NotJudged(f"spans {curve.span} iterations; {steps:.0f} are needed")
    return curve


def loss_at(record: RunRecord, step: int) -> float | None:
    """Returns the loss as Keras reports it at a step, `None` if it is not recorded."""
    steps, losses = record.scalars.get("loss", ((), ()))
    return dict(zip(steps, map(float, losses), strict=True)).get(step)


def sound_steps(record: RunRecord, signal: str) -> np.ndarray:
    """Returns at which steps of a signal all weights were finite, bool `(steps,)`.

    What a layer gives beside NaN and Inf in weights says nothing of its own: a ReLU
    that is computed together with its product makes 0 of NaN.
    """
    counts = statistic(record, "weight", "nonfinite_count")
    bad: set[int] = set()
    if counts is not None:
        pairs = zip(steps_of(record, "weight"), counts, strict=True)
        bad = {step for step, row in pairs if not (row == 0).all()}
    return np.array([step not in bad for step in steps_of(record, signal)], bool)


def label(key: TensorKey) -> str:
    """Returns how a message names a tensor."""
    return repr(key.layer if key.tensor == "output" else f"{key.layer}/{key.tensor}")


def at_each(steps: int) -> str:
    """Returns how a message says that something shows at all recorded steps."""
    return (
        "at the one recorded step" if steps == 1 else f"at all {steps} recorded steps"
    )


def layers_in_order(record: RunRecord) -> list[str]:
    """Returns the layers to judge: owners of kernels, else all with an activation."""
    owners = weight_layers(record)
    if owners:
        return list(owners)
    return list(dict.fromkeys(k.layer for k in tensors_of(record, "activation")))


def kernel_columns(record: RunRecord, signal: str) -> list[int]:
    """Returns `depth.kernel_columns`.

    Raises:
        NotJudged: If the record does not say which weights are kernels.
    """
    if not record.roles():
        raise NotJudged("does not say which weights are kernels")
    return depth.kernel_columns(record, signal)


def units_of(record: RunRecord) -> dict[str, int]:
    """Returns `{layer: units}` from the shapes of the kernels in the metadata."""
    kernels = kernels_of(record)
    units: dict[str, int] = {}
    for layer in record.metadata.get("layers", ()):
        for name, shape in layer["weights"].items():
            if (layer["path"], name) in kernels:
                units[layer["path"]] = max(units.get(layer["path"], 1), shape[-1])
    return units


def shape_of(record: RunRecord, key: TensorKey) -> tuple[int, ...] | None:
    """Returns the shape of a weight, `None` if the metadata do not tell."""
    for layer in record.metadata.get("layers", ()):
        if layer["path"] == key.layer and key.tensor in layer["weights"]:
            return tuple(layer["weights"][key.tensor])
    return None


def fans_of(record: RunRecord, key: TensorKey) -> tuple[float, float] | None:
    """Returns fan-in and fan-out of a kernel, `None` if the metadata do not tell."""
    for layer in record.metadata.get("layers", ()):
        if layer["path"] == key.layer and key.tensor in layer.get("fans", ()):
            fan_in, fan_out = layer["fans"][key.tensor]
            return fan_in, fan_out
    return None


def hands_on(record: RunRecord, layer: str) -> bool:
    """Whether a layer is known to hand its output on to further weights as it is.

    Not into a sum or product, nor through a normalization, nor to the loss.
    """
    for entry in record.metadata.get("layers", ()):
        if entry["path"] == layer:
            return bool((entry.get("place") or {}).get("hands_on"))
    return False


def dtype_of(record: RunRecord, layer: str) -> str | None:
    """Returns the dtype that a layer computes in, `None` if it is unknown."""
    for entry in record.metadata.get("layers", ()):
        if entry["path"] == layer:
            return entry.get("dtype")
    return None


def output_layers(record: RunRecord) -> set[str]:
    """Returns the layers that make the outputs; where not known, the last with weights.

    Where an output layer has no kernel (an activation, a pooling), the last layer that
    has one counts as well.
    """
    outputs = {entry["layer"] for entry in record.metadata.get("outputs", ())}
    owners = layers_in_order(record)
    if owners and not outputs & set(owners):
        outputs.add(owners[-1])
    return outputs


class Output(NamedTuple):
    """An output of the model, and what it is trained by.

    Attributes:
        layer: Path of the layer that makes it, `None` where it is not known.
        activation: Name of its activation function, likewise.
        units: How many numbers it has, likewise.
        loss: As `description.describe_loss` tells, `None` for none of Keras.
        target: Moments of its targets, `None` if they are not known.
    """

    layer: str | None
    activation: str | None
    units: int | None
    loss: Mapping[str, Any] | None
    target: Mapping[str, Any] | None


def outputs_of(record: RunRecord) -> list[Output]:
    """Returns the outputs with their losses and targets.

    Raises:
        NotJudged: If the record does not tell which output has which.
    """
    facts = record.metadata
    known = facts.get("outputs") or [{"layer": None, "activation": None, "units": None}]
    losses, targets = facts.get("losses"), facts.get("targets")
    if len(known) == 1:
        losses, targets = [facts.get("loss")], [facts.get("target")]
    if not losses or not targets or not len(losses) == len(targets) == len(known):
        raise NotJudged("does not say which output has which loss and targets")
    return [
        Output(one["layer"], one["activation"], one["units"], loss, target)
        for one, loss, target in zip(known, losses, targets, strict=True)
    ]


def looked_at(record: RunRecord) -> str:
    """Returns how a message names the examples that the facts of the data are of."""
    sample = record.metadata.get("sample")
    if not sample:
        return "the first batch"
    if sample["examples"] == sample["of"]:
        return f"the {sample['of']} examples"
    return f"{sample['examples']} of {sample['of']} examples"


def first_step(record: RunRecord) -> int | None:
    """Returns the optimizer iteration at which training began, if it is told."""
    return (record.metadata.get("fit") or {}).get("first_step")


def are_alike(record: RunRecord) -> bool:
    """Whether the examples that were looked at are one and the same, in all inputs."""
    inputs = record.metadata.get("input") or ()
    return bool(inputs) and all(moments.get("alike") for moments in inputs)


def of_which(output: Output, outputs: Sequence[Output]) -> str:
    """Returns how a message tells an output from the others, nothing if it is alone."""
    return f" of output {output.layer!r}" if len(outputs) > 1 else ""


def relu_layers(record: RunRecord) -> set[str]:
    """Returns the layers whose own activation function is a ReLU."""
    layers = {key.layer for key in tensors_of(record, "activation")}
    return {layer for layer in layers if activation_of(record, layer) in RELU}


def learning_rate_of(record: RunRecord) -> float | None:
    """Returns the learning rate at the start of the (latest) `fit`, if it is known."""
    optimizer = record.metadata.get("optimizer") or {}
    return optimizer.get("learning_rate")


def gradient_is_at_fault(record: RunRecord) -> bool:
    """Whether a rule about gradients, or what stops them, has findings."""
    return any(RULES[name].judge(record) for name in _OF_GRADIENTS if name in RULES)


def scale_is_at_fault(record: RunRecord) -> bool:
    """Whether weights or data that are too large, or not finite, have findings."""
    large = any(
        finding.measured > finding.threshold > 0
        for name in _OF_SCALE
        for finding in RULES[name].judge(record)
    )
    data = [finding for name in _OF_DATA for finding in RULES[name].judge(record)]
    data += [f for f in RULES["NonFinite"].judge(record) if f.layer is None]
    return large or bool(data)


def row_medians(values: np.ndarray) -> np.ndarray:
    """Returns the median of each row's numbers, NaN for a row without any."""
    medians = np.full(len(values), np.nan)
    known = ~np.isnan(values).all(axis=1)
    medians[known] = np.nanmedian(values[known], axis=1)
    return medians


def columns_of(
    record: RunRecord, signal: str, layers: set[str]
) -> Iterator[tuple[int, TensorKey]]:
    """Yields column and key of the tensors of a signal that belong to layers."""
    for column, key in enumerate(tensors_of(record, signal)):
        if key.layer in layers:
            yield column, key
