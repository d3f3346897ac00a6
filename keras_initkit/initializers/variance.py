"""The variance family: independent weights whose variance is set by the fans."""

from typing import Any

import keras

from keras_initkit import theory
from keras_initkit.arguments import check_positive
from keras_initkit.initializers._activations import to_theory
from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    check_choice,
    check_rank,
    register,
    resolve_dtype,
)
from keras_initkit.initializers._sampling import DISTRIBUTIONS, sample
from keras_initkit.structure.fans import MODES, compute_fans, fan_of_mode


class ByFan(SeededInitializer):
    """Base of initializers whose variance is `scale / fan` of the shape's fan.

    Attributes:
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`.
        distribution: One of `DISTRIBUTIONS`.
    """

    mode: str
    distribution: str

    @property
    def variance_scale(self) -> float:
        """The variance times the fan."""
        raise NotImplementedError

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 2, layout="(*spatial, in, out)")
        dtype = resolve_dtype(dtype)
        fan = fan_of_mode(self.mode, *compute_fans(shape))
        variance = self.variance_scale / fan
        return sample(shape, variance, self.distribution, self.seed, dtype)


@register()
class FanInUniform(ByFan):
    """Initializer that draws from `U(-limit, limit)`, `limit = sqrt(scale / fan_in)`.

    The variance is `scale / (3 * fan_in)`: the limit, not the standard deviation,
    is `sqrt(scale / fan_in)`. Many tutorials call this rule "Xavier" (`scale=1`,
    here `"slide_xavier"`) or "He" (`scale=2`, here `"slide_he"`). It is neither:
    Glorot's uniform limit is `sqrt(6 / (fan_in + fan_out))` and He's is
    `sqrt(6 / fan_in)`, so a linear layer with `scale=1`, or a ReLU layer with
    `scale=2`, divides the second moment of its input by 3. `scale=1` is what
    `torch.nn.Linear` and `torch.nn.Conv2d` start from, and the "standard
    initialization" that Glorot and Bengio found wanting.

    Shapes: rank 2 or more, `(*spatial, in, out)`; depthwise, transposed and einsum
    kernels get their true fans through `for_layer` or `kik.reinitialize`, but those of
    the shape otherwise, as with Keras's own.

    Use it to reproduce such code; to train, use `glorot_uniform`, `he_uniform` or
    `activation_scaling`.

    Args:
        scale: Positive float. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `scale` is not positive, or the shape has rank below 2.

    Example:
    >>> import keras, keras_initkit as kik
    >>> values = kik.initializers.FanInUniform(scale=2.0, seed=1)((200, 50))
    >>> bool(keras.ops.max(keras.ops.abs(values)) <= 0.1)
    True

    Reference:
    - [Glorot & Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html)
    """

    mode = "fan_in"
    distribution = "uniform"

    def __init__(self, scale: float = 1.0, seed: Seed = None) -> None:
        check_positive("scale", scale)
        self.scale = scale
        super().__init__(seed=seed)

    @property
    def variance_scale(self) -> float:
        """The variance times the fan."""
        return self.scale / 3

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "scale": self.scale}


@register()
class ActivationScaling(ByFan):
    """Initializer with `Var = gain² / fan`, the gain computed for the activation.

    He's rule, for any activation: the gain of ReLU is √2, that of tanh 1.592537, of
    GELU 1.533530; for a custom function it is integrated. The activation is the one
    that *precedes* the weights, as in He et al.: for a stack of equal layers that is
    the layer's own.

    - `convention="forward"` preserves the second moment of the signal (with `fan_in`);
    - `"backward"` that of the gradients (use it with `mode="fan_out"`);
    - `"variance"` the variance about the mean (for centred activations);
    - `"torch"` uses the values of `torch.nn.init.calculate_gain`, for a leaky ReLU by
      name with torch's slope 0.01, for a layer or function with its own.

    Shapes: rank 2 or more, `(*spatial, in, out)`; depthwise, transposed, grouped,
    einsum and gate kernels get their true fans through `for_layer` or
    `kik.reinitialize`, but those of the shape otherwise, as with Keras's own.

    Use it for deep networks without normalization, above all with activations that have
    no named rule. Do not use it in front of a normalization layer, which undoes any
    scale.

    Args:
        activation: Keras name or function, activation layer, or any elementwise
            function of a tensor. Defaults to `"relu"`.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`. Defaults to `"fan_in"`.
        distribution: `"truncated_normal"`, `"untruncated_normal"` or `"uniform"`.
        convention: Which gain, see above. Defaults to `"forward"`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: For unknown names, softmax and similar functions (which mix values),
            or a shape of rank below 2.

    Example:
    >>> import keras, keras_initkit as kik
    >>> initializer = kik.initializers.ActivationScaling("gelu")
    >>> round(initializer.gain, 6)
    1.53353

    Reference:
    - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    """

    def __init__(
        self,
        activation: Any = "relu",
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        convention: str = "forward",
        seed: Seed = None,
    ) -> None:
        check_choice("mode", mode, MODES)
        check_choice("distribution", distribution, DISTRIBUTIONS)
        if isinstance(activation, dict):
            activation = keras.saving.deserialize_keras_object(activation)
        self.activation = activation
        self.mode = mode
        self.distribution = distribution
        self.convention = convention
        named = isinstance(activation, str)
        self.gain = theory.gain(
            activation if named else to_theory(activation), convention
        )
        super().__init__(seed=seed)

    @property
    def variance_scale(self) -> float:
        """The variance times the fan."""
        return self.gain**2

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        activation = self.activation
        if not isinstance(activation, (str, type(None))):
            activation = keras.saving.serialize_keras_object(activation)
        return {
            **super().get_config(),
            "activation": activation,
            "mode": self.mode,
            "distribution": self.distribution,
            "convention": self.convention,
        }
