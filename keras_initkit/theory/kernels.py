"""What dense and convolutional layers do to second moments.

Weights count as independent of their inputs and of mean 0, so that
`E[z²] = sum(w²) E[x²] + E[b²]` for each output: exact over draws of the weights, for
inputs of any correlation. Kernels whose units' weights sum to zero see only the inputs'
deviations from their mean.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_initkit.structure import values
from keras_initkit.structure.values import array
from keras_initkit.theory.elementwise import resolve_function
from keras_initkit.theory.signals import Signal
from keras_initkit.theory.step import Call, Shape, Step, Untreatable, entries

KINDS = {"Dense", "EinsumDense", "BaseConv", "BaseConvTranspose"}
KINDS |= {"BaseDepthwiseConv", "BaseSeparableConv"}


def linear(call: Call) -> Step:
    """Applies a layer that multiplies by a kernel, adds a bias, and activates.

    Raises:
        Untreatable: If an argument of the layer has no rule.
    """
    layer, x, target = call.layer, call.inputs[0], call.target
    phi = resolve_function(getattr(layer, "activation", None))
    share, x, size = _share(call, x)
    weight, kernels, x = _squares(layer, call.kinds, x)
    weight *= share
    bias = getattr(layer, "bias", None)
    bias = np.zeros(1) if bias is None else array(bias)
    mean, offset = float(np.mean(bias)), float(np.mean(bias**2))
    q = present = weight * x.second_moment + offset
    if target is not None:
        if not kernels:
            raise Untreatable("no single variable sets the scale of its kernel")
        if not q > offset or target <= offset:
            raise Untreatable("its kernel cannot be scaled to the target")
        weight *= (target - offset) / (q - offset)
        q = target
    # Positions that a transposed convolution makes by other taps share nothing.
    kinds = math.prod(layer.strides) if "BaseConvTranspose" in call.kinds else 1
    shared = None if x.shared is None else weight * x.shared / kinds + offset
    origins = frozenset(id(one) for one in kernels or (layer,))
    # sum over x of g² = sum over z of g² * weight: each product is met once each way.
    per_input = weight * entries(call.output_shape) / size
    return Step(
        Signal(q, mean, shared, x.rough, origins=origins),
        present,
        (per_input,),
        activation=None if phi.name == "linear" else phi,
        kernels=kernels,
        bias=offset,
    )


def _squares(
    layer: Any, kinds: frozenset[str], x: Signal
) -> tuple[float, tuple[Any, ...], Signal]:
    """Returns a unit's sum of squared weights, its kernels, and what these see."""
    if "BaseSeparableConv" in kinds:
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        depthwise, pointwise = (array(kernel) for kernel in kernels)
        middle = depthwise.shape[-2] * depthwise.shape[-1]
        weight = np.sum(depthwise**2) / middle * np.sum(pointwise**2)
        return float(weight) / pointwise.shape[-1], kernels, x
    kernel = weight_of(layer)
    if _sums_to_zero(kernel):
        shared = None if x.shared is None else x.shared - x.mean**2
        x = dataclasses.replace(x, second_moment=x.variance, mean=0.0, shared=shared)
    variable = values.sole_variable(layer)
    found = () if variable is None else (variable,)
    return float(np.sum(kernel**2)) / _outputs(layer, kinds, kernel.shape), found, x


def weight_of(layer: Any, name: str = "kernel") -> values.Array:
    """Returns the weight that a layer computes with, or raises `Untreatable`."""
    weight = values.effective(layer, name)
    if weight is None:
        mode = getattr(layer, "quantization_mode", None)
        raise Untreatable(f"its {name} cannot be read (quantization: {mode})")
    return weight


def _sums_to_zero(kernel: values.Array) -> bool:
    """Whether each unit's weights sum to zero: then the inputs' mean does not count."""
    sums = np.abs(kernel.reshape(-1, kernel.shape[-1]).sum(axis=0)).max()
    return bool(sums < 1e-4 * np.abs(kernel).max())


def _outputs(layer: Any, kinds: frozenset[str], shape: tuple[int, ...]) -> int:
    """Number of output units that a kernel's entries are spread over."""
    if "EinsumDense" in kinds:
        left, output = layer.equation.replace(" ", "").split("->")
        inputs, axes = left.split(",")
        lost = set(inputs) - set(axes) - set(output) - {"."}
        if lost:
            raise Untreatable(
                f"its equation {layer.equation!r} sums over {sorted(lost)} of its "
                "input, whose correlation there is not known"
            )
        return math.prod(
            n for n, axis in zip(shape, axes, strict=True) if axis in output
        )
    if "BaseDepthwiseConv" in kinds:
        return shape[-1] * shape[-2]
    return shape[-2] if "BaseConvTranspose" in kinds else shape[-1]


def _share(call: Call, x: Signal) -> tuple[float, Signal, float]:
    """Returns how much of a convolution's products falls on its input.

    Returns:
        Their share of all products, the signal that they fall on, and its entries:
        those of a tensor that zeros were put around, not of the zeros.
    """
    layer, (shape, *_) = call.layer, call.shapes
    if not hasattr(layer, "kernel_size"):
        return 1.0, x, entries(shape)
    inputs, outputs = (_positions(layer, s) for s in (shape, call.output_shape))
    if "BaseConvTranspose" in call.kinds:
        if getattr(layer, "output_padding", None) is not None:
            raise Untreatable("`output_padding` has no rule")
        if any(rate != 1 for rate in layer.dilation_rate):
            raise Untreatable("a dilated transposed convolution has no rule")
        known = all(n is not None for n in (*inputs, *outputs))
        ratio = math.prod(n or 1 for n in inputs) / math.prod(n or 1 for n in outputs)
        ratio = ratio if known else 1 / math.prod(layer.strides)
        if layer.padding == "valid":
            return ratio, x, entries(shape)
        zeros = ((0, 0),) * len(inputs)
        share = _over_axes(layer, inputs, outputs, zeros, _transposed_share)
        return ratio * share, x, entries(shape)
    widths = ((0, 0),) * len(inputs)
    size = entries(shape)
    if x.padding is not None and len(x.padding.widths) == len(inputs):
        widths = x.padding.widths
        size *= x.second_moment / x.padding.inner.second_moment
        x = dataclasses.replace(x.padding.inner, rough=x.rough)
    share = _over_axes(layer, inputs, outputs, widths, _coverage)
    return share, x, size


def _positions(layer: Any, shape: Shape) -> Shape:
    """Returns the sizes of the axes that a kernel moves along."""
    first = layer.data_format == "channels_first"
    return shape[2:] if first else shape[1:-1]


def _over_axes(
    layer: Any,
    inputs: Shape,
    outputs: Shape,
    widths: tuple[tuple[int, int], ...],
    share: Callable[..., float],
) -> float:
    """Product of a share over the axes whose sizes are known."""
    axes = zip(
        inputs,
        outputs,
        layer.kernel_size,
        layer.strides,
        layer.dilation_rate,
        widths,
        strict=True,
    )
    found = 1.0
    for n, out, taps, stride, dilation, zeros in axes:
        if n is not None and out is not None:
            found *= share(n, out, taps, stride, dilation, zeros, layer.padding)
    return found


def _coverage(
    n: int,
    out: int,
    taps: int,
    stride: int,
    dilation: int,
    zeros: tuple[int, int],
    padding: str,
) -> float:
    """Average share of a convolution's taps that lie on the input, not on zeros."""
    reach = (taps - 1) * dilation
    before = {
        "valid": 0,
        "same": max((out - 1) * stride + reach + 1 - n, 0) // 2,
        "causal": reach,
    }[padding]
    at = np.arange(out)[:, None] * stride + np.arange(taps) * dilation - before
    return float(np.mean((at >= zeros[0]) & (at < n - zeros[1])))


def _transposed_share(
    n: int,
    out: int,
    taps: int,
    stride: int,
    dilation: int,
    zeros: tuple[int, int],
    padding: str,
) -> float:
    """Average share of a transposed convolution's products that are not cropped."""
    crop = max(taps - stride, 0) // 2
    at = np.arange(n)[:, None] * stride + np.arange(taps) - crop
    return float(np.mean((at >= 0) & (at < out)))
