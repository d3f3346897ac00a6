"""How each kind of layer changes second moments, forward and backward, on average.

Weights count as independent of their inputs and of mean 0, so that
`E[z²] = sum(w²) E[x²] + E[b²]` for each output: exact over draws of the weights, for
inputs of any correlation. Kernels whose units' weights sum to zero see the inputs'
deviations from their mean only. Rules know layers by the names of their classes and by
their attributes, and import no Keras.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from keras_initkit.structure import values
from keras_initkit.structure.values import array
from keras_initkit.theory import activations
from keras_initkit.theory.gains import moments


@dataclasses.dataclass(frozen=True)
class Signal:
    """Moments of the entries of a tensor, over units, positions and inputs.

    Attributes:
        second_moment: `E[x²]`.
        mean: `E[x]`.
    """

    second_moment: float
    mean: float = 0.0

    @property
    def variance(self) -> float:
        """`Var[x]`, not below 0."""
        return max(0.0, self.second_moment - self.mean**2)


@dataclasses.dataclass(frozen=True)
class Step:
    """What a layer does to signals.

    Attributes:
        output: The signal after it, activation included.
        preactivation: Second moment before its own activation, or `None` without
            weights.
        backward: For each input, the factor from the second moment of dL/d(output) to
            that of dL/d(input).
        slope: `E[phi'²]` of its own activation (part of `backward`).
        kernels: Variables whose scale sets the preactivation; none for kernels that
            are quantized or have LoRA's part added.
        bias: Second moment that the bias adds to the preactivation.
        note: What is approximate, or empty.
    """

    output: Signal
    preactivation: float | None
    backward: tuple[float, ...]
    slope: float = 1.0
    kernels: tuple[Any, ...] = ()
    bias: float = 0.0
    note: str = ""


class Untreatable(Exception):
    """A layer whose effect has no rule here; its message says why."""


def step(
    layer: Any,
    inputs: list[Signal],
    input_shapes: list[tuple[int | None, ...]],
    output_shape: tuple[int | None, ...],
    training: bool,
    target: float | None = None,
) -> Step:
    """Applies the rule of a layer's kind.

    Args:
        layer: Keras layer or operation.
        inputs: Signals of its inputs.
        input_shapes: Their shapes, batch axis included.
        output_shape: Shape of its output.
        training: Whether normalization uses batch statistics and dropout drops.
        target: Preactivation second moment that the kernels are taken to be scaled
            to, or `None` for their present scale.

    Returns:
        `Step`.

    Raises:
        Untreatable: If there is no rule.
    """
    kinds = {base.__name__ for base in type(layer).__mro__}
    if "Embedding" in kinds:
        table = _weight(layer, "embeddings")
        signal = Signal(float(np.mean(table**2)), float(np.mean(table)))
        return Step(signal, None, (0.0,))
    if kinds & _LINEAR:
        return _linear(layer, kinds, inputs[0], input_shapes[0], output_shape, target)
    if kinds & _NORMALIZATION:
        return _normalization(layer, kinds, inputs[0], training)
    if kinds & _MERGING:
        return _merge(type(layer).__name__, inputs, input_shapes)
    if kinds & _ACTIVATIONS:
        return _activation(activation_of(layer), inputs[0])
    if kinds & _POOLING:
        ratio = _size(output_shape) / _size(input_shapes[0])
        note = "taken to keep second moments"
        return Step(inputs[0], None, (ratio,), note=note)
    if kinds & _DROPOUT:
        keep = 1 - layer.rate if training else 1.0
        signal = Signal(inputs[0].second_moment / keep, inputs[0].mean)
        return Step(signal, None, (1 / keep,))
    if "ZeroPadding1D" in kinds or "ZeroPadding2D" in kinds or "ZeroPadding3D" in kinds:
        share = _size(input_shapes[0]) / _size(output_shape)
        signal = Signal(inputs[0].second_moment * share, inputs[0].mean * share)
        return Step(signal, None, (1.0,))
    if kinds & _REARRANGING:
        return Step(inputs[0], None, (_size(output_shape) / _size(input_shapes[0]),))
    raise Untreatable(f"{type(layer).__name__} has no propagation rule")


def activation_of(layer: Any) -> activations.Activation:
    """Returns the activation that an activation layer or operation applies."""
    name = type(layer).__name__
    if name == "LeakyReLU":
        return activations.leaky_relu(layer.negative_slope)
    if name == "PReLU":
        return activations.leaky_relu(float(np.mean(array(layer.alpha))))
    if name == "ELU":
        return activations.elu(layer.alpha)
    if name == "ReLU":
        if not hasattr(layer, "max_value"):
            return activations.resolve("relu")
        return activations.relu(layer.negative_slope, layer.max_value, layer.threshold)
    function = getattr(layer, "activation", None)
    return resolve_function(name.lower() if function is None else function)


def resolve_function(function: Any) -> activations.Activation:
    """Returns the theory's activation for a Keras function, name or `None`."""
    name = getattr(function, "__name__", function)
    ours = str(getattr(function, "__module__", "keras")).startswith("keras")
    try:
        if function is None:
            return activations.resolve("linear")
        if ours and isinstance(name, str):
            return activations.resolve(name)
        return activations.resolve(lambda x: np.asarray(function(x)))
    except ValueError as error:
        raise Untreatable(str(error)) from error


_LINEAR = {"Dense", "EinsumDense", "BaseConv", "BaseConvTranspose"}
_LINEAR |= {"BaseDepthwiseConv", "BaseSeparableConv"}
_NORMALIZATION = {"BatchNormalization", "LayerNormalization", "GroupNormalization"}
_NORMALIZATION |= {"RMSNormalization", "UnitNormalization"}
_MERGING = {"Add", "Average", "Concatenate", "Multiply", "Subtract"}
_ACTIVATIONS = {"Activation", "LeakyReLU", "PReLU", "ELU", "ReLU", "Relu", "Tanh"}
_ACTIVATIONS |= {"Gelu", "Silu", "Sigmoid"}
_POOLING = {"BasePooling", "BaseGlobalPooling"}
_DROPOUT = {"Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"}
_REARRANGING = {"Flatten", "Reshape", "Permute", "Identity", "UpSampling1D"}
_REARRANGING |= {"UpSampling2D", "UpSampling3D", "Cropping1D", "Cropping2D", "GetItem"}
_REARRANGING |= {"InputLayer", "Cropping3D", "RepeatVector", "Transpose"}


def _linear(
    layer: Any,
    kinds: set[str],
    x: Signal,
    input_shape: tuple[int | None, ...],
    output_shape: tuple[int | None, ...],
    target: float | None,
) -> Step:
    kernels: tuple[Any, ...]
    if "BaseSeparableConv" in kinds:
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        depthwise, pointwise = (array(kernel) for kernel in kernels)
        middle = depthwise.shape[-2] * depthwise.shape[-1]
        weight = np.sum(depthwise**2) / middle * np.sum(pointwise**2)
        weight = float(weight) / pointwise.shape[-1]
    else:
        variable = values.sole_variable(layer)
        kernels = () if variable is None else (variable,)
        kernel = _weight(layer)
        if _sums_to_zero(kernel):
            x = dataclasses.replace(x, second_moment=x.variance, mean=0.0)
        weight = float(np.sum(kernel**2)) / _outputs(layer, kinds, kernel.shape)
    # Share of the products that fall on the input, not on its padding.
    if "BaseConvTranspose" in kinds:
        spread = _transposed_share(layer, input_shape, output_shape)
        weight *= spread * _size(input_shape) / input_shape[-1]  # type: ignore[operator]
        weight /= _size(output_shape) / output_shape[-1]  # type: ignore[operator]
    elif "Conv" in " ".join(kinds):
        weight *= _coverage(layer, input_shape, output_shape)
    bias = getattr(layer, "bias", None)
    offset = 0.0 if bias is None else float(np.mean(array(bias) ** 2))
    q = weight * x.second_moment + offset
    if target is not None:
        if not kernels:
            raise Untreatable("no variable alone sets the scale of its kernel")
        if not weight * x.second_moment > 0 or target <= offset:
            raise Untreatable("its kernel cannot be scaled to the target")
        weight *= (target - offset) / (weight * x.second_moment)
        present, q = q, target
    else:
        present = q
    phi = resolve_function(getattr(layer, "activation", None))
    found = moments(phi, q)
    # sum over x of g² = sum over z of g² * weight: each product is met once each way.
    per_input = weight * _size(output_shape) / _size(input_shape)
    slope = found.derivative_second_moment
    return Step(
        Signal(found.second_moment, found.mean),
        present,
        (per_input * slope,),
        slope,
        kernels,
        offset,
    )


def _sums_to_zero(kernel: values.Array) -> bool:
    """Whether each unit's weights sum to zero: then the inputs' mean does not count."""
    sums = np.abs(kernel.reshape(-1, kernel.shape[-1]).sum(axis=0)).max()
    return bool(sums < 1e-4 * np.abs(kernel).max())


def _outputs(layer: Any, kinds: set[str], shape: tuple[int, ...]) -> int:
    """Number of output units that a kernel's entries are spread over."""
    if "EinsumDense" in kinds:
        left, output = layer.equation.replace(" ", "").split("->")
        axes = left.split(",")[1]
        return math.prod(
            n for n, axis in zip(shape, axes, strict=True) if axis in output
        )
    if "BaseDepthwiseConv" in kinds:
        return shape[-1] * shape[-2]
    return shape[-2] if "BaseConvTranspose" in kinds else shape[-1]


def _coverage(
    layer: Any,
    input_shape: tuple[int | None, ...],
    output_shape: tuple[int | None, ...],
) -> float:
    """Average share of a convolution's taps that lie on the input."""
    if layer.padding == "valid" or layer.data_format != "channels_last":
        return 1.0
    share = 1.0
    sizes = zip(
        input_shape[1:-1],
        output_shape[1:-1],
        layer.kernel_size,
        layer.strides,
        layer.dilation_rate,
        strict=True,
    )
    for n, out, taps, stride, dilation in sizes:
        if n is None or out is None:
            continue
        reach = (taps - 1) * dilation
        before = max((out - 1) * stride + reach + 1 - n, 0) // 2
        if layer.padding == "causal":
            before = reach
        at = np.arange(out)[:, None] * stride + np.arange(taps) * dilation - before
        share *= float(np.mean((at >= 0) & (at < n)))
    return share


def _transposed_share(
    layer: Any,
    input_shape: tuple[int | None, ...],
    output_shape: tuple[int | None, ...],
) -> float:
    """Average share of a transposed convolution's products that are not cropped."""
    share = 1.0
    sizes = zip(
        input_shape[1:-1], output_shape[1:-1], layer.kernel_size, layer.strides,
        strict=True,
    )  # fmt: skip
    for n, out, taps, stride in sizes:
        if n is None or out is None or layer.padding == "valid":
            continue
        crop = max(taps - stride, 0) // 2
        at = np.arange(n)[:, None] * stride + np.arange(taps) - crop
        share *= float(np.mean((at >= 0) & (at < out)))
    return share


def _normalization(layer: Any, kinds: set[str], x: Signal, training: bool) -> Step:
    gamma2 = _second(getattr(layer, "gamma", getattr(layer, "scale", None)), 1.0)
    beta = getattr(layer, "beta", None)
    shift, shift2 = (0.0, 0.0)
    if beta is not None and not isinstance(beta, int | float):
        shift, shift2 = float(np.mean(array(beta))), _second(beta, 0.0)
    if "BatchNormalization" in kinds and not training:
        variance = float(np.mean(array(layer.moving_variance))) + layer.epsilon
        centre = float(np.mean(array(layer.moving_mean)))
        spread = x.variance + (x.mean - centre) ** 2
        signal = Signal(gamma2 * spread / variance + shift2, shift)
        return Step(signal, None, (gamma2 / variance,))
    centred = not kinds & {"RMSNormalization", "UnitNormalization"}
    size = x.variance if centred else x.second_moment
    if not size > 0:
        raise Untreatable("normalizes a signal without variance")
    note = "gradient through the statistics neglected"
    return Step(Signal(gamma2 + shift2, shift), None, (gamma2 / size,), note=note)


def _merge(
    name: str, inputs: list[Signal], shapes: list[tuple[int | None, ...]]
) -> Step:
    note = "branches taken to be uncorrelated"
    if name == "Concatenate":
        sizes = [_size(shape) for shape in shapes]
        total = sum(sizes)
        parts = list(zip(sizes, inputs, strict=True))
        second = sum(n * s.second_moment for n, s in parts) / total
        signal = Signal(second, sum(n * s.mean for n, s in parts) / total)
        return Step(signal, None, (1.0,) * len(inputs))
    if name == "Multiply":
        second = math.prod(s.second_moment for s in inputs)
        signal = Signal(second, math.prod(s.mean for s in inputs))
        factors = tuple(
            math.prod(o.second_moment for m, o in enumerate(inputs) if m != n)
            for n in range(len(inputs))
        )
        return Step(signal, None, factors, note=note)
    sign = -1.0 if name == "Subtract" else 1.0
    scale = 1 / len(inputs) if name == "Average" else 1.0
    mean = inputs[0].mean + sign * sum(s.mean for s in inputs[1:])
    second = sum(s.variance for s in inputs) + mean**2
    signal = Signal(scale**2 * second, scale * mean)
    return Step(signal, None, (scale**2,) * len(inputs), note=note)


def _activation(phi: activations.Activation, x: Signal) -> Step:
    found = moments(phi, x.variance, x.mean)
    slope = found.derivative_second_moment
    return Step(Signal(found.second_moment, found.mean), None, (slope,), slope)


def _weight(layer: Any, name: str = "kernel") -> values.Array:
    """Returns the weight that a layer computes with, or raises `Untreatable`."""
    weight = values.effective(layer, name)
    if weight is None:
        mode = getattr(layer, "quantization_mode", None)
        raise Untreatable(f"its {name} cannot be read (quantization: {mode})")
    return weight


def _second(variable: Any, default: float) -> float:
    if variable is None or isinstance(variable, int | float | bool):
        return default
    return float(np.mean(array(variable) ** 2))


def _size(shape: tuple[int | None, ...]) -> float:
    """Entries of a tensor per sample; unknown axes count 1."""
    return float(math.prod(n or 1 for n in shape[1:]))
