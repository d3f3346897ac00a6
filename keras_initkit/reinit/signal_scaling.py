"""Analytic signal-preserving scaling: unit signals without any data."""

import dataclasses
import math
import os
from typing import Any

import keras
from keras import ops

from keras_initkit import theory
from keras_initkit.arguments import check_positive, naming
from keras_initkit.report import result_plots
from keras_initkit.structure.in_place import Skipped, editing
from keras_initkit.structure.needs import check_model
from keras_initkit.structure.scalable import find_targets


@dataclasses.dataclass(frozen=True)
class Scaling:
    """What happened to one layer.

    Attributes:
        layer: Name of the layer (its path).
        factor: What its kernel was multiplied by.
        expected_before: Expected second moment of its preactivations without that
            factor, with the layers before it already scaled.
        note: What the expectation neglects up to here, or `""`.
    """

    layer: str
    factor: float
    expected_before: float
    note: str = ""


@dataclasses.dataclass(frozen=True)
class ScalingResult:
    """What `preserve_signal` did: scaled layers in forward order, and the others."""

    layers: tuple[Scaling, ...]
    skipped: tuple[Skipped, ...]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots each kernel's factor, and the second moment expected without it.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        rows = self.layers
        return result_plots.scaling(
            [row.layer for row in rows],
            [row.expected_before for row in rows],
            [row.factor for row in rows],
            path,
        )


def preserve_signal(
    model: keras.Model,
    *,
    input_moments: float | tuple[float, float] = 1.0,
    second_moment: float = 1.0,
    layers: Any = None,
) -> ScalingResult:
    """Scales a model's kernels, in place, to preserve the expected size of signals.

    Mean and second moment are propagated through the layers in closed form or by
    quadrature (`theory.predict`); each kernel is scaled such that the expected second
    moment of its layer's preactivations is `second_moment`. Neither data nor labels are
    needed; the directions of the weights stay. For unusual activations, paddings or
    branches, this finds gains that no rule of thumb provides.

    Args:
        model: A built Sequential or Functional model, nested ones included.
        input_moments: Second moment of the inputs, or `(mean, second_moment)`.
        second_moment: Positive target for every layer. Defaults to `1.0`.
        layers: The layers to scale, including those inside them: names or shell
            patterns (`"block1/*"`), compiled regular expressions, layer classes,
            functions of a layer, layers, or a list of these; by default all that are
            trainable.

    Returns:
        `ScalingResult`; layers after one without a rule (recurrence, attention) are
        skipped with that reason.

    Raises:
        ValueError: If the model has no graph of layers, or `layers` matches none.
        TypeError: If `layers` does not specify layers.

    Example:
    >>> import keras, keras_initkit as kik
    >>> model = keras.Sequential(
    ...     [keras.Input((64,)), *[keras.layers.Dense(64, "gelu") for _ in range(9)]]
    ... )
    >>> report = kik.preserve_signal(model)
    >>> [round(row.preactivation, 4) for row in kik.theory.predict(model).layers][-1]
    1.0

    Reference:
    - [Bingham & Miikkulainen, 2023](https://arxiv.org/abs/2109.08958) for the idea
      of propagating moments through a whole model
    """
    check_model("preserve_signal", model)
    check_positive("second_moment", second_moment)
    targets, skipped = find_targets(model, layers)
    chosen = {id(target.layer): target for target in targets}
    seen = set()

    def wanted(layer):
        if id(layer) not in chosen or id(layer) in seen:
            return None
        seen.add(id(layer))
        return second_moment

    with naming(
        "input_moments", input_moments, "be a second moment, or a mean and one"
    ):
        found = theory.predict(model, input_moments, target=wanted, rough=True)
    kernels = {id(target.kernel): target for target in targets}
    scaled, done = [], set()
    with editing(model) as edit:
        for row in found.layers:
            kernel = row.kernels[-1] if row.kernels else None
            if id(kernel) not in kernels or id(kernel) in done:
                continue
            if row.preactivation is None:
                continue
            done.add(id(kernel))
            ratio = (second_moment - row.bias) / (row.preactivation - row.bias)
            factor = math.sqrt(ratio)
            edit.assign(kernel, ops.cast(kernel, "float32") * factor)
            scaled.append(Scaling(row.layer, factor, row.preactivation, row.note))
    for target in targets:
        if id(target.kernel) not in done:
            skipped.append(Skipped(target.name, _reason(target, found.untreated)))
    return ScalingResult(tuple(scaled), tuple(skipped))


def _reason(target, untreated):
    """Says why a layer that could be scaled was not."""
    reasons = dict(untreated)
    if target.name in reasons:
        return reasons[target.name]
    if target.is_table:
        return "is a table, so it has no preactivation to scale"
    if reasons:
        return f"comes after {next(iter(reasons))}, which has no rule"
    return "is not on a path from the inputs to the outputs"
