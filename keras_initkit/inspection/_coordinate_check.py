"""The coordinate check of μP: do activations keep their size as width grows?"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit.arguments import (
    check_count,
    check_examples,
    check_function,
    naming,
)
from keras_initkit.report import result_plots
from keras_initkit.report.progress import tracked
from keras_initkit.structure import keras_private
from keras_initkit.structure.in_place import forward, unchanged
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.shadowing import shadowed


@dataclasses.dataclass(frozen=True)
class CoordinateCheckResult:
    """Mean absolute activations by layer, width and step.

    Attributes:
        rows: Tuples `(layer, width, step, size)`, `size` the mean of `|activation|`.
    """

    rows: tuple[tuple[str, int, int, float], ...]

    def slopes(self, step: int) -> dict[str, float]:
        """Returns `{layer: d log(size) / d log(width)}` at a step.

        Close to 0: the parametrization preserves this layer's size. 0.5 and above: it
        grows with width, and a learning rate tuned at one width fails at another.
        """
        found = {}
        for layer in dict.fromkeys(row[0] for row in self.rows):
            points = [
                (np.log(width), np.log(size))
                for name, width, at, size in self.rows
                if name == layer and at == step
            ]
            x, y = np.transpose(points)
            found[layer] = float(np.polyfit(x, y, 1)[0])
        return found

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots each layer's size against width, one panel per step.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return result_plots.coordinate_check(self.rows, path)


def coordinate_check(
    build_model: Callable[[int], keras.Model],
    x: Any,
    y: Any,
    *,
    widths: Sequence[int] = (64, 128, 256, 512),
    steps: int = 3,
) -> CoordinateCheckResult:
    """Trains a model at several widths for a few steps and records activations.

    Args:
        build_model: Function of a width that returns a compiled, built model, whose
            layers have the same names at every width.
        x: One batch of inputs; every step trains on it.
        y: Targets.
        widths: Widths, at least two. Defaults to `(64, 128, 256, 512)`.
        steps: Optimizer steps; sizes are recorded before each and after the last.

    Returns:
        `CoordinateCheckResult`.

    Raises:
        ValueError: If there are fewer than two widths.

    Reference:
    - [Yang et al., 2022](https://arxiv.org/abs/2203.03466)
    """
    check_function("build_model", build_model, "a width")
    widths = _checked_widths(widths)
    check_count("steps", steps, minimum=0)
    check_examples("x", x)
    check_examples("y", y)
    rows = []
    for width in tracked(widths, "widths", len(widths)):
        model = build_model(width)
        for step in range(steps + 1):
            sizes = _sizes(model, x)
            rows += [(name, width, step, size) for name, size in sizes.items()]
            if step < steps:
                with naming("y", y, "be targets that the model trains on"):
                    model.train_on_batch(x, y)
    return CoordinateCheckResult(tuple(rows))


def _checked_widths(widths):
    """Returns at least two widths, each once or more, as a tuple."""
    with naming("widths", widths, "hold at least two widths"):
        found = tuple(widths)
        for width in found:
            check_count("widths", width)
        if len(set(found)) < 2:
            raise ValueError("too few")
    return found


def _sizes(model, x):
    """Returns `{layer: mean |output|}` of the layers that own weights."""
    sizes = {}

    def watching(name, original):
        def call(*args, **kwargs):
            outputs = original(*args, **kwargs)
            first = keras.tree.flatten(outputs)[0]
            sizes[name] = float(keras.ops.mean(keras.ops.abs(first)))
            return outputs

        return call

    with unchanged(model), contextlib.ExitStack() as stack:
        for _, layer in named_layers(model):
            if keras_private.own_trainable(layer):
                call = watching(layer.name, layer.call)
                stack.enter_context(shadowed(layer, "call", call))
        with naming("x", x, "be a batch that the model takes"):
            forward(model, x)
    return sizes
