"""Kernels that hold several matrices side by side, each drawn separately."""

import dataclasses
from typing import Any

import keras

from keras_initkit.initializers._base import (
    check_rank,
    draw,
    nth_seed,
    refuse,
    register,
    resolve_dtype,
)
from keras_initkit.initializers._laid_out import LaidOut


@register()
class Blockwise(LaidOut):
    """Initializer of kernels that hold several matrices: draws each with another one.

    Grouped, depthwise and gate kernels, einsums with batch axes and attention's heads
    keep the matrices that multiply their signals in one weight; transposed convolutions
    keep theirs transposed. Orthogonality, identity or sparsity must hold for each
    matrix. `base` draws every one, `(*taps, in, out)`, with a separate seed.
    `kik.initializers.for_layer` and `kik.reinitialize` choose the arguments for a
    layer.

    | rule | kernel | matrices | each |
    |---|---|---|---|
    | `"plain"` | `(*k, in, out)` | 1 | the kernel |
    | `"grouped"` | `(*k, in / groups, out)` | `groups` | `(*k, in / groups, out / groups)` |
    | `"depthwise"` | `(*k, channels, mult)` | channels | `(*k, 1, mult)` |
    | `"transposed"` | `(*k, out, in)` | 1 | `(*k, in, out)` |
    | `"blocks"` | `(*k, in, blocks * out)` | `blocks` | `(*k, in, out)` |
    | `"embedding"` | `(rows, dim)` | rows | `(1, dim)` |
    | `"tied"` | `(rows, dim)` | 1 | `(dim, rows)` |
    | `"axes"` | any | product of all other axes | product of `input_axes`, of `output_axes` |

    Shapes: rank 2 or more, as in the table.

    Use it for structural initializers (orthogonal, Dirac, sparse...) on such layers.
    Elsewhere, on kernels that hold one plain matrix, it is `base`.

    Args:
        base: Anything `kik.initializers.get` takes. Defaults to `"orthogonal"`.
        rule: One of the above. Defaults to `"plain"`.
        groups: Groups of a grouped convolution.
        stride: Product of the strides of a transposed convolution; it has no effect
            here.
        blocks: Matrices side by side in the last axis (gates; query, key, value).
        input_axes: For `"axes"`.
        output_axes: For `"axes"`.

    Raises:
        ValueError: If an argument is out of range, the rank is below 2, the last axis
            is not a multiple of the number of matrices, or `base` refuses the shape of
            one.

    Example:
    >>> import keras, keras_initkit as kik
    >>> dirac = kik.initializers.Blockwise("dirac", rule="depthwise")
    >>> keras.ops.convert_to_numpy(dirac((3, 2, 1)))[:, :, 0].tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """  # noqa: E501

    def __init__(
        self,
        base: Any = "orthogonal",
        rule: str = "plain",
        groups: int = 1,
        stride: int = 1,
        blocks: int = 1,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        super().__init__(base, rule, groups, stride, blocks, input_axes, output_axes)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 2)
        dtype = resolve_dtype(dtype)
        count, each = self.layout.matrices(shape)
        if not count:
            return keras.ops.zeros(shape, dtype)
        # A scope of nobody's: `base` is not to ask what layer this is for.
        with keras.name_scope("matrices"):
            matrices = _draw_each(self.base, count, each, dtype)
        return self.layout.join(matrices, shape)


def each_matrix(initializer, weight, *, by_unit=False, scattering=False):
    """Returns what draws each matrix of a kernel from an initializer.

    Args:
        initializer: What draws `(*taps, in, out)`.
        weight: `Weight`.
        by_unit: Whether it treats each unit of the last axis alone, so that matrices
            side by side there need not be told apart.
        scattering: Whether it keeps its promise where the taps of a transposed
            convolution take turns over the positions.

    Raises:
        ValueError: If the weight is no kernel, or none that it keeps its promise for.
    """
    layout = weight.layout
    if not weight.is_kernel:
        refuse(initializer, weight, "a kernel, which multiplies its inputs")
    if weight.has_own_axis:
        refuse(initializer, weight, "one of which each axis meets inputs or outputs")
    if layout.scatters and not scattering:
        rule = "that of a transposed convolution at stride 1, whose taps take no turns"
        refuse(initializer, weight, rule)
    if layout.rule == "plain" or (by_unit and layout.by_unit):
        return initializer
    return Blockwise(initializer, **dataclasses.asdict(layout))


def _draw_each(base, count, shape, dtype):
    """Draws matrices of one shape, each with a seed of its own; returns a list."""
    if hasattr(base, "draw_many"):
        return keras.ops.unstack(base.draw_many(count, shape, dtype), num=count)
    first = draw(base, shape, dtype)
    if not _is_random(base):
        return [first] * count
    others = (draw(_moved(base, n), shape, dtype) for n in range(1, count))
    return [first, *others]


def _parts(initializer):
    """Yields the initializer and those inside it."""
    if isinstance(initializer, keras.Initializer):
        yield initializer
        for name in initializer.get_config():
            yield from _parts(getattr(initializer, name, None))


def _is_random(initializer):
    if not isinstance(initializer, keras.Initializer):
        return True  # a function of somebody's, which may draw
    return any(hasattr(one, "seed") for one in _parts(initializer))


def _moved(initializer, number):
    """Returns an initializer whose seeds are the `number`th of those split from its.

    A `keras.random.SeedGenerator` is kept: it moves on by itself.
    """
    if not isinstance(initializer, keras.Initializer):
        return initializer
    config = initializer.get_config()
    for name in config:
        inner = getattr(initializer, name, None)
        if name == "seed":
            config[name] = nth_seed(inner, number)
        elif isinstance(inner, keras.Initializer):
            config[name] = _moved(inner, number)
    return type(initializer).from_config(config)
