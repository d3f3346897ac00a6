"""What tables and pictures show of a run: far less than its record."""

from typing import NamedTuple

import numpy as np

from keras_initkit import diagnosis
from keras_initkit.recording import RunRecord

# Signal and statistic of the profiles at the first recorded step.
PROFILES = (("activation", "std"), ("gradient", "rms"))


class Summary(NamedTuple):
    """What is shown of a run.

    Attributes:
        steps: Optimizer iterations of the losses, int64 of shape `(n,)`.
        losses: Training losses between monitored steps, float64 of shape `(n,)`.
        profiles: Statistics over the weight layers at the first recorded step, in the
            order of `PROFILES`.
        weight_layers: Paths of the layers with a kernel, in forward order.
        layers: Paths of all layers that the record describes.
    """

    steps: np.ndarray
    losses: np.ndarray
    profiles: tuple[diagnosis.Profile, ...]
    weight_layers: tuple[str, ...]
    layers: tuple[str, ...]


def summary(
    record: RunRecord, steps: int, epochs: int, batch_size: int, examples: int | None
) -> Summary:
    """Returns the summary of a record; the numbers are those of `RunResult`."""
    x, y = losses_of_batches(record, steps, epochs, batch_size, examples)
    return Summary(
        x,
        y,
        tuple(diagnosis.depth_profile(record, *which) for which in PROFILES),
        diagnosis.weight_layers(record),
        tuple(entry["path"] for entry in record.metadata.get("layers", ())),
    )


def losses_of_batches(
    record: RunRecord, steps: int, epochs: int, batch_size: int, examples: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Takes the running means that Keras reports apart; see `RunResult.loss_curve`."""
    monitored, means = record.scalars.get("loss", ([], []))
    per_epoch = max(1, steps // max(1, epochs))
    x = np.asarray(monitored, np.int64)
    y = np.asarray(means, np.float64)
    # Examples of the epoch that the mean is over; its last batch may be smaller.
    seen = (x % per_epoch + 1) * batch_size
    if examples is not None:
        seen = np.minimum(seen, examples)
    same = np.zeros(len(x), bool)
    same[1:] = x[1:] // per_epoch == x[:-1] // per_epoch
    before = np.where(same, np.roll(seen, 1), 0)
    sums = np.where(before > 0, np.roll(y, 1) * before, 0.0)
    return x, (y * seen - sums) / (seen - before)
