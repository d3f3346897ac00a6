"""Initializers that scale another one: by depth, by width, by a layer's true fans."""

from typing import Any

import keras

from keras_initkit.arguments import check_count, check_positive
from keras_initkit.initializers._base import (
    check_choice,
    check_rank,
    draw,
    register,
    resolve_dtype,
)
from keras_initkit.initializers._laid_out import LaidOut
from keras_initkit.initializers._registry import get_base
from keras_initkit.structure.fans import MODES, compute_fans, fan_of_mode

DEPTH_RULES = (
    "deepnorm",
    "deepnorm_decoder",
    "deepnorm_encoder",
    "fixup",
    "gpt2",
    "tfixup_decoder",
    "tfixup_encoder",
)


def depth_factor(
    rule: str, depth: int, branch_layers: int = 2, decoder_depth: int | None = None
) -> float:
    """Computes the factor by which a depth rule scales residual branches.

    | rule | factor | `depth` counts | scales |
    |---|---|---|---|
    | `"fixup"` | `L^(-1/(2m-2))` | L residual branches of m = `branch_layers` layers | all but the last layer of a branch; the last starts at zero |
    | `"gpt2"` | `N^(-1/2)` | N residual branches, two per transformer block | the last
    layer of each branch |
    | `"deepnorm"` | `(8N)^(-1/4)` | N blocks of an encoder or decoder alone | feed-forward, value and output projections |
    | `"deepnorm_encoder"` | `0.87 (N^4 M)^(-1/16)` | N encoder blocks, M = `decoder_depth` decoder blocks | the same |
    | `"deepnorm_decoder"` | `(12M)^(-1/4)` | M decoder blocks behind an encoder | the same |
    | `"tfixup_encoder"` | `0.67 N^(-1/4)` | N encoder blocks | feed-forward, value and output projections |
    | `"tfixup_decoder"` | `(9N)^(-1/4)` | N decoder blocks | the same, and the embeddings of both sides |

    Fixup's factor multiplies He's draw; DeepNorm's and T-Fixup's multiply Glorot's, of
    embeddings `N(0, d^(-1/2))`, `d` their dimension. DeepNorm is half of a pair: its
    blocks are `LayerNormalization(α x + branch(x))` with `α = (2N)^(1/4)` alone, and
    `0.81 (N^4 M)^(1/16)` in the encoder and `(3M)^(1/4)` in the decoder of a pair.

    Args:
        rule: One of the above.
        depth: Positive integer.
        branch_layers: Layers of a residual branch, at least 2; for `"fixup"`.
        decoder_depth: Decoder blocks, a positive integer; for `"deepnorm_encoder"`, and
            only there.

    Returns:
        Float.

    Raises:
        ValueError: If the rule is unknown or a number out of range.

    References:
    - [Zhang et al., 2019](https://arxiv.org/abs/1901.09321) (Fixup)
    - [Radford et al., 2019](https://openai.com/research/better-language-models)
      (GPT-2)
    - [Wang et al., 2022](https://arxiv.org/abs/2203.00555) (DeepNorm)
    - [Huang et al., 2020](https://proceedings.mlr.press/v119/huang20f.html) (T-Fixup)
    """  # noqa: E501
    check_choice("rule", rule, DEPTH_RULES)
    check_count("depth", depth)
    if (rule == "deepnorm_encoder") != (decoder_depth is not None):
        raise ValueError(
            "`decoder_depth` must be given with rule='deepnorm_encoder', and only "
            f"then. Received: rule={rule!r}, decoder_depth={decoder_depth!r}."
        )
    if decoder_depth is not None:
        check_count("decoder_depth", decoder_depth)
        return 0.87 * (depth**4 * decoder_depth) ** (-1 / 16)
    if rule == "fixup":
        check_count("branch_layers", branch_layers, minimum=2)
        return depth ** (-1 / (2 * branch_layers - 2))
    return {
        "gpt2": depth**-0.5,
        "deepnorm": (8 * depth) ** -0.25,
        "deepnorm_decoder": (12 * depth) ** -0.25,
        "tfixup_encoder": 0.67 * depth**-0.25,
        "tfixup_decoder": (9 * depth) ** -0.25,
    }[rule]


class Scaled(keras.Initializer):
    """Base of the initializers that multiply another one's values by a factor."""

    def __init__(self, base: Any) -> None:
        self.base = get_base(base)

    def factor(self, shape: Any) -> float:
        """Returns the factor for a shape."""
        raise NotImplementedError

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 1)
        dtype, factor = resolve_dtype(dtype), self.factor(shape)
        return draw(self.base, shape, dtype) * factor

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"base": keras.initializers.serialize(self.base)}


@register()
class DepthScaled(Scaled):
    """Initializer that scales another by the depth of a residual network.

    In a residual stream every branch adds variance; scaled by `depth_factor(rule,
    depth)`, the sum of all branches, or the change that one optimizer step makes to
    it, stays bounded at any depth.

    Shapes: those of `base`.

    Use it for residual networks and transformers without (or with late)
    normalization; which layers of a branch to scale differs by rule, see the table
    of `kik.initializers.depth_factor`. `kik.fixup` does it for a whole model.

    Args:
        base: Anything `kik.initializers.get` takes. Defaults to `"he_normal"`.
        depth: Positive integer; what it counts depends on the rule. Defaults to `1`.
        rule: `"fixup"`, `"gpt2"`, `"deepnorm"`, `"deepnorm_encoder"`,
            `"deepnorm_decoder"`, `"tfixup_encoder"` or `"tfixup_decoder"`. Defaults to
            `"fixup"`.
        branch_layers: Layers of a residual branch, for `"fixup"`. Defaults to `2`.
        decoder_depth: Decoder blocks, for `"deepnorm_encoder"`.

    Raises:
        ValueError: If the rule is unknown or a number out of range.

    Example:
    >>> import keras_initkit as kik
    >>> kik.initializers.DepthScaled("he_normal", depth=16, rule="gpt2").factor((3, 3))
    0.25

    Reference:
    - [Zhang et al., 2019](https://arxiv.org/abs/1901.09321)
    """

    def __init__(
        self,
        base: Any = "he_normal",
        depth: int = 1,
        rule: str = "fixup",
        branch_layers: int = 2,
        decoder_depth: int | None = None,
    ) -> None:
        super().__init__(base)
        self.depth = depth
        self.rule = rule
        self.branch_layers = branch_layers
        self.decoder_depth = decoder_depth
        self.factor(())  # raises

    def factor(self, shape: Any) -> float:
        """Returns the factor, the same for every shape."""
        return depth_factor(
            self.rule, self.depth, self.branch_layers, self.decoder_depth
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {
            "depth": self.depth,
            "rule": self.rule,
            "branch_layers": self.branch_layers,
            "decoder_depth": self.decoder_depth,
        }
        return {**super().get_config(), **config}


@register("mup_readout")
class MuPReadout(Scaled):
    """Initializer of the output layer in the maximal update parametrization (μP).

    `base` times `sqrt(base_fan_in / fan_in)`, for a `base` of variance `1 / fan_in`:
    equal to `base` at the width where hyperparameters were tuned; beyond it, the
    variance falls like `1 / fan_in²` instead of `1 / fan_in`. Hidden and input layers
    keep `1 / fan_in`. The other half of μP is not initialization: with Adam, multiply
    the learning rate of hidden and output kernels by `base_fan_in / fan_in`.

    Shapes: rank 2 or more, `(*spatial, in, out)`.

    Use it to transfer hyperparameters from a narrow model to a wide one;
    `kik.coordinate_check` shows whether it worked. Einsum kernels get their true fan-in
    through `for_layer` or `kik.reinitialize`; tables and strided transposed
    convolutions are refused.

    Args:
        base: Anything `kik.initializers.get` takes. Defaults to `"lecun_normal"`.
        base_fan_in: Fan-in of the layer in the tuned model. Defaults to `64`.

    Raises:
        ValueError: If `base_fan_in` is not positive or the rank below 2.

    Reference:
    - [Yang et al., 2022](https://arxiv.org/abs/2203.03466), table 3
    """

    def __init__(self, base: Any = "lecun_normal", base_fan_in: int = 64) -> None:
        check_positive("base_fan_in", base_fan_in)
        super().__init__(base)
        self.base_fan_in = base_fan_in

    def factor(self, shape: Any) -> float:
        """Returns `sqrt(base_fan_in / fan_in)`."""
        shape = check_rank(type(self), shape, 2, layout="(*spatial, in, out)")
        return (self.base_fan_in / compute_fans(shape)[0]) ** 0.5

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "base_fan_in": self.base_fan_in}


@register()
class FanCorrected(LaidOut, Scaled):
    """Initializer that gives a fan-based one the layer's true fans.

    Keras infers the fans from the kernel's shape alone, which is wrong for depthwise,
    transposed, grouped and fused kernels. This multiplies the values of `base` by
    `sqrt(inferred fan / true fan)`, where its `mode` decides which fan: the
    distribution keeps its form. `kik.initializers.for_layer` chooses the arguments for
    a layer.

    | rule | kernel | fan_in | fan_out |
    |---|---|---|---|
    | `"plain"` | `(*k, in, out)` | `prod(k) in` | `prod(k) out` |
    | `"grouped"` | `(*k, in / groups, out)` | `prod(k) in / groups` | `prod(k) out / groups` |
    | `"depthwise"` | `(*k, in, mult)` | `prod(k)` | `prod(k) mult` |
    | `"transposed"` | `(*k, out, in)` | `prod(k) in / stride` | `prod(k) out` |
    | `"blocks"` | `(*k, in, blocks * out)` | `prod(k) in` | `prod(k) out` |
    | `"embedding"` | `(vocabulary, dim)` | `1` | `dim` |
    | `"tied"` | `(vocabulary, dim)` | `dim` | `vocabulary` |
    | `"axes"` | any | product over `input_axes` | product over `output_axes` |

    A strided convolution's `fan_out` is not divided by the stride, as in the papers. A
    tied embedding has two uses: its fans are those of the projection onto logits, so
    that these keep their size; looked-up rows have length `gain`.

    Shapes: rank 2 or more, as in the table.

    Args:
        base: `VarianceScaling` and its subclasses, `FanInUniform`,
            `ActivationScaling`, or their identifiers. Defaults to `"he_normal"`.
        rule: One of the above. Defaults to `"plain"`.
        groups: Groups of a grouped convolution.
        stride: Product of the strides of a transposed convolution.
        blocks: Matrices side by side in the last axis (gates; query, key, value).
        input_axes: For `"axes"`.
        output_axes: For `"axes"`.

    Raises:
        ValueError: If `base` has no fans, the rule is unknown, or the rank below 2.
    """  # noqa: E501

    def __init__(
        self,
        base: Any = "he_normal",
        rule: str = "plain",
        groups: int = 1,
        stride: Any = 1,
        blocks: int = 1,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        super().__init__(base, rule, groups, stride, blocks, input_axes, output_axes)
        if not has_fans(self.base):
            raise ValueError(
                "`base` must set its variance by a fan. "
                f"Received: {type(self.base).__name__}."
            )

    def factor(self, shape: Any) -> float:
        """Returns `sqrt(fan read from the shape / true fan)`."""
        shape = check_rank(type(self), shape, 2)
        read = fan_of_mode(mode_of(self.base), *_read_fans(self.base, shape))
        return (read / fan_of_mode(mode_of(self.base), *self.fans(shape))) ** 0.5


def mode_of(initializer):
    """Returns the fan that an initializer divides its variance by, `None` for none.

    One that is scaled by its depth divides by that of the one inside it.
    """
    if isinstance(initializer, type):
        return None
    if isinstance(initializer, DepthScaled):
        return mode_of(initializer.base)
    return getattr(initializer, "mode", None)


def has_fans(initializer):
    """Returns whether an initializer sets its variance by a fan of the shape."""
    return mode_of(initializer) in MODES


def _read_fans(initializer, shape):
    """Returns the fans that a fan-based initializer reads off a shape."""
    if isinstance(initializer, DepthScaled):
        return _read_fans(initializer.base, shape)
    axes = [getattr(initializer, f"{kind}_axes", None) for kind in ("input", "output")]
    return compute_fans(shape, *axes)
