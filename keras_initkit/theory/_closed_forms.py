"""Moments of activations under N(0, variance), where closed forms exist."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import erfcx, ndtr

from keras_initkit.theory._quadrature import Array, both_sides


@dataclasses.dataclass(frozen=True)
class Moments:
    """Moments of an activation `phi` of a Gaussian pre-activation.

    Attributes:
        mean: `E[phi(x)]`.
        second_moment: `E[phi(x)^2]`.
        derivative_second_moment: `E[phi'(x)^2]`, with the derivative that
            back-propagation uses (a jump adds nothing).
    """

    mean: float
    second_moment: float
    derivative_second_moment: float

    @property
    def variance(self) -> float:
        """`Var[phi(x)]`."""
        return self.second_moment - self.mean**2


ClosedForm = Callable[[float], Moments]


@dataclasses.dataclass(frozen=True)
class PiecewisePolynomial:
    """A function that is a polynomial between breaks: ReLU and all the hard ones.

    Attributes:
        breaks: Sorted floats, one fewer than pieces.
        pieces: Coefficients of each piece from the left, constant term first.
    """

    breaks: tuple[float, ...]
    pieces: tuple[tuple[float, ...], ...]

    def __call__(self, x: Array) -> Array:
        """Evaluates the function; a break belongs to the piece on its left."""
        index = np.searchsorted(np.asarray(self.breaks), x, side="left")
        return np.choose(
            index, [np.polynomial.polynomial.polyval(x, p) for p in self.pieces]
        )

    def derivative(self) -> "PiecewisePolynomial":
        """Returns the derivative, piece by piece."""
        pieces = tuple(
            tuple(float(n * c) for n, c in enumerate(piece))[1:] or (0.0,)
            for piece in self.pieces
        )
        return PiecewisePolynomial(self.breaks, pieces)

    def squared(self) -> "PiecewisePolynomial":
        """Returns the square."""
        pieces = tuple(tuple(np.convolve(p, p).tolist()) for p in self.pieces)
        return PiecewisePolynomial(self.breaks, pieces)

    def expectation(self, variance: float) -> float:
        """Computes `E[f(x)]`, `x ~ N(0, variance)`."""
        if variance == 0:
            return float(np.mean(self(both_sides(0.0))))
        std = math.sqrt(variance)
        edges = [-math.inf, *(b / std for b in self.breaks), math.inf]
        total = 0.0
        for low, high, piece in zip(edges[:-1], edges[1:], self.pieces, strict=True):
            moments = _truncated_moments(low, high, len(piece))
            total += sum(
                c * std**n * m
                for n, (c, m) in enumerate(zip(piece, moments, strict=True))
            )
        return total

    def moments(self, variance: float) -> Moments:
        """Computes all three moments."""
        return Moments(
            self.expectation(variance),
            self.squared().expectation(variance),
            self.derivative().squared().expectation(variance),
        )


def _truncated_moments(low: float, high: float, count: int) -> list[float]:
    """Computes `E[z^k; low < z < high]` for k < count, by partial integration."""

    def boundary(edge: float, power: int) -> float:
        if math.isinf(edge):
            return 0.0
        return edge**power * math.exp(-(edge**2) / 2) / math.sqrt(2 * math.pi)

    values = [float(ndtr(high) - ndtr(low)), boundary(low, 0) - boundary(high, 0)]
    for k in range(2, count):
        border = boundary(low, k - 1) - boundary(high, k - 1)
        values.append((k - 1) * values[k - 2] + border)
    return values[:count]


def _exponential_tail(rate: float, variance: float) -> float:
    """Computes `E[exp(rate x); x < 0]`, `x ~ N(0, variance)`, `rate >= 0`."""
    # exp(t²/2) Phi(-t) with t = rate * std; erfcx keeps it from overflowing.
    return 0.5 * float(erfcx(rate * math.sqrt(variance / 2)))


def exponential_linear(scale: float, alpha: float, rate: float) -> ClosedForm:
    """ELU and relatives: `scale x` above 0, `scale alpha (e^(rate x) - 1)` below.

    From `E[e^(k rate x); x < 0] = e^(k² rate² q / 2) Phi(-k rate sqrt(q))`.
    """

    def moments(variance: float) -> Moments:
        once = _exponential_tail(rate, variance)
        twice = _exponential_tail(2 * rate, variance)
        mean = math.sqrt(variance / (2 * math.pi)) + alpha * (once - 0.5)
        second = variance / 2 + alpha**2 * (twice - 2 * once + 0.5)
        slope = 0.5 + (alpha * rate) ** 2 * twice
        return Moments(scale * mean, scale**2 * second, scale**2 * slope)

    return moments


def gelu(variance: float) -> Moments:
    """`x Phi(x)`: by Stein's lemma, and `E[Phi(x)²]` from the orthant probability."""
    q = variance
    half = 0.25 + math.asin(q / (1 + q)) / (2 * math.pi)  # E[Phi²]
    root = math.sqrt(1 + 2 * q)
    mean = q / math.sqrt(2 * math.pi * (1 + q))
    second = q * half + q**2 / (math.pi * (1 + q) * root)
    slope = half + q / (math.pi * (1 + q) * root) + q / (2 * math.pi * root**3)
    return Moments(mean, second, slope)


def sine(variance: float) -> Moments:
    """`sin x`, from `E[cos 2x] = exp(-2q)`."""
    cosine = math.exp(-2 * variance)
    return Moments(0.0, (1 - cosine) / 2, (1 + cosine) / 2)


def exponential(variance: float) -> Moments:
    """`exp x`: log-normal."""
    with np.errstate(over="ignore"):
        square = float(np.exp(2 * variance))
        return Moments(float(np.exp(variance / 2)), square, square)


def piecewise(
    breaks: Sequence[float], pieces: Sequence[Sequence[float]]
) -> PiecewisePolynomial:
    """Builds a `PiecewisePolynomial` from any sequences."""
    return PiecewisePolynomial(tuple(breaks), tuple(tuple(p) for p in pieces))
