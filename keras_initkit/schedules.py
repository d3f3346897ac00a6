"""When to look: schedules map an optimizer iteration to yes or no.

They combine: `first(20) | every(100)` is every hundredth iteration and the first
twenty, `every(10) & first(1000)` every tenth of the first thousand. Any function from
iteration to bool can take part.
"""

import abc
import dataclasses
import math
import numbers
from collections.abc import Callable

from keras_initkit.arguments import check_function

__all__ = ["Schedule", "every", "first", "log_spaced"]

Function = Callable[[int], bool]


class Schedule(abc.ABC):
    """A schedule that combines with others by `|` (either) and `&` (both)."""

    @abc.abstractmethod
    def __call__(self, iteration: int) -> bool:
        """Says whether to look at an iteration."""

    def __or__(self, other: Function) -> "Schedule":
        return _Either(self, other) if callable(other) else NotImplemented

    def __ror__(self, other: Function) -> "Schedule":
        return _Either(other, self) if callable(other) else NotImplemented

    def __and__(self, other: Function) -> "Schedule":
        return _Both(self, other) if callable(other) else NotImplemented

    def __rand__(self, other: Function) -> "Schedule":
        return _Both(other, self) if callable(other) else NotImplemented


def every(n: int) -> Schedule:
    """Returns the schedule of iterations 0, n, 2n and so on.

    Raises:
        ValueError: If `n` is not a positive integer.

    Example:
    >>> [i for i in range(10) if every(4)(i)]
    [0, 4, 8]
    """
    return _Every(_positive("n", n))


def first(n: int) -> Schedule:
    """Returns the schedule of the first n iterations, 0 to n - 1.

    Raises:
        ValueError: If `n` is not a positive integer.
    """
    return _First(_positive("n", n))


def log_spaced(per_decade: int = 10) -> Schedule:
    """Returns the schedule of iterations evenly spaced on a logarithmic axis.

    Iterations 0 and `round(10 ** (k / per_decade))` for k = 0, 1, 2 and so on: dense at
    the start, where initialization shows, and a fixed number for each factor of ten.

    Args:
        per_decade: How many iterations per factor of ten.

    Raises:
        ValueError: If `per_decade` is not a positive integer.

    Example:
    >>> [i for i in range(1001) if log_spaced(3)(i)]
    [0, 1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]
    """
    return _LogSpaced(_positive("per_decade", per_decade))


def as_schedule(value: "int | Function", argument: str = "every") -> Function:
    """Returns a schedule or function unchanged, and `every(value)` for an integer.

    Args:
        value: What was given.
        argument: Name of the argument it was given as.

    Raises:
        TypeError: If it is a function with other arguments.
        ValueError: If it is neither.
    """
    if not callable(value):
        return _Every(_positive(argument, value))
    check_function(argument, value, "an iteration")
    return value


def _positive(name: str, n: int) -> int:
    if not isinstance(n, numbers.Integral) or isinstance(n, bool) or n < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={n!r}")
    return int(n)


@dataclasses.dataclass(frozen=True)
class _Every(Schedule):
    n: int

    def __call__(self, iteration: int) -> bool:
        return iteration % self.n == 0

    def __repr__(self) -> str:
        return f"every({self.n})"


@dataclasses.dataclass(frozen=True)
class _First(Schedule):
    n: int

    def __call__(self, iteration: int) -> bool:
        return iteration < self.n

    def __repr__(self) -> str:
        return f"first({self.n})"


@dataclasses.dataclass(frozen=True)
class _LogSpaced(Schedule):
    per_decade: int

    def __call__(self, iteration: int) -> bool:
        if iteration < 1:
            return iteration == 0
        nearest = round(self.per_decade * math.log10(iteration))
        # If any mark rounds to this iteration, one of the two beside it does.
        near = (nearest - 1, nearest, nearest + 1)
        return any(round(10 ** (k / self.per_decade)) == iteration for k in near)

    def __repr__(self) -> str:
        return f"log_spaced({self.per_decade})"


@dataclasses.dataclass(frozen=True)
class _Either(Schedule):
    one: Function
    other: Function

    def __call__(self, iteration: int) -> bool:
        return self.one(iteration) or self.other(iteration)

    def __repr__(self) -> str:
        return f"{self.one!r} | {self.other!r}"


@dataclasses.dataclass(frozen=True)
class _Both(Schedule):
    one: Function
    other: Function

    def __call__(self, iteration: int) -> bool:
        return self.one(iteration) and self.other(iteration)

    def __repr__(self) -> str:
        # `&` binds more tightly than `|`.
        sides = (
            f"({side!r})" if isinstance(side, _Either) else repr(side)
            for side in (self.one, self.other)
        )
        return " & ".join(sides)
