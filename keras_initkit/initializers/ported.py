"""Initializers of torch, jax and timm, under their names and by their definitions."""

import copy
import math
from typing import Any

import keras
from keras import ops

from keras_initkit.arguments import check_count, check_finite, check_positive
from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    Structural,
    check_choice,
    check_rank,
    register,
    resolve_dtype,
    split_seed,
    working_dtype,
)
from keras_initkit.initializers._sampling import DISTRIBUTIONS, sample
from keras_initkit.initializers.blockwise import each_matrix
from keras_initkit.initializers.variance import ByFan
from keras_initkit.structure import roles
from keras_initkit.structure.fans import MODES, fan_of_mode, layout_of
from keras_initkit.structure.weight import Weight
from keras_initkit.theory.gains import TORCH_GAINS

# The number before 1 in float32: the inverse of erf is infinite at 1.
_BELOW_ONE = 1 - 2**-24


class _Kaiming(ByFan):
    """Base of torch's rules after He et al.: `Var = gain² / fan`."""

    def __init__(
        self,
        a: float = 0.0,
        mode: str = "fan_in",
        nonlinearity: str = "leaky_relu",
        seed: Seed = None,
    ) -> None:
        check_finite("a", a)
        check_choice("mode", mode, ("fan_in", "fan_out"))
        check_choice("nonlinearity", nonlinearity, TORCH_GAINS)
        self.a = a
        self.mode = mode
        self.nonlinearity = nonlinearity
        super().__init__(seed=seed)

    @property
    def variance_scale(self) -> float:
        """The square of `torch.nn.init.calculate_gain(nonlinearity, a)`."""
        if self.nonlinearity == "leaky_relu":
            return 2 / (1 + self.a**2)
        return TORCH_GAINS[self.nonlinearity] ** 2

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {"a": self.a, "mode": self.mode, "nonlinearity": self.nonlinearity}
        return {**super().get_config(), **config}


@register()
class KaimingNormal(_Kaiming):
    """Initializer as `torch.nn.init.kaiming_normal_`: `N(0, gain² / fan)`, not cut.

    `keras.initializers.HeNormal` has the same variance, from a normal cut at two
    standard deviations.

    Shapes: rank 2 or more, `(*spatial, in, out)`; elsewhere through `for_layer` or
    `kik.reinitialize`, with the layer's true fans. (torch divides no `fan_out` by
    groups, and swaps the fans of transposed convolutions.)

    Args:
        a: Slope of the leaky ReLU that precedes the weights. Defaults to `0.0`, ReLU.
        mode: `"fan_in"` or `"fan_out"`. Defaults to `"fan_in"`.
        nonlinearity: Whose gain torch states; `a` counts for `"leaky_relu"`, the
            default.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If an argument is unknown or not finite, or the rank below 2.

    References:
    - [torch.nn.init](https://pytorch.org/docs/stable/nn.init.html)
    - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    """

    distribution = "untruncated_normal"


@register()
class KaimingUniform(_Kaiming):
    """Initializer as `torch.nn.init.kaiming_uniform_`: `U(±gain √(3 / fan))`.

    `KaimingUniform(a=math.sqrt(5))` is what `torch.nn.Linear` and `Conv2d` call: the
    same as `FanInUniform()`.

    Shapes: as for `KaimingNormal`.

    Args:
        a: Slope of the leaky ReLU that precedes the weights. Defaults to `0.0`, ReLU.
        mode: `"fan_in"` or `"fan_out"`. Defaults to `"fan_in"`.
        nonlinearity: Whose gain torch states; `a` counts for `"leaky_relu"`, the
            default.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If an argument is unknown or not finite, or the rank below 2.

    References:
    - [torch.nn.init](https://pytorch.org/docs/stable/nn.init.html)
    - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    """

    distribution = "uniform"


class _Xavier(ByFan):
    """Base of torch's rules after Glorot & Bengio: `Var = 2 gain² / (in + out)`."""

    mode = "fan_avg"

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        check_positive("gain", gain)
        self.gain = gain
        super().__init__(seed=seed)

    @property
    def variance_scale(self) -> float:
        """The variance times the mean of the fans."""
        return self.gain**2

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "gain": self.gain}


@register()
class XavierNormal(_Xavier):
    """Initializer as `torch.nn.init.xavier_normal_`: not cut, with a gain.

    `N(0, 2 gain² / (fan_in + fan_out))`; `keras.initializers.GlorotNormal` has the
    variance of `gain=1`, from a normal cut at two standard deviations.

    Shapes: as for `KaimingNormal`.

    Args:
        gain: Positive factor. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `gain` is not positive or the rank below 2.

    References:
    - [torch.nn.init](https://pytorch.org/docs/stable/nn.init.html)
    - [Glorot & Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html)
    """

    distribution = "untruncated_normal"


@register()
class XavierUniform(_Xavier):
    """Initializer as `torch.nn.init.xavier_uniform_`: Glorot's, with a gain.

    `U(±gain √(6 / (fan_in + fan_out)))`; with `gain=1` it is Keras's `GlorotUniform`.

    Shapes: as for `KaimingNormal`.

    Args:
        gain: Positive factor. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `gain` is not positive or the rank below 2.

    References:
    - [torch.nn.init](https://pytorch.org/docs/stable/nn.init.html)
    - [Glorot & Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html)
    """

    distribution = "uniform"


@register()
class TruncNormal(SeededInitializer):
    """Initializer of normal values truncated at custom bounds.

    torch's and timm's `trunc_normal_` take bounds as values: with `std=0.02` and the
    default `±2` nothing is cut. timm's `trunc_normal_tf_` and jax take them in
    standard deviations from the mean, `relative=True`, as
    `keras.initializers.TruncatedNormal` cuts at two of them. `std` is that of the
    normal before it is cut.

    Shapes: any.

    Args:
        mean: Mean of the normal. Defaults to `0.0`.
        std: Positive standard deviation of the normal. Defaults to `1.0`.
        a: Lower bound. Defaults to `-2.0`.
        b: Upper bound, above `a`. Defaults to `2.0`.
        relative: Whether bounds are in standard deviations from the mean. Defaults to
            `False`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If a number is not finite, `std` not positive, `b` not above `a`, or
            the bounds lie further than 5 standard deviations on one side of the mean.

    References:
    - [torch.nn.init](https://pytorch.org/docs/stable/nn.init.html)
    - [timm.layers.weight_init](https://github.com/huggingface/pytorch-image-models)
    """

    def __init__(
        self,
        mean: float = 0.0,
        std: float = 1.0,
        a: float = -2.0,
        b: float = 2.0,
        relative: bool = False,
        seed: Seed = None,
    ) -> None:
        for name, value in (("mean", mean), ("a", a), ("b", b)):
            check_finite(name, value)
        check_positive("std", std)
        self.mean = mean
        self.std = std
        self.a = a
        self.b = b
        self.relative = bool(relative)
        lower, upper = self._bounds()
        if not (lower < upper and lower < 5 and upper > -5):
            raise ValueError(
                "`a` and `b` must be bounds, a < b, that leave some of the normal. "
                f"Received: a={a!r}, b={b!r}, {lower:g} and {upper:g} standard "
                "deviations from the mean."
            )
        super().__init__(seed=seed)

    def _bounds(self) -> tuple[float, float]:
        """Returns the bounds in standard deviations from the mean."""
        if self.relative:
            return self.a, self.b
        return (self.a - self.mean) / self.std, (self.b - self.mean) / self.std

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 0)
        dtype = resolve_dtype(dtype)
        precise = working_dtype(dtype)
        lower, upper = self._bounds()
        low, high = (math.erf(bound / math.sqrt(2)) for bound in (lower, upper))
        # The inverse of the distribution, of uniform numbers between the bounds' own.
        uniform = keras.random.uniform(shape, low, high, precise, seed=self.seed)
        uniform = ops.clip(uniform, -_BELOW_ONE, _BELOW_ONE)
        normal = ops.clip(math.sqrt(2) * ops.erfinv(uniform), lower, upper)
        return ops.cast(self.mean + self.std * normal, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {"mean": self.mean, "std": self.std, "a": self.a, "b": self.b}
        return {**super().get_config(), **config, "relative": self.relative}


@register()
class Sparse(SeededInitializer, Structural):
    """Initializer as `torch.nn.init.sparse_`: a share of zeros for each *input*.

    Of the weights that leave one input, `ceil(sparsity * outputs)` at random places are
    0, the others `N(0, std²)`. Martens' rule, which torch cites, gives each *unit* the
    same number of inputs: `SparseNormal`.

    Shapes: rank 2, `(in, out)`; elsewhere through `for_layer` or `kik.reinitialize`,
    for each matrix. Refused for convolutions, as in torch.

    Args:
        sparsity: Share of zeros, in [0, 1). Defaults to `0.1`.
        std: Positive standard deviation. Defaults to `0.01`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If an argument is out of range or the rank not 2.

    References:
    - [torch.nn.init](https://pytorch.org/docs/stable/nn.init.html)
    """

    def __init__(
        self, sparsity: float = 0.1, std: float = 0.01, seed: Seed = None
    ) -> None:
        check_finite("sparsity", sparsity)
        if not 0 <= sparsity < 1:
            raise ValueError(
                f"`sparsity` must lie in [0, 1). Received: sparsity={sparsity!r}."
            )
        check_positive("std", std)
        self.sparsity = sparsity
        self.std = std
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a kernel that is no convolution's."""
        if weight.is_convolution:
            self.refuse(weight, "a matrix; `sparse_normal` is for convolutions, too")
        return each_matrix(self, weight)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 2, 2, "(in, out)")
        for_values, for_places = split_seed(self.seed, 2)
        values = keras.random.normal(shape, 0.0, self.std, dtype, seed=for_values)
        keys = keras.random.uniform(shape, dtype=working_dtype(dtype), seed=for_places)
        rank = ops.argsort(ops.argsort(keys, axis=1), axis=1)
        zeros = math.ceil(self.sparsity * shape[1])
        return values * ops.cast(rank >= zeros, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {"sparsity": self.sparsity, "std": self.std}
        return {**super().get_config(), **config}


@register()
class AxisVarianceScaling(SeededInitializer, Structural):
    """Initializer as `jax.nn.initializers.variance_scaling`, with explicit axes.

    `fan_in` is the product over `in_axis` and over all unnamed axes, the taps of a
    convolution; `fan_out` likewise; batch axes count for neither. In Keras,
    `kik.initializers.for_layer` and `kik.reinitialize` find them from the layer, for
    `VarianceScaling` and its subclasses.

    Shapes: those that have the axes.

    Args:
        scale: Positive variance times the fan. Defaults to `1.0`.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`. Defaults to `"fan_in"`.
        distribution: `"truncated_normal"`, `"untruncated_normal"` (jax: `"normal"`,
            which is taken, too) or `"uniform"`.
        in_axis: Axis or axes of the inputs. Defaults to `-2`.
        out_axis: Axis or axes of the outputs. Defaults to `-1`.
        batch_axis: Axis or axes that hold independent matrices. Defaults to `()`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If an argument is unknown or not positive, an axis is named twice or
            does not exist. With the default axes, if the layer stores its kernel
            differently.

    References:
    - [jax.nn.initializers](https://docs.jax.dev/en/latest/jax.nn.initializers.html)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        in_axis: Any = -2,
        out_axis: Any = -1,
        batch_axis: Any = (),
        seed: Seed = None,
    ) -> None:
        distribution = {"normal": "untruncated_normal"}.get(distribution, distribution)
        check_positive("scale", scale)
        check_choice("mode", mode, MODES)
        check_choice("distribution", distribution, DISTRIBUTIONS)
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.in_axis = _axes("in_axis", in_axis)
        self.out_axis = _axes("out_axis", out_axis)
        self.batch_axis = _axes("batch_axis", batch_axis)
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this; without axes of its own, for a plain kernel only."""
        if not (weight.is_kernel or weight.role == "table"):
            self.refuse(weight, "a kernel or a table, which has fans")
        default = (self.in_axis, self.out_axis, self.batch_axis) == ([-2], [-1], [])
        if default and weight.layout.rule != "plain":
            self.refuse(weight, "one whose axes are told, or stored plainly")
        return self

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a shape that has the axes."""
        fan = fan_of_mode(self.mode, *self._fans(shape))
        return sample(shape, self.scale / fan, self.distribution, self.seed, dtype)

    def _fans(self, shape):
        named = [*self.in_axis, *self.out_axis, *self.batch_axis]
        rank = len(shape)
        found = [axis % rank for axis in named if -rank <= axis < rank]
        if len(set(found)) < len(named):
            raise ValueError(
                f"{type(self).__name__}: `shape` must have each named axis exactly "
                f"once. Received: shape={shape}, in_axis={self.in_axis}, "
                f"out_axis={self.out_axis}, batch_axis={self.batch_axis}."
            )
        taps = math.prod(size for n, size in enumerate(shape) if n not in found)
        fans = (
            math.prod(shape[n] for n in axes) for axes in (self.in_axis, self.out_axis)
        )
        fan_in, fan_out = (max(1, taps * fan) for fan in fans)
        return fan_in, fan_out

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        names = ("scale", "mode", "distribution", "in_axis", "out_axis", "batch_axis")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}


def _axes(name, value):
    axes = list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes):
        raise ValueError(
            f"`{name}` must be an integer or several. Received: {name}={value!r}."
        )
    return axes


@register()
class FanInUniformBias(SeededInitializer, Structural):
    """Initializer of biases as torch's layers have them: `U(±1/√fan_in)`.

    `fan_in` is that of the layer's kernel, which the shape of the bias does not reveal.
    Together with `FanInUniform()` for the kernel it is what `torch.nn.Linear` and the
    convolutions of torch start from.

    Shapes: any; `fan_in` is given, or set by the layer, `for_layer` or
    `kik.reinitialize`. Refused for recurrent layers (torch: `1/√units`) and transposed
    convolutions, whose fans torch swaps.

    Args:
        fan_in: Positive number of inputs per unit, or `None` to get it from the layer.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `fan_in` is not positive, or neither given nor known from a
            layer.

    Example:
    >>> import keras, keras_initkit as kik
    >>> layer = keras.layers.Dense(
    ...     8,
    ...     kernel_initializer="fan_in_uniform",
    ...     bias_initializer="fan_in_uniform_bias",
    ... )

    References:
    - [torch.nn.Linear](https://pytorch.org/docs/stable/generated/torch.nn.Linear.html)
    """

    def __init__(self, fan_in: int | None = None, seed: Seed = None) -> None:
        if fan_in is not None:
            check_count("fan_in", fan_in)
        self.fan_in = fan_in
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, told the fan-in of a built layer's kernel."""
        layer = weight.layer
        kernel = roles.carrier_of(layer)
        layout = None if kernel is None else layout_of(layer, kernel.name)
        known = ("plain", "grouped", "depthwise", "axes")
        recurrent = roles.holds(layer, "recurrent_kernel")
        if (
            not weight.is_bias
            or recurrent
            or layout is None
            or layout.rule not in known
        ):
            self.refuse(weight, "the bias of a built Dense or convolutional layer")
        told = copy.copy(self)
        told.fan_in = int(layout.fans(tuple(kernel.shape))[0])
        if self.fan_in not in (None, told.fan_in):
            self.refuse(weight, f"the bias of a layer with fan_in={self.fan_in}")
        return told

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a shape, with the fan-in that was told."""
        if self.fan_in is None:
            raise ValueError(
                f"{type(self).__name__}: `fan_in` must be given, the shape of a bias "
                f"does not tell it. Received: shape={shape}."
            )
        variance = 1 / (3 * self.fan_in)
        return sample(shape, variance, "uniform", self.seed, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "fan_in": self.fan_in}
