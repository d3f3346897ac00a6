"""What one call of a layer or operation does to signals."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from keras_initkit.theory._quadrature import Array
from keras_initkit.theory.activation_functions import Activation
from keras_initkit.theory.signals import Signal

Shape = tuple[int | None, ...]
# Derivative of an output's entry by that of an input: the same for all, or for each
# draw, given the number of the output.
Slope = float | Callable[[int], Array]


class Untreatable(Exception):
    """A layer whose effect has no rule here; its message says why."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer or operation.

    Attributes:
        layer: Keras layer or operation.
        kinds: Names of the classes of Keras whose `call` it has, see `kinds_of`.
        inputs: Signals of its inputs.
        shapes: Their shapes, batch axis included.
        output_shape: Shape of its output.
        arguments: What it is called with in order, signals in the place of tensors;
            of lists, what is in them.
        options: What it is called with by name.
        training: Whether normalization uses batch statistics and dropout drops.
        target: Preactivation second moment that the kernels are taken to be scaled
            to, or `None` for their present scale.
    """

    layer: Any
    kinds: frozenset[str]
    inputs: tuple[Signal, ...]
    shapes: tuple[Shape, ...]
    output_shape: Shape
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: bool = True
    target: float | None = None


@dataclasses.dataclass(frozen=True)
class Step:
    """What a layer does to signals.

    Attributes:
        output: The signal after it, ahead of `activation`.
        preactivation: Second moment before its own activation, or `None` without
            weights.
        backward: For each input, the factor from the second moment of dL/d(output) to
            that of dL/d(input).
        slopes: For each input, the derivative by it, where the layer acts entry by
            entry: `backward` is then the mean of its square. `None` elsewhere.
        rough_backward: Whether `backward` is known by its order of magnitude only.
        activation: Its own activation, that of a layer with weights.
        kernels: Variables whose scale sets the preactivation; none for kernels that
            are quantized or have LoRA's part added.
        bias: Second moment that the bias adds to the preactivation.
        note: What is approximate, or empty.
    """

    output: Signal
    preactivation: float | None
    backward: tuple[float, ...]
    slopes: tuple[Slope, ...] | None = None
    rough_backward: bool = False
    activation: Activation | None = None
    kernels: tuple[Any, ...] = ()
    bias: float = 0.0
    note: str = ""


def entries(shape: Shape) -> float:
    """Entries of a tensor per sample; unknown axes count 1."""
    return float(math.prod(n or 1 for n in shape[1:]))
