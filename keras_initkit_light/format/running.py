"""Running means over an epoch, as Keras reports a loss, taken apart."""

from typing import Any, NamedTuple

import numpy as np

from keras_initkit_light.format.packing import Array

# Event files hold float32: their rounding, with a margin.
_ROUNDING = 2.0**-21
# Share of an epoch's median part up to which its rounding is none to speak of.
_COARSE = 0.05


class Epochs(NamedTuple):
    """Where the epochs of a training lie.

    Attributes:
        first_step: Optimizer iteration that an epoch begins with.
        steps: Optimizer iterations of each epoch.
    """

    first_step: int
    steps: int

    @classmethod
    def of(cls, metadata: Any) -> "Epochs | None":
        """Returns what the metadata of a run tell, `None` if they do not."""
        fit = metadata.get("fit") if isinstance(metadata, dict) else None
        if not isinstance(fit, dict):
            return None
        first, steps = fit.get("first_step"), fit.get("steps_per_epoch")
        if type(first) is not int or type(steps) is not int or steps < 1:
            return None
        return cls(first, steps)

    def places(self, steps: Array) -> tuple[Array, Array]:
        """Returns the number of each step's epoch, and its place in it, from 1."""
        epoch, place = np.divmod(np.asarray(steps) - self.first_step, self.steps)
        return epoch, place + 1


def taken_apart(steps: Array, means: Array, epochs: Epochs | None) -> "Array | None":
    """Returns the means over the batches between recorded steps.

    `n` batches with mean `m` after `n'` with mean `m'` of the same epoch leave
    `(n m - n' m') / (n - n')`.

    Args:
        steps: Recorded optimizer iterations, ascending, shape `(n,)`.
        means: Running means over the epoch after these, shape `(n,)`.
        epochs: Where the epochs lie; `None` if that is not known.

    Returns:
        Float64 array of shape `(n,)`: the mean over the batches since the recorded step
        before, or since the start of the epoch. An epoch of which rounding leaves too
        little keeps its running means: behind a first loss of 1e9, none of 2 is seen.
        `None` where nothing can be told: the epochs are not known, or the values are no
        running means (a `train_step` of one's own may report each batch), as parts of
        them would be negative where none of the means is.
    """
    if epochs is None or not len(steps):
        return None
    y = np.asarray(means, np.float64)
    epoch, seen = epochs.places(steps)
    # Steps that go back begin anew: the model was compiled again.
    goes_on = (epoch[1:] == epoch[:-1]) & (seen[1:] > seen[:-1])
    follows = np.append(False, goes_on)
    before = np.where(follows, np.roll(seen, 1), 0)
    sums = np.where(follows, np.roll(y, 1), 0.0) * before
    with np.errstate(invalid="ignore"):
        parts = (y * seen - sums) / (seen - before)
        rounding = _ROUNDING * seen * np.abs(y) / (seen - before)
        if (y < 0).any():
            return parts
        if (parts < -rounding).any():
            return None
    for one in np.unique(epoch[parts < 0]):
        here = epoch == one
        coarse = rounding[here & (parts < 0)].max()
        if coarse > _COARSE * np.nanmedian(np.abs(parts[here])):
            parts[here] = y[here]
    return np.where(parts < 0, 0.0, parts)
