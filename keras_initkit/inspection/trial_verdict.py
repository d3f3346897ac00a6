"""What losses after a few steps say: which rates learn, if any, and which to take."""

import math
from typing import NamedTuple

import numpy as np

# Standard errors by which a fall or a gap is more than the scatter of the batches.
_ERRORS = 3.0
# Share of the largest fall from which on a rate learns enough to be in the range.
_ENOUGH = 0.1
# Share of the loss by which own targets have to fit better: less is next to nothing,
# and may be what float32 rounds off.
_LEAST_GAP = 1e-3
# Share of the loss without a step by which a rate that is much too high loses more.
_HOPELESS = 0.1
# Share of a loss that float32 does not tell apart after a few sums.
_ROUNDING = 1e-6


class Tried(NamedTuple):
    """What some steps at one learning rate come to.

    Attributes:
        rate: The learning rate.
        loss: Mean loss of examples that no step saw, after the steps.
        other_loss: The same with the targets of other examples: what the outputs are
            worth where they do not depend on the inputs.
        learns: Whether the loss is below that of the best constant guess (where it was
            so without a step, below that by more than the batches scatter), and below
            `other_loss` by more than they scatter.
    """

    rate: float
    loss: float
    other_loss: float
    learns: bool


class Verdict(NamedTuple):
    """Which rates learn.

    Attributes:
        tried: One `Tried` a rate, ascending.
        constant: The loss of the best constant guess, as far as it is known: that of
            the targets' frequencies or variance, or what outputs were worth that did
            not depend on the inputs.
        low: The lowest rate that learns, `None` if none does.
        high: The highest one.
        proposal: The rate to take, `None` if none learns.
        reason: Why there is no proposal, `None` if there is.
    """

    tried: tuple[Tried, ...]
    constant: float
    low: float | None = None
    high: float | None = None
    proposal: float | None = None
    reason: str | None = None


def verdict(
    rates: np.ndarray,
    losses: np.ndarray,
    start: np.ndarray,
    constant: float | None = None,
) -> Verdict:
    """Judges the losses after some steps at each rate.

    Args:
        rates: Learning rates, ascending, of shape `(rates,)`.
        losses: After the steps at each, the loss of each batch's outputs against each
            batch's targets, of shape `(rates, batches, batches)`, outputs first.
        start: The same without a step, of shape `(batches, batches)`.
        constant: Loss of the best constant guess, where it is known.

    Returns:
        The verdict. The proposal is one rate below the one of the lowest loss: five
        steps favour rates that are a little too high for many.
    """
    with np.errstate(all="ignore"):
        own = _own(losses).mean(-1)
        other = _other(losses)
        least = np.nanmin(
            [*other, _other(start), np.inf if constant is None else constant]
        )
        better = np.where(
            _own(start).mean() < least,
            _is_above(_own(start) - _own(losses)),
            own < least,
        )
        learns = better & _own_targets_fit(losses)
    tried = tuple(
        Tried(*row)
        for row in zip(
            rates.tolist(), own.tolist(), other.tolist(), learns.tolist(), strict=True
        )
    )
    first = float(_own(start).mean())
    reason = _reason(first, own, least, learns)
    if reason is not None:
        return Verdict(tried, float(least), reason=reason)
    best = int(np.argmin(np.where(learns, own, np.inf)))
    fall = first - own
    enough = fall >= _ENOUGH * fall[best]
    low = high = best
    while low > 0 and enough[low - 1]:
        low -= 1
    while high + 1 < len(own) and enough[high + 1] and learns[high + 1]:
        high += 1
    return Verdict(
        tried,
        float(least),
        low=tried[low].rate,
        high=tried[high].rate,
        proposal=tried[max(low, best - 1)].rate,
    )


def is_hopeless(found: list[np.ndarray]) -> bool:
    """Whether the two newest rates are so much too high that higher ones will be, too.

    They lose more than no step by a tenth or are not finite; a lower rate may lose a
    little more by chance.

    Args:
        found: Losses as of `verdict`, those without a step first.
    """
    means = [float(_own(one).mean()) for one in found]
    limit = means[0] + _HOPELESS * abs(means[0])
    return len(means) > 2 and not any(one <= limit for one in means[-2:])


def _own(losses):
    """Returns the loss of each batch against its own targets."""
    return np.diagonal(losses, axis1=-2, axis2=-1)


def _other(losses):
    """Returns the mean loss against targets of other batches."""
    count = losses.shape[-1]
    return (losses.sum((-2, -1)) - _own(losses).sum(-1)) / (count * (count - 1))


def _is_above(values):
    """Whether means over the last axis are above 0 by three standard errors."""
    error = values.std(-1, ddof=1) / math.sqrt(values.shape[-1])
    return values.mean(-1) > _ERRORS * error


def _own_targets_fit(losses):
    """Whether outputs fit their own targets better than those of other batches.

    By three standard errors, and by more than next to nothing.
    """
    gap, error = _gap(losses)
    least = _LEAST_GAP * np.abs(_own(losses).mean(-1))
    return gap > np.maximum(_ERRORS * error, least)


def _gap(losses):
    """Returns by how much own targets are better, and the standard error of that.

    What two batches lose with their targets exchanged, less what they lose with their
    own: that one has harder inputs, or harder targets, than another cancels out. The
    gap is the mean over all pairs, its error that of the jackknife, which leaves out
    one batch after the other.
    """
    count = losses.shape[-1]
    own = _own(losses)
    pairs = losses + np.swapaxes(losses, -2, -1) - own[..., None, :] - own[..., None]
    pairs = pairs / 2  # symmetric, 0 on the diagonal
    total = pairs.sum((-2, -1))
    without = (total[..., None] - 2 * pairs.sum(-1)) / ((count - 1) * (count - 2))
    spread = ((without - without.mean(-1, keepdims=True)) ** 2).sum(-1)
    return total / (count * (count - 1)), np.sqrt((count - 1) / count * spread)


def _reason(first, own, least, learns):
    """Says why no rate can be proposed, `None` where one can."""
    if learns.any():
        return None
    if not math.isfinite(first):
        return f"the loss at the current weights is {first}"
    finite = own[np.isfinite(own)]
    if not len(finite):
        return "after a few steps at any rate the loss is NaN or Inf"
    if (np.abs(finite - first) <= _ROUNDING * abs(first)).all():
        return f"no rate moves the loss from {first:.4g}"
    lowest = float(finite.min())
    if lowest < least:
        return (
            f"the lowest loss after the steps, {lowest:.4g} from {first:.4g}, does not "
            "reflect the inputs by more than the scatter between batches"
        )
    return (
        f"the lowest loss after the steps, {lowest:.4g} from {first:.4g}, is not below "
        f"the {least:.4g} of a constant guess"
    )
