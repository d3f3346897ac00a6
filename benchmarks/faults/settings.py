"""What a training is made of, and the named set-ups of the suite."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

HALVES = ("tuned", "held back")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A training, healthy as far as its defaults go.

    Attributes:
        data: Name of a task in `tasks.TASKS`.
        model: Name of a builder in `models.BUILDERS`.
        depth: Hidden layers, convolutions, recurrent layers or blocks.
        width: Their units or filters.
        activation: Activation of the hidden layers.
        kernel: Initializer of all kernels: name or config.
        bias: Initializer of the hidden layers' biases.
        normalized: Whether normalization stands ahead of each activation.
        residual: Whether blocks have shortcuts.
        dropout: Rate behind hidden layers, 0 for none.
        penalty: Factor of the L2 penalty on kernels.
        cell: Class of recurrent layers.
        last: Activation of the last layer.
        units: Its units, `None` for those that the task asks for.
        at: `{layer name: {argument: value}}`, what single layers have otherwise.
        loss: In place of the task's own (from logits).
        optimizer: Name of an optimizer.
        rate: Its learning rate.
        options: Its other arguments.
        policy: Keras's dtype policy.
        loss_weight: Weight of the loss.
        loss_scaling: Whether the loss is scaled for gradients in float16.
        frozen: Names of layers that are not trained, or `("all",)`.
        damage: `((name in tasks.DAMAGES, arguments...), ...)`, done to the data.
        batch: Examples in a batch.
        steps: Optimizer iterations.
        seed: Seed of weights and of the order of the examples.
    """

    data: str
    model: str = "mlp"
    depth: int = 3
    width: int = 64
    activation: str = "relu"
    kernel: Any = "he_normal"
    bias: Any = "zeros"
    normalized: bool = False
    residual: bool = True
    dropout: float = 0.0
    penalty: float = 0.0
    cell: str = "LSTM"
    last: str = "linear"
    units: int | None = None
    at: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    loss: Any = None
    optimizer: str = "adam"
    rate: float = 1e-3
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    policy: str = "float32"
    loss_weight: float | None = None
    loss_scaling: bool = True
    frozen: tuple[str, ...] = ()
    damage: tuple[tuple[Any, ...], ...] = ()
    batch: int = 32
    steps: int = 200
    seed: int = 0

    @property
    def digest(self) -> str:
        """Name of this very training, by which its outcome is kept."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        changed = {k: v for k, v in fields.items() if v != getattr(_PLAIN, k)}
        return hashlib.sha256(repr(changed).encode()).hexdigest()[:16]


_PLAIN = Setting("")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        rules: Rules that name it, the principal one first.
        symptoms: Rules that may rightly speak as well, since it brings them about.
    """

    rules: tuple[str, ...]
    symptoms: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class SetUp:
    """A named case of the suite.

    Attributes:
        name: `"<model>-<data>-<what>"`.
        setting: The training.
        kind: Name of its fault in `kinds.KINDS`, `None` for a healthy one.
        twin: The training without the fault, `None` for a healthy one.
        layers: Names of the layers at fault, empty where it has no place.
        half: Whether thresholds may be tuned on it, one of `HALVES`.
    """

    name: str
    setting: Setting
    kind: str | None = None
    twin: Setting | None = None
    layers: tuple[str, ...] = ()
    half: str = HALVES[0]
