"""When to look: schedules map an optimizer iteration to yes or no."""

from collections.abc import Callable

Schedule = Callable[[int], bool]


def every(n: int) -> Schedule:
    """Returns the schedule of iterations 0, n, 2n and so on.

    Raises:
        ValueError: If `n` is not a positive integer.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"`every` must be a positive integer. Received: every={n!r}")
    return lambda iteration: iteration % n == 0


def as_schedule(value: "int | Schedule") -> Schedule:
    """Returns a schedule as it is, and `every(value)` for an integer.

    Raises:
        ValueError: If it is neither.
    """
    return value if callable(value) else every(value)
