"""Elementwise functions: activations, constants, dropout."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_initkit.structure.values import array
from keras_initkit.theory import activation_functions
from keras_initkit.theory._quadrature import Array
from keras_initkit.theory.activation_functions import Activation
from keras_initkit.theory.gains import moments
from keras_initkit.theory.signals import (
    DRAWS,
    SPREAD,
    Signal,
    are_too_spread,
    generator,
    moments_of_draws,
)
from keras_initkit.theory.step import Slope, Step, Untreatable


def activation(phi: Activation, x: Signal) -> Step:
    """Applies an activation."""
    if phi.name == "linear":
        return Step(x, None, (1.0,), (1.0,))
    output, slope, slopes = applied(phi, x)
    vague = (x.rough and not is_homogeneous(phi)) or (output.rough and not x.rough)
    known = SPREAD if x.is_drawable else "its signal's distribution is unknown"
    return Step(output, None, (slope,), (slopes,), vague, note=known if vague else "")


def applied(phi: Activation, x: Signal) -> tuple[Signal, float, Callable[[int], Array]]:
    """Returns the signal after an activation, `E[phi'²]`, and what draws its slopes."""
    if not np.isfinite(x.second_moment):
        raise Untreatable("its input exceeds the range of floating-point numbers")

    def make(number: int) -> Array:
        return phi.function(x.draws)

    def slopes(number: int = -1) -> Array:
        return phi.derivative(x.draws[0])

    shared: float | None = None
    spread = False
    if x.gaussian or not x.is_drawable:
        found = moments(phi, x.variance, x.mean)
        second, mean = found.second_moment, found.mean
        slope = found.derivative_second_moment
        if x.shared is not None:
            alone = x.shared - x.mean**2 <= 1e-9 * x.second_moment
            shared = mean**2 if alone else moments_of_draws(make(-1))[2]
    else:
        second, mean, shared = moments_of_draws(make(-1))
        spread = are_too_spread(make(-1))
        shared = None if x.shared is None else shared
        slope = float(np.mean(slopes() ** 2))
    output = x.becoming(
        second_moment=second,
        mean=mean,
        shared=shared,
        rough=x.rough or spread or not x.is_drawable,
        gaussian=False,
        make=make,
    )
    return output, slope, slopes


@functools.lru_cache(maxsize=256)
def is_homogeneous(phi: Activation) -> bool:
    """Whether `phi(c x) = c phi(x)` for positive c: its slope asks for no scale."""
    at = np.linspace(-3, 3, 61)
    return bool(np.allclose(phi.function(2 * at), 2 * phi.function(at), atol=1e-9))


def activation_of(layer: Any, arguments: tuple[Any, ...] = ()) -> Activation:
    """Returns the activation that a layer or operation applies.

    Args:
        layer: Keras layer or operation.
        arguments: What it is called with, the tensor included.
    """
    name = type(layer).__name__
    if name == "LeakyReLU":
        return activation_functions.leaky_relu(float(layer.negative_slope))
    if name == "PReLU":
        alpha = array(layer.alpha)
        if np.ptp(alpha) > 1e-6:
            raise Untreatable("its units have slopes of their own")
        return activation_functions.leaky_relu(float(np.mean(alpha)))
    if name == "ELU":
        return activation_functions.elu(float(layer.alpha))
    if name == "ReLU":
        return activation_functions.relu(
            layer.negative_slope, layer.max_value, layer.threshold
        )
    if not hasattr(layer, "activation"):
        return _of_operation(layer, arguments)
    return resolve_function(layer.activation)


def _of_operation(operation: Any, arguments: tuple[Any, ...]) -> Activation:
    """Returns the activation of an operation, with all that it was made with."""
    name, further = type(operation).__name__.lower(), arguments[1:]
    made = _made_with(operation)
    if not made and not further and name in activation_functions.names():
        return activation_functions.resolve(name)
    key = f"{name} {sorted(made.items())} {further}"
    if key not in _OPERATIONS:

        def function(x: Array) -> Array:
            y = operation.call(keras.ops.convert_to_tensor(x), *further)
            return np.asarray(keras.ops.convert_to_numpy(y))

        found = activation_functions.resolve(function)
        _OPERATIONS[key] = dataclasses.replace(found, name=key)
    return _OPERATIONS[key]


# Operations seen, by their names and all that they were made with.
_OPERATIONS: dict[str, Activation] = {}


def _made_with(operation: Any) -> dict[str, Any]:
    """Returns what an operation was made with, apart from its name."""
    known = ("name", "built", "trainable")
    held = {k: v for k, v in vars(operation).items() if k[0] != "_" and k not in known}
    return {name: value for name, value in held.items() if value is not None}


def resolve_function(function: Any) -> Activation:
    """Returns the theory's activation for a Keras function, name or `None`."""
    name = getattr(function, "__name__", function)
    module = str(getattr(function, "__module__", "keras"))
    if name in activation_functions.NOT_ELEMENTWISE:
        raise Untreatable(f"{name} mixes the values of an axis")
    try:
        if function is None:
            return activation_functions.resolve("linear")
        if module.partition(".")[0] == "keras" and isinstance(name, str):
            return activation_functions.resolve(name)
        return _own(function)
    except ValueError as error:
        raise Untreatable(str(error)) from error


@functools.lru_cache(maxsize=256)
def _own(function: Any) -> Activation:
    """Returns the activation of a user's own function."""
    _check_elementwise(function)
    return activation_functions.resolve(lambda x: np.asarray(function(x)))


def _check_elementwise(function: Any) -> None:
    """Raises `Untreatable` for a function that looks at more than one entry at once."""
    grid = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    try:
        whole = np.asarray(function(grid))
        single = [np.asarray(function(one.reshape(1, 1))) for one in grid.flat]
        alone = np.reshape(single, grid.shape)
    except Exception as error:  # whatever the user's own function raises
        raise Untreatable(f"its own activation raises {error}") from error
    if whole.shape != grid.shape or not np.allclose(whole, alone, atol=1e-5):
        raise Untreatable("its own activation is not elementwise")


def scaled(x: Signal, factor: float, offset: float = 0.0) -> Step:
    """Multiplies by a number, and adds one."""
    mean = factor * x.mean + offset
    shared = None if x.shared is None else factor**2 * (x.shared - x.mean**2) + mean**2
    output = x.becoming(
        second_moment=factor**2 * x.variance + mean**2,
        mean=mean,
        shared=shared,
        parts={n: p._replace(factor=factor * p.factor) for n, p in x.parts.items()},
        make=lambda number: factor * x.draws + offset,
    )
    return Step(output, None, (factor**2,), (factor,))


def with_constant(x: Signal, constant: Array, kind: str) -> Step:
    """Multiplies by a constant array or adds it, entry by entry."""
    if constant.size == 1 or np.ptp(constant) == 0:
        one = float(constant.flat[0])
        return scaled(x, one) if kind == "multiply" else scaled(x, 1.0, one)
    mean, second = float(np.mean(constant)), float(np.mean(constant**2))
    pick = generator(0).choice(constant.reshape(-1), DRAWS)
    if kind == "multiply":
        moments_ = (x.second_moment * second, x.mean * mean)
        shared = None if x.shared is None else x.shared * second
        slopes: Slope = functools.partial(_same, pick)
        backward = second
    else:
        moments_ = (x.second_moment + 2 * x.mean * mean + second, x.mean + mean)
        shared = None if x.shared is None else x.shared + 2 * x.mean * mean + second
        slopes, backward = 1.0, 1.0
    output = x.becoming(
        second_moment=moments_[0],
        mean=moments_[1],
        shared=shared,
        gaussian=False,
        make=lambda number: x.draws * pick if kind == "multiply" else x.draws + pick,
    )
    return Step(output, None, (backward,), (slopes,))


def _same(values: Array, number: int) -> Array:
    return values


def dropped(x: Signal, rate: float) -> Step:
    """Sets a share of the entries to 0 and scales the others up."""
    if not rate:
        return Step(x, None, (1.0,), (1.0,))
    keep = 1 - rate

    def mask(number: int) -> Array:
        drawn = generator(number).random((2, DRAWS))
        return (drawn < keep) / keep

    output = x.becoming(
        second_moment=x.second_moment / keep,
        gaussian=False,
        make=lambda number: x.draws * mask(number),
    )
    return Step(output, None, (1 / keep,), (lambda number: mask(number)[0],))


def noisy(x: Signal, factor: float, added: float) -> Step:
    """Multiplies by Gaussian noise of mean 1, or adds some of mean 0.

    Args:
        x: The signal.
        factor: Second moment of the noise that it is multiplied by.
        added: That of the noise that is added.
    """

    def make(number: int) -> Array:
        noise = generator(number).normal(size=(2, DRAWS))
        return x.draws * (1 + (factor - 1) ** 0.5 * noise) + added**0.5 * noise

    def slopes(number: int) -> Array:
        noise = generator(number).normal(size=(2, DRAWS))[0]
        return 1 + (factor - 1) ** 0.5 * noise

    output = x.becoming(
        second_moment=x.second_moment * factor + added, gaussian=False, make=make
    )
    return Step(output, None, (factor,), (slopes,))
