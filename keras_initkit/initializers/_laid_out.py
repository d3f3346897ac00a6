"""Initializers that are told how a layer stores its matrices."""

import dataclasses
from typing import Any

import keras

from keras_initkit.arguments import check_count
from keras_initkit.initializers._base import check_choice
from keras_initkit.initializers._registry import get_base
from keras_initkit.structure.fans import RULES, Layout


class LaidOut(keras.Initializer):
    """Base of the initializers that wrap another and know a layer's `Layout`."""

    def __init__(
        self,
        base: Any,
        rule: str,
        groups: int,
        stride: int,
        blocks: int,
        input_axes: Any,
        output_axes: Any,
    ) -> None:
        self.base = get_base(base)
        check_choice("rule", rule, RULES)
        for name, value in (("groups", groups), ("stride", stride), ("blocks", blocks)):
            check_count(name, value)
        given = (input_axes, output_axes)
        if (rule == "axes") != all(axes is not None for axes in given):
            raise ValueError(
                "`input_axes` and `output_axes` must be given with rule='axes', and "
                f"only then. Received: rule={rule!r}, input_axes={input_axes!r}, "
                f"output_axes={output_axes!r}."
            )
        self.rule = rule
        self.groups = groups
        self.stride = stride
        self.blocks = blocks
        self.input_axes = None if input_axes is None else tuple(input_axes)
        self.output_axes = None if output_axes is None else tuple(output_axes)

    @property
    def layout(self) -> Layout:
        """How the layer stores its matrices."""
        names = [field.name for field in dataclasses.fields(Layout)]
        return Layout(**{name: getattr(self, name) for name in names})

    def fans(self, shape: Any) -> tuple[float, float]:
        """Returns the true `(fan_in, fan_out)` of a kernel of this shape."""
        return self.layout.fans(tuple(shape))

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        told = dataclasses.asdict(self.layout)
        for name in ("input_axes", "output_axes"):
            told[name] = None if told[name] is None else list(told[name])
        return {"base": keras.initializers.serialize(self.base), **told}
