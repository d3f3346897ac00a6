"""How far back through the time steps of a sequence a gradient reaches."""

from collections.abc import Iterator

import numpy as np

from keras_initkit.diagnosis._rule import NotJudged
from keras_initkit.recording.record import RunRecord
from keras_initkit.recording.series import SignalSeries
from keras_initkit_light.format.schema import TensorKey


def gradients_through_time(
    record: RunRecord,
) -> Iterator[tuple[TensorKey, SignalSeries, np.ndarray]]:
    """Yields each tensor of the latest series over time, `(steps, time steps)`.

    Nothing propagates through time without a recurrent layer: which positions then get
    a gradient is set by the structure, such as a head that reads the first.
    """
    roles = record.roles()
    if not roles:
        raise NotJudged("does not tell which layers are recurrent")
    if "recurrent_kernel" not in roles.values():
        return
    held = [one for one in record.time_steps.values() if one.signal == "backprop"]
    for series in held[-1:]:
        values = series.values
        for column, key in enumerate(series.tensors):
            yield key, series, values[:, column]


def length(row: np.ndarray) -> int:
    """Time steps up to the last that gets a gradient."""
    there = np.flatnonzero(row > 0)
    return int(there[-1]) + 1 if len(there) else 0


def reach(row: np.ndarray, faint: float) -> float:
    """Time steps from the first that is not faint to the last; inf where none fades.

    Exact zeros in front do not count as fading: a layer whose last step alone is used
    has them. What fades passes through faint values first.
    """
    steps = length(row)
    there = np.nan_to_num(row[:steps])
    strong = np.flatnonzero(there >= faint * there.max(initial=0.0))
    faded = (there > 0) & (there < faint * there.max(initial=0.0))
    if not len(strong) or not faded[: strong[0]].any():
        return np.inf
    return float(steps - strong[0])


def first_to_last(row: np.ndarray) -> float:
    """Ratio of the first time step's value to the last one's; NaN without two."""
    there = row[(row > 0) & np.isfinite(row)]
    return float(there[0] / there[-1]) if len(there) > 1 else np.nan
