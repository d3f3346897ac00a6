"""Which layers of a model are tapped, under which names, and which are not and why."""

import dataclasses

import keras

from keras_initkit.structure import keras_private
from keras_initkit.structure.layers import all_layers, named_layers

# Layers whose output holds the very entries of their input.
_REARRANGING = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.Identity,
)


@dataclasses.dataclass(frozen=True)
class Untapped:
    """A layer that is not tapped, or a signal of it that is not there, and why."""

    layer: str
    reason: str


def choose_layers(model, selection):
    """Splits selected layers of a model into those to tap and those not to.

    Args:
        model: A built Keras model.
        selection: `Selection` of layers.

    Returns:
        A list of `(name, layer)` to tap and a list of `Untapped`.

    Raises:
        ValueError: If the selection names what is not there.
    """
    inside_cells = _inside_cells(model)
    chosen, untapped = [], []
    for name, layer in selection.of(named_layers(model)):
        if isinstance(layer, keras.layers.InputLayer):
            continue
        reason = _reason_against(layer, inside_cells)
        if reason:
            untapped.append(Untapped(name, reason))
        else:
            chosen.append((name, layer))
    return chosen, untapped


def _reason_against(layer, inside_cells):
    if id(layer) in inside_cells:
        return "runs inside the loop of a recurrent layer"
    if isinstance(layer, _REARRANGING):
        return "only rearranges its input"
    if isinstance(layer, keras.Sequential) or hasattr(layer, "operations"):
        return "its output is the output of one of its layers"
    if keras_private.is_rematerialized(layer):
        return "is rematerialized (RematScope): its forward pass runs twice"
    return None


def _inside_cells(model):
    """The ids of recurrent cells and of everything inside them."""
    ids: set = set()
    for layer in all_layers(model):
        cell = getattr(layer, "cell", None)
        if isinstance(layer, keras.layers.RNN) and isinstance(cell, keras.Layer):
            inside = keras_private.layers_below(cell, include_self=True)
            ids.update(id(part) for part in inside)
    return ids
