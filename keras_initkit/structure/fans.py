"""Which matrices a weight holds, and their fans, from its shape and its layer."""

import dataclasses
import math

from keras import ops

from keras_initkit.structure import roles


def compute_fans(shape, input_axes=None, output_axes=None):
    """Computes `(fan_in, fan_out)` of a kernel, by Keras's rule.

    A kernel is `(*spatial, in, out)`: `fan_in = in * prod(spatial)` and
    `fan_out = out * prod(spatial)`. With both `input_axes` and `output_axes`, the
    fans are the products over those axes instead.

    The rule is right for dense kernels and plain convolutions only; depthwise,
    transposed, grouped and fused kernels need `for_layer`.

    Args:
        shape: Tuple of at least two integers.
        input_axes: Axes summed over in one output value, or `None`.
        output_axes: Axes that one input value reaches, or `None`.

    Returns:
        Tuple of two integers, each at least 1.
    """
    if input_axes is not None and output_axes is not None:
        fan_in = math.prod(shape[axis] for axis in input_axes)
        fan_out = math.prod(shape[axis] for axis in output_axes)
    else:
        receptive_field = math.prod(shape[:-2])
        fan_in, fan_out = shape[-2] * receptive_field, shape[-1] * receptive_field
    return max(1, int(fan_in)), max(1, int(fan_out))


MODES = ("fan_avg", "fan_in", "fan_out")


def fan_of_mode(mode, fan_in, fan_out):
    """Returns the fan that a `mode` divides by."""
    return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[
        mode
    ]


RULES = (
    "axes",
    "blocks",
    "depthwise",
    "embedding",
    "grouped",
    "plain",
    "tied",
    "transposed",
)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a layer stores the matrices that multiply its signals in one weight.

    Each matrix is `(*taps, in, out)`, as a plain kernel is.

    | rule | weight | matrices | each |
    |---|---|---|---|
    | `"plain"` | `(*taps, in, out)` | 1 | the weight |
    | `"grouped"` | `(*taps, in / groups, out)` | groups | `(*taps, in / groups, out / groups)` |
    | `"blocks"` | `(*taps, in, blocks * out)` | blocks | `(*taps, in, out)` |
    | `"depthwise"` | `(*taps, channels, mult)` | channels | `(*taps, 1, mult)` |
    | `"transposed"` | `(*taps, out, in)` | 1 | `(*taps, in, out)` |
    | `"embedding"` | `(rows, dim)` | rows | `(1, dim)` |
    | `"tied"` | `(rows, dim)` | 1 | `(dim, rows)` |
    | `"axes"` | any | product of all other axes | product of `input_axes`, of `output_axes` |

    Attributes:
        rule: One of `RULES`.
        groups: Groups of a grouped convolution.
        stride: Product of the strides of a transposed convolution.
        blocks: Matrices side by side in the last axis.
        input_axes: Axes summed over in one output value, for `"axes"`.
        output_axes: Axes that one input value reaches, for `"axes"`.
    """  # noqa: E501

    rule: str = "plain"
    groups: int = 1
    stride: int = 1
    blocks: int = 1
    input_axes: tuple[int, ...] | None = None
    output_axes: tuple[int, ...] | None = None

    @property
    def by_unit(self):
        """Whether the last axis counts units, all others the inputs of one."""
        return self.rule in ("plain", "grouped", "blocks")

    @property
    def scatters(self):
        """Whether one input value reaches only some of the positions it spreads to.

        So do transposed convolutions with a stride: taps take turns.
        """
        return self.rule == "transposed" and self.stride > 1

    def matrices(self, shape):
        """Returns how many matrices a weight of this shape holds, and their shape.

        Raises:
            ValueError: If the last axis cannot be divided so, or an axis is not there.
        """
        if self.rule == "axes":
            if max(sum(self._pair(), ())) >= len(shape):
                raise ValueError(
                    f"`shape` must have input_axes={self.input_axes} and output_axes="
                    f"{self.output_axes}. Received: shape={tuple(shape)}."
                )
            inner = [math.prod(shape[n] for n in axes) for axes in self._pair()]
            rest = [n for n in range(len(shape)) if n not in sum(self._pair(), ())]
            return math.prod(shape[n] for n in rest), tuple(inner)
        *taps, inputs, outputs = shape
        if self.rule in ("depthwise", "embedding"):
            return inputs, (*taps, 1, outputs)
        if self.rule in ("transposed", "tied"):
            return 1, (*taps, outputs, inputs)
        count = {"grouped": self.groups, "blocks": self.blocks}.get(self.rule, 1)
        if outputs % count:
            name = "groups" if self.rule == "grouped" else "blocks"
            raise ValueError(
                f"`shape` must end in a multiple of {name}={count}. "
                f"Received: shape={tuple(shape)}."
            )
        return count, (*taps, inputs, outputs // count)

    def join(self, matrices, shape):
        """Returns the weight of this shape that holds a list of matrices."""
        if self.rule == "axes":
            pair = self._pair()
            rest = [n for n in range(len(shape)) if n not in sum(pair, ())]
            order = [*rest, *pair[0], *pair[1]]
            weight = ops.reshape(ops.stack(matrices), [shape[n] for n in order])
            return ops.transpose(weight, [order.index(n) for n in range(len(shape))])
        if self.rule in ("depthwise", "embedding"):
            return ops.concatenate(matrices, axis=-2)
        if self.rule in ("transposed", "tied"):
            return ops.swapaxes(matrices[0], -1, -2)
        return ops.concatenate(matrices, axis=-1)

    def fans(self, shape):
        """Computes the true `(fan_in, fan_out)` of a weight of this shape.

        `fan_in` is the number of terms summed up in one output value (on average over
        positions, where a transposed convolution's stride makes it uneven), `fan_out`
        the number of terms in which one input value appears.

        Returns:
            Tuple of two numbers above 0.
        """
        fan_in, fan_out = compute_fans(self.matrices(shape)[1])
        return (fan_in / self.stride if self.scatters else fan_in), fan_out

    def _pair(self):
        return tuple(self.input_axes or ()), tuple(self.output_axes or ())


PLAIN = Layout()


def layout_of(layer, weight="kernel", blocks=None):
    """Returns the layout of a layer's weight, plain where nothing is known of it.

    Args:
        layer: Keras layer, built or not.
        weight: Name of the weight.
        blocks: Number of matrices side by side, where the layer cannot tell.
    """
    if blocks is not None:
        return Layout("blocks", blocks=blocks)
    holder = getattr(layer, "cell", layer)
    kind = roles.kind_of(holder)
    rule = "plain" if kind is None else kind.fans.get(weight, "plain")
    if rule == "blocks":
        return Layout("blocks", blocks=roles.gates_of(layer))
    if rule == "transposed":
        return Layout("transposed", stride=math.prod(layer.strides))
    if rule == "grouped":
        groups = getattr(layer, "groups", 1)
        return Layout("grouped", groups=groups) if groups > 1 else PLAIN
    if rule == "axes":
        return _einsum_layout(layer.equation)
    if rule == "embedding" and getattr(layer, "tie_weights", False):
        return Layout("tied")
    return Layout(rule)


def is_convolution(layer):
    """Returns whether a layer is one of Keras's convolutions, transposed or not."""
    return hasattr(layer, "kernel_size") and hasattr(layer, "strides")


def _einsum_layout(equation):
    """Returns the layout of an einsum's kernel.

    Its input axes are summed over, its output axes are those of the output alone, both
    in the order in which inputs and outputs have them. Axes that inputs, kernel and
    outputs share are batch axes, in neither; axes of the kernel alone are summed over,
    too.
    """
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    summed = sorted((a for a in kernel if a not in output), key=(inputs + kernel).index)
    made = sorted((a for a in kernel if a not in [*summed, *inputs]), key=output.index)
    if kernel == "".join(summed + made) and len(kernel) == 2 and made:
        return PLAIN
    input_axes, output_axes = (
        tuple(map(kernel.index, letters)) for letters in (summed, made)
    )
    return Layout("axes", input_axes=input_axes, output_axes=output_axes)


def sums_its_kernel(layer):
    """Returns whether an einsum sums over an axis that its kernel alone has."""
    equation = getattr(layer, "equation", None)
    if equation is None:
        return False
    left, output = equation.split("->")
    inputs, kernel = left.split(",")
    return any(axis not in inputs + output for axis in kernel.strip())
