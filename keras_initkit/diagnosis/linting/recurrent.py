"""The weights of recurrent layers: how much of the past their states keep."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.diagnosis._rule import Fault, Subject, Threshold
from keras_initkit.diagnosis.linting.kernels import array
from keras_initkit.diagnosis.registry import rule
from keras_initkit.report.numbers import short
from keras_initkit.structure import roles
from keras_initkit.structure.roles import gates_of

_JOZEFOWICZ = (
    "Jozefowicz et al., 2015, http://proceedings.mlr.press/v37/jozefowicz15.html"
)
_PASCANU = "Pascanu et al., 2013, https://arxiv.org/abs/1211.5063"


@rule(
    "ForgetBias",
    judges="model",
    severity="warning",
    reference=_JOZEFOWICZ,
    thresholds={
        "bias": Threshold(
            0.5, "1", "mean bias of an LSTM's forget gates: at 0 they are half closed"
        )
    },
)
def forget_bias(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The forget gates of an LSTM start at least half closed."""
    for path, layer in subject.layers:
        if gates_of(layer) != 4:
            continue
        bias = array(layer, "bias")
        if bias is None:
            continue
        forget = float(bias[len(bias) // 4 : len(bias) // 2].mean())
        if forget < limits["bias"]:
            yield Fault(
                layer=path,
                step=None,
                measured=forget,
                threshold=limits["bias"],
                message=f"the forget biases of {path!r} are {short(forget)} on "
                f"average: its memory cell keeps {1 / (1 + math.exp(-forget)):.0%} of "
                "itself from one time step to the next.",
                remedy="Use `keras.layers.LSTM(units)` with its default "
                "`unit_forget_bias=True`, or, for long sequences, "
                "`keras.layers.LSTM(units, unit_forget_bias=False, bias_initializer="
                "kik.initializers.ChronoBias(time_steps))`.",
            )


@rule(
    "RecurrentScale",
    judges="model",
    severity="warning",
    reference=_PASCANU,
    thresholds={
        "left": Threshold(
            1e-3,
            "1",
            "remainder of a state below which it counts as forgotten; its "
            "inverse limits growth",
        ),
        "reach": Threshold(
            0.25, "1", "share of the sequence within which the state is forgotten"
        ),
    },
)
def recurrent_scale(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A recurrent kernel that makes states fade at once or blow up over a sequence."""
    left = limits["left"]
    for path, layer in subject.layers:
        cell = getattr(layer, "cell", None)
        # What a cell of an unknown kind does with its state is not known.
        if roles.kind_of(cell) is None or gates_of(cell) > 1:
            continue
        length = _sequence_length(layer)
        kernel = array(cell, "recurrent_kernel")
        if kernel is None or not length:
            continue
        name = getattr(getattr(cell, "activation", None), "__name__", None)
        # No state keeps more than this of its difference to another one (tanh, ReLU
        # and linear have slopes of 1 at most).
        kept = float(np.linalg.norm(kernel, 2))
        reach = 0.0 if kept == 0 else math.log(left) / math.log(min(kept, 1 - 1e-9))
        grown = _growth(kernel, name, length) if name in ("relu", "linear") else 0.0
        if reach < limits["reach"] * length:
            measured, limit = reach, limits["reach"] * length
            what = (
                f"forgets: within {short(reach)} of {length} time steps less than "
                f"{left:g} is left of what came before"
            )
        elif grown > 1 / left:
            measured, limit = grown, 1 / left
            what = (
                f"makes states grow by a factor of {short(grown)} over {length} time "
                "steps"
            )
        else:
            continue
        yield Fault(
            layer=path,
            step=None,
            measured=measured,
            threshold=limit,
            message=f"the recurrent kernel of {path!r} {what}.",
            remedy='Start it orthogonal, `recurrent_initializer="orthogonal"`, or with '
            '`"identity"` for a ReLU, or use `keras.layers.LSTM(units)`.',
        )


def _sequence_length(layer: Any) -> int | None:
    """Returns the number of time steps of a recurrent layer, `None` if not known."""
    try:
        shape = keras.tree.flatten(layer.input)[0].shape
    except (AttributeError, ValueError):
        return None
    return shape[1] if len(shape) == 3 else None


def _growth(kernel: np.ndarray, activation: str, length: int) -> float:
    """Returns the growth of random states over a sequence, the rms of 32 of them."""
    states = np.random.default_rng(0).standard_normal((32, len(kernel)))
    start = np.linalg.norm(states)
    for _ in range(length):
        states = states @ kernel.astype(np.float64)
        if activation == "relu":
            states = np.maximum(states, 0.0)
        if not np.isfinite(size := np.linalg.norm(states)) or size > 1e100:
            return math.inf
    return float(np.linalg.norm(states) / start)
