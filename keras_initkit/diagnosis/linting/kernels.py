"""The kernels of a model as arrays: what rules on its weights look at."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_initkit.diagnosis._rule import Subject
from keras_initkit.structure import roles
from keras_initkit.structure.fans import layout_of
from keras_initkit.structure.graph import Call, Graph


def all_kernels(subject: Subject) -> Iterator[tuple[str, Any, str, Any]]:
    """Yields path, layer, name and initializer of every kernel."""
    for path, layer in subject.layers:
        for name in roles.names_of(layer, "kernel", "recurrent_kernel"):
            given = roles.initializer_of(layer, name)
            if given is not None and array(layer, name) is not None:
                yield path, layer, name, given


def matrix(layer: Any) -> np.ndarray | None:
    """Returns the one kernel that makes a layer's units, `None` if it has none.

    A recurrent layer's kernel adds to its state, a separable one's is a product.
    """
    kernels = roles.names_of(layer, "kernel", "recurrent_kernel")
    return array(layer, kernels[0]) if len(kernels) == 1 else None


def array(layer: Any, name: str) -> np.ndarray | None:
    """Returns a weight of floats that a built layer holds, as float32."""
    variable = roles.variable_of(layer, name) if layer.built else None
    if variable is None or "float" not in variable.dtype:
        return None
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def scaled_variance(kernel: np.ndarray, layer: Any) -> float:
    """Returns the variance of a kernel times its true fan-in."""
    fan_in, _ = layout_of(layer).fans(kernel.shape)
    return float(kernel.var() * fan_in)


def first_calls(graph: Graph) -> dict[int, Call]:
    """Returns the first call of each layer, by the layer's id."""
    calls: dict[int, Call] = {}
    for call in graph.calls:
        calls.setdefault(id(call.layer), call)
    return calls
