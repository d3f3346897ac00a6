"""From what Keras calls an activation to what theory computes with."""

import keras
import numpy as np

from keras_initkit.theory import activations as theory_activations


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
        return theory_activations.resolve("linear")
    if isinstance(activation, (str, theory_activations.Activation)):
        return theory_activations.resolve(activation)
    if isinstance(activation, keras.layers.Layer):
        return _of_layer(activation)
    name = getattr(activation, "__name__", None)
    if name and getattr(keras.activations, name, None) is activation:
        return theory_activations.resolve(name)
    if not callable(activation):
        return theory_activations.resolve(activation)  # raises

    def function(x):
        # 32 bits where the backend knows no 64 (JAX by default).
        tensor = keras.ops.convert_to_tensor(np.asarray(x, dtype=_float()))
        return keras.ops.convert_to_numpy(activation(tensor))

    function.__name__ = name or type(activation).__name__
    return theory_activations.resolve(function)


def _float():
    return "float32" if keras.backend.backend() == "jax" else "float64"


def _of_layer(layer):
    if isinstance(layer, keras.layers.LeakyReLU):
        return theory_activations.leaky_relu(layer.negative_slope)
    if isinstance(layer, keras.layers.PReLU):
        # Its slopes start from `alpha_initializer`, zeros by default.
        return theory_activations.resolve("relu")
    if isinstance(layer, keras.layers.ELU):
        return theory_activations.elu(layer.alpha)
    if isinstance(layer, keras.layers.ReLU):
        return theory_activations.relu(
            layer.negative_slope, layer.max_value, layer.threshold
        )
    if isinstance(layer, keras.layers.Softmax):
        return theory_activations.resolve("softmax")
    if isinstance(layer, keras.layers.Activation):
        return to_theory(layer.activation)
    raise ValueError(
        "`activation` must be an activation layer, such as LeakyReLU. "
        f"Received: {type(layer).__name__} {layer.name!r}."
    )
