"""Order or chaos: where a model's plain stacks lie on the phase diagram."""

import dataclasses
import functools
import math

import numpy as np

from keras_initkit import theory
from keras_initkit.initializers._activations import to_theory
from keras_initkit.structure import forward_graph, values
from keras_initkit.structure.fans import layout_of
from keras_initkit.structure.owners import find_owners

# Layers of one activation from which on a depth scale is asked for.
FEWEST = 3
# More layers than anybody stacks.
_ANY_DEPTH = 1e4


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stack of layers with one activation, as mean-field theory sees it.

    Attributes:
        activation: Name of the activation.
        layers: Names of the layers, in forward order.
        sigma_w: Standard deviation of the weights times `sqrt(fan_in)`, median.
        sigma_b: Standard deviation of the biases about 0, median.
        centred: Whether each unit's weights sum to 0, so that the activations' mean has
            no effect.
        chi_1: Growth per layer of the gradient's second moment, backward.
        phase: `"ordered"`, `"critical"` or `"chaotic"`.
        depth_scale: Layers over which differences between inputs shrink (ordered) or
            grow (chaotic) by a factor e; infinite at criticality.
    """

    activation: str
    layers: tuple[str, ...]
    sigma_w: float
    sigma_b: float
    centred: bool
    chi_1: float
    phase: str
    depth_scale: float

    @property
    def trainable_depth(self):
        """Six depth scales: the depth that Schoenholz et al. could still train."""
        return 6 * self.depth_scale

    def in_words(self):
        """Returns the stack in a line."""
        depth = self.trainable_depth
        reach = "at any depth" if depth > _ANY_DEPTH else f"up to {depth:.0f} layers"
        return (
            f"{len(self.layers)} {self.activation} layers: {self.phase}, gradients "
            f"×{math.sqrt(self.chi_1):.3g} a layer, trainable {reach}"
        )

    def to_dict(self):
        """Returns the attributes as a dict."""
        return {**dataclasses.asdict(self), "trainable_depth": self.trainable_depth}


def phases(model, x):
    """Lists the stacks of a built model: dense and plain convolutional layers.

    A stack is a sequence of layers, each directly after the other, with nothing merged
    in between. Layers directly followed by normalization and those on residual branches
    are left out, since the mean-field theory of plain stacks does not hold for them.

    Args:
        model: A built Keras model.
        x: Inputs, of which only shapes matter.

    Returns:
        List of `Phase`s, one per stack of at least `FEWEST` layers with the same
        activation.
    """
    owners, _ = find_owners(model)
    graph = forward_graph.trace(model, {id(owner.layer) for owner in owners}, x)
    layers: list = []
    stacks: list = []
    stack_of: dict = {}
    for owner in owners:
        place = graph.places.get(id(owner.layer))
        plain = (
            owner.kernels == [owner.kernel]
            and layout_of(owner.layer, owner.kernel).rule == "plain"
        )
        if place is None or not plain or place.normalized or place.branch or place.head:
            continue
        if owner.is_recurrent or values.effective(owner.layer) is None:
            continue
        try:
            phi = to_theory(place.activation)
        except ValueError:
            continue
        layers.append((place, owner, phi))
    for place, owner, phi in sorted(layers, key=lambda one: one[0].order):
        stack = stack_of.get(place.after, [])
        if not stack or not _continues(stack, place, phi):
            stack = []
            stacks.append(stack)
        stack.append((owner, phi))
        stack_of[id(owner.layer)] = stack
    return [_phase(stack) for stack in stacks if len(stack) >= FEWEST]


def _continues(stack, place, phi):
    """Whether a layer is right behind the last of a stack, with its activation."""
    owner, last = stack[-1]
    return id(owner.layer) == place.after and last.name == phi.name


def _phase(stack):
    owners, phi = [owner for owner, _ in stack], stack[0][1]
    kernels = [_matrix(values.effective(owner.layer)) for owner in owners]
    sigma_w = float(np.median([math.sqrt((w**2).mean() * len(w)) for w in kernels]))
    biases = [owner.weights.get("bias") for owner in owners]
    squares = [0.0 if b is None else (values.array(b) ** 2).mean() for b in biases]
    offsets = [math.sqrt(square) for square in squares]
    sigma_b = float(np.median(offsets))
    centred = bool(np.median([_largest_sum(w) for w in kernels]) < 1e-3)
    scales = _scales(phi, round(sigma_w, 6), round(sigma_b, 6), centred)
    names = tuple(owner.name for owner in owners)
    return Phase(phi.name, names, sigma_w, sigma_b, centred, *scales)


def _largest_sum(kernel):
    """Largest sum of a unit's weights to the norm of one: sqrt(n) if all are equal."""
    norm = np.sqrt((kernel**2).sum(axis=0)).max()
    return np.abs(kernel.sum(axis=0)).max() / norm if norm > 0 else math.inf


@functools.lru_cache(maxsize=64)
def _scales(phi, sigma_w, sigma_b, centred):
    """Returns chi_1, the phase and the depth scale of correlations."""
    if sigma_w == 0:
        return 0.0, "ordered", 0.0
    if centred:
        offset = float(phi.function(np.zeros(1))[0])
        original = phi
        phi = dataclasses.replace(
            original, function=lambda x: original.function(x) - offset, closed_form=None
        )
    found = theory.depth_scale(phi, sigma_w, sigma_b)
    if found.phase != "undefined":
        return found.chi_1, found.phase, found.xi_c
    # Signals die or explode: what is left of them is linear in each half.
    chi = theory.chi_1(phi, sigma_w, sigma_b, 1e-6 if found.q_star == 0 else 1e6)
    if not math.isfinite(chi) or chi <= 0:
        return chi, "ordered" if chi <= 0 else "chaotic", 0.0
    scale = math.inf if abs(chi - 1) < 1e-9 else 1 / abs(math.log(chi))
    return chi, "ordered" if chi < 1 else "chaotic", scale


def _matrix(kernel):
    return kernel.reshape(-1, kernel.shape[-1])
