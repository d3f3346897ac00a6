"""Which layers of a model own which weights, as far as their kind is known."""

import dataclasses
from typing import Any

import keras

from keras_initkit.structure import keras_private
from keras_initkit.structure.fans import is_convolution
from keras_initkit.structure.in_place import Skipped
from keras_initkit.structure.layers import named_layers

k = keras.layers
# Scales and offsets, which start right as they are: not owners of kernels.
_SCALES = (k.PReLU,)


@dataclasses.dataclass(frozen=True)
class Owner:
    """A layer of a known kind and its weights.

    Attributes:
        name: Unique name in the model (its path).
        layer: The layer; of a recurrent one, the layer and not its cell.
        weights: `{variable name: variable}`, kernels and biases.
        kernel: Name of the weight that carries the signal on.
    """

    name: str
    layer: Any
    weights: dict[str, Any]
    kernel: str

    @property
    def kernels(self):
        """Names of the weights that multiply a signal: not the bias, not a table."""
        return [n for n in self.weights if n.endswith("kernel")]

    @property
    def trainable(self):
        """Whether training moves any of the weights."""
        return any(variable.trainable for variable in self.weights.values())


def find_owners(model):
    """Splits a built model's layers with weights into known and unknown ones.

    Returns:
        List of `Owner`, in the order in which the model holds them, and list of
        `Skipped`. A weight that several layers hold belongs to the first.
    """
    named = named_layers(model)
    recurrent = {
        id(layer.cell): (name, layer)
        for name, layer in named
        if isinstance(layer, k.RNN) and _is_cell(layer.cell)
    }
    owners, unknown = [], []
    taken: set[int] = set()
    for path, holder in [(model.name, model), *named]:
        variables = keras_private.own_variables(holder)
        own = [v for v in variables if "float" in v.dtype]
        if not own or is_normalization(holder) or isinstance(holder, _SCALES):
            continue
        name, layer = recurrent.get(id(holder), (path, holder))
        weights = {v.name: v for v in own if id(v) not in taken}
        taken.update(id(v) for v in own)
        kernel = _kernel_of(holder)
        if not weights:
            unknown.append(Skipped(name, "shares its weights with a layer before it"))
        elif kernel not in weights:
            shapes = ", ".join(f"{v.name} {tuple(v.shape)}" for v in own)
            reason = f"{type(holder).__name__} is of an unknown kind, with {shapes}"
            unknown.append(Skipped(name, reason))
        else:
            owners.append(Owner(name, layer, weights, kernel))
    return owners, unknown


_CELLS = ("LSTMCell", "GRUCell", "SimpleRNNCell", "ConvLSTMCell")


def _kernel_of(layer):
    """Returns the name of a layer's kernel, `None` for an unknown kind."""
    if isinstance(layer, k.SeparableConv1D | k.SeparableConv2D):
        return "pointwise_kernel"
    if isinstance(layer, k.Embedding):
        return "embeddings"
    plain = isinstance(layer, k.Dense | k.EinsumDense) or _is_cell(layer)
    if plain or is_convolution(layer):
        return "kernel"
    return None


def _is_cell(layer):
    return any(base.__name__ in _CELLS for base in type(layer).__mro__)


def is_normalization(layer):
    """Whether a layer is of a class called `...Normalization`, or of one below it."""
    return any(base.__name__.endswith("Normalization") for base in type(layer).__mro__)
