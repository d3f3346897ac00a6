"""What theory knows of a tensor: its moments, and what it is a function of.

A tensor's entries count as draws from one distribution. The output of a layer with
random weights is a *source*: Gaussian entries, independent of those of all other
sources. Anything computed from sources entry by entry (sums, products, activations,
constants) depends on them in a known way, so repeated operands and operands with a
common history get their true correlation.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from keras_initkit.theory._quadrature import Array

# Entries that stand for a tensor where it has no closed form: a second moment of
# relu(x) + y is then right within 1 %.
DRAWS = 2**13


class Part(NamedTuple):
    """A term of a linear combination.

    Attributes:
        factor: What it is multiplied by.
        variance: Its variance.
        shared: Its covariance for two inputs, see `Signal.shared`; `None` if unknown.
        roots: The sources that it is a function of.
    """

    factor: float
    variance: float
    shared: float | None
    roots: frozenset[int]


class Padding(NamedTuple):
    """Zeros around a tensor.

    Attributes:
        inner: Signal of the tensor.
        widths: Zeros before and after it, on each axis of positions.
    """

    inner: "Signal"
    widths: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Signal:
    """Moments of the entries of a tensor, over units, positions and inputs.

    Attributes:
        second_moment: `E[x²]`.
        mean: `E[x]`.
        shared: `E[x x']`, for the same unit at two different inputs or positions;
            `mean²` if these have nothing in common. `None` if that is not known.
        rough: Whether only the order of magnitude of the moments is known.
        gaussian: Whether the entries are Gaussian.
        parts: `{number of a tensor: Part}`, the terms that it is the sum of; itself if
            it is no linear combination.
        roots: `{number of a source: what the source depends on by other ways than
            entry by entry}`, numbers of sources and ids of kernels.
        origins: Of what a source is made that has no number yet.
        make: Draws entries jointly with those of all tensors of the same roots, given
            the tensor's number: float64 of shape `(2, DRAWS)`, one row an input.
            Sources of Gaussian entries need none.
        number: Number of the tensor.
        padding: Where it is zeros around another tensor, what that is.
    """

    second_moment: float
    mean: float = 0.0
    shared: float | None = None
    rough: bool = False
    gaussian: bool = True
    parts: Mapping[int, Part] = dataclasses.field(default_factory=dict)
    roots: Mapping[int, frozenset[int]] = dataclasses.field(default_factory=dict)
    origins: frozenset[int] = frozenset()
    make: Callable[[int], Array] | None = None
    number: int = -1
    padding: "Padding | None" = None

    @property
    def variance(self) -> float:
        """`Var[x]`, not below 0."""
        return max(0.0, self.second_moment - self.mean**2)

    @property
    def varying(self) -> float | None:
        """Variance over inputs and positions of one unit; `None` if not known."""
        if self.shared is None:
            return None
        return max(0.0, self.second_moment - self.shared)

    @functools.cached_property
    def draws(self) -> Array:
        """Entries at two inputs, float64 of shape `(2, DRAWS)`."""
        if self.make is not None:
            return self.make(self.number)
        common = 0.0 if self.shared is None else max(0.0, self.shared - self.mean**2)
        common = min(common, self.variance)
        both, own = np.split(_standard(self.number), [1])
        return self.mean + common**0.5 * both + (self.variance - common) ** 0.5 * own

    def numbered(self, number: int) -> "Signal":
        """Returns the signal as that of the tensor `number`, a source if it is new."""
        roots = self.roots or {number: self.origins}
        parts = self.parts or {number: self._as_part(frozenset(roots))}
        return dataclasses.replace(self, roots=roots, parts=parts, number=number)

    @property
    def is_drawable(self) -> bool:
        """Whether the distribution of the entries is known, not their moments alone."""
        return self.gaussian or self.make is not None

    def becoming(self, **changes: Any) -> "Signal":
        """Returns another signal that is a function of this one, entry by entry."""
        changes = {"padding": None, "parts": {}, **changes}
        if not self.is_drawable:
            changes.update(gaussian=False, make=None)
        return dataclasses.replace(self, **changes)

    def as_source(self, **changes: Any) -> "Signal":
        """Returns a signal whose entries are not in the places of these.

        It is a source that depends on what this one does.
        """
        origins = frozenset(self.roots).union(*self.roots.values())
        draws = None if self.gaussian else (lambda number: self.draws)
        fresh: dict[str, Any] = {"roots": {}, "origins": origins, "make": draws}
        return self.becoming(**{**fresh, **changes})

    def _as_part(self, roots: frozenset[int]) -> Part:
        shared = None if self.shared is None else self.shared - self.mean**2
        return Part(1.0, self.variance, shared, roots)


@functools.lru_cache(maxsize=64)
def _standard(number: int) -> Array:
    """Returns three independent rows of standard normal numbers."""
    grid = ndtri((np.arange(DRAWS) + 0.5) / DRAWS)
    grid /= np.sqrt(np.mean(grid**2))
    draw = generator(number)
    return np.stack([draw.permutation(grid) for _ in range(3)])


def generator(number: int) -> np.random.Generator:
    """Returns the random numbers of a tensor, the same at each time."""
    return np.random.default_rng(number % 2**32)


def moments_of_draws(draws: Array) -> tuple[float, float, float]:
    """Returns second moment, mean and `Signal.shared` of drawn entries."""
    second, mean = float(np.mean(draws**2)), float(np.mean(draws))
    return second, mean, float(np.mean(draws[0] * draws[1]))


# Share of a second moment that draws may be off by.
_ERROR = 0.05
SPREAD = "its values vary too much to determine their moments"


def are_too_spread(draws: Array) -> bool:
    """Whether the second moment of drawn entries hangs on a few of them."""
    squares = draws**2
    error = float(np.std(squares)) / np.sqrt(squares.size)
    return not error <= _ERROR * float(np.mean(squares))
