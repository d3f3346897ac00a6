"""The loss against the model's last activation."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_initkit.diagnosis._rule import Fault, Subject
from keras_initkit.diagnosis.registry import rule
from keras_initkit.structure import keras_private, roles
from keras_initkit.structure.description import describe_loss
from keras_initkit.structure.graph import Call

_NEURALINT = "Nikanjam et al., 2021, NeuraLint, https://arxiv.org/abs/2105.08095"
_CATEGORICAL = ("categorical_crossentropy", "sparse_categorical_crossentropy")
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_PROBABILITIES = ("sigmoid", "softmax", "hard_sigmoid")
_POSITIVE = ("exponential", "softplus", "relu")
_BOUNDED = ("relu", "relu6", "softplus", "tanh", "elu", "exponential", "softsign")
_REGRESSION = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")
_LOGITS = {
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
}


@rule("LossActivationMismatch", judges="model", severity="error", reference=_NEURALINT)
def loss_activation_mismatch(
    subject: Subject, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The last activation does not match what the loss expects."""
    if subject.graph is None:
        return
    for number, tensor, loss in _outputs(subject):
        call, activation = subject.graph.last_activation(number)
        if call is None or not _is_known(call):
            continue
        if activation == "softmax" and getattr(call.layer, "axis", -1) == 0:
            yield _over_examples(call)
            continue
        units = tensor.shape[-1] if len(tensor.shape) > 1 else 1
        before = _before(subject, call) if activation in _PROBABILITIES else None
        place = subject.graph.outputs.index(number)
        accuracy = _accuracy(subject.model, place)
        found = _mismatch(loss, activation, units, before, accuracy)
        if found is not None:
            message, remedy, *severity = found
            yield Fault(
                layer=call.path,
                step=None,
                measured=1,
                threshold=0,
                message=f"{message}.",
                remedy=f"{remedy}.",
                severity=severity[0] if severity else None,
            )


def _over_examples(call: Call) -> Fault:
    """Returns the fault of a softmax over the first axis, that of the examples."""
    return Fault(
        layer=call.path,
        step=None,
        measured=0,
        threshold=-1,
        message=f"the softmax of {call.path!r} runs over axis 0: the probabilities sum "
        "to 1 over the batch, so each prediction depends on the other examples in it.",
        remedy="Use the class axis, `keras.layers.Softmax(axis=-1)`.",
    )


def _is_known(call: Call) -> bool:
    """Whether it is known in which range the outputs of a call are.

    Sums, products and functions of a user's own may be probabilities by construction.
    """
    if call.activation is not None:
        return hasattr(keras.activations, call.activation)
    of_keras = bool(roles.kinds_of(call.layer))
    return of_keras and (call.is_kernel_layer or call.normalizes)


def _mismatch(
    loss: dict[str, Any] | None,
    activation: str | None,
    units: int | None,
    before: str | None,
    accuracy: bool,
) -> tuple[str, ...] | None:
    """Returns message, remedy and sometimes severity, `None` where all fits."""
    if activation == "softmax" and units == 1:
        return (
            "a softmax over one unit is always 1",
            'Use a sigmoid, `Dense(1, "sigmoid")`, with `loss="binary_crossentropy"`',
        )
    if activation in _PROBABILITIES and before in _PROBABILITIES:
        return (
            f"a {activation} follows a {before}: probabilities are treated as logits, "
            "so no class can get a high probability",
            "Remove one: the layer before the last activation must be linear, "
            "`Dense(units)`",
        )
    if loss is None:
        return None
    name, logits = loss["name"], loss["from_logits"]
    if name in _LOGITS:
        return _of_crossentropy(name, logits, activation, units)
    if name in _REGRESSION and activation == "softmax":
        return (
            f"{name} of a softmax has almost no gradient where the model is "
            "confidently wrong",
            'Use `loss="categorical_crossentropy"`, or '
            '`"sparse_categorical_crossentropy"` for class numbers',
            "warning",
        )
    if name in _REGRESSION and accuracy and activation not in ("sigmoid", "tanh"):
        return (
            f"{name} with accuracy as a metric: classes are not quantities to "
            "approximate",
            'Use `Dense(classes, "softmax")` with '
            '`loss="sparse_categorical_crossentropy"`',
            "warning",
        )
    if name.endswith("hinge") and activation in (*_PROBABILITIES, "relu"):
        return (
            f"{name} expects scores of either sign; {activation} outputs none below 0",
            "Use a linear last layer, `Dense(units)`, or a tanh",
        )
    if name == "poisson" and activation not in (*_POSITIVE, *_PROBABILITIES):
        return (
            f"poisson expects positive rates; {activation or 'a linear layer'} also "
            "outputs others, whose logarithm is NaN",
            'Use `Dense(units, "softplus")` or `"exponential"`',
        )
    return None


def _of_crossentropy(
    name: str, logits: bool, activation: str | None, units: int | None
) -> tuple[str, ...] | None:
    given = activation or "a linear layer"
    right = "sigmoid" if name in _BINARY else "softmax"
    if logits and activation in _PROBABILITIES:
        return (
            f"{name} with from_logits=True receives the probabilities of a "
            f"{activation}, and would squash them a second time (TensorFlow recovers "
            "the logits behind them, other backends do not)",
            f'Drop `from_logits=True`, `loss="{name}"`, or drop the activation',
            "warning",
        )
    if logits and activation in _BOUNDED:
        return (
            f"{name} expects logits of any sign and size; {activation} bounds them, so "
            "no class can get a high probability",
            "Use a linear last layer, `Dense(units)`",
            "warning",
        )
    if not logits and activation not in _PROBABILITIES:
        return (
            f"{name} expects probabilities; {given} outputs numbers outside [0, 1], "
            "which are clipped and get no gradient",
            f"Use `loss=keras.losses.{_LOGITS[name]}(from_logits=True)`, or end in "
            f'`Dense(units, "{right}")`',
        )
    if name in _CATEGORICAL and units == 1:
        return (
            f"{name} over one unit is constant: there is only one class",
            'Use `loss="binary_crossentropy"` with `Dense(1, "sigmoid")`, or '
            "`Dense(classes)`",
        )
    if name in _BINARY and activation == "softmax":
        return (
            f"{name} scores each unit independently; a softmax makes the units "
            "compete, which is wrong for multiple labels",
            'Use `Dense(units, "sigmoid")` for multiple labels, '
            '`loss="categorical_crossentropy"` for one of several classes',
            "warning",
        )
    if name in _CATEGORICAL and activation in ("sigmoid", "hard_sigmoid"):
        return (
            f"{name} expects probabilities that sum to 1; those of {activation} need "
            "not",
            'Use `Dense(classes, "softmax")`, or `loss="binary_crossentropy"` for '
            "multiple labels",
            "warning",
        )
    return None


def _outputs(subject: Subject) -> Iterator[tuple[int, Any, dict[str, Any] | None]]:
    """Yields number, symbolic tensor and loss (if it is Keras's) of each output."""
    model, graph = subject.model, subject.graph
    tensors = keras.tree.flatten(model.outputs)
    if graph is None or len(graph.outputs) != len(tensors):
        return
    given, _ = keras_private.compiled_loss(model)
    if isinstance(given, dict):
        losses = [given.get(name) for name in model.output_names]
    elif isinstance(given, (list, tuple)):
        losses = list(given)
    else:
        losses = [given] * len(tensors)
    if len(losses) != len(tensors):
        losses = [None] * len(tensors)
    for number, tensor, loss in zip(graph.outputs, tensors, losses, strict=True):
        yield number, tensor, describe_loss(loss)


def _before(subject: Subject, call: Any) -> str | None:
    """Returns the activation that the input of an activation layer comes from."""
    if subject.graph is None or call.is_kernel_layer or not call.inputs:
        return None
    return subject.graph.last_activation(call.inputs[0])[1]


def _accuracy(model: Any, number: int) -> bool:
    """Whether an output of a model was compiled with an accuracy as metric."""
    given = keras_private.compiled_metrics(model)
    names = getattr(model, "output_names", None) or [None]
    if isinstance(given, Mapping):
        given = given.get(names[number])
    elif isinstance(given, list | tuple) and len(names) > 1:
        # A list for each output, in their order.
        given = given[number] if number < len(given) else None
    metrics = keras.tree.flatten(given) if given else []
    names = [m if isinstance(m, str) else type(m).__name__ for m in metrics]
    return any(name.lower() in ("acc", "accuracy") for name in names)
