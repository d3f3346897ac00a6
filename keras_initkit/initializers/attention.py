"""Attention projections that initially resemble trained ones."""

from typing import Any

import keras
from keras import ops

from keras_initkit.arguments import check_count, check_finite
from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    Structural,
    check_choice,
    check_rank,
    register,
    split_seed,
    working_dtype,
)
from keras_initkit.initializers._sampling import sample
from keras_initkit.structure import keras_private
from keras_initkit.structure.weight import Weight

# Products in trained vision transformers, as the paper fits them.
CONSTANTS = {"qk": (0.7, 0.7), "vo": (0.4, -0.4)}
PARTS = {
    "query": ("qk", 0),
    "key": ("qk", 1),
    "value": ("vo", 0),
    "output": ("vo", 1),
}


@register()
class MimeticAttention(SeededInitializer, Structural):
    """Initializer of attention projections whose products mimic trained ones.

    In trained transformers `W_Q W_Kᵀ` is close to a multiple of the identity plus noise
    and `W_V W_O` to a negative one. A target `alpha Z + beta I`, `Z` of variance
    `1/dim`, is factored by a singular value decomposition, `U √S` for query and value,
    `√S Vᵀ` for key and output:

    - query and key: a target for each head, cut to the head's size;
    - value and output: one target for all heads together, whose singular vectors are
      dealt out to them. With `heads * head_dim = dim` the product is the target.

    The two factors of a product must come from the same target: give the query and
    key (and the value and output) initializers of one layer *the same integer seed*,
    and different layers different ones.

    Shapes: those of `keras.layers.MultiHeadAttention`, `(dim, heads, head_dim)`,
    output `(heads, head_dim, dim)`; or rank 2 with `heads` given, `(dim, heads *
    head_dim)`, output `(heads * head_dim, dim)`. Neither `head_dim`, of query and key,
    nor `heads * head_dim`, of value and output, may exceed `dim`: what is beyond would
    stay zero.

    Use it for small transformers and little data. Keras's layer gives all four
    projections one `kernel_initializer`, which is refused: assign the parts after
    building, by `kik.initializers.mimetic_attention(layer)` or
    `kik.reinitialize(model, {"attention": "mimetic_attention"})`.

    Args:
        part: `"query"`, `"key"`, `"value"` or `"output"`. Functions that treat a whole
            attention layer set it, see above; no shape reveals it.
        alpha: Scale of the noise. Defaults to the paper's, 0.7 for query and key,
            0.4 for value and output.
        beta: Multiple of the identity. Defaults to the paper's, 0.7 and -0.4.
        heads: Number of heads, for kernels of rank 2, whose shape does not reveal it.
        seed: Integer, shared by the two factors of a product; or `None`.

    Raises:
        ValueError: If `part` is unknown, the rank not 2 or 3, the heads of a kernel of
            rank 2 are not given, or the heads are larger than `dim` allows.

    Reference:
    - [Trockman & Kolter, 2023](https://arxiv.org/abs/2305.09828)
    """

    def __init__(
        self,
        part: str | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        heads: int | None = None,
        seed: Seed = None,
    ) -> None:
        if part is not None:
            check_choice("part", part, PARTS)
        for name, value in (("alpha", alpha), ("beta", beta)):
            if value is not None:
                check_finite(name, value)
        if heads is not None:
            check_count("heads", heads)
        self.part = part
        self.alpha = alpha
        self.beta = beta
        self.heads = heads
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, for the kernel of a projection of its part."""
        if self.part is None:
            self._part()
        layout = weight.layout
        axes = tuple(map(len, (layout.input_axes or (), layout.output_axes or ())))
        shapes = {"axes": ((2, 1) if self.part == "output" else (1, 2),)}
        packed = layout.rule == "plain" and self.heads is not None
        matrix = weight.is_kernel and not weight.is_convolution
        if not matrix or weight.is_recurrent:
            self.refuse(weight, f"the kernel of an attention's {self.part} projection")
        if not packed and axes not in shapes.get(layout.rule, ()):
            rule = (
                f"the kernel of an attention's {self.part} projection, in Keras's "
                "order, or plain with `heads` given; for a whole attention layer, use "
                "`kik.initializers.mimetic_attention(layer)`"
            )
            self.refuse(weight, rule)
        return self

    def _part(self):
        """Returns the product and the side that its part stands for, or raises."""
        if self.part is None:
            raise ValueError(
                f"MimeticAttention: `part` must be given, one of {tuple(PARTS)}; for a "
                "whole attention layer, use "
                "`kik.initializers.mimetic_attention(layer)` or `kik.reinitialize`. "
                "Received: part=None."
            )
        return PARTS[self.part]

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a shape of its part."""
        check_rank(type(self), shape, 2, 3, "(dim, heads, head_dim)")
        product, side = self._part()
        dim, heads, size = self._sizes(shape)
        factors = self._query_key if product == "qk" else self._value_output
        factor = factors(dim, heads, size, working_dtype(dtype))[side]
        axes = (0, 2, 1) if self.part == "output" else (1, 0, 2)
        return ops.cast(ops.reshape(ops.transpose(factor, axes), shape), dtype)

    def _sizes(self, shape):
        """Returns `(dim, heads, head_dim)` of a shape, or raises."""
        if len(shape) == 2:
            if self.heads is None:
                raise ValueError(
                    "MimeticAttention: `heads` must be given for a kernel of rank 2, "
                    f"whose shape does not reveal them. Received: shape={shape}."
                )
            width = shape[0] if self.part == "output" else shape[1]
            if width % self.heads:
                raise ValueError(
                    "MimeticAttention: `shape` must have a multiple of "
                    f"heads={self.heads} on the axis of the heads. Received: "
                    f"shape={shape}."
                )
            split = (self.heads, width // self.heads)
            shape = (*split, shape[1]) if self.part == "output" else (shape[0], *split)
        if self.heads is not None and self.heads not in shape:
            raise ValueError(
                f"MimeticAttention: `shape` must have heads={self.heads}. "
                f"Received: shape={shape}."
            )
        dim, heads, size = shape
        if self.part == "output":
            heads, size, dim = shape
        wide = size if self._part()[0] == "qk" else heads * size
        if wide > dim:
            rule = "head_dim" if self._part()[0] == "qk" else "heads * head_dim"
            raise ValueError(
                f"MimeticAttention: `shape` must have {rule} <= dim, or features stay "
                f"zero. Received: shape={shape}, read as dim={dim}, heads={heads}, "
                f"head_dim={size} of the {self.part}; for a whole attention layer, use "
                "`kik.initializers.mimetic_attention(layer)`."
            )
        return dim, heads, size

    def _query_key(self, dim, heads, size, dtype):
        """Returns `U √S` and `V √S` of each head's target, `(heads, dim, size)`."""
        left, right = self._factors((heads,), dim, dtype)
        return left[:, :, :size], right[:, :, :size]

    def _value_output(self, dim, heads, size, dtype):
        """Returns `U √S` and `V √S` of one target, dealt out to the heads."""
        return [
            ops.transpose(
                ops.reshape(factor[:, : heads * size], (dim, heads, size)), (1, 0, 2)
            )
            for factor in self._factors((), dim, dtype)
        ]

    def _factors(self, batch, dim, dtype):
        """Returns `U √S` and `V √S` of a batch of targets, `(*batch, dim, dim)`."""
        product = self._part()[0]
        alpha, beta = CONSTANTS[product]
        alpha = alpha if self.alpha is None else self.alpha
        beta = beta if self.beta is None else self.beta
        # Query and key of one seed share a target; value and output another.
        seed = split_seed(self.seed, 2)[0 if product == "qk" else 1]
        variance = 1 / dim if dim else 0.0
        noise = sample((*batch, dim, dim), variance, "untruncated_normal", seed, dtype)
        u, s, vt = ops.svd(alpha * noise + beta * ops.eye(dim, dtype=dtype))
        root = ops.expand_dims(ops.sqrt(s), -2)
        return u * root, ops.swapaxes(vt, -1, -2) * root

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {
            "part": self.part,
            "alpha": self.alpha,
            "beta": self.beta,
            "heads": self.heads,
        }
        return {**super().get_config(), **config}


def mimetic_attention(layer: keras.layers.Layer, *, seed: int | None = None) -> None:
    """Gives the four projections of a built attention layer mimetic weights, in place.

    `kik.reinitialize(model, {"attention": "mimetic_attention"})` does so, too.

    Args:
        layer: A built `keras.layers.MultiHeadAttention`, or any layer with
            `query_dense`, `key_dense`, `value_dense` and `output_dense`.
        seed: Integer, or `None` for one drawn at random.

    Raises:
        ValueError: If the layer has no such projections, is not built, or its query,
            key and value dimensions or heads differ (there are no square products
            then), or the heads are larger than `MimeticAttention` takes.
    """
    seed = MimeticAttention(seed=seed).seed
    values = [
        (dense.kernel, MimeticAttention(part, seed=seed)(dense.kernel.shape))
        for part, dense in projections_of(layer).items()
    ]
    for kernel, value in values:
        kernel.assign(ops.cast(value, kernel.dtype))


def projections_of(layer: Any) -> dict[str, Any]:
    """Returns `{part: dense layer}` of a built attention layer, for mimetic products.

    Raises:
        ValueError: As `mimetic_attention`.
    """
    denses = {part: keras_private.attention_projection(layer, part) for part in PARTS}
    if any(dense is None or not dense.built for dense in denses.values()):
        raise ValueError(
            "`layer` must be a built attention layer with query, key, value and "
            f"output projections. Received: {type(layer).__name__} {layer.name!r}."
        )
    shapes = [tuple(dense.kernel.shape) for dense in denses.values()]
    dims = {shape[0] for shape in shapes[:3]} | {shapes[3][-1]}
    heads = {shape[1] for shape in shapes[:3]} | {shapes[3][0]}
    if len(dims) > 1 or len(heads) > 1:
        raise ValueError(
            "`layer` must have equal query, key, value and output dimensions and the "
            "same number of heads, or there are no such products. Received: "
            f"{type(layer).__name__} {layer.name!r} with kernels {shapes}."
        )
    return denses
