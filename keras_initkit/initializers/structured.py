"""Special structures: sparse units, sub-pixel convolutions, sine networks."""

import math
from typing import Any

import keras
from keras import ops

from keras_initkit.arguments import check_count, check_positive
from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    Structural,
    check_choice,
    check_multiple,
    check_rank,
    draw,
    register,
    split_seed,
    working_dtype,
)
from keras_initkit.initializers._registry import get_base
from keras_initkit.initializers.blockwise import each_matrix
from keras_initkit.structure.fans import compute_fans
from keras_initkit.structure.weight import Weight


@register()
class SparseNormal(SeededInitializer, Structural):
    """Initializer that gives every unit the same small number of inputs.

    Of the `fan_in` weights of each output, exactly `min(connections, fan_in)` at random
    positions are drawn from N(0, stddev²); the others are 0. The input to a unit then
    does not grow with the width of the previous layer, and units differ more than with
    dense weights.

    Shapes: rank 2 or more, `(*spatial, in, out)`.

    Use it for wide shallow networks, recurrent reservoirs (`SimpleRNN`), and
    second-order training, its origin. Do not use it for deep networks: its gain ignores
    the activation; `stddev = gain / sqrt(connections)` corrects this.

    Elsewhere: units of depthwise, transposed (stride 1) and einsum kernels get their
    connections through `for_layer` or `kik.reinitialize`; used directly, it is refused
    there. Tables and strided transposed convolutions are refused.

    Args:
        connections: Positive number of inputs per unit. Defaults to `15`, the paper's.
        stddev: Positive standard deviation of the weights. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If an argument is not positive or the rank below 2.

    Reference:
    - [Martens, 2010](https://icml.cc/Conferences/2010/papers/458.pdf)
    """

    def __init__(
        self,
        connections: int = 15,
        stddev: float = 1.0,
        seed: Seed = None,
    ) -> None:
        check_count("connections", connections)
        check_positive("stddev", stddev)
        self.connections = connections
        self.stddev = stddev
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a kernel."""
        return each_matrix(self, weight, by_unit=True)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 2, layout="(*spatial, in, out)")
        fan_in, units = math.prod(shape[:-1]), shape[-1]
        for_values, for_places = split_seed(self.seed, 2)
        count = min(self.connections, fan_in)
        if count <= _FEW and fan_in * units >= _LARGE:
            values = keras.random.normal(
                (count, units), 0.0, self.stddev, dtype=dtype, seed=for_values
            )
            places = _few_places(count, fan_in, units, for_places)
            columns = ops.broadcast_to(ops.arange(units, dtype="int32"), places.shape)
            pairs = ops.reshape(ops.stack([places, columns], axis=-1), (-1, 2))
            kernel = ops.scatter(pairs, ops.reshape(values, (-1,)), (fan_in, units))
            return ops.reshape(kernel, shape)
        kernel = keras.random.normal(
            (fan_in, units), 0.0, self.stddev, dtype=dtype, seed=for_values
        )
        if count < fan_in:
            keys = keras.random.uniform(
                (fan_in, units), dtype=working_dtype(dtype), seed=for_places
            )
            rank = ops.argsort(ops.argsort(keys, axis=0), axis=0)
            kernel = kernel * ops.cast(rank < count, dtype)
        return ops.reshape(kernel, shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {"connections": self.connections, "stddev": self.stddev}
        return {**super().get_config(), **config}


# Few places in a large matrix are drawn one by one: to rank all numbers would take
# longer. In a small one, many small operations would.
_FEW, _LARGE = 64, 2**18


def _few_places(count, size, units, seed):
    """Draws `count` different places out of `size` for each unit, all sets alike.

    Floyd's algorithm ([Bentley & Floyd, 1987](https://doi.org/10.1145/30401.315746)):
    the `j`th place is drawn from the first `size - count + j + 1`; one that is taken
    gives way to the last of these.

    Returns:
        Integer tensor `(count, units)`.
    """
    uniform = keras.random.uniform((count, units), dtype="float32", seed=seed)
    taken: list[Any] = []
    for j in range(count):
        last = size - count + j
        place = ops.cast(ops.floor(uniform[j] * (last + 1)), "int32")
        place = ops.minimum(place, last)  # where the product is rounded up
        if taken:
            again = ops.any(ops.equal(ops.stack(taken), place), axis=0)
            place = ops.where(again, last, place)
        taken.append(place)
    return ops.stack(taken)


@register("icnr")
class ICNR(Structural):
    """Initializer of sub-pixel convolutions, free of checkerboards at the start.

    A convolution to `scale^d * channels` outputs followed by a rearrangement of
    channels into space (depth-to-space, pixel shuffle) upsamples by `scale` in each of
    `d` dimensions. Here the kernels of all `scale^d` sub-pixels of a channel are
    equal, so that the result is nearest-neighbour upsampling of one convolution.
    Anything but the kernel of a plain convolution is refused.

    Shapes: rank 3 to 5, `(*spatial, in, scale^d * channels)`, `d` the number of
    spatial axes.

    Args:
        base: Initializer of the kernel `(*spatial, in, channels)`: anything
            `kik.initializers.get` takes. Defaults to `"he_normal"`.
        scale: Upsampling factor, an integer of at least 1. Defaults to `2`.
        order: `"depth_to_space"` (sub-pixels are the slow index of the channels, as
            in `tf.nn.depth_to_space`) or `"pixel_shuffle"` (the fast index, as in
            `torch.nn.PixelShuffle`).

    Raises:
        ValueError: If the rank is not 3 to 5 or the last axis is not a multiple of
            `scale^d`.

    Reference:
    - [Aitken et al., 2017](https://arxiv.org/abs/1707.02937)
    """

    def __init__(
        self,
        base: Any = "he_normal",
        scale: int = 2,
        order: str = "depth_to_space",
    ) -> None:
        check_count("scale", scale)
        check_choice("order", order, ("depth_to_space", "pixel_shuffle"))
        self.base = get_base(base)
        self.scale = scale
        self.order = order

    def fit(self, weight: Weight) -> Any:
        """Returns this, for the kernel of a plain convolution."""
        if not weight.is_convolution or weight.layout.rule != "plain":
            self.refuse(weight, "the kernel of a plain convolution")
        return self

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 3, 5, "(*spatial, in, out)")
        copies = self.scale ** (len(shape) - 2)
        check_multiple(type(self), shape, "scale^d", copies)
        kernel = draw(self.base, (*shape[:-1], shape[-1] // copies), dtype)
        if self.order == "pixel_shuffle":
            return ops.repeat(kernel, copies, axis=-1)
        return ops.tile(kernel, (1,) * (len(shape) - 1) + (copies,))

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {
            "base": keras.initializers.serialize(self.base),
            "scale": self.scale,
            "order": self.order,
        }


@register()
class Siren(SeededInitializer, Structural):
    """Initializer of networks with sine activations, `sin(w0 (W x + b))`.

    The first layer draws `U(-1/n, 1/n)`, `n = fan_in`, all others
    `U(-√(6/n)/w0, √(6/n)/w0)`: the pre-activations `w0 W x` after the first layer are
    then normal at any depth, of standard deviation 1 in the second layer for a few
    inputs in [-1, 1] (coordinates), less for hundreds of them. With depth it settles at
    0.893, where `q = 1 - exp(-2 q)`.

    Shapes: rank 2 or more, `(*spatial, in, out)`.

    Use it for implicit representations of images, sound and shapes. Do not use it with
    any other activation.

    Elsewhere: depthwise, transposed (stride 1) and einsum kernels, such as those of
    attention, get their true fans through `for_layer` or `kik.reinitialize`; used
    directly, it is refused there. Tables are refused.

    Args:
        first: Whether the layer is the first. Defaults to `False`.
        w0: Positive frequency that multiplies `W x + b` inside the sine. Defaults
            to `30.0`, the paper's.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `w0` is not positive or the rank below 2.

    Reference:
    - [Sitzmann et al., 2020](https://arxiv.org/abs/2006.09661)
    """

    def __init__(
        self,
        first: bool = False,
        w0: float = 30.0,
        seed: Seed = None,
    ) -> None:
        check_positive("w0", w0)
        self.first = bool(first)
        self.w0 = w0
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a kernel."""
        return each_matrix(self, weight, by_unit=True)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 2, layout="(*spatial, in, out)")
        fan_in, _ = compute_fans(shape)
        limit = 1 / fan_in if self.first else math.sqrt(6 / fan_in) / self.w0
        return keras.random.uniform(shape, -limit, limit, dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "first": self.first, "w0": self.w0}
