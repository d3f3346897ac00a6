"""How the model is set up for training: learning rate, what is trainable."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.diagnosis._rule import Fault, Subject, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.structure import keras_private
from keras_initkit.structure.description import optimizer_of
from keras_initkit.structure.roles import is_of_keras

_BENGIO = "Bengio, 2012, https://arxiv.org/abs/1206.5533"
_FREEZING = "https://keras.io/guides/transfer_learning/"
# Lowest and highest learning rates that make sense, by optimizer; those that divide by
# the gradient's size first.
_ADAPTIVE = (1e-7, 0.1)
_RATES = {
    "sgd": (1e-6, 10.0),
    "adagrad": (1e-6, 2.0),
    "adadelta": (1e-5, 10.0),
    "ftrl": (1e-6, 2.0),
    "lion": (1e-7, 0.01),
    "muon": (1e-6, 1.0),
    "lamb": (1e-7, 1.0),
}


@rule(
    "LearningRateRange",
    judges="model",
    severity="warning",
    reference=_BENGIO,
    thresholds={
        "beyond": Threshold(
            1.0,
            "1",
            "rate divided by the highest usual for its optimizer, or the lowest "
            "usual by it",
        )
    },
    follows_from=("LearningRateTrial",),
)
def learning_rate_range(
    subject: Subject, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The learning rate is negative, zero, or far outside the usual range."""
    optimizer = optimizer_of(subject.model)
    if optimizer is None or optimizer["learning_rate"] is None:
        return
    rate, name = optimizer["learning_rate"], optimizer["name"]
    low, high = _RATES.get(name, _ADAPTIVE)
    low, high = low / limits["beyond"], high * limits["beyond"]
    if rate < 0 or (rate == 0 and not optimizer["scheduled"]):
        limit, what, severity = 0.0, "climbs" if rate < 0 else "learns nothing", "error"
    elif rate > high:
        limit, what, severity = high, "will most likely diverge", None
    elif rate < low and not optimizer["scheduled"]:
        limit, what, severity = low, "will hardly learn", None
    else:
        return
    yield Fault(
        layer=None,
        step=None,
        measured=rate,
        threshold=limit,
        message=f"with a learning rate of {rate:g}, {name} {what}.",
        remedy=f"Set `model.optimizer.learning_rate = {_usual(name):g}`.",
        severity=severity,
    )


@rule("NotTrainable", judges="model", severity="warning", reference=_FREEZING)
def not_trainable(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Weights that will not be trained, perhaps unintentionally."""
    model = subject.model
    if model.weights and not model.trainable_weights:
        yield Fault(
            layer=None,
            step=None,
            measured=0,
            threshold=1,
            message=f"none of the {len(model.weights)} weights are trainable: `fit` "
            "changes nothing.",
            remedy="Set `layer.trainable = True` where training is intended, then "
            "`model.compile(...)`.",
            severity="error",
        )
        return
    for path, layer in ((model.name, model), *subject.layers):
        yield from _untracked(path, layer)
    frozen = [path for path, layer in subject.layers if _is_idle_norm(layer)]
    if frozen:
        more = f" (and {len(frozen) - 1} more)" if len(frozen) > 1 else ""
        yield Fault(
            layer=frozen[0],
            step=None,
            measured=len(frozen),
            threshold=0,
            message=f"{frozen[0]!r}{more} is frozen with its initial statistics, mean "
            "0 and variance 1: it normalizes nothing.",
            remedy="Set `layer.trainable = True`, or load trained weights first.",
        )
    optimizer = getattr(model, "optimizer", None)
    known = keras_private.optimized(optimizer)
    # A `train_step` of one's own may train some weights and move others along.
    if getattr(optimizer, "built", False) and known and _trains_all(model):
        ids = {id(variable) for variable in known}
        new = [v for v in model.trainable_variables if id(v) not in ids]
        if new:
            yield Fault(
                layer=None,
                step=None,
                measured=len(new),
                threshold=0,
                message=f"the optimizer does not know {len(new)} of the trainable "
                f"weights, such as {new[0].path!r}: they were unfrozen after "
                "`compile`.",
                remedy="Call `model.compile(...)` again.",
            )


def _trains_all(model: Any) -> bool:
    """Whether `fit` trains all trainable weights, as Keras's own step does."""
    maker = next(one for one in type(model).__mro__ if "train_step" in vars(one))
    return is_of_keras(maker)


def _untracked(path: str, layer: Any) -> Iterator[Fault]:
    """Yields the fault of a layer that holds variables which Keras does not know."""
    known = {id(getattr(variable, "value", variable)) for variable in layer.variables}
    held = [name for name, one in _held_variables(layer) if id(one) not in known]
    if names := tuple(dict.fromkeys(held)):
        yield Fault(
            layer=path,
            step=None,
            measured=len(names),
            threshold=0,
            message=f"{path!r} holds {', '.join(map(repr, names))} as tf.Variable, "
            "which Keras 3 does not know: `fit` does not train it, and saving loses "
            "it.",
            remedy="Create it with `self.add_weight(shape=..., initializer=...)`, or "
            "as `keras.Variable(value)`.",
        )


def _held_variables(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yields name and trainable `tf.Variable` that a layer's own attributes hold.

    Also those in lists, tuples and dicts, and of a `tf.Module`.
    """
    for name, value in vars(layer).items():
        if name.startswith("_self_"):
            continue  # what TensorFlow keeps of the same attributes
        for one in _variables_in(value):
            if one.trainable:
                yield name, one


def _variables_in(value: Any) -> Iterator[Any]:
    """Yields the `tf.Variable`s of a value; layers are looked at by themselves."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _variables_in(one)
    elif _is_of_tensorflow(value, "ResourceVariable"):
        yield value
    elif _is_of_tensorflow(value, "Module"):
        yield from value.trainable_variables


def _is_of_tensorflow(value: Any, name: str) -> bool:
    """Whether a value is of a class of TensorFlow, told without importing it."""
    if isinstance(value, keras.layers.Layer | keras.optimizers.Optimizer):
        return False  # which derive from classes of TensorFlow
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == "tensorflow"
        for kind in type(value).__mro__
    )


def _is_idle_norm(layer: Any) -> bool:
    """A frozen BatchNormalization that never saw data."""
    if not isinstance(layer, keras.layers.BatchNormalization):
        return False
    if layer.trainable or not layer.built:
        return False
    mean, variance = (
        keras.ops.convert_to_numpy(v)
        for v in (layer.moving_mean, layer.moving_variance)
    )
    return bool(np.all(mean == 0) and np.all(variance == 1))


def _usual(name: str) -> float:
    return {"sgd": 0.01, "adagrad": 0.01, "adadelta": 1.0, "lion": 1e-4}.get(name, 1e-3)
