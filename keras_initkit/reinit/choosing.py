"""The rules of `recommend`: an initializer for each layer, by its context."""

import functools
import math

import keras
import numpy as np

from keras_initkit import initializers, theory
from keras_initkit.initializers._activations import to_theory
from keras_initkit.initializers.layer_aware import for_layer
from keras_initkit.reinit.plan import Choice
from keras_initkit.structure.fans import is_convolution, layout_of
from keras_initkit.structure.roles import gates_of

k = keras.layers
# Weight layers without normalization or shortcuts from which on their matrices should
# be orthogonal: at 22, He et al. saw Glorot's rule still converge, at 30 not.
DEEP = 20
# Time steps from which on gates should be open for as long as the sequence.
LONG = 50
# A gain is steady if it changes the gradient's second moment by less, a layer.
_STEADY = math.log(1.1)


class Rules:
    """The rules, and what they know of the model as a whole."""

    def __init__(self, plain, branches):
        self.plain = plain
        self.branches = branches

    def choose(self, owner, place):
        """Returns the `Choice` for a layer at its place."""
        layer = owner.layer
        if owner.is_recurrent:
            return _recurrent(owner, place)
        if owner.is_table:
            return _embedding(owner)
        if place.head:
            gain, initializer = 1.0, for_layer(layer, "lecun_normal", owner.kernel)
            reason = "output: a gain of 1, on the scale of the layer before it"
        else:
            gain, initializer, reason = self._hidden(owner, place)
        others = [name for name in owner.kernels if name != owner.kernel]
        weights = {name: for_layer(layer, "lecun_normal", name) for name in others}
        weights[owner.kernel] = initializer
        return _choice(owner, initializer, reason, gain, weights)

    def _hidden(self, owner, place):
        """Returns gain, initializer and reason for a layer that others follow."""
        orthogonal = _takes_orthogonal(owner)
        deep = orthogonal and self.plain >= DEEP and is_plain(owner, place)
        gain, kind, reason = _rule(activation_key(place.activation), deep)
        if deep:
            reason += f"; one of {self.plain} layers without normalization"
        if kind == "zero_sum" and not orthogonal:
            kind = "zero_sum_normal"
            if layout_of(owner.layer, owner.kernel).scatters:
                kind = "variance"
                reason += (
                    ", but these are impossible for taps that alternate over a stride"
                )
        initializer = _made(owner, kind, gain, place.activation)
        if place.normalized:
            reason += "; normalized right after, so its scale hardly matters"
        elif place.ends_branch and self.branches > 1:
            gain *= initializers.depth_factor("gpt2", self.branches)
            initializer = initializers.DepthScaled(
                initializer, depth=self.branches, rule="gpt2"
            )
            reason += (
                f"; last of a residual branch, scaled by 1/√{self.branches} so that "
                f"{self.branches} branches add up to one"
            )
        return gain, initializer, reason


def is_plain(owner, place):
    """Whether only its initializer keeps the signal in size behind a layer."""
    carried_on = owner.is_recurrent or owner.is_table
    return not (carried_on or place.normalized or place.branch)


def _takes_orthogonal(owner):
    """Whether orthogonal matrices make an isometry of the layer."""
    layer = owner.layer
    if layout_of(layer, owner.kernel).rule != "plain":
        return False
    if is_convolution(layer):
        separable = owner.kernel != "kernel"
        return not separable and math.prod(layer.strides) == 1
    return len(owner.weights[owner.kernel].shape) == 2


def activation_key(activation):
    """What tells one activation from another: a name where there is one."""
    if isinstance(activation, k.Softmax):
        return "softmax"
    if isinstance(activation, k.Activation):
        activation = activation.activation
    name = getattr(activation, "__name__", None)
    if name and getattr(keras.activations, name, None) is activation:
        return name
    return activation


@functools.lru_cache(maxsize=256)
def _rule(activation, deep):
    """Returns gain, kind of initializer and reason for the activation that follows."""
    try:
        phi = to_theory(activation)
    except ValueError:
        # Softmax and its kin mix values: no gain keeps their size.
        name = _name_of(activation)
        return 1.0, "lecun_normal", f"{name} follows, which sets the scale itself"
    name = phi.name
    if phi.name == "linear":
        reason = "no activation follows: gain 1 keeps the signal's size"
        return 1.0, "orthogonal" if deep else "lecun_normal", reason
    here = theory.moments(phi, 1.0)
    offset, slope = _at_zero(phi)
    forward_gain = theory.gain(phi)
    steady = here.derivative_second_moment / here.second_moment
    if abs(math.log(steady)) <= _STEADY:
        if deep:
            kind = "orthogonal"
        else:
            kind = {"relu": "he_normal", "selu": "lecun_normal"}.get(name, "scaling")
        reason = f"{name} follows: gain {forward_gain:.3g} keeps the signal's size"
        return forward_gain, kind, reason
    if abs(offset) > 1e-9 and slope > 0:
        bounded = _is_bounded(phi)
        gain = 1 / slope if bounded else theory.gain(phi, "variance")
        reason = (
            f"{name} follows, slope {slope:.3g} and value {offset:.3g} at 0: gain "
            f"{gain:.3g} compensates for the slope, weights that sum to 0 for the value"
        )
        if not bounded:
            reason += (
                "; this balance is unstable: beyond some 20 layers let `kik.lsuv` set "
                "the scale, or use another activation"
            )
        return gain, "zero_sum", reason
    if slope > 0:
        gain = 1 / slope
        reason = (
            f"{name} follows: gain {gain:.3g} is the edge of chaos; more would "
            "saturate it"
        )
        return gain, "orthogonal" if deep else "glorot", reason
    reason = f"{name} follows: gain {forward_gain:.3g} keeps the signal's size"
    return forward_gain, "scaling", reason


def _name_of(activation):
    return getattr(activation, "__name__", None) or getattr(
        activation, "name", str(activation)
    )


def _at_zero(phi):
    zero = np.zeros(1)
    return float(phi.function(zero)[0]), float(phi.derivative(zero)[0])


def _is_bounded(phi):
    near, far = (
        phi.function(np.array([-50.0, 50.0])),
        phi.function(np.array([-100.0, 100.0])),
    )
    return bool(np.all(np.abs(far - near) < 1e-3))


def _made(owner, kind, gain, activation):
    """Makes the initializer of a kind, with the layer's true fans."""
    layer, kernel = owner.layer, owner.kernel
    variance = keras.initializers.VarianceScaling(gain**2, "fan_in", "truncated_normal")
    if kind == "zero_sum":
        orthogonal = keras.initializers.Orthogonal(gain)
        plain = len(owner.weights[kernel].shape) == 2
        return initializers.ZeroSum(orthogonal if plain else variance)
    if kind == "zero_sum_normal":
        return for_layer(layer, initializers.ZeroSum(variance), kernel)
    if kind == "variance":
        return for_layer(layer, variance, kernel)
    if kind == "orthogonal":
        return for_layer(layer, keras.initializers.Orthogonal(gain), kernel)
    if kind == "glorot":
        scaled = keras.initializers.VarianceScaling(
            gain**2, "fan_avg", "truncated_normal"
        )
        base = "glorot_normal" if abs(gain - 1) < 1e-6 else scaled
        return for_layer(layer, base, kernel)
    if kind == "scaling":
        key = activation_key(activation)
        named = isinstance(key, str)
        base = initializers.ActivationScaling(key) if named else variance
        return for_layer(layer, base, kernel)
    return for_layer(layer, kind, kernel)


def _choice(owner, initializer, reason, gain, weights):
    """Returns the choice, with zeros for the bias where nothing else is said."""
    if "bias" in owner.weights:
        weights.setdefault("bias", keras.initializers.Zeros())
    ordered = {name: weights[name] for name in owner.weights if name in weights}
    return Choice(owner.name, initializer, reason, float(gain), ordered)


def _recurrent(owner, place):
    layer = owner.layer
    cell = getattr(layer, "cell", layer)
    kernel = for_layer(cell, "glorot_uniform", "kernel")
    activation = activation_key(getattr(cell, "activation", None))
    if gates_of(cell) == 1 and activation == "relu":
        within = initializers.RecurrentIdentity()
        reason = "ReLU recurrence: the identity keeps the state from step to step"
    else:
        within = for_layer(cell, keras.initializers.Orthogonal(), "recurrent_kernel")
        reason = "orthogonal recurrence keeps the state's size from step to step"
    weights = {"kernel": kernel, "recurrent_kernel": within}
    if gates_of(cell) > 1 and "bias" in owner.weights:
        steps = place.steps
        if steps is not None and steps >= LONG:
            weights["bias"] = initializers.ChronoBias(steps)
            reason += f"; gates open for up to the {steps} steps of its sequences"
        else:
            weights["bias"] = initializers.UnitForgetBias(1.0)
            reason += "; gates that keep the state start open"
    return _choice(owner, kernel, reason, 1.0, weights)


def _embedding(owner):
    size = owner.layer.output_dim
    table = keras.initializers.RandomNormal(stddev=size**-0.5)
    reason = f"table: looked up, not multiplied; rows of length 1 (std 1/√{size})"
    kernels = {n: for_layer(owner.layer, "lecun_normal", n) for n in owner.kernels}
    return _choice(owner, table, reason, size**-0.5, {owner.kernel: table, **kernels})
