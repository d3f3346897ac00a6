"""Which weight of a layer does what: the one table, and what a user adds to it.

A role is one of `schema.ROLES`. The weights of Keras's layers are in a table; those of
any other layer are told by what its `call` does with them (`structure.uses`), and
`register` overrides both.
"""

import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_initkit.structure import keras_private
from keras_initkit_light.format import schema


class Kind(NamedTuple):
    """What is known of the weights of a layer class.

    Attributes:
        roles: `{name of the weight: role}`.
        fans: `{name of the weight: how its shape tells its fans}`, see
            `fans.layout_of`; `"plain"` where nothing is said.
        carrier: The weight that carries the signal on, whose scale is that of the
            output; `None` for a layer that has none.
        gates: How many matrices lie side by side in the last axis of its kernels.
    """

    roles: Mapping[str, str]
    fans: Mapping[str, str] = {}
    carrier: str | None = None
    gates: int = 1


_QUANTIZED = (
    "awq_scales",
    "g_idx",
    "zero_point",
    "inputs_scale",
    "inputs_amax_history",
    "outputs_grad_scale",
    "outputs_grad_amax_history",
)


# Of layers that can be quantized or get a low-rank adapter, by the weight concerned.
def _adaptable(weight: str) -> dict[str, str]:
    state = ("scale", "zero", "amax_history")
    return {
        **{f"lora_{weight}_{factor}": "low_rank" for factor in "ab"},
        **{f"{weight}_{name}": "quantization" for name in state},
        **dict.fromkeys(_QUANTIZED, "quantization"),
    }


_BIAS = {"bias": "offset"}
_PLAIN = {"kernel": "kernel", **_BIAS}
_ADAPTABLE = {**_PLAIN, **_adaptable("kernel")}
_CELL = {"kernel": "kernel", "recurrent_kernel": "recurrent_kernel", **_BIAS}
_FUSED = {"kernel": "blocks", "recurrent_kernel": "blocks"}
_AFFINE = {"gamma": "scale", "beta": "offset"}
_MOVING = {
    **{f"{kind}_mean": "offset" for kind in ("moving", "renorm")},
    **{f"{kind}_stddev": "scale" for kind in ("moving", "renorm")},
    "moving_variance": "scale",
}
_SEPARABLE = {"depthwise_kernel": "kernel", "pointwise_kernel": "kernel", **_BIAS}

# By the name of the class of Keras; those that derive from it are of its kind.
KINDS = {
    "Dense": Kind(_ADAPTABLE, carrier="kernel"),
    "TernaryDense": Kind(_ADAPTABLE, carrier="kernel"),
    "EinsumDense": Kind(_ADAPTABLE, {"kernel": "axes"}, "kernel"),
    "BaseConv": Kind(_ADAPTABLE, {"kernel": "grouped"}, "kernel"),
    "BaseConvTranspose": Kind(_PLAIN, {"kernel": "transposed"}, "kernel"),
    "BaseDepthwiseConv": Kind(_PLAIN, {"kernel": "depthwise"}, "kernel"),
    "BaseSeparableConv": Kind(
        _SEPARABLE, {"depthwise_kernel": "depthwise"}, "pointwise_kernel"
    ),
    "SimpleRNNCell": Kind(_CELL, carrier="kernel"),
    "GRUCell": Kind(_CELL, _FUSED, "kernel", gates=3),
    "LSTMCell": Kind(_CELL, _FUSED, "kernel", gates=4),
    "ConvLSTMCell": Kind(_CELL, _FUSED, "kernel", gates=4),
    "Embedding": Kind(
        {"embeddings": "table", **_adaptable("embeddings")},
        {"embeddings": "embedding"},
        "embeddings",
    ),
    "ReversibleEmbedding": Kind(
        {
            "embeddings": "table",
            "reverse_embeddings": "kernel",
            **_adaptable("embeddings"),
            **_adaptable("reverse_embeddings"),
        },
        {"embeddings": "embedding"},
        "embeddings",
    ),
    "BatchNormalization": Kind({**_AFFINE, **_MOVING}),
    "LayerNormalization": Kind(_AFFINE),
    "GroupNormalization": Kind(_AFFINE),
    "RMSNormalization": Kind({"scale": "scale"}),
    "Normalization": Kind({"mean": "offset", "variance": "scale", "count": "other"}),
    "SpectralNormalization": Kind({"vector_u": "other"}),
    "PReLU": Kind({"alpha": "scale"}),
    "Attention": Kind({"scale": "scale", "concat_score_weight": "scale"}),
    # A basis of its own, which is not drawn.
    "STFTSpectrogram": Kind({"real_kernel": "other", "imag_kernel": "other"}),
}
NORMALIZATIONS = (
    "BatchNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "UnitNormalization",
)

# What users said of a class, and what was seen of a layer's weights.
_REGISTERED: dict[type, dict[str, str]] = {}
_SEEN: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()


def register(layer_class: type, roles: Mapping[str, str]) -> None:
    """Says what the weights of a layer class are, over what the package finds out.

    A layer with one kernel or table in all is then drawn and scaled as Keras's are, by
    `lsuv`, `recommend` and `reinitialize`.

    Args:
        layer_class: Subclass of `keras.Layer`; classes that derive from it are meant,
            too.
        roles: `{name of the weight: role}`, the name that `add_weight` was given and a
            role out of `schema.ROLES`. Weights that are not named stay as they are.

    Raises:
        TypeError: If `layer_class` is no layer class.
        ValueError: If a role is unknown.

    Example:
    >>> import keras, keras_initkit as kik
    >>> class Gate(keras.layers.Layer):
    ...     def build(self, shape):
    ...         self.how_much = self.add_weight(name="how_much", shape=(1,))
    ...     def call(self, x):
    ...         return keras.ops.sigmoid(self.how_much) * x
    >>> kik.structure.register(Gate, {"how_much": "scale"})
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.Layer)):
        raise TypeError(
            "`layer_class` must be a class of layers, a subclass of `keras.Layer`. "
            f"Received: {layer_class!r}"
        )
    unknown = {name: role for name, role in roles.items() if role not in schema.ROLES}
    if unknown:
        raise ValueError(
            f"`roles` must name roles among {tuple(schema.ROLES)}. Received: {unknown}"
        )
    _REGISTERED.setdefault(layer_class, {}).update(roles)


def kind_of(layer: Any) -> Kind | None:
    """Returns what is known of a layer's class, `None` if nothing.

    That is what the table says, or what a user said of a class with one kernel or table
    in all.
    """
    name = _class_in(layer, KINDS)
    if name is not None:
        return KINDS[name]
    said = _said(layer)
    if not said:
        return None
    known = [(variable.name, role) for variable, role in _known_roles(layer)]
    carriers = [(name, role) for name, role in known if role in ("kernel", "table")]
    if len(carriers) != 1 or carriers[0][0] not in said:
        return None
    ((carrier, role),) = carriers
    return Kind(said, {carrier: "embedding"} if role == "table" else {}, carrier)


def is_normalization(layer: Any) -> bool:
    """Whether a layer is one of Keras's normalizations of a signal, or of its kind.

    A class of another library counts if it is called `...Normalization`, as Keras's
    are, and wraps no other layer.
    """
    if _class_in(layer, NORMALIZATIONS) is not None:
        return True
    return not is_of_keras(type(layer)) and any(
        base.__name__.endswith("Normalization") and not is_of_keras(base)
        for base in type(layer).__mro__
    )


def is_of_keras(layer_class: type) -> bool:
    """Whether a class is Keras's own."""
    return layer_class.__module__.partition(".")[0] == "keras"


def kinds_of(layer: Any) -> frozenset[str]:
    """Returns the names of Keras's classes whose `call` a layer has."""
    bases = type(layer).__mro__
    caller = next((base for base in bases if "call" in vars(base)), None)
    if caller is not None and not is_of_keras(caller):
        return frozenset()
    return frozenset(base.__name__ for base in bases if is_of_keras(base))


def carrier_of(layer: Any) -> Any:
    """Returns the variable whose scale is that of a layer's output, `None` for none.

    Of a recurrent layer, that of its cell.
    """
    holder = getattr(layer, "cell", layer)
    kind = kind_of(holder)
    if kind is None or kind.carrier is None:
        return None
    carries = kind.carrier in names_of(holder, "kernel", "table")
    return variable_of(holder, kind.carrier) if carries else None


def has_no_kernel(layer: Any) -> bool:
    """Whether a layer is of a kind that has weights, but none that carries a signal."""
    kind = kind_of(layer)
    return kind is not None and kind.carrier is None


def variable_of(layer: Any, name: str) -> Any:
    """Returns a variable that a layer itself holds, `None` if it holds none so named.

    An attribute of that name may be something else: a tensor that is computed from the
    variable and a low-rank adapter, or from quantized values.
    """
    return next((v for v in weights_of(layer) if v.name == name), None)


# The attributes of Keras's layers in which the initializer of a weight stands.
_GIVEN = {
    "kernel": ("kernel_initializer", "depthwise_initializer"),
    "depthwise_kernel": ("depthwise_initializer",),
    "pointwise_kernel": ("pointwise_initializer",),
    "recurrent_kernel": ("recurrent_initializer",),
    "embeddings": ("embeddings_initializer",),
    "bias": ("bias_initializer",),
    "gamma": ("gamma_initializer",),
    "beta": ("beta_initializer",),
    "alpha": ("alpha_initializer",),
}


def initializer_of(layer: Any, name: str) -> Any:
    """Returns the initializer that a layer was given for a weight, `None` for none."""
    given = (getattr(layer, attribute, None) for attribute in _GIVEN.get(name, ()))
    return next((one for one in given if one is not None), None)


def made_of(layer: Any, name: str) -> float | None:
    """Returns the one number that a layer's initializer fills a weight with.

    `None` where there is none, or it is not known.
    """
    given = initializer_of(layer, name)
    if getattr(layer, "unit_forget_bias", False):
        return None  # ones for the gate that forgets
    # Subclasses may do anything.
    if type(given) is keras.initializers.Constant:
        return float(given.value) if np.ndim(given.value) == 0 else None
    numbers = {keras.initializers.Zeros: 0.0, keras.initializers.Ones: 1.0}
    return numbers.get(type(given))


def has_adapter(layer: Any) -> bool:
    """Whether a layer adds a low-rank product to its kernel (LoRA)."""
    return bool(names_of(layer, "low_rank"))


def gates_of(layer: Any) -> int:
    """Returns how many gates share the kernel of a recurrent layer or cell, else 1."""
    kind = kind_of(getattr(layer, "cell", layer))
    return 1 if kind is None else kind.gates


def roles_of(layer: Any) -> dict[str, str]:
    """Returns `{name: role}` of the weights that a layer itself holds.

    Weights of layers inside it are theirs. A role that is not known is `"other"`.

    Args:
        layer: A Keras layer.

    Raises:
        TypeError: If `layer` is no layer.
    """
    if not isinstance(layer, keras.Operation):
        raise TypeError(f"`layer` must be a Keras layer. Received: {layer!r}")
    return {variable.name: role or "other" for variable, role in _known_roles(layer)}


def names_of(layer: Any, *roles: str) -> list[str]:
    """Returns the names of the weights that a layer itself holds in some roles."""
    told = {variable.name: role or "other" for variable, role in _known_roles(layer)}
    return [name for name, role in told.items() if role in roles]


def holds(layer: Any, *roles: str) -> bool:
    """Whether a layer, or the cells of a recurrent one, hold a weight in some roles."""
    cell = getattr(layer, "cell", None)
    parts = [layer, *([cell, *getattr(cell, "cells", ())] if cell is not None else ())]
    return any(names_of(part, *roles) for part in parts)


def not_yet_known(layer: Any) -> list[Any]:
    """Lists the weights of a layer whose role neither table nor use has told."""
    return [
        variable
        for variable, role in _known_roles(layer)
        if role is None and "float" in variable.dtype
    ]


def note(layer: Any, roles: Mapping[str, str]) -> None:
    """Keeps what was seen of a layer's weights."""
    _SEEN.setdefault(layer, {}).update(roles)


def weights_of(layer: Any) -> list[Any]:
    """Lists the variables that a layer itself holds, trainable ones first.

    What it holds of a layer inside it (the kernel that a wrapper works on) is not its.
    """
    if not isinstance(layer, keras.Layer):
        return []  # an operation of a Functional model
    held = keras_private.own_variables(layer)
    if not held:
        return []
    parts = keras_private.sublayers(layer)
    inside = {id(v) for part in parts for v in getattr(part, "variables", ())}
    return [variable for variable in held if id(variable) not in inside]


def names_in_table(*roles: str) -> list[str]:
    """Lists the names that Keras's layers give to weights in some roles."""
    named = [item for kind in KINDS.values() for item in kind.roles.items()]
    return list(dict.fromkeys(name for name, role in named if role in roles))


def _known_roles(layer: Any) -> list[tuple[Any, str | None]]:
    """Pairs of the variables of a layer and their roles, `None` for one not known."""
    name = _class_in(layer, KINDS)
    table = {} if name is None else KINDS[name].roles
    absent = {
        role
        for role, has in (
            ("low_rank", getattr(layer, "lora_enabled", False)),
            ("quantization", getattr(layer, "quantization_mode", None)),
        )
        if not has
    }
    # A weight of one's own may be called as Keras would call that of an adapter.
    table = {name: role for name, role in table.items() if role not in absent}
    known = {**_SEEN.get(layer, {}), **table, **_said(layer)}
    return [(variable, known.get(variable.name)) for variable in weights_of(layer)]


def _said(layer: Any) -> dict[str, str]:
    """Returns what users said of a layer's class and those that it derives from."""
    said: dict[str, str] = {}
    for base in reversed(type(layer).__mro__):
        said.update(_REGISTERED.get(base, {}))
    return said


def _class_in(layer: Any, names: Any) -> str | None:
    for base in type(layer).__mro__:
        if base.__name__ in names and is_of_keras(base):
            return base.__name__
    return None
