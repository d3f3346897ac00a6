"""How each kind of layer and operation changes second moments, forward and backward.

Averages over draws of the weights (`theory.kernels`). A rule reads all arguments of its
layer or operation, or names those it does not know: no argument is silently ignored.
Rules identify layers by the names of their classes and by their attributes.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_initkit.structure.values import array
from keras_initkit.theory import elementwise, kernels, merging
from keras_initkit.theory._quadrature import Array
from keras_initkit.theory.signals import DRAWS, Padding, Signal, generator
from keras_initkit.theory.step import Call, Step, Untreatable, entries

# A second moment that is known roughly is so far above epsilon, or epsilon counts.
_FAR = 100
# Channels of a group from which on its mean is that of all.
_MANY = 32
# Share of a variance below which its parts are lost in their errors.
_FAINT = 0.05


def step(call: Call) -> Step:
    """Applies the rule of a layer's kind.

    Raises:
        Untreatable: If there is no rule.
    """
    for names, rule in _RULES:
        if call.kinds & names:
            _check_options(call)
            return rule(call)
    raise Untreatable(f"{type(call.layer).__name__} has no propagation rule")


def _check_options(call: Call) -> None:
    """Raises `Untreatable` for arguments by name that no rule reads."""
    read = ("training", "mask", *_OPTIONS.get(type(call.layer).__name__, ()))
    for name, value in call.options.items():
        if name not in read and value is not None and not isinstance(value, Signal):
            raise Untreatable(f"its argument `{name}` has no rule")
    if "mask" in call.options and call.options["mask"] is not None:
        raise Untreatable("its mask has no rule")


# Arguments by name that a rule reads.
_OPTIONS = {"ReversibleEmbedding": ("reverse",)}


def _embedding(call: Call) -> Step:
    if call.options.get("reverse") or len(call.arguments) > 1:
        raise Untreatable("used in reverse it has no rule")
    table = kernels.weight_of(call.layer, "embeddings")

    def make(number: int) -> Array:
        draw = generator(number)
        units = draw.integers(table.shape[1], size=DRAWS)
        return table[draw.integers(len(table), size=(2, DRAWS)), units]

    columns = table.mean(axis=0)
    output = Signal(
        float(np.mean(table**2)),
        float(np.mean(table)),
        float(np.mean(columns**2)),
        gaussian=False,
        origins=frozenset({id(call.layer)}),
        make=make,
    )
    return Step(output, None, (0.0,) * len(call.inputs))


def _batch_normalization(call: Call) -> Step:
    layer, x = call.layer, call.inputs[0]
    axis = layer.axis
    if axis % len(call.output_shape) != len(call.output_shape) - 1:
        raise Untreatable("it normalizes along an axis other than the last")
    if getattr(layer, "renorm", False):
        raise Untreatable("renormalization has no rule")
    if call.training and layer.trainable:
        return _normalized(call, x.shared, layer.gamma, layer.beta)
    variance = array(layer.moving_variance) + layer.epsilon
    centre = array(layer.moving_mean)
    gamma = 1.0 if layer.gamma is None else array(layer.gamma)
    beta = 0.0 if layer.beta is None else array(layer.beta)
    factor = gamma / np.sqrt(variance)
    offset = beta - centre * factor
    scaled = elementwise.with_constant(x, factor, "multiply")
    shifted = elementwise.with_constant(scaled.output.numbered(-1), offset, "add")
    output = shifted.output.as_source(
        origins=frozenset(x.roots).union(*x.roots.values()),
        gaussian=x.gaussian and np.ptp(factor) < 1e-6 and np.ptp(offset) < 1e-6,
    )
    return Step(output, None, (float(np.mean(factor**2)),))


def _layer_normalization(call: Call) -> Step:
    layer, x = call.layer, call.inputs[0]
    if getattr(layer, "rms_scaling", False):
        raise Untreatable("`rms_scaling` has no rule")
    _check_last_axis(call)
    return _normalized(call, x.mean**2, layer.gamma, layer.beta)


def _group_normalization(call: Call) -> Step:
    layer, x = call.layer, call.inputs[0]
    last = len(call.output_shape) - 1
    if layer.axis % len(call.output_shape) != last:
        raise Untreatable("it normalizes along an axis other than the last")
    channels = call.output_shape[-1] or 0
    if layer.groups < 1 or channels / layer.groups < _MANY:
        raise Untreatable(
            "its groups have few channels: how positions of one channel correlate is "
            "not known"
        )
    return _normalized(call, x.mean**2, layer.gamma, layer.beta)


def _rms_normalization(call: Call) -> Step:
    _check_last_axis(call)
    return _normalized(call, 0.0, call.layer.scale, None)


def _unit_normalization(call: Call) -> Step:
    if getattr(call.layer, "order", 2) != 2:
        raise Untreatable("`order` has no rule")
    _check_last_axis(call)
    x, axes = call.inputs[0], _axes(call.layer.axis)
    size = math.prod(call.output_shape[axis] or 0 for axis in axes)
    if not size or not x.second_moment > 0:
        raise Untreatable("it divides by a norm that is unknown, or 0")
    factor = 1 / math.sqrt(size * x.second_moment)
    scaled = elementwise.scaled(x, factor).output
    return Step(scaled, None, (factor**2,), (factor,), x.rough)


def _axes(axis: Any) -> tuple[int, ...]:
    return tuple(axis) if isinstance(axis, list | tuple) else (axis,)


def _check_last_axis(call: Call) -> None:
    """Raises `Untreatable` for a normalization that does not go over all units."""
    rank = len(call.output_shape)
    if rank - 1 not in {axis % rank for axis in _axes(call.layer.axis)}:
        raise Untreatable("it does not normalize along the last axis")


def _normalized(call: Call, removed: float | None, gamma: Any, beta: Any) -> Step:
    """Centres and scales a signal to `(E[x²] - removed) / (... + epsilon)`.

    Args:
        call: The call.
        removed: What of the second moment is that of the means which are taken away;
            `None` if it is not known.
        gamma: Variable of scales, or `None`.
        beta: Variable of offsets, or `None`.
    """
    x, epsilon = call.inputs[0], float(call.layer.epsilon)
    taken = x.mean**2 if removed is None else removed
    size = max(0.0, x.second_moment - taken)
    if not size > 0:
        raise Untreatable("it normalizes a signal that does not vary")
    vague = x.rough or removed is None or size < _FAINT * x.second_moment
    gammas = np.ones(1) if gamma is None else array(gamma)
    betas = np.zeros(1) if beta is None else array(beta)
    factor = 1 / math.sqrt(size + epsilon)
    gamma2, shift2 = float(np.mean(gammas**2)), float(np.mean(betas**2))
    centre = 0.0 if taken == 0 else x.mean
    left = None
    if x.shared is not None and removed is not None:
        left = factor**2 * max(0.0, x.shared - taken)
    # Each unit as it is ahead of its scale and offset.
    plain = x.becoming(
        second_moment=factor**2 * size,
        mean=factor * (x.mean - centre),
        shared=left,
        rough=vague and size < _FAR * epsilon,
        make=lambda number: (x.draws - centre) * factor,
    )
    scaled = elementwise.with_constant(plain, gammas, "multiply").output
    output = elementwise.with_constant(scaled, betas, "add").output
    backward = gamma2 * factor**2
    note = "gradient through the statistics neglected"
    if taken in (0.0, x.mean**2) and removed is not None:
        # All entries are moved and scaled alike.
        slope = float(np.mean(gammas)) * factor
        return Step(output, None, (backward,), (slope,), vague, note=note)
    output = output.as_source(
        gaussian=x.gaussian and shift2 == 0 and np.ptp(gammas) == 0, make=None
    )
    return Step(output, None, (backward,), rough_backward=vague, note=note)


def _pooling(call: Call) -> Step:
    """Positions in a window: how they correlate is not known."""
    layer, x = call.layer, call.inputs[0]
    ratio = entries(call.output_shape) / entries(call.shapes[0])
    taps = 1
    if "Average" in type(layer).__name__:
        size = layer.pool_size
        rank = len(call.output_shape) - 2
        taps = math.prod(size if isinstance(size, tuple | list) else (size,) * rank)
    return Step(
        x.as_source(rough=True, shared=None, gaussian=False, make=None),
        None,
        (ratio / taps,),
        note="taken to keep second moments: how positions correlate is not known",
    )


def _global_pooling(call: Call) -> Step:
    raise Untreatable("it pools positions, and how these correlate is not known")


def _dropout(call: Call) -> Step:
    layer, x = call.layer, call.inputs[0]
    if not call.training:
        return Step(x, None, (1.0,), (1.0,))
    if "Gaussian" in type(layer).__name__:
        return elementwise.noisy(x, 1 / (1 - layer.rate), 0.0)
    shape = getattr(layer, "noise_shape", None)
    if shape is not None and any(n == 1 for n in shape[1:]):
        step = elementwise.dropped(x, layer.rate)
        return Step(step.output.as_source(shared=None), None, step.backward)
    return elementwise.dropped(x, layer.rate)


def _noise(call: Call) -> Step:
    if not call.training:
        return Step(call.inputs[0], None, (1.0,), (1.0,))
    return elementwise.noisy(call.inputs[0], 1.0, float(call.layer.stddev) ** 2)


def _zero_padding(call: Call) -> Step:
    layer, x = call.layer, call.inputs[0]
    share = entries(call.shapes[0]) / entries(call.output_shape)
    axes = layer.padding
    pairs = tuple(map(tuple, axes)) if isinstance(axes[0], tuple) else (tuple(axes),)

    def make(number: int) -> Array:
        return x.draws * (generator(number).random(DRAWS) < share)

    output = x.as_source(
        second_moment=x.second_moment * share,
        mean=x.mean * share,
        shared=None if x.shared is None else x.shared * share,
        gaussian=False,
        make=make,
        padding=Padding(x, pairs),
    )
    return Step(output, None, (1.0,))


def _rearranged(call: Call) -> Step:
    layer, (x, *others) = call.layer, call.inputs
    if others or not call.output_shape:
        raise Untreatable("it rearranges by more than one tensor")
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise Untreatable(f"interpolation {layer.interpolation!r} has no rule")
    if "GetItem" in call.kinds and not _keeps_examples(call):
        raise Untreatable("it selects some of the examples")
    same_units = call.output_shape[-1] == call.shapes[0][-1] and not (
        call.kinds & {"Permute", "Transpose", "Reshape", "Flatten"}
    )
    ratio = entries(call.output_shape) / entries(call.shapes[0])
    output = x.as_source(shared=x.shared if same_units else None)
    return Step(output, None, (ratio,))


def _keeps_examples(call: Call) -> bool:
    key = call.arguments[1] if len(call.arguments) > 1 else call.options.get("key")
    return key is Ellipsis or (isinstance(key, slice) and key == slice(None))


def _identity(call: Call) -> Step:
    return Step(call.inputs[0], None, (1.0,), (1.0,))


def _stopped(call: Call) -> Step:
    x = call.inputs[0]
    return Step(x.becoming(make=lambda number: x.draws), None, (0.0,), (0.0,))


def _cast(call: Call) -> Step:
    if "float" not in str(call.layer.dtype):
        raise Untreatable("it converts it to integers")
    return _identity(call)


def _activation(call: Call) -> Step:
    others = [one for one in call.arguments[1:] if not np.isscalar(one)]
    if len(call.inputs) > 1 or others or not isinstance(call.arguments[0], Signal):
        raise Untreatable("its arguments have no rule")
    phi = elementwise.activation_of(call.layer, call.arguments)
    return elementwise.activation(phi, call.inputs[0])


def _constant_of(call: Call) -> tuple[int, Array] | None:
    """Returns place and values of the constant of a pair, `None` for two tensors."""
    pair = [*call.arguments, *call.options.values()]
    if len(pair) != 2:
        raise Untreatable("it does not take two operands")
    at = next((n for n, one in enumerate(pair) if not isinstance(one, Signal)), None)
    if at is None:
        return None
    constant = array(pair[at])
    shape = call.shapes[0]
    if constant.ndim > len(shape) or entries(call.output_shape) != entries(shape):
        raise Untreatable("a constant repeats it along an axis")
    if not np.isfinite(constant).all():
        raise Untreatable("a constant is not finite")
    return at, constant


def _add(call: Call) -> Step:
    return _sum(call, 1.0)


def _subtract(call: Call) -> Step:
    return _sum(call, -1.0)


def _sum(call: Call, sign: float) -> Step:
    if _is_layer(call.layer):
        return merging.combination(call, [1.0] + [sign] * (len(call.inputs) - 1))
    found = _constant_of(call)
    if found is None:
        return merging.combination(call, [1.0, sign])
    at, constant = found
    x = call.inputs[0]
    if at == 1:
        return elementwise.with_constant(x, sign * constant, "add")
    turned = elementwise.scaled(x, sign)
    moved = elementwise.with_constant(turned.output.numbered(x.number), constant, "add")
    return Step(moved.output, None, (1.0,), (sign,))


def _average(call: Call) -> Step:
    if not _is_layer(call.layer):
        raise Untreatable("it averages along an axis: how entries correlate is unknown")
    return merging.combination(call, [1 / len(call.inputs)] * len(call.inputs))


def _multiply(call: Call) -> Step:
    found = None if _is_layer(call.layer) else _constant_of(call)
    if found is None:
        return merging.product(call)
    return elementwise.with_constant(call.inputs[0], found[1], "multiply")


def _divide(call: Call) -> Step:
    found = _constant_of(call)
    if found is None or found[0] == 0 or not found[1].all():
        raise Untreatable("it divides by something that may be 0")
    return elementwise.with_constant(call.inputs[0], 1 / found[1], "multiply")


def _negative(call: Call) -> Step:
    return elementwise.scaled(call.inputs[0], -1.0)


def _rescaling(call: Call) -> Step:
    scale, offset = array(call.layer.scale), array(call.layer.offset)
    if scale.size > 1 or offset.size > 1:
        raise Untreatable("its channels have different scales")
    return elementwise.scaled(call.inputs[0], float(scale), float(offset))


def _is_layer(layer: Any) -> bool:
    return hasattr(layer, "trainable_variables")


_ACTIVATIONS = {"Activation", "LeakyReLU", "PReLU", "ELU", "ReLU"}
# Operations of one tensor, entry by entry; `keras.ops` has a class for each.
_ACTIVATIONS |= {"Absolute", "Arctan", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp"}
_ACTIVATIONS |= {"Expm1", "Gelu", "HardShrink", "HardSigmoid", "HardSilu", "HardTanh"}
_ACTIVATIONS |= {"LeakyRelu", "LogSigmoid", "Power", "Relu", "Relu6", "Selu", "Sigmoid"}
_ACTIVATIONS |= {"Silu", "Sin", "SoftShrink", "Softplus", "Softsign", "SparsePlus"}
_ACTIVATIONS |= {"Square", "Squareplus", "Tanh", "TanhShrink", "Threshold"}
_POOLING = {"BasePooling"}
_DROPOUT = {"BaseDropout", "Dropout", "BaseSpatialDropout", "GaussianDropout"}
_PADDING = {"ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"}
_REARRANGING = {"Flatten", "Reshape", "Permute", "UpSampling1D", "UpSampling2D"}
_REARRANGING |= {"UpSampling3D", "Cropping1D", "Cropping2D", "Cropping3D", "GetItem"}
_REARRANGING |= {"RepeatVector", "Transpose", "ExpandDims", "Squeeze"}

Rule = Callable[[Call], Step]
# The first that has one of a layer's kinds.
_RULES: tuple[tuple[set[str], Rule], ...] = (
    ({"Embedding"}, _embedding),
    (kernels.KINDS, kernels.linear),
    ({"BatchNormalization"}, _batch_normalization),
    ({"LayerNormalization"}, _layer_normalization),
    ({"GroupNormalization"}, _group_normalization),
    ({"RMSNormalization"}, _rms_normalization),
    ({"UnitNormalization"}, _unit_normalization),
    ({"Add"}, _add),
    ({"Subtract"}, _subtract),
    ({"Average"}, _average),
    ({"Multiply"}, _multiply),
    ({"Divide", "TrueDivide"}, _divide),
    ({"Negative"}, _negative),
    ({"Concatenate"}, merging.joined),
    ({"Rescaling"}, _rescaling),
    ({"InputLayer", "Identity"}, _identity),
    ({"StopGradient"}, _stopped),
    ({"Cast"}, _cast),
    (_ACTIVATIONS, _activation),
    ({"BaseGlobalPooling"}, _global_pooling),
    (_POOLING, _pooling),
    ({"GaussianNoise"}, _noise),
    (_DROPOUT, _dropout),
    (_PADDING, _zero_padding),
    (_REARRANGING, _rearranged),
)
