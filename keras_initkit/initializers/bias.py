"""Bias initializers that encode prior knowledge: time scales and class frequencies."""

import copy
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_initkit.arguments import check_count, check_finite
from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    Structural,
    check_choice,
    check_rank,
    register,
    working_dtype,
)
from keras_initkit.structure.roles import gates_of
from keras_initkit.structure.weight import Weight

# Order of the gates in Keras's fused bias, and which of them keeps the state.
GATES = {"lstm": ("i", "f", "c", "o"), "gru": ("z", "r", "h")}
KEEPS = {"lstm": 1, "gru": 0}
_CELLS = {len(gates): cell for cell, gates in GATES.items()}


class _GateBias(Structural):
    """Base of the biases of LSTM and GRU, which tell their gates apart.

    A shape tells neither cell nor units: an LSTM with `unit_forget_bias=True` asks for
    `(units,)` and `(2 * units,)`, and 256 numbers are the bias of 64 units or half of
    that of 128.
    """

    cell: str | None
    units: int | None

    def _check(self) -> None:
        if self.cell is not None:
            check_choice("cell", self.cell, GATES)
        if self.units is not None:
            check_count("units", self.units)

    def fit(self, weight: Weight) -> Any:
        """Returns this, told the cell and the units of a recurrent layer's bias."""
        cell = _CELLS.get(gates_of(weight.layer))
        if cell is None or not weight.is_bias:
            self.refuse(weight, "the bias of an LSTM, GRU or ConvLSTM")
        units = getattr(weight.layer, "units", getattr(weight.layer, "filters", None))
        if self.cell not in (None, cell) or self.units not in (None, units):
            told = f"cell={self.cell!r}, units={self.units}"
            self.refuse(weight, f"the bias that it was given for, {told}")
        one = copy.copy(self)
        one.cell, one.units = cell, units
        return one

    def _row(self, shape: tuple[int, ...]) -> tuple[str, int]:
        """Returns cell and units that a shape is the bias of, or raises."""
        if self.units is None:
            raise ValueError(
                f"{type(self).__name__}: `units` must be given, because the shape of a "
                "bias does not reveal them. In a layer that real data have yet to "
                f"build, give `units` and `cell`. Received: shape={shape}."
            )
        shapes: dict[str, list[tuple[int, ...]]] = {
            "lstm": [(4 * self.units,)],
            "gru": [(3 * self.units,), (2, 3 * self.units)],
        }
        cells = [self.cell] if self.cell else list(GATES)
        for cell in cells:
            if shape in shapes[cell]:
                return cell, self.units
        known = " or ".join(str(one) for cell in cells for one in shapes[cell])
        hint = ""
        if "lstm" in cells:
            hint = (
                "; an LSTM must have unit_forget_bias=False, or it requests parts of "
                "the bias separately"
            )
        raise ValueError(
            f"{type(self).__name__}: `shape` must be {known}, the bias of {self.units} "
            f"units{hint}. Received: shape={shape}."
        )


@register()
class ChronoBias(SeededInitializer, _GateBias):
    """Initializer of LSTM and GRU biases for dependencies up to `max_steps` long.

    The forget gate gets `b_f = log U(1, max_steps - 1)`, so that its retention
    `sigmoid(b_f)` lies in `[1/2, (max_steps - 1) / max_steps]`: memories that last
    between 2 and `max_steps` steps. The input gate gets `b_i = -b_f`, the rest 0. In
    Keras's GRU the update gate `z` keeps the state: it gets `b_f`.

    Shapes: `(4 * units,)` for LSTM, in Keras's order i, f, c, o; `(3 * units,)` or
    `(2, 3 * units)` for GRU, order z, r, h (`reset_after=True` has two rows; the
    first is filled).

    Use it as `bias_initializer` if the lag of the dependencies is known.
    `keras.layers.LSTM` must have `unit_forget_bias=False`: otherwise Keras requests
    parts of the bias separately, and sets the forget gate's part to 1 itself; this is
    refused, as is every other shape and weight.

    Args:
        max_steps: Longest lag expected, above 2. Defaults to `100`.
        cell: `"lstm"` or `"gru"`; by default determined by the layer, or by the shape
            and `units`.
        units: Units of the layer. By default those of the layer, also through
            `for_layer` or `kik.reinitialize`. They must be given where Keras builds
            symbolically (a subclassed model in `fit`) and does not reveal the layer.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `max_steps` is not above 2, or the shape is not a bias of the
            cell with these units, or the units are unknown.

    Example:
    >>> import keras, keras_initkit as kik
    >>> layer = keras.layers.LSTM(
    ...     8,
    ...     unit_forget_bias=False,
    ...     bias_initializer=kik.initializers.ChronoBias(max_steps=784),
    ... )

    Reference:
    - [Tallec & Ollivier, 2018](https://arxiv.org/abs/1804.11188)
    """

    def __init__(
        self,
        max_steps: float = 100,
        cell: str | None = None,
        units: int | None = None,
        seed: Seed = None,
    ) -> None:
        check_finite("max_steps", max_steps)
        if not max_steps > 2:
            raise ValueError(
                f"`max_steps` must be above 2. Received: max_steps={max_steps!r}."
            )
        self.max_steps = max_steps
        self.cell = cell
        self.units = units
        self._check()
        super().__init__(seed=seed)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values of a whole bias."""
        cell, units = self._row(shape)
        steps = keras.random.uniform(
            (units,), 1.0, self.max_steps - 1.0, working_dtype(dtype), seed=self.seed
        )
        keep = ops.cast(ops.log(steps), dtype)
        parts = {KEEPS[cell]: keep}
        if cell == "lstm":
            parts[0] = -keep
        return _fused(parts, cell, shape, units, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {"max_steps": self.max_steps, "cell": self.cell, "units": self.units}
        return {**super().get_config(), **config}


@register()
class UnitForgetBias(_GateBias):
    """Initializer of LSTM and GRU biases: `value` for the gate that keeps, 0 elsewhere.

    As Keras's `unit_forget_bias=True`, with a value of your choice, and for GRU too
    (its update gate `z`). A retention of `sigmoid(1) = 0.73` forgets half in 2.2
    steps, `sigmoid(5) = 0.993` in 103.

    Shapes: `(4 * units,)` for LSTM; `(3 * units,)` or `(2, 3 * units)` for GRU.

    Use it if gates must start open but no time scale is known; otherwise use
    `ChronoBias`. `keras.layers.LSTM` must have `unit_forget_bias=False`: otherwise it
    requests parts of the bias, which are refused, as is every other shape and weight.

    Args:
        value: Number. Defaults to `1.0`.
        cell: `"lstm"` or `"gru"`; by default determined by the layer, or by the shape
            and `units`.
        units: Units of the layer. By default those of the layer, as for `ChronoBias`.

    Raises:
        ValueError: If the shape is not a bias of the cell with these units, or the
            units are unknown.

    Reference:
    - [Jozefowicz et al., 2015](https://proceedings.mlr.press/v37/jozefowicz15.html)
    """

    def __init__(
        self,
        value: float = 1.0,
        cell: str | None = None,
        units: int | None = None,
    ) -> None:
        check_finite("value", value)
        self.value = value
        self.cell = cell
        self.units = units
        self._check()

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values of a whole bias."""
        cell, units = self._row(shape)
        keep = self.value * ops.ones((units,), dtype)
        return _fused({KEEPS[cell]: keep}, cell, shape, units, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"value": self.value, "cell": self.cell, "units": self.units}


@register()
class PriorBias(Structural):
    """Initializer of output biases: the network starts from the class frequencies.

    With zero weights in the last layer (or small ones), the first predictions equal
    `class_prior` and the first loss the entropy of the classes, instead of spending
    the first epochs on learning the bias.

    - `activation="softmax"`: `b_k = log p_k`, one entry per class;
    - `activation="sigmoid"`: `b_k = log(p_k / (1 - p_k))`, one number for all outputs
      or one entry per output.

    Shapes: rank 1; of the length of `class_prior` if that is a list.

    Use it for imbalanced classes and rare positives (RetinaNet: 0.01).

    Args:
        class_prior: Probability in (0, 1), or a list of them; for softmax any
            positive list, such as class counts. Defaults to `0.01`.
        activation: `"softmax"` or `"sigmoid"`: what turns the logits into
            probabilities. Defaults to `"sigmoid"`.

    Raises:
        ValueError: If a prior is out of range, softmax gets a single number, or the
            shape does not fit.

    Example:
    >>> import keras, keras_initkit as kik
    >>> bias = kik.initializers.PriorBias([900, 100], "softmax")((2,))
    >>> [round(float(p), 4) for p in keras.ops.softmax(bias)]
    [0.9, 0.1]

    Reference:
    - [Lin et al., 2017](https://arxiv.org/abs/1708.02002), section 4.1
    """

    def __init__(self, class_prior: Any = 0.01, activation: Any = "sigmoid") -> None:
        check_choice("activation", activation, ("sigmoid", "softmax"))
        prior = np.asarray(class_prior, dtype=float)
        if activation == "softmax" and (
            prior.ndim != 1 or not np.all((prior > 0) & np.isfinite(prior))
        ):
            raise ValueError(
                "`class_prior` must be a list of positive numbers for softmax. "
                f"Received: class_prior={class_prior!r}."
            )
        if activation == "sigmoid" and not np.all((prior > 0) & (prior < 1)):
            raise ValueError(
                "`class_prior` must lie in (0, 1) for sigmoid. "
                f"Received: class_prior={class_prior!r}."
            )
        self.class_prior = prior.tolist()
        self.activation = activation

    def fit(self, weight: Weight) -> Any:
        """Returns this, for the bias of a layer without gates."""
        if not weight.is_bias or gates_of(weight.layer) > 1:
            self.refuse(weight, "the bias of an output layer")
        return self

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values of a bias."""
        check_rank(type(self), shape, 1, 1, "(outputs,)")
        prior = np.asarray(self.class_prior)
        if prior.ndim and prior.shape != shape:
            raise ValueError(
                f"{type(self).__name__}: `shape` must be ({prior.size},), one output "
                f"for each entry of `class_prior`. Received: shape={shape}."
            )
        if self.activation == "softmax":
            values = np.log(prior / prior.sum())
        else:
            values = np.log(prior / (1 - prior))
        return ops.convert_to_tensor(np.broadcast_to(values, shape).copy(), dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"class_prior": self.class_prior, "activation": self.activation}


def _fused(parts, cell, shape, units, dtype):
    """Puts the gates' parts side by side; in the first row, where there are two."""
    zeros = ops.zeros((units,), dtype)
    row = ops.concatenate([parts.get(n, zeros) for n in range(len(GATES[cell]))])
    if len(shape) == 1:
        return row
    rest = ops.zeros((math.prod(shape) - shape[-1],), dtype)
    return ops.reshape(ops.concatenate([row, rest]), shape)
