"""A plan: which initializer each layer of a model should have, and why."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import rich.markup
import rich.table

from keras_initkit.report.tables import Printed
from keras_initkit.structure.in_place import Skipped


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is recommended for one layer.

    Attributes:
        layer: Name of the layer (its path).
        initializer: `keras.Initializer` of the kernel, made for this layer: with the
            true fans where the kernel's shape does not reveal them.
        reason: Why, in one sentence.
        gain: Factor on `1 / sqrt(fan)`, or the scale of an orthogonal matrix.
        weights: `{weight name: keras.Initializer}`, the kernel and all others of the
            layer (recurrent kernel, bias).
    """

    layer: str
    initializer: Any
    reason: str
    gain: float
    weights: Mapping[str, Any]

    @property
    def bias(self) -> Any:
        """Initializer of the bias, `None` for a layer without one."""
        return self.weights.get("bias")

    def to_dict(self) -> dict[str, Any]:
        """Returns the choice, JSON-able, each initializer as Keras serializes it."""
        return {
            "initializer": label(self.initializer),
            "gain": self.gain,
            "reason": self.reason,
            "weights": {
                name: keras.initializers.serialize(one)
                for name, one in self.weights.items()
            },
        }


class Plan(Printed, Mapping[str, Choice]):
    """Which initializer each layer of a model should have.

    A mapping of layer name (its path) to `Choice`, in forward order. Prints as a table.

    Attributes:
        model: Name of the model.
        skipped: Layers with weights that the plan leaves unchanged, each a `Skipped`
            with `.layer` and `.reason`.
        note: What the plan could not take into account; `""` if nothing.
    """

    def __init__(
        self,
        model: str,
        choices: Iterable[Choice],
        skipped: Iterable[Skipped],
        note: str = "",
    ) -> None:
        self.model = model
        self.skipped = tuple(skipped)
        self.note = note
        self._choices = {choice.layer: choice for choice in choices}

    def __getitem__(self, layer: str) -> Choice:
        return self._choices[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as a JSON-able dict."""
        return {
            "model": self.model,
            "layers": {name: choice.to_dict() for name, choice in self.items()},
            "skipped": [dataclasses.asdict(one) for one in self.skipped],
            "note": self.note,
        }

    def __rich__(self):
        table = rich.table.Table(
            title=f"{self.model}: recommended initializers",
            title_style="bold",
            title_justify="left",
        )
        for column in ("layer", "initializer", "gain", "bias", "why"):
            right = column == "gain"
            table.add_column(column, justify="right" if right else "left")
        for names, choice in self._grouped():
            table.add_row(
                rich.markup.escape(names),
                rich.markup.escape(label(choice.initializer)),
                f"{choice.gain:.3g}",
                "–" if choice.bias is None else rich.markup.escape(label(choice.bias)),
                rich.markup.escape(choice.reason),
            )
        lines = [f"left alone: {one.layer}: {one.reason}" for one in self.skipped]
        lines += [self.note] if self.note else []
        table.caption = rich.markup.escape("\n".join(lines)) or None
        table.caption_justify = "left"
        return table

    def _grouped(self):
        """Yields the names of all layers with one and the same choice, and that."""
        groups: dict[tuple, list[Choice]] = {}
        for choice in self.values():
            labels = tuple(map(label, choice.weights.values()))
            groups.setdefault((choice.reason, choice.gain, labels), []).append(choice)
        for group in groups.values():
            names = [choice.layer for choice in group]
            if len(names) > 3:
                names = [*names[:2], f"… {len(names) - 2} more"]
            yield "\n".join(names), group[0]


def label(initializer):
    """Names an initializer with the arguments that differ from its defaults."""
    if not isinstance(initializer, keras.Initializer):
        return getattr(initializer, "__name__", type(initializer).__name__)
    cls = type(initializer)
    arguments = []
    try:
        defaults = cls().get_config()
    except TypeError:
        defaults = {}
    for name, value in initializer.get_config().items():
        value = getattr(initializer, name, value)
        if name == "seed" or value == defaults.get(name, collections.UserDict):
            continue
        if isinstance(value, keras.Initializer):
            value = label(value)
        elif isinstance(value, float):
            value = f"{value:.4g}"
        else:
            value = repr(value)
        arguments.append(value if name == "base" else f"{name}={value}")
    return f"{cls.__name__}({', '.join(arguments)})" if arguments else cls.__name__
