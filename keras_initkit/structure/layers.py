"""The layers of a model: their names, their weights' names, what is told of them."""

import collections
import re

import keras

from keras_initkit.structure import keras_private, roles
from keras_initkit.structure.fans import layout_of


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
                "`models` must have distinct names, which tell their layers apart. "
                f"Received models named {names}"
            )
        self.models = models
        self.name = "+".join(names)
        self.distribute_strategy = models[0].distribute_strategy

    @property
    def trainable_variables(self):
        return [v for model in self.models for v in model.trainable_variables]


def parts_of(model):
    """Yields `(prefix of its names, model)` for each model trained."""
    if not isinstance(model, Together):
        yield "", model
        return
    for one in model.models:
        yield f"{one.name}/", one


def all_layers(model):
    """Lists a model, or several together, and all layers below."""
    return [
        layer
        for _, one in parts_of(model)
        for layer in keras_private.layers_below(one, include_self=True)
    ]


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
        for layer in keras_private.layers_below(one):
            path = layer.path or layer.name
            if not path.startswith(prefix):
                path = prefix + path
            seen[path] += 1
            named.append((path if seen[path] == 1 else f"{path}#{seen[path]}", layer))
    return named


def unnumbered(name):
    """Returns a layer's name without the numbers that Keras puts behind its parts."""
    return "/".join(re.sub(r"_\d+(?=#\d+$|$)", "", part) for part in name.split("/"))


def lasting_names(model):
    """Maps the unique name of each layer to one that is the same in each like model.

    Keras numbers names through a process: the first layer of one model is `dense`,
    that of the next of its kind `dense_7`. Here layers of a name are counted in the
    model's own order.

    Returns:
        `{name: lasting name}`, of the names that `named_layers` gives.
    """
    seen: collections.Counter = collections.Counter()
    names = {}
    for name, _ in named_layers(model):
        plain = unnumbered(name)
        names[name] = f"{plain}_{seen[plain]}" if seen[plain] else plain
        seen[plain] += 1
    return names


def weight_names(model, selection):
    """Maps `id(variable)` to `(owner's name, variable name)` for trainable weights.

    Args:
        model: A built Keras model.
        selection: `Selection` of the layers whose weights are meant; one of all layers
            includes the weights of the model itself.
    """
    return _names_of(trained_by, model, selection)


def state_names(model, selection):
    """Maps what `weight_names` does, of weights that are never trained.

    Moving averages are such; frozen weights are not, nor are states of generators.
    """
    return _names_of(_states_of, model, selection)


def _names_of(weights, model, selection):
    names: dict = {}
    itself = [(one.name, one) for _, one in parts_of(model)] if selection.all else []
    for name, layer in [*itself, *selection.of(named_layers(model))]:
        for variable in weights(layer):
            names.setdefault(id(variable), (name, variable.name))
    return names


def _states_of(layer):
    trained = {id(variable) for variable in keras_private.own_trainable(layer)}
    return [
        variable
        for variable in roles.weights_of(layer)
        if id(variable) not in trained and keras.backend.is_float_dtype(variable.dtype)
    ]


def describe(model):
    """Describes the layers of a model, JSON-able, in the order the model holds them.

    Returns:
        A list of dicts with keys `path`, `class_name`, `activation` (name or None),
        `dtype` (that it computes in), `weights` (`{name: shape}`), `roles` (`{name:
        role}`, of `schema.ROLES`), `fans` (`{name: [in, out]}` of kernels of known
        kinds) and `constant` (`{name: number}` of the offsets and scales that the
        layer's own initializer makes of one number; kernels are often drawn anew by
        other means). A model that has weights of its own comes first.
    """
    itself = [(one.name, one) for _, one in parts_of(model) if trained_by(one)]
    return [
        _described(name, layer)
        for name, layer in [*itself, *named_layers(model)]
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def trained_by(layer):
    """Lists the weights that a layer itself holds to be trained, or has frozen."""
    trainable = {id(variable) for variable in keras_private.own_trainable(layer)}
    return [v for v in roles.weights_of(layer) if id(v) in trainable]


def _described(name, layer):
    weights = {v.name: list(v.shape) for v in trained_by(layer)}
    known = roles.roles_of(layer)
    fans = {
        weight: list(layout_of(layer, weight).fans(shape))
        for weight, shape in weights.items()
        if known[weight] in ("kernel", "recurrent_kernel") and len(shape) > 1
    }
    return {
        "path": name,
        "class_name": type(layer).__name__,
        "activation": activation_name(layer),
        "dtype": layer.compute_dtype,
        "weights": weights,
        "roles": {weight: known[weight] for weight in weights},
        "fans": fans if roles.kind_of(layer) is not None else {},
        "constant": {
            name: number
            for name in weights
            if known[name] in ("offset", "scale")
            and (number := roles.made_of(layer, name)) is not None
        },
    }


def activates_by_keras(layer):
    """Whether what a layer applies last is a function or layer of Keras, or nothing."""
    activation = getattr(layer, "activation", None)
    if isinstance(activation, keras.Operation):
        return type(activation).__module__.startswith("keras.")
    name = getattr(activation, "__name__", "")
    return activation is None or getattr(keras.activations, name, None) is activation


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
