"""The phase diagram: where order ends and chaos begins."""

import dataclasses
import math
from collections.abc import Sequence

from scipy.optimize import brentq

from keras_initkit.theory.activation_functions import ActivationLike, resolve
from keras_initkit.theory.gains import moments
from keras_initkit.theory.mean_field import depth_scale


@dataclasses.dataclass(frozen=True)
class CriticalPoint:
    """A point on the edge of chaos.

    Attributes:
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviation of the biases.
        q_star: Second moment of the pre-activations there.
    """

    sigma_w: float
    sigma_b: float
    q_star: float


def critical_point(activation: ActivationLike, sigma_b: float = 0.0) -> CriticalPoint:
    """Finds `sigma_w` with `chi_1 = 1` for the given `sigma_b`: the edge of chaos.

    On the line, `sigma_w² = 1 / E[phi'(sqrt(q) z)²]` and
    `sigma_b² = q - sigma_w² E[phi(sqrt(q) z)²]`; solved for the smallest `q`.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_b: Non-negative standard deviation of the biases.

    Returns:
        `CriticalPoint`. For ReLU and its variants, critical only at `sigma_b = 0`, any
        `q` is a fixed point and `q_star` is 1. With `sigma_b = 0` the point of an
        activation with `phi(0) = 0` is the limit `q = 0`, `sigma_w = 1 / |phi'(0)|`
        (root mean square of both slopes at a kink).

    Raises:
        ValueError: If `sigma_b` is negative, or the activation has no critical point
            for it.

    Example:
    >>> point = critical_point("tanh", 0.05**0.5)
    >>> round(point.sigma_w**2, 6), round(point.q_star, 6)
    (1.760955, 0.570048)
    """
    phi = resolve(activation)
    if not sigma_b >= 0:
        raise ValueError(
            f"`sigma_b` must not be negative. Received: sigma_b={sigma_b!r}."
        )

    def excess(log_q: float) -> float:
        q = math.exp(log_q)
        found = moments(phi, q)
        if not found.derivative_second_moment > 0:
            return math.nan
        bias = q - found.second_moment / found.derivative_second_moment
        return (bias - sigma_b**2) / q

    def point(q: float) -> CriticalPoint:
        slope = moments(phi, q).derivative_second_moment
        return CriticalPoint(1 / math.sqrt(slope), sigma_b, q)

    if sigma_b == 0:
        if abs(excess(0.0)) < 1e-10 and abs(excess(1.0)) < 1e-10:
            return point(1.0)  # positively homogeneous: every q
        origin = moments(phi, 0.0)
        if origin.second_moment == 0 < origin.derivative_second_moment:
            return point(0.0)
    grid = [0.125 * n for n in range(-220, 60)]
    values = [excess(x) for x in grid]
    for low, high, first, second in zip(
        grid[:-1], grid[1:], values[:-1], values[1:], strict=True
    ):
        if first * second <= 0 and abs(first - second) < 10:
            return point(math.exp(brentq(excess, low, high, xtol=1e-14)))
    raise ValueError(
        f"`sigma_b` must allow a critical point of {phi.name!r}; there is none. "
        f"Received: sigma_b={sigma_b!r}."
    )


def critical_line(
    activation: ActivationLike, sigma_b: Sequence[float]
) -> list[CriticalPoint]:
    """Finds the critical point for each of several `sigma_b`, as `critical_point`.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_b: Non-negative standard deviations of the biases.

    Returns:
        List of `CriticalPoint`, in the order of `sigma_b`.

    Raises:
        ValueError: As `critical_point`.
    """
    phi = resolve(activation)
    return [critical_point(phi, value) for value in sigma_b]


def phase_diagram(
    activation: ActivationLike,
    sigma_w: Sequence[float],
    sigma_b: Sequence[float],
) -> list[dict[str, float | str]]:
    """Computes phase and depth scales over a grid, as rows for a table or a plot.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        sigma_w: Standard deviations of the weights times `sqrt(fan_in)`.
        sigma_b: Standard deviations of the biases.

    Returns:
        One dict per pair, `sigma_b` outermost: `sigma_w`, `sigma_b`, and the fields
        of `DepthScales`.
    """
    phi = resolve(activation)
    return [
        {
            "sigma_w": w,
            "sigma_b": b,
            **dataclasses.asdict(depth_scale(phi, w, b)),
        }
        for b in sigma_b
        for w in sigma_w
    ]
