"""From what Keras calls an activation to what theory computes with."""

import keras
import numpy as np

from keras_initkit.theory import activation_functions


def to_theory(activation):
    """Returns the `theory.Activation` of a Keras activation.

    Args:
        activation: Keras name or function, an activation layer (`LeakyReLU(0.3)`,
            `Activation("tanh")`...), a `theory.Activation`, `None` (linear), or
            any elementwise function of a tensor.

    Returns:
        `theory.Activation`.

    Raises:
        ValueError: If it is unknown, or mixes the values of an axis (softmax).
    """
    if activation is None:
        return activation_functions.resolve("linear")
    if isinstance(activation, (str, activation_functions.Activation)):
        return activation_functions.resolve(activation)
    if isinstance(activation, keras.layers.Layer):
        return _of_layer(activation)
    name = getattr(activation, "__name__", None)
    if name and getattr(keras.activations, name, None) is activation:
        return activation_functions.resolve(name)
    if not callable(activation):
        return activation_functions.resolve(activation)  # raises

    def function(x):
        # 32 bits where the backend knows no 64 (JAX by default).
        tensor = keras.ops.convert_to_tensor(np.asarray(x, dtype=_float()))
        return keras.ops.convert_to_numpy(activation(tensor))

    function.__name__ = name or type(activation).__name__
    return activation_functions.resolve(function)


def _float():
    return "float32" if keras.backend.backend() == "jax" else "float64"


def _of_layer(layer):
    if isinstance(layer, keras.layers.LeakyReLU):
        return activation_functions.leaky_relu(layer.negative_slope)
    if isinstance(layer, keras.layers.PReLU):
        # Its slopes start from `alpha_initializer`, zeros by default.
        return activation_functions.resolve("relu")
    if isinstance(layer, keras.layers.ELU):
        return activation_functions.elu(layer.alpha)
    if isinstance(layer, keras.layers.ReLU):
        return activation_functions.relu(
            layer.negative_slope, layer.max_value, layer.threshold
        )
    if isinstance(layer, keras.layers.Softmax):
        return activation_functions.resolve("softmax")
    if isinstance(layer, keras.layers.Activation):
        return to_theory(layer.activation)
    raise ValueError(
        "`activation` must be an activation layer, such as LeakyReLU. "
        f"Received: {type(layer).__name__} {layer.name!r}."
    )
