"""What a moment of few entries says about the distribution they were drawn from."""

import math
from typing import NamedTuple

from scipy.special import gammaincinv, ndtr

# What is called far from a limit is farther than chance takes it, by four standard
# errors of a normal distribution: once in 32 thousand draws.
_BY_CHANCE = float(ndtr(-4.0))


class Range(NamedTuple):
    """Values that a moment may have, as far as is known."""

    low: float
    high: float


def moment_range(moment: float, count: float) -> Range:
    """Returns the second moments of distributions that may explain a measured one.

    The mean square of `count` independent Gaussian entries is distributed as chi-square
    with `count` degrees of freedom, over `count`; uniform or truncated entries vary
    less. A limit is crossed by the distribution, and not by chance, if the whole range
    lies beyond it.

    Args:
        moment: Measured variance or second moment, not negative.
        count: How many entries it was measured on.

    Returns:
        `Range`, from 0 to infinity if there are no entries.

    Example:
    >>> low, high = moment_range(0.33, 10)
    >>> low < 1 < high
    True
    """
    if not count > 0:
        return Range(0.0, math.inf)
    lowest = 2 * float(gammaincinv(count / 2, _BY_CHANCE)) / count
    highest = 2 * float(gammaincinv(count / 2, 1 - _BY_CHANCE)) / count
    return Range(moment / highest, moment / lowest if lowest > 0 else math.inf)
