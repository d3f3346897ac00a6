"""Which layers of a model own which weights, as far as their kind is known."""

import dataclasses
from typing import Any

from keras_initkit.structure import roles
from keras_initkit.structure.in_place import Skipped
from keras_initkit.structure.layers import named_layers


@dataclasses.dataclass(frozen=True)
class Owner:
    """A layer of a known kind and its weights.

    Attributes:
        name: Unique name in the model (its path).
        layer: The layer; of a recurrent one, the layer and not its cell.
        weights: `{variable name: variable}`, kernels and biases.
        kernel: Name of the weight that carries the signal on.
        roles: `{variable name: role}` of these.
        fixed: Why its kernel is not to be drawn anew, `""` if it may be.
    """

    name: str
    layer: Any
    weights: dict[str, Any]
    kernel: str
    roles: dict[str, str]
    fixed: str = ""

    @property
    def kernels(self) -> list[str]:
        """Names of the weights that multiply a signal: not the bias, not a table."""
        kinds = ("kernel", "recurrent_kernel")
        return [name for name, role in self.roles.items() if role in kinds]

    @property
    def is_table(self) -> bool:
        """Whether rows are looked up in it, as in an embedding."""
        return self.roles[self.kernel] == "table"

    @property
    def is_recurrent(self) -> bool:
        """Whether it has a state that one of its kernels multiplies."""
        return "recurrent_kernel" in self.roles.values()

    @property
    def trainable(self) -> bool:
        """Whether training moves the weight that carries the signal on."""
        return bool(self.weights[self.kernel].trainable)


def find_owners(model: Any) -> tuple[list[Owner], list[Skipped]]:
    """Splits a built model's layers with weights into known and unknown ones.

    Returns:
        List of `Owner`, in the order in which the model holds them, and list of
        `Skipped`. A weight that several layers hold belongs to the first.
    """
    named = named_layers(model)
    recurrent = {id(layer.cell): (name, layer) for name, layer in _recurrent(named)}
    owners: list[Owner] = []
    skipped: list[Skipped] = []
    taken: set[int] = set()
    for path, holder in [(model.name, model), *named]:
        if roles.is_normalization(holder) or roles.has_no_kernel(holder):
            continue
        own = [v for v in roles.weights_of(holder) if not _is_state(v)]
        if not own:
            continue
        name, layer = recurrent.get(id(holder), (path, holder))
        free = {v.name: v for v in own if id(v) not in taken}
        taken.update(id(v) for v in own)
        carrier = roles.carrier_of(holder)
        reason = _why_unknown(holder, own, free, carrier)
        if reason:
            skipped.append(Skipped(name, reason))
            continue
        known = roles.roles_of(holder)
        weights = {n: v for n, v in free.items() if known[n] in _DRAWN}
        drawn = {weight: known[weight] for weight in weights}
        fixed = reason_to_keep(holder, carrier)
        owners.append(Owner(name, layer, weights, carrier.name, drawn, fixed))
    return owners, skipped


def reason_to_keep(layer: Any, carrier: Any) -> str:
    """Says why the weight that carries the signal on is to be kept, `""` if nothing."""
    if "float" not in carrier.dtype:
        return f"is quantized ({layer.quantization_mode})"
    if roles.has_adapter(layer):
        kept = carrier.name
        return f"has a low-rank adapter, which is trained instead of its {kept}"
    return ""


def why_not_trained(layer: Any, weight: str) -> str:
    """Says of a weight that it is not trainable, or of its whole layer."""
    if not getattr(getattr(layer, "cell", layer), "trainable", True):
        return "is not trainable"
    return f"its {weight} {'are' if weight == 'embeddings' else 'is'} not trainable"


# What is drawn from an initializer, or starts at a constant.
_DRAWN = ("kernel", "recurrent_kernel", "table", "scale", "offset")


def _recurrent(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Lists the recurrent layers whose cell is of a known kind."""
    return [
        (name, layer)
        for name, layer in named
        if roles.kind_of(getattr(layer, "cell", None)) is not None
    ]


def _is_state(variable: Any) -> bool:
    """Whether a variable counts or seeds: neither a number of floats nor quantized."""
    return "float" not in variable.dtype and variable.dtype not in ("int8", "uint8")


def _why_unknown(
    holder: Any, own: list[Any], free: dict[str, Any], carrier: Any
) -> str | None:
    """Says why nothing is known of a layer's weights, `None` if it is."""
    if not free:
        return "shares its weights with a layer before it"
    if carrier is None or carrier.name not in free:
        shapes = ", ".join(f"{v.name} {tuple(v.shape)}" for v in own)
        return f"{type(holder).__name__} is of an unknown kind, with {shapes}"
    return None
