"""Signals through infinitely wide random layers: maps, fixed points, depth scales.

A layer is `x_l = W phi(x_{l-1}) + b`, `Var(W) = sigma_w² / fan_in`,
`Var(b) = sigma_b²`. `q` is the second moment of a pre-activation, `c` the correlation
of the pre-activations of two inputs.

References: [Poole et al., 2016](https://arxiv.org/abs/1606.05340),
[Schoenholz et al., 2017](https://arxiv.org/abs/1611.01232).
"""

import dataclasses
import math

import numpy as np
from scipy.optimize import brentq

from keras_initkit.theory._quadrature import expectation, expectation_pair
from keras_initkit.theory.activation_functions import (
    Activation,
    ActivationLike,
    resolve,
)
from keras_initkit.theory.gains import moments

# |chi_1 - 1| below which a network counts as critical; quadrature is exact to 1e-13.
CRITICAL_TOLERANCE = 1e-9
# Outside this range a fixed point counts as 0 (the signal dies) or infinite.
_Q_RANGE = (1e-14, 1e14)


def variance_map(
    q: float, activation: ActivationLike, sigma_w: float, sigma_b: float = 0.0
) -> float:
    """Computes the next layer's `q`: `sigma_w² E[phi(sqrt(q) z)²] + sigma_b²`.

    Args:
        q: Non-negative second moment of the pre-activations.
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviation of the biases.

    Returns:
        Float.

    Example:
    >>> round(variance_map(1.0, "tanh", 1.0), 6)
    0.394294
    """
    return sigma_w**2 * moments(activation, q).second_moment + sigma_b**2


def correlation_map(
    c: float,
    activation: ActivationLike,
    sigma_w: float,
    sigma_b: float = 0.0,
    q: float | None = None,
) -> float:
    """Computes the next layer's correlation of two inputs, both at variance `q`.

    `(sigma_w² E[phi(u) phi(v)] + sigma_b²) / V(q)` with `u, v ~ N(0, q)` of
    correlation `c` and `V` the variance map; at `q = q_star`, `V(q) = q`. ReLU
    without bias has the closed form `(sqrt(1 - c²) + (pi - arccos c) c) / pi`
    ([Cho & Saul, 2009](https://papers.nips.cc/paper/3628), order 1).

    Args:
        c: Correlation in [-1, 1].
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviation of the biases.
        q: Variance; defaults to `q_star`.

    Returns:
        Float in [-1, 1]; NaN where the signal dies or explodes (`q` 0 or infinite).

    Raises:
        ValueError: If `c` is not a correlation.
    """
    if not -1 <= c <= 1:
        raise ValueError(f"`c` must be a correlation, in [-1, 1]. Received: c={c!r}.")
    phi = resolve(activation)
    q = q_star(phi, sigma_w, sigma_b) if q is None else q
    if not 0 < q < math.inf:
        return math.nan
    if phi.name == "relu" and phi is resolve("relu"):
        c = (math.sqrt(1 - c**2) + (math.pi - math.acos(c)) * c) / math.pi
        product = c * q / 2
    else:
        product = expectation_pair(phi.function, q, c, phi.kinks)
    return (sigma_w**2 * product + sigma_b**2) / variance_map(q, phi, sigma_w, sigma_b)


def q_star(
    activation: ActivationLike,
    sigma_w: float,
    sigma_b: float = 0.0,
    start: float = 1.0,
) -> float:
    """Computes the fixed point of the variance map that is reached from `start`.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviation of the biases.
        start: Positive second moment of the first layer's pre-activations.

    Returns:
        Float: 0 where the signal dies, infinity where it grows without bound, `start`
        itself where every value is a fixed point (ReLU at `sigma_w² = 2`).

    Raises:
        ValueError: If `start` is not positive.

    Example:
    >>> round(q_star("tanh", 1.0, 0.05**0.5), 5)
    0.19359
    """
    if not start > 0:
        raise ValueError(f"`start` must be positive. Received: start={start!r}.")
    phi = resolve(activation)

    def growth(log_q: float) -> float:
        q = math.exp(log_q)
        return variance_map(q, phi, sigma_w, sigma_b) / q - 1

    here = math.log(start)
    value = growth(here)
    if abs(value) < 1e-12:
        return start
    # V(q) grows with q for every activation here, so the iteration moves one way
    # until V(q) = q: the first change of sign in that direction.
    step = math.copysign(0.25, value)
    low, high = (math.log(edge) for edge in _Q_RANGE)
    while low < here < high:
        there = here + step
        with np.errstate(over="ignore", invalid="ignore"):
            following = growth(there)
        if following * value <= 0:
            return math.exp(brentq(growth, here, there, xtol=1e-14, rtol=1e-14))
        if not math.isfinite(following):
            return math.inf
        here = there
    return 0.0 if step < 0 else math.inf


def chi_1(
    activation: ActivationLike,
    sigma_w: float,
    sigma_b: float = 0.0,
    q: float | None = None,
) -> float:
    """Computes `chi_1 = sigma_w² E[phi'(sqrt(q) z)²]`, the gradients' growth per layer.

    This is the factor by which their second moment grows. At `q_star` it is also the
    slope of the correlation map at `c = 1`: below 1 nearby inputs converge (order),
    above 1 they diverge (chaos).

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviation of the biases.
        q: Variance of the pre-activations; defaults to `q_star`.

    Returns:
        Float; NaN where `q` is infinite.
    """
    phi = resolve(activation)
    q = q_star(phi, sigma_w, sigma_b) if q is None else q
    if math.isinf(q):
        return math.nan
    return sigma_w**2 * moments(phi, q).derivative_second_moment


def c_star(activation: ActivationLike, sigma_w: float, sigma_b: float = 0.0) -> float:
    """Computes the stable fixed point of the correlation map at `q_star`.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviation of the biases.

    Returns:
        1 in the ordered phase and on the critical line, less in the chaotic phase,
        NaN where the signal dies or explodes.
    """
    phi = resolve(activation)
    q = q_star(phi, sigma_w, sigma_b)
    if not 0 < q < math.inf:
        return math.nan
    return _c_star(phi, sigma_w, sigma_b, q)


def _c_star(phi: Activation, sigma_w: float, sigma_b: float, q: float) -> float:
    chi = chi_1(phi, sigma_w, sigma_b, q)
    if chi <= 1 + CRITICAL_TOLERANCE:
        return 1.0

    def gap(c: float) -> float:
        return correlation_map(c, phi, sigma_w, sigma_b, q) - c

    if gap(0.0) < 1e-12:
        return 0.0
    # The map leaves c = 1 with slope chi > 1, so it lies below the diagonal there.
    return float(brentq(gap, 0.0, 1 - 1e-7, xtol=1e-12))


@dataclasses.dataclass(frozen=True)
class DepthScales:
    """How far signals propagate, in layers.

    Attributes:
        q_star: Fixed point of the variance map.
        chi_1: Growth of the gradients' second moment per layer.
        c_star: Fixed point of the correlation map.
        xi_q: Depth over which `q` approaches `q_star` by a factor e.
        xi_c: Depth over which correlations approach `c_star` by a factor e;
            infinite on the critical line.
        phase: `"ordered"`, `"critical"`, `"chaotic"`, or `"undefined"` where the
            signal dies or explodes.
    """

    q_star: float
    chi_1: float
    c_star: float
    xi_q: float
    xi_c: float
    phase: str

    @property
    def trainable_depth(self) -> float:
        """`6 xi_c`: the depth up to which Schoenholz et al. found training possible."""
        return 6 * self.xi_c


def depth_scale(
    activation: ActivationLike, sigma_w: float, sigma_b: float = 0.0
) -> DepthScales:
    """Computes phase and depth scales of a deep network.

    `1 / xi_q = -log V'(q_star)` and `1 / xi_c = -log` of the slope of the correlation
    map at `c_star`, which is `chi_1` in the ordered phase. A slope of at most 0
    gives 0, a slope of at least 1 infinity.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviation of the biases.

    Returns:
        `DepthScales`.

    Example:
    >>> scales = depth_scale("tanh", 1.7**0.5, 0.05**0.5)
    >>> scales.phase, round(scales.xi_c, 1)
    ('ordered', 74.9)

    Reference:
    - [Schoenholz et al., 2017](https://arxiv.org/abs/1611.01232)
    """
    phi = resolve(activation)
    q = q_star(phi, sigma_w, sigma_b)
    chi = chi_1(phi, sigma_w, sigma_b, q)
    if not 0 < q < math.inf:
        return DepthScales(q, chi, math.nan, math.nan, math.nan, "undefined")
    if abs(chi - 1) <= CRITICAL_TOLERANCE:
        phase = "critical"
    else:
        phase = "ordered" if chi < 1 else "chaotic"
    c = _c_star(phi, sigma_w, sigma_b, q)
    if phase == "chaotic":
        slope = sigma_w**2 * expectation_pair(phi.derivative, q, c, phi.kinks)
    else:
        slope = chi
    if phase == "critical":
        slope = 1.0
    xi_q = _scale(_variance_slope(phi, q, sigma_w))
    return DepthScales(q, chi, c, xi_q, _scale(slope), phase)


def _variance_slope(phi: Activation, q: float, sigma_w: float) -> float:
    """`V'(q) = sigma_w² E[phi phi' z] / sqrt(q)`: no second derivative, so kinks do."""
    product = expectation(
        lambda x: phi.function(x) * phi.derivative(x) * x, q, 0.0, phi.kinks
    )
    return sigma_w**2 * product / q


def _scale(slope: float) -> float:
    if slope <= 0:
        return 0.0
    return math.inf if slope >= 1 else -1 / math.log(slope)
