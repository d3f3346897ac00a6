"""Attention projections that start out as trained ones look."""

from typing import Any

import keras
from keras import ops

from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    check_choice,
    check_rank,
    register,
    resolve_dtype,
    split_seed,
    working_dtype,
)
from keras_initkit.initializers._sampling import sample
from keras_initkit.structure import keras_private

# Products in trained vision transformers, as the paper fits them.
CONSTANTS = {"qk": (0.7, 0.7), "vo": (0.4, -0.4)}
PARTS = {
    "query": ("qk", 0),
    "key": ("qk", 1),
    "value": ("vo", 0),
    "output": ("vo", 1),
}


@register()
class MimeticAttention(SeededInitializer):
    """Initializer of attention projections whose products mimic trained ones.

    In trained transformers `W_Q W_Kᵀ` is close to a multiple of the identity plus noise
    and `W_V W_O` to a negative one. Per head, a target `alpha Z + beta I`, `Z` of
    variance `1/dim`, is factored by a singular value decomposition cut to the head's
    size, `U √S` for query and value, `√S Vᵀ` for key and output.

    The two factors of a product must come from the same target: give the query and
    key (and the value and output) initializers of one layer *the same integer seed*,
    and different layers different ones.

    Shapes: those of `keras.layers.MultiHeadAttention`, `(dim, heads, head_dim)`,
    output `(heads, head_dim, dim)`; or rank 2, one head, `(dim, head_dim)`, output
    `(head_dim, dim)`.

    Use it for small transformers and little data. Keras's layer gives all four
    projections one `kernel_initializer`: assign the parts after building, with
    `kik.initializers.mimetic_attention`.

    Args:
        part: `"query"`, `"key"`, `"value"` or `"output"`. Defaults to `"query"`.
        alpha: Scale of the noise. Defaults to the paper's, 0.7 for query and key,
            0.4 for value and output.
        beta: Multiple of the identity. Defaults to the paper's, 0.7 and -0.4.
        seed: Integer, shared by the two factors of a product; or `None`.

    Raises:
        ValueError: If `part` is unknown or the rank not 2 or 3.

    Reference:
    - [Trockman & Kolter, 2023](https://arxiv.org/abs/2305.09828)
    """

    def __init__(
        self,
        part: str = "query",
        alpha: float | None = None,
        beta: float | None = None,
        seed: Seed = None,
    ) -> None:
        check_choice("part", part, PARTS)
        self.part = part
        self.alpha = alpha
        self.beta = beta
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 2, 3, "(dim, heads, head_dim)")
        dtype = resolve_dtype(dtype)
        product, side = PARTS[self.part]
        if self.part == "output":
            heads, size, dim = shape if len(shape) == 3 else (1, *shape)
        else:
            dim, heads, size = shape if len(shape) == 3 else (shape[0], 1, shape[1])
        left, right = self._factors(product, dim, heads, size, working_dtype(dtype))
        factor = (left, right)[side]  # (heads, dim, size)
        axes = (0, 2, 1) if self.part == "output" else (1, 0, 2)
        return ops.cast(ops.reshape(ops.transpose(factor, axes), shape), dtype)

    def _factors(self, product, dim, heads, size, dtype):
        """Returns `U √S` and `V √S` of each head's target, cut to `size`."""
        alpha, beta = CONSTANTS[product]
        alpha = alpha if self.alpha is None else self.alpha
        beta = beta if self.beta is None else self.beta
        # Query and key of one seed share a target; value and output another.
        seed = split_seed(self.seed, 2)[0 if product == "qk" else 1]
        noise = sample((heads, dim, dim), 1 / dim, "untruncated_normal", seed, dtype)
        u, s, vt = ops.svd(alpha * noise + beta * ops.eye(dim, dtype=dtype))
        rank = min(size, dim)
        root = ops.expand_dims(ops.sqrt(s[:, :rank]), 1)
        factors = (u[:, :, :rank] * root, ops.swapaxes(vt, -1, -2)[:, :, :rank] * root)
        pad = [(0, 0), (0, 0), (0, size - rank)]
        return [ops.pad(factor, pad) for factor in factors]

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {"part": self.part, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **config}


def mimetic_attention(layer: keras.layers.Layer, *, seed: int | None = None) -> None:
    """Gives the four projections of a built attention layer mimetic weights, in place.

    Args:
        layer: A built `keras.layers.MultiHeadAttention`, or any layer with
            `query_dense`, `key_dense`, `value_dense` and `output_dense`.
        seed: Integer, or `None` for one drawn at random.

    Raises:
        ValueError: If the layer has no such projections, is not built, or its query,
            key and value dimensions differ (the products are not square then).
    """
    denses = [keras_private.attention_projection(layer, part) for part in PARTS]
    if any(dense is None or not dense.built for dense in denses):
        raise ValueError(
            "`layer` must be a built attention layer with query, key, value and "
            f"output projections. Received: {type(layer).__name__} {layer.name!r}."
        )
    kernels = [dense.kernel for dense in denses if dense is not None]
    dims = {kernels[0].shape[0], kernels[1].shape[0], kernels[2].shape[0]}
    if len(dims | {kernels[3].shape[-1]}) > 1:
        raise ValueError(
            "`layer` must have equal query, key, value and output dimensions. "
            f"Received: kernels {[tuple(kernel.shape) for kernel in kernels]}."
        )
    seed = MimeticAttention(seed=seed).seed
    for part, kernel in zip(PARTS, kernels, strict=True):
        values = MimeticAttention(part, seed=seed)(kernel.shape, dtype=kernel.dtype)
        kernel.assign(values)
