"""Which layers of a model have one kernel that scales what they put out."""

import dataclasses

import keras

from keras_initkit.structure import keras_private
from keras_initkit.structure.fans import is_convolution
from keras_initkit.structure.in_place import Skipped
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.selection import matched

k = keras.layers


@dataclasses.dataclass(frozen=True)
class Target:
    """A layer to be scaled, and how.

    Attributes:
        name: Its unique name in the model.
        layer: The layer.
        kernel: The variable to scale.
        others: Further kernels (a separable layer's depthwise).
        bias: The variable that is added, or `None`.
        projection: Whether the kernel scales `inputs @ kernel`, not the outputs.
    """

    name: str
    layer: object
    kernel: object
    others: tuple = ()
    bias: object = None
    projection: bool = False

    @property
    def kernels(self):
        """All kernels of the layer."""
        return (self.kernel, *self.others)


def find_targets(model, layers=None):
    """Lists a model's layers that can be scaled, and those that cannot.

    Args:
        model: A built Keras model.
        layers: What `Selection` takes, or `None` for all that are trainable.

    Returns:
        A list of `Target` and a list of `Skipped`.

    Raises:
        ValueError: If `layers` names what is not there.
    """
    named = named_layers(model)
    chosen = None if layers is None else matched("layers", layers, named)
    cells = {id(layer.cell) for _, layer in named if hasattr(layer, "cell")}
    targets, skipped, taken = [], [], set()
    for name, layer in named:
        if chosen is not None and id(layer) not in chosen:
            continue
        if id(layer) in cells or not _holds_matrices(layer):
            continue
        target = _target(name, layer)
        if isinstance(target, Skipped):
            skipped.append(target)
        elif id(target.kernel) in taken:
            skipped.append(Skipped(name, "shares its kernel with a layer before it"))
        elif layers is None and not target.kernel.trainable:
            skipped.append(
                Skipped(name, "is not trainable; name it in `layers` to treat it")
            )
        else:
            taken.add(id(target.kernel))
            targets.append(target)
    return targets, skipped


def _holds_matrices(layer):
    variables = keras_private.own_variables(layer)
    return hasattr(layer, "cell") or any(len(v.shape) > 1 for v in variables)


def _target(name, layer):
    """Returns the `Target` of a layer, or `Skipped`."""
    bias = getattr(layer, "bias", None)
    if isinstance(layer, k.SeparableConv1D | k.SeparableConv2D):
        others = (layer.depthwise_kernel,)
        return Target(name, layer, layer.pointwise_kernel, others, bias)
    if isinstance(layer, k.Dense | k.EinsumDense):
        return Target(name, layer, layer.kernel, (), bias)
    if is_convolution(layer) and hasattr(layer, "kernel"):
        return Target(name, layer, layer.kernel, (), bias)
    if isinstance(layer, k.Embedding):
        return Target(name, layer, layer.embeddings)
    if isinstance(layer, k.LSTM | k.GRU | k.SimpleRNN):
        return Target(name, layer, layer.cell.kernel, projection=True)
    kind = type(layer).__name__
    return Skipped(name, f"{kind} has no single kernel that scales its output")
