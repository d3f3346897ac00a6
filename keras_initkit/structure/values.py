"""The weights that a layer really computes with: scaled back, LoRA's part included.

Layers are known by their attributes.
"""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_initkit.structure import keras_private

Array = np.ndarray[Any, np.dtype[np.float64]]


def effective(layer: Any, name: str = "kernel") -> Array | None:
    """Returns the weight that a layer really computes with.

    That is the variable itself for most layers. Of one quantized to int8 or int4, it is
    what codes, scales and zero points stand for; with LoRA, the sum with the product of
    its factors. Float8 rounds weights anew in each call, by a sixteenth at most, which
    is not imitated.

    Args:
        layer: A built Keras layer.
        name: `"kernel"`, `"embeddings"`, or another weight of the layer.

    Returns:
        Float64 array of the shape that the unquantized weight has; `None` where it
        cannot be had (GPTQ, AWQ, a layer without such a weight, quantization of an
        unknown kind).
    """
    if getattr(layer, name, None) is None:
        return None
    mode = _mode(layer)
    if mode in ("int8", "int4"):
        return _of_integers(layer, name, mode)
    if mode in ("gptq", "awq") and getattr(layer, f"is_{mode}_calibrated", True):
        return None
    values = array(getattr(layer, name))
    return values if mode in (None, "float8", "gptq", "awq") else None


def sole_variable(layer: Any, name: str = "kernel") -> Any:
    """Returns the variable that alone makes a weight, `None` if others have a part.

    To multiply it by a factor is to multiply what the layer computes with.
    """
    mixed = getattr(layer, "lora_enabled", False) or _mode(layer) not in (
        None,
        "float8",
    )
    return None if mixed else getattr(layer, name, None)


def float8_as_tensors(model: Any) -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which a model can be differentiated eagerly in float8.

    Keras's functions that round to float8 cannot where they are given variables: those
    of such layers are tensors here, scales and histories without a gradient. Nothing is
    assigned then, moving averages included. Without float8, the context does nothing.

    Args:
        model: A built Keras model. The context is to be made under the tape.
    """
    layers = keras_private.layers_below(model, include_self=True)
    variables = {
        id(variable): variable
        for layer in layers
        if _mode(layer) == "float8"
        for variable in keras_private.own_variables(layer)
    }
    if not variables:
        return contextlib.nullcontext()
    mapping = []
    for variable in variables.values():
        tensor = keras.ops.copy(variable)
        if getattr(variable, "overwrite_with_gradient", False):
            tensor = keras.ops.stop_gradient(tensor)
        mapping.append((variable, tensor))
    return keras.StatelessScope(state_mapping=mapping)


def array(variable: Any) -> Array:
    """Returns a variable or a tensor of any float or whole dtype as float64."""
    value = variable.numpy() if hasattr(variable, "numpy") else variable
    return np.asarray(value, dtype=np.float64)


def _mode(layer: Any) -> str | None:
    return getattr(layer, "quantization_mode", None)


def _of_integers(layer: Any, name: str, mode: str) -> Array | None:
    try:
        # Keras's own property unpacks the codes, but adds LoRA's part unscaled.
        codes = array(getattr(type(layer), name).fget(_WithoutLora(layer)))
        scale = array(getattr(layer, f"{name}_scale"))
        zero = getattr(layer, f"{name}_zero", None)
        if mode == "int8":
            values = codes / _beside(layer, name, scale)
        elif zero is None:
            values = _by_channel(codes, name, scale)
        else:
            values = _by_group(codes, name, scale, array(zero), array(layer.g_idx))
        return values + _of_lora(layer, name)
    except (AttributeError, ValueError, IndexError):
        return None


class _WithoutLora:
    """A layer as it was before LoRA, to read."""

    lora_enabled = False

    def __init__(self, layer: Any):
        self._layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def _beside(layer: Any, name: str, scale: Array) -> Array:
    """Returns the scales of int8 codes in a shape that divides them."""
    if name == "embeddings":
        return scale[:, None]
    return array(keras_private.scale_beside(layer, scale))


def _by_channel(codes: Array, name: str, scale: Array) -> Array:
    """Divides int4 codes by a scale a unit, or a row of a table."""
    if name == "embeddings":
        return codes / scale[:, None]
    return (codes.reshape(-1, len(scale)) / scale).reshape(codes.shape)


def _by_group(
    codes: Array, name: str, scale: Array, zero: Array, group: Array
) -> Array:
    """Moves and multiplies int4 codes by zero point and scale of their group."""
    at = group.astype(int)
    if name == "embeddings":
        return (codes - zero[:, at]) * scale[:, at]
    flat = codes.reshape(-1, scale.shape[-1])
    return ((flat - zero[at]) * scale[at]).reshape(codes.shape)


def _of_lora(layer: Any, name: str) -> Array | float:
    if not getattr(layer, "lora_enabled", False):
        return 0.0
    factors = (array(getattr(layer, f"lora_{name}_{part}")) for part in "ab")
    alpha = getattr(layer, "lora_alpha", layer.lora_rank)
    return (alpha / layer.lora_rank) * np.matmul(*factors)
