"""Many draws of a model's weights: signals of one batch, layer by layer."""

import contextlib
import dataclasses
import functools
import math
import os
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_initkit import theory
from keras_initkit.arguments import (
    check_count,
    check_examples,
    is_integer,
    naming,
)
from keras_initkit.reinit._reinitialize import reinitialize
from keras_initkit.report import result_plots
from keras_initkit.report.numbers import short
from keras_initkit.report.progress import tracked
from keras_initkit.structure import description
from keras_initkit.structure.in_place import Skipped, editing, forward
from keras_initkit.structure.needs import check_model
from keras_initkit.structure.owners import find_owners
from keras_initkit.structure.shadowing import shadowed


class Estimate(NamedTuple):
    """A mean over independent draws.

    Attributes:
        mean: The mean.
        standard_error: Sample standard deviation divided by the square root of the
            number of draws.
    """

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Any) -> "Estimate":
        """Returns the estimate from at least two values."""
        values = np.ravel(np.asarray(values, np.float64))
        error = values.std(ddof=1) / math.sqrt(len(values))
        return cls(float(values.mean()), float(error))

    def agrees(self, expected: float, errors: float = 5) -> bool:
        """Returns whether the mean lies within so many standard errors of a value."""
        return abs(self.mean - expected) <= errors * self.standard_error

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {short(self.standard_error)}"


@dataclasses.dataclass(frozen=True)
class DrawsResult:
    """Signals of one batch in a model over many draws of its weights.

    Attributes:
        layers: Names of the layers with a kernel, in the order of the forward pass.
        input_second_moment: Mean square of the inputs' finite entries.
        second_moments: Mean square of each layer's outputs, including its own
            activation, float64 of shape `(draws, layers)`.
        expected: What `theory.expect` predicts for it, averaged over the draws, float64
            of shape `(layers,)`; NaN where it has no rule.
        outputs: The model's outputs, of shape `(draws, batch, ...)`.
        skipped: What was not redrawn, as `kik.reinitialize` reports.
    """

    layers: tuple[str, ...]
    input_second_moment: float
    second_moments: np.ndarray
    expected: np.ndarray
    outputs: np.ndarray
    skipped: tuple[Skipped, ...] = ()

    @property
    def factors(self) -> np.ndarray:
        """Second moment of each layer over that of the layer before it.

        Float64 of shape `(draws, layers)`; the first layer's is relative to that of the
        inputs. NaN after a layer that outputs only zeros.
        """
        before = np.roll(self.second_moments, 1, axis=1)
        before[:, 0] = self.input_second_moment
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(before > 0, self.second_moments / before, np.nan)

    def factor(self, layers: slice = slice(None)) -> Estimate:
        """Returns the mean factor of some layers, over all draws.

        With weights of mean 0 (and, for ReLU, a symmetric distribution) a layer's
        factor has the same expectation whatever its inputs are, so the factors of
        layers of the same shape are uncorrelated and count as separate draws.
        """
        return Estimate.of(self.factors[:, layers])

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots each layer's second moment over the draws, and the expected one.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        moments = self.second_moments
        return result_plots.draws(self.layers, moments, self.expected, path)


def over_draws(
    model: keras.Model,
    x: Any,
    initializer: Any,
    *,
    draws: int = 100,
    seed: int = 0,
) -> DrawsResult:
    """Runs one batch through many draws of a model's weights.

    The forward pass runs in inference mode. The model's weights are restored
    afterwards.

    Args:
        model: A built Keras model of any kind.
        x: One batch of inputs, as the model takes them.
        initializer: As for `kik.reinitialize`: one initializer for all kernels, a
            mapping, or a `Plan`.
        draws: Number of draws, at least 2.
        seed: Integer; draw n has the seed `seed + n`.

    Returns:
        `DrawsResult`.

    Raises:
        ValueError: If there are fewer than two draws, or `kik.reinitialize` raises one.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> layers = [keras.layers.Dense(32, name=f"d{n}") for n in range(3)]
    >>> model = keras.Sequential([keras.layers.Input((32,)), *layers])
    >>> draws = kik.over_draws(model, np.ones((4, 32)), "glorot_uniform", draws=50)
    >>> draws.factor().agrees(1.0)
    True
    """
    check_model("over_draws", model)
    check_count("draws", draws, minimum=2)
    if not is_integer(seed):
        raise ValueError(f"`seed` must be an integer. Received: seed={seed!r}.")
    check_examples("x", x)
    owners, _ = find_owners(model)
    seen: dict[str, float] = {}
    rows, expected, outputs = [], [], []
    with editing(model) as edit, contextlib.ExitStack() as stack:
        for variable in model.trainable_variables:
            edit.remember(variable)
        for owner in owners:
            call = _recording(owner.layer.call, owner.name, seen)
            stack.enter_context(shadowed(owner.layer, "call", call))
        for number in tracked(range(draws), "draws", draws):
            with naming("initializer", initializer, "be what `reinitialize` takes"):
                drawn = reinitialize(model, initializer, seed=seed + number)
            seen.clear()
            with naming("x", x, "be a batch that the model takes"):
                outputs.append(_first(forward(model, x)))
            rows.append(dict(seen))
            found = theory.expect(model, x, training=False)
            expected.append({row.layer: row.activation for row in found.layers})
        edit.undo()
    layers = tuple(rows[0])
    return DrawsResult(
        layers=layers,
        input_second_moment=_second_moment(x),
        second_moments=np.array([[row[name] for name in layers] for row in rows]),
        expected=np.mean(
            [[row.get(name, math.nan) for name in layers] for row in expected], axis=0
        ),
        outputs=np.stack(outputs),
        skipped=drawn.skipped,
    )


def _recording(original, name, seen):
    """Returns a `call` that notes the mean square of a layer's last outputs."""

    @functools.wraps(original)
    def call(*args, **kwargs):
        outputs = original(*args, **kwargs)
        seen.pop(name, None)
        seen[name] = float(np.mean(_first(outputs).astype(np.float64) ** 2))
        return outputs

    return call


def _first(outputs):
    return np.asarray(keras.ops.convert_to_numpy(keras.tree.flatten(outputs)[0]))


def _second_moment(x):
    """Returns the mean square of all finite entries of the inputs."""
    known = [one for one in description.of_inputs(x) if not isinstance(one, str)]
    known = [one for one in known if one["rms"] is not None]
    if not known:
        return math.nan
    sizes = [math.prod(one["shape"]) for one in known]
    return float(np.average([one["rms"] ** 2 for one in known], weights=sizes))
