"""The variance family: independent weights whose variance is set by the fans."""

import keras

from keras_initkit.initializers._base import (
    SeededInitializer,
    check_positive,
    check_rank,
    register,
    resolve_dtype,
)
from keras_initkit.initializers._fans import compute_fans


@register()
class FanInUniform(SeededInitializer):
    """Initializer that draws from `U(-limit, limit)`, `limit = sqrt(scale / fan_in)`.

    The variance is `scale / (3 * fan_in)`: the limit, not the standard deviation,
    is `sqrt(scale / fan_in)`. Many tutorials call this rule "Xavier" (`scale=1`)
    or "He" (`scale=2`). It is neither: Glorot's uniform limit is
    `sqrt(6 / (fan_in + fan_out))` and He's is `sqrt(6 / fan_in)`, so a linear layer
    with `scale=1`, or a ReLU layer with `scale=2`, divides the second moment of its
    input by 3. `scale=1` is what `torch.nn.Linear` and `torch.nn.Conv2d` start
    from, and the "standard initialization" that Glorot and Bengio found wanting.

    Shapes: rank 2 or more, `(*spatial, in, out)`.

    Use it to reproduce such code; to train, use `glorot_uniform`, `he_uniform` or
    `activation_scaling`.

    Args:
        scale: Positive float. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `scale` is not positive, or the shape has rank below 2.

    Example:
    >>> import keras_initkit as kik
    >>> values = kik.initializers.FanInUniform(scale=2.0, seed=1)((200, 50))
    >>> bool(keras.ops.max(keras.ops.abs(values)) <= 0.1)
    True

    Reference:
    - [Glorot & Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html),
      equation 1
    """

    def __init__(self, scale=1.0, seed=None):
        check_positive("scale", scale)
        self.scale = scale
        super().__init__(seed=seed)

    def __call__(self, shape, dtype=None):
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 2, layout="(*spatial, in, out)")
        dtype = resolve_dtype(dtype)
        fan_in, _ = compute_fans(shape)
        limit = (self.scale / fan_in) ** 0.5
        return keras.random.uniform(shape, -limit, limit, dtype=dtype, seed=self.seed)

    def get_config(self):
        """Returns the configuration."""
        return {**super().get_config(), "scale": self.scale}
