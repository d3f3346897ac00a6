"""Singular values of the input-output Jacobian of a deep random network.

`J = prod_l D_l W_l` with `D = diag(phi'(x))`. In the limit of infinite width the
factors are free, so S-transforms of their squares multiply
([Pennington et al., 2017](https://arxiv.org/abs/1711.04735)).
"""

import dataclasses
import math
from collections.abc import Sequence

from keras_initkit.theory._quadrature import expectation
from keras_initkit.theory.activation_functions import ActivationLike, resolve

WEIGHTS = ("gaussian", "orthogonal")


@dataclasses.dataclass(frozen=True)
class JacobianSpectrum:
    """Moments of the eigenvalues of `J Jᵀ`, which are squared singular values of `J`.

    Attributes:
        moments: `m_1, m_2, ...`: means of powers of the eigenvalues.
    """

    moments: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean squared singular value: `chi_1` to the power of the depth."""
        return self.moments[0]

    @property
    def relative_variance(self) -> float:
        """Variance of the eigenvalues over their squared mean: 0 is an isometry."""
        return self.moments[1] / self.moments[0] ** 2 - 1


def jacobian_spectrum(
    activation: ActivationLike,
    depth: int,
    sigma_w: float = 1.0,
    q: float = 1.0,
    weights: str = "gaussian",
    order: int = 4,
) -> JacobianSpectrum:
    """Computes the first moments of the spectrum of `J Jᵀ` at infinite width.

    With `mu_k = E[phi'(sqrt(q) z)^(2k)]`: `m_1 = (sigma_w² mu_1)^depth`, and the
    relative variance is `depth (mu_2 / mu_1² - 1 - s_1)`, `s_1` being -1 for Gaussian
    and 0 for orthogonal weights. Higher moments come from S-transforms as power series.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        depth: Positive number of layers.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`, or the scale
            of the orthogonal matrices.
        q: Positive second moment of the pre-activations, the same in every layer
            (`q_star`).
        weights: `"gaussian"` or `"orthogonal"`.
        order: How many moments, at least 2.

    Returns:
        `JacobianSpectrum` with `order` moments.

    Raises:
        ValueError: If `depth`, `order` or `q` is too small, `weights` is unknown, or
            the slope of the activation is 0 almost everywhere.

    Example:
    >>> jacobian_spectrum("linear", 2, order=3).moments
    (1.0, 3.0, 12.0)
    >>> round(jacobian_spectrum("relu", 8, 2**0.5).relative_variance, 6)
    16.0
    """
    if depth < 1:
        raise ValueError(f"`depth` must be positive. Received: depth={depth!r}.")
    if order < 2:
        raise ValueError(f"`order` must be at least 2. Received: order={order!r}.")
    if weights not in WEIGHTS:
        raise ValueError(
            f"`weights` must be known. Use one of {WEIGHTS}. "
            f"Received: weights={weights!r}."
        )
    if not q > 0:
        raise ValueError(f"`q` must be positive. Received: q={q!r}.")
    phi = resolve(activation)
    squares = [
        expectation(lambda x, k=k: phi.derivative(x) ** (2 * k), q, 0.0, phi.kinks)  # type: ignore[misc]
        for k in range(1, order + 1)
    ]
    squares = [round(m, 15) for m in squares]
    if not squares[0] > 0:
        raise ValueError(
            "`activation` must let gradients through. "
            f"Received: {phi.name!r}, whose slope is 0 at q={q!r}."
        )
    layer = _s_transform([m * sigma_w ** (2 * k) for k, m in enumerate(squares, 1)])
    if weights == "gaussian":
        # A square Gaussian matrix of variance 1/n has S(z) = 1 / (1 + z).
        layer = _multiply(layer, [(-1.0) ** n for n in range(order)])
    total = [1.0] + [0.0] * (order - 1)
    for _ in range(depth):
        total = _multiply(total, layer)
    return JacobianSpectrum(tuple(_moments_of(total)))


def fuss_catalan(order: int, depth: int) -> float:
    """Computes `m_k = C((L + 1) k, k) / (L k + 1)` of a linear Gaussian net.

    The moments of `jacobian_spectrum("linear", L)`, exact at infinite width.

    Args:
        order: Order `k` of the moment, not negative.
        depth: Number `L` of layers, not negative.

    Returns:
        Float.

    Example:
    >>> [fuss_catalan(k, 2) for k in (1, 2, 3)]
    [1.0, 3.0, 12.0]
    """
    return math.comb((depth + 1) * order, order) / (depth * order + 1)


def largest_singular_value(depth: int) -> float:
    """Computes the edge of a linear Gaussian net's spectrum, `sqrt((L+1)^(L+1) / L^L)`.

    It grows like `sqrt(e (L + 1))` although the mean squared singular value stays 1;
    orthogonal nets have 1 at any depth
    ([Saxe et al., 2013](https://arxiv.org/abs/1312.6120)).

    Args:
        depth: Positive number `L` of layers.

    Returns:
        Float.

    Raises:
        ValueError: If `depth` is not positive.
    """
    if depth < 1:
        raise ValueError(f"`depth` must be positive. Received: depth={depth!r}.")
    return math.sqrt((depth + 1) * (1 + 1 / depth) ** depth)


# Power series without the constant term where noted, cut at the number of moments.


def _s_transform(moments: Sequence[float]) -> list[float]:
    """S(z) = chi(z) (1 + z) / z, `chi` the inverse of `psi(z) = sum m_k z^k`."""
    inverse = _revert(list(moments))  # chi_1 z + chi_2 z² + ...
    return [a + b for a, b in zip(inverse, [0.0, *inverse[:-1]], strict=True)]


def _moments_of(s: Sequence[float]) -> list[float]:
    """The moments whose S-transform is `s`: chi(z) = z S(z) / (1 + z), inverted."""
    chi: list[float] = []
    for value in s:  # division by 1 + z
        chi.append(value - (chi[-1] if chi else 0.0))
    return _revert(chi)


def _multiply(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [sum(a[i] * b[n - i] for i in range(n + 1)) for n in range(len(a))]


def _revert(series: list[float]) -> list[float]:
    """Inverts `a_1 z + a_2 z² + ...` under composition, by Lagrange's formula."""
    size = len(series)
    # z / f(z) as a power series.
    reciprocal = [1 / series[0]]
    for n in range(1, size):
        tail = sum(series[k] * reciprocal[n - k] for k in range(1, n + 1))
        reciprocal.append(-tail / series[0])
    power = [1.0] + [0.0] * (size - 1)
    inverse = []
    for n in range(1, size + 1):
        power = _multiply(power, reciprocal)
        inverse.append(power[n - 1] / n)
    return inverse
