"""Gradients that do not propagate back through time."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis import time_steps
from keras_initkit.diagnosis._rule import Fault, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord

_FEWEST_STEPS = 4


@rule(
    "VanishingThroughTime",
    severity="warning",
    by_signs=True,
    needs=("backprop/time_steps",),
    reference=_common.PASCANU,
    thresholds={
        "reach": Threshold(
            0.05,
            "share of the time steps",
            "how far back from its peak the gradient stays at or above `faint` of it "
            "(at least four recorded time steps)",
        ),
        "faint": Threshold(1e-3, "1", "back-propagated rms relative to its peak"),
    },
    follows_from=("RecurrentScale", "ForgetBias", *_common.WEIGHTS),
    follows_steps_of=_common.STEPS,
)
def vanishing_through_time(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The gradient reaches back over only a few time steps of a sequence."""
    for key, series, values in time_steps.gradients_through_time(record):
        reach = np.array([time_steps.reach(row, limits["faint"]) for row in values])
        length = np.array([time_steps.length(row) for row in values])
        enough = np.maximum(limits["reach"] * length, _FEWEST_STEPS)
        at = _common.persistent((reach < enough) & (length > 2 * _FEWEST_STEPS))
        if at is not None:
            yield Fault(
                layer=key.layer,
                step=series.steps[at],
                measured=reach[at] / length[at],
                threshold=enough[at] / length[at],
                message=f"the gradient that reaches {_common.label(key)} falls below "
                f"{limits['faint']:g} of its peak within {reach[at]} of {length[at]} "
                "recorded time steps: the model does not learn from earlier ones.",
                remedy="Make the recurrent kernel orthogonal at the start, "
                '`recurrent_initializer="orthogonal"`, use `keras.layers.LSTM(units, '
                "unit_forget_bias=False, "
                "bias_initializer=kik.initializers.ChronoBias(time_steps))`, or "
                "shorten the sequences.",
            )
