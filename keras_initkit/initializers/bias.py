"""Bias initializers that put knowledge into a network: time scales and priors."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    check_choice,
    check_rank,
    register,
    resolve_dtype,
    working_dtype,
)

# Order of the gates in Keras's fused bias, and which of them keeps the state.
GATES = {"lstm": ("i", "f", "c", "o"), "gru": ("z", "r", "h")}
KEEPS = {"lstm": 1, "gru": 0}
_SPLIT = "; an LSTM needs unit_forget_bias=False, or it asks for parts of the bias"


@register()
class ChronoBias(SeededInitializer):
    """Initializer of LSTM and GRU biases for dependencies up to `max_steps` long.

    The forget gate gets `b_f = log U(1, max_steps - 1)`, so that its retention
    `sigmoid(b_f)` lies in `[1/2, (max_steps - 1) / max_steps]`: memories that last
    between 2 and `max_steps` steps. The input gate gets `b_i = -b_f`, the rest 0. In
    Keras's GRU the update gate `z` keeps the state: it gets `b_f`.

    Shapes: `(4 * units,)` for LSTM, in Keras's order i, f, c, o; `(3 * units,)` or
    `(2, 3 * units)` for GRU, order z, r, h (`reset_after=True` has two rows; the
    first is filled).

    Use it for `bias_initializer` where the lag of the dependencies is known.
    `keras.layers.LSTM` must have `unit_forget_bias=False`: otherwise Keras asks the
    initializer for parts of the bias, and sets the forget gate's part to 1 itself.

    Args:
        max_steps: Longest lag expected, above 2. Defaults to `100`.
        cell: `"lstm"` or `"gru"`. Defaults to `"lstm"`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `max_steps` is not above 2, or the shape is no bias of the cell.

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
        cell: str = "lstm",
        seed: Seed = None,
    ) -> None:
        if not max_steps > 2:
            raise ValueError(
                f"`max_steps` must be above 2. Received: max_steps={max_steps!r}."
            )
        check_choice("cell", cell, GATES)
        self.max_steps = max_steps
        self.cell = cell
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape, units = _bias_shape(type(self), shape, self.cell)
        dtype = resolve_dtype(dtype)
        steps = keras.random.uniform(
            (units,), 1.0, self.max_steps - 1.0, working_dtype(dtype), seed=self.seed
        )
        keep = ops.cast(ops.log(steps), dtype)
        parts = {KEEPS[self.cell]: keep}
        if self.cell == "lstm":
            parts[0] = -keep
        return _fused(parts, self.cell, shape, units, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        config = {"max_steps": self.max_steps, "cell": self.cell}
        return {**super().get_config(), **config}


@register()
class UnitForgetBias(keras.Initializer):
    """Initializer of LSTM and GRU biases: `value` for the gate that keeps, 0 elsewhere.

    As Keras's `unit_forget_bias=True`, with a value of your choice, and for GRU too
    (its update gate `z`). A retention of `sigmoid(1) = 0.73` forgets half in 2.2
    steps, `sigmoid(5) = 0.993` in 103.

    Shapes: `(4 * units,)` for LSTM; `(3 * units,)` or `(2, 3 * units)` for GRU.

    Use it where gates must start open but no time scale is known; otherwise
    `ChronoBias`. `keras.layers.LSTM` must have `unit_forget_bias=False`.

    Args:
        value: Number. Defaults to `1.0`.
        cell: `"lstm"` or `"gru"`. Defaults to `"lstm"`.

    Raises:
        ValueError: If the shape is no bias of the cell.

    Reference:
    - [Jozefowicz et al., 2015](https://proceedings.mlr.press/v37/jozefowicz15.html)
    """

    def __init__(self, value: float = 1.0, cell: str = "lstm") -> None:
        check_choice("cell", cell, GATES)
        self.value = value
        self.cell = cell

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape, units = _bias_shape(type(self), shape, self.cell)
        dtype = resolve_dtype(dtype)
        keep = self.value * ops.ones((units,), dtype)
        return _fused({KEEPS[self.cell]: keep}, self.cell, shape, units, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"value": self.value, "cell": self.cell}


@register()
class PriorBias(keras.Initializer):
    """Initializer of output biases: the network starts from the class frequencies.

    With zero weights in the last layer (or small ones), the first predictions equal
    `class_prior` and the first loss the entropy of the classes, instead of spending
    the first epochs on learning the bias.

    - `activation="softmax"`: `b_k = log p_k`, one entry a class;
    - `activation="sigmoid"`: `b_k = log(p_k / (1 - p_k))`, a number for all outputs or
      one entry an output.

    Shapes: rank 1; of the length of `class_prior` if that is a list.

    Use it for imbalanced classes and rare positives (RetinaNet: 0.01).

    Args:
        class_prior: Probability in (0, 1), or a list of them; for softmax any
            positive list, such as class counts. Defaults to `0.01`.
        activation: `"softmax"` or `"sigmoid"`: what makes probabilities of the
            logits. Defaults to `"sigmoid"`.

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
        if activation == "softmax" and (prior.ndim != 1 or not np.all(prior > 0)):
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

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 1, 1, "(outputs,)")
        dtype = resolve_dtype(dtype)
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


def _bias_shape(cls, shape, cell):
    """Returns the checked shape and the number of units."""
    gates = len(GATES[cell])
    layout = f"({gates} * units,)"
    if cell == "gru":
        layout += " or (2, 3 * units)"
    shape = check_rank(cls, shape, 1, 2 if cell == "gru" else 1, layout)
    if shape[-1] % gates or (len(shape) == 2 and shape[0] != 2):
        raise ValueError(
            f"{cls.__name__}: `shape` must be {layout}"
            f"{_SPLIT if cell == 'lstm' else ''}. Received: shape={shape}."
        )
    return shape, shape[-1] // gates


def _fused(parts, cell, shape, units, dtype):
    """Puts the gates' parts side by side; in the first row, where there are two."""
    zeros = ops.zeros((units,), dtype)
    row = ops.concatenate([parts.get(n, zeros) for n in range(len(GATES[cell]))])
    if len(shape) == 1:
        return row
    rest = ops.zeros((math.prod(shape) - shape[-1],), dtype)
    return ops.reshape(ops.concatenate([row, rest]), shape)
