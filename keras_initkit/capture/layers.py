"""Which layers of a model are tapped, under which names, and which are not and why."""

import collections
import dataclasses

import keras

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


class Together:
    """Several models that one step trains, seen as one.

    Args:
        models: List of Keras models.

    Raises:
        ValueError: If two of them have the same name.
    """

    def __init__(self, models):
        names = [model.name for model in models]
        if len(set(names)) < len(names):
            raise ValueError(
                "`models` must have names of their own, by which their layers are told "
                f"apart. Received models named {names}"
            )
        self.models = self._layers = models
        self.name = "+".join(names)
        self.distribute_strategy = models[0].distribute_strategy

    @property
    def trainable_variables(self):
        return [v for model in self.models for v in model.trainable_variables]

    def _flatten_layers(self, include_self=False):
        for model in self.models:
            yield from model._flatten_layers(include_self=include_self)


def parts_of(model):
    """Yields `(prefix of its names, model)` for each model trained."""
    if not isinstance(model, Together):
        yield "", model
        return
    for one in model.models:
        yield f"{one.name}/", one


def named_layers(model):
    """Lists the layers below a model with a unique name each.

    The name is `layer.path`, behind the name of its model where there are several.
    Where several layers share a path (two layers of the same name in one subclassed
    model), the second is `path#2`, the third `path#3`...

    Returns:
        A list of `(name, layer)`, in the order in which the model holds them.
    """
    seen: collections.Counter = collections.Counter()
    named = []
    for prefix, one in parts_of(model):
        for layer in one._flatten_layers(include_self=False):
            path = layer.path or layer.name
            if not path.startswith(prefix):
                path = prefix + path
            seen[path] += 1
            named.append((path if seen[path] == 1 else f"{path}#{seen[path]}", layer))
    return named


def weight_names(model, selection):
    """Maps `id(variable)` to `(owner's name, variable name)` for trainable weights.

    Args:
        model: A built Keras model.
        selection: `Selection` of the layers whose weights are meant; one of all layers
            includes the weights of the model itself.
    """
    names: dict = {}
    itself = [(one.name, one) for _, one in parts_of(model)] if selection.all else []
    for name, layer in [*itself, *selection.of(named_layers(model))]:
        for variable in layer._trainable_variables:
            names.setdefault(id(variable), (name, variable.name))
    return names


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
        return "its output is that of one of its layers"
    if layer._remat_mode is not None:
        return "is rematerialized (RematScope): its forward pass runs twice"
    return None


def _inside_cells(model):
    """The ids of recurrent cells and of everything inside them."""
    ids: set = set()
    for layer in model._flatten_layers(include_self=True):
        cell = getattr(layer, "cell", None)
        if isinstance(layer, keras.layers.RNN) and isinstance(cell, keras.Layer):
            ids.update(id(part) for part in cell._flatten_layers())
    return ids


def describe(model):
    """Describes the layers of a model, JSON-able, in the order the model holds them.

    Returns:
        A list of dicts with keys `path`, `class_name`, `activation` (name or None),
        `dtype` (that it computes in) and `weights` (`{name: shape}`).
    """
    return [
        {
            "path": name,
            "class_name": type(layer).__name__,
            "activation": activation_name(layer),
            "dtype": layer.compute_dtype,
            "weights": {
                variable.name: list(variable.shape)
                for variable in layer._trainable_variables
            },
        }
        for name, layer in named_layers(model)
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def activation_name(layer):
    """Returns the name of the activation function that a layer applies, or `None`."""
    if isinstance(layer, keras.layers.ReLU):
        plain = not layer.negative_slope and not layer.threshold
        return "relu" if plain else "leaky_relu"
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    if activation is None:
        return None
    return getattr(activation, "__name__", type(activation).__name__)
