"""MetaInit: the scale of each weight learned from the curvature along the gradient."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_initkit.arguments import (
    check_count,
    check_examples,
    check_finite,
    check_function,
    check_positive,
    naming,
)
from keras_initkit.report import result_plots
from keras_initkit.structure import keras_private, roles
from keras_initkit.structure.forward_graph import learn_roles
from keras_initkit.structure.in_place import Skipped, editing, forward, unchanged
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.needs import check_backend, check_model
from keras_initkit.structure.needs import tensorflow as tf
from keras_initkit_light.format import schema


@dataclasses.dataclass(frozen=True)
class MetaInitResult:
    """What `metainit` did to a model.

    Attributes:
        quotients: Gradient quotient before each step, and after the last: the smaller,
            the less the gradient changes along its own direction.
        scales: `{weight path: factor}` by which each weight's norm has changed.
        skipped: Trainable weights left unchanged because they are not kernels or
            tables: each a `Skipped` with the name of its layer and the reason.
    """

    quotients: tuple[float, ...]
    scales: dict[str, float]
    skipped: tuple[Skipped, ...]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots the quotient over the steps, and how each weight's norm has changed.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return result_plots.metainit(self.quotients, self.scales, path)


def gradient_quotient(
    model: keras.Model,
    x: Any,
    y: Any,
    loss: Callable[[Any, Any], Any],
    *,
    epsilon: float = 1e-5,
) -> Any:
    """Computes `mean |(g - H g) / (g + epsilon sign g) - 1|` over all kernels.

    Tables of embeddings count as kernels.

    `g` is the gradient of the loss and `H` its Hessian. 0 means that a step along the
    gradient does not change it; 1 is the level of chance.

    Args:
        model: A built Keras model.
        x: One batch of inputs.
        y: Targets.
        loss: Keras loss, `loss(y_true, y_pred)`.
        epsilon: Positive number that guards the division.

    Returns:
        Scalar tensor, differentiable in the weights.

    Reference:
    - [Dauphin & Schoenholz, 2019](https://papers.nips.cc/paper/9427)
    """
    check_backend("gradient_quotient")
    learn_roles(model, x)
    return _quotient([w for _, w in _carriers(model)], model, x, y, loss, epsilon)


def _quotient(weights, model, x, y, loss, epsilon):
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            value = tf.reduce_mean(loss(y, forward(model, x)))
        gradients = inner.gradient(value, [w.value for w in weights])
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        energy = tf.add_n([tf.reduce_sum(g**2) / 2 for g in gradients])
    products = outer.gradient(
        energy,
        [w.value for w in weights],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    total, count = 0.0, 0
    for g, product in zip(gradients, products, strict=True):
        sign = tf.stop_gradient(tf.where(g >= 0, 1.0, -1.0))
        total += tf.reduce_sum(tf.abs((g - product) / (g + epsilon * sign) - 1))
        count += int(np.prod(g.shape))
    return total / count


def metainit(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Any] | None = None,
    steps: int = 100,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
) -> MetaInitResult:
    """Tunes the norm of each weight, in place, for a small gradient quotient.

    The directions of the weights stay; only their norms change, by signed gradient
    descent on the gradient quotient. Works for architectures that no formula covers;
    each step needs a third derivative, about ten forward passes.

    TensorFlow only.

    Args:
        model: A built Keras model whose activations are twice differentiable or
            piecewise linear.
        x: One batch of inputs; random ones suffice.
        y: Targets for `loss`; by default random classes for outputs of more than one
            unit.
        loss: Keras loss. Defaults to the compiled one, or, without one or without `y`,
            to sparse categorical cross-entropy from logits.
        steps: Positive number of steps. Defaults to `100` (the paper: 500 to 1000).
        learning_rate: Positive step size of a norm. Defaults to `0.1`.
        momentum: In [0, 1). Defaults to `0.9`.
        epsilon: Guard of the quotient's division.

    Returns:
        `MetaInitResult`.

    Raises:
        ValueError: On another backend, if `steps` is not positive, if the model has no
            trainable kernel, or if there is no loss for targets that are not classes.

    Reference:
    - [Dauphin & Schoenholz, 2019](https://papers.nips.cc/paper/9427)
    """
    check_backend("metainit")
    check_model("metainit", model)
    check_count("steps", steps)
    check_positive("learning_rate", learning_rate)
    check_finite("momentum", momentum)
    check_positive("epsilon", epsilon)
    if loss is not None:
        check_function("loss", loss, "targets and outputs", 2)
    check_examples("x", x)
    if y is not None:
        check_examples("y", y)
    with naming("x", x, "be a batch that the model takes"):
        x = tf.convert_to_tensor(x)
        if not model.built:
            forward(model, x)
        with unchanged(model):
            outputs = forward(model, x)
    y, loss = _targets_and_loss(model, y, loss, outputs)
    learn_roles(model, x)
    weights = [w for _, w in _carriers(model)]
    if not weights:
        raise ValueError(
            f"`model` must have trainable kernels. Received: {type(model).__name__} "
            f"{model.name!r} without any."
        )
    with naming("y", y, "be targets that `loss` compares with what the model gives"):
        loss(y, outputs)
    evaluate = tf.function(
        lambda: _quotient_and_signs(weights, model, x, y, loss, epsilon)
    )
    start = [float(tf.norm(w.value)) for w in weights]
    velocity = [0.0] * len(weights)
    quotients = []
    with editing(model) as edit:
        for weight in weights:
            edit.remember(weight)
        for _ in range(steps):
            quotient, signs = evaluate()
            quotients.append(float(quotient))
            for n, (weight, sign) in enumerate(zip(weights, signs, strict=True)):
                norm = float(tf.norm(weight.value))
                velocity[n] = momentum * velocity[n] - learning_rate * float(sign)
                wanted = max(norm + velocity[n], 1e-3 * start[n])
                if norm > 0:
                    edit.assign(weight, weight.value * (wanted / norm))
        quotients.append(float(evaluate()[0]))
    scales = {
        w.path: float(tf.norm(w.value)) / norm
        for w, norm in zip(weights, start, strict=True)
        if norm > 0
    }
    return MetaInitResult(tuple(quotients), scales, _left_alone(model))


def _targets_and_loss(model, y, loss, outputs):
    """Returns targets as a tensor, and the loss, where none or one was given.

    Raises:
        ValueError: If there are not as many targets as outputs, or no loss for them.
    """
    if y is None:
        rng = np.random.default_rng(0)
        y = rng.integers(0, outputs.shape[-1], outputs.shape[:-1])
    elif loss is None:
        loss = _compiled_loss(model, y)
    y = tf.convert_to_tensor(y)
    if y.shape[:1] != outputs.shape[:1]:
        raise ValueError(
            "`y` must hold as many examples as `x`. "
            f"Received: {y.shape[0]} for {outputs.shape[0]}."
        )
    return y, loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _compiled_loss(model, y):
    """Returns the loss of a compiled model, `None` where targets are classes."""
    compiled, _ = keras_private.compiled_loss(model)
    if isinstance(compiled, str) or callable(compiled):
        return keras.losses.get(compiled)
    if np.issubdtype(np.asarray(y).dtype, np.integer):
        return None
    raise ValueError(
        "`loss` must be given for non-integer targets if the model is not compiled "
        f"with a single loss. Received: loss=None, y of dtype {np.asarray(y).dtype}."
    )


def _quotient_and_signs(weights, model, x, y, loss, epsilon):
    """Returns the quotient, and the sign of its slope in the norm of each weight."""
    values = [w.value for w in weights]
    with tf.GradientTape() as tape:
        quotient = _quotient(weights, model, x, y, loss, epsilon)
    slopes = tape.gradient(
        quotient, values, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    pairs = zip(slopes, values, strict=True)
    return quotient, [tf.sign(tf.reduce_sum(g * v) / tf.norm(v)) for g, v in pairs]


def _carriers(model):
    """Lists layer name and variable of trainable kernels and tables."""
    return [
        (name, variable)
        for name, variable, role in _trained(model)
        if role in schema.CARRIERS
    ]


def _left_alone(model):
    return tuple(
        Skipped(name, f"its {variable.name} is not a kernel, but {role!r}")
        for name, variable, role in _trained(model)
        if role not in schema.CARRIERS
    )


def _trained(model):
    """Lists layer name, variable and role of all that is trained, each once."""
    trainable = {id(variable) for variable in model.trainable_variables}
    found: dict[int, tuple[str, Any, str]] = {}
    for name, layer in [(model.name, model), *named_layers(model)]:
        known = roles.roles_of(layer)
        for variable in roles.weights_of(layer):
            if id(variable) in trainable:
                told = (name, variable, known[variable.name])
                found.setdefault(id(variable), told)
    return list(found.values())
