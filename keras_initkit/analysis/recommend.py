"""Recommends an initializer for every layer of a model, with the reason."""

import collections
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import rich.markup
import rich.table

from keras_initkit import initializers, theory
from keras_initkit.analysis import _forward_graph
from keras_initkit.analysis._in_place import Skipped, forward
from keras_initkit.analysis._owners import find_owners
from keras_initkit.analysis._tables import to_html, to_text
from keras_initkit.initializers._activations import to_theory
from keras_initkit.initializers.layer_aware import (
    for_layer,
    gates_of,
    is_convolution,
    layer_rule,
)

k = keras.layers
# Weight layers without normalization or shortcuts from which on their matrices should
# be orthogonal: at 22, He et al. saw Glorot's rule still converge, at 30 not.
DEEP = 20
# Time steps from which on gates should be open for as long as the sequence.
LONG = 50
# A gain is steady if it changes the gradient's second moment by less, a layer.
_STEADY = math.log(1.1)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is recommended for one layer.

    Attributes:
        layer: Name of the layer (its path).
        initializer: `keras.Initializer` of the kernel, made for this layer: with the
            true fans where the kernel's shape does not tell them.
        reason: Why, in one sentence.
        gain: Factor on `1 / sqrt(fan)`, or the scale of an orthogonal matrix.
        weights: `{weight name: keras.Initializer}`, the kernel and all others of the
            layer (recurrent kernel, bias).
    """

    layer: str
    initializer: Any
    reason: str
    gain: float
    weights: Mapping[str, Any]

    @property
    def bias(self):
        """Initializer of the bias, `None` for a layer without one."""
        return self.weights.get("bias")

    def to_dict(self):
        """Returns the choice, JSON-able, each initializer as Keras serializes it."""
        return {
            "initializer": label(self.initializer),
            "gain": self.gain,
            "reason": self.reason,
            "weights": {
                name: keras.initializers.serialize(one)
                for name, one in self.weights.items()
            },
        }


class Plan(Mapping):
    """Which initializer each layer of a model should have.

    A mapping of layer name (its path) to `Choice`, in forward order; printed, a table.

    Attributes:
        model: Name of the model.
        skipped: Layers with weights that the plan leaves alone, each a `Skipped` with
            `.layer` and `.reason`.
        note: What the plan could not take into account; `""` if nothing.
    """

    def __init__(self, model, choices, skipped, note=""):
        self.model = model
        self.skipped = tuple(skipped)
        self.note = note
        self._choices = {choice.layer: choice for choice in choices}

    def __getitem__(self, layer: str) -> Choice:
        return self._choices[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def to_dict(self):
        """Returns the plan as a JSON-able dict."""
        return {
            "model": self.model,
            "layers": {name: choice.to_dict() for name, choice in self.items()},
            "skipped": [dataclasses.asdict(one) for one in self.skipped],
            "note": self.note,
        }

    def __rich__(self):
        table = rich.table.Table(
            title=f"{self.model}: recommended initializers",
            title_style="bold",
            title_justify="left",
        )
        for column in ("layer", "initializer", "gain", "bias", "why"):
            right = column == "gain"
            table.add_column(column, justify="right" if right else "left")
        for names, choice in self._grouped():
            table.add_row(
                rich.markup.escape(names),
                rich.markup.escape(label(choice.initializer)),
                f"{choice.gain:.3g}",
                "–" if choice.bias is None else rich.markup.escape(label(choice.bias)),
                rich.markup.escape(choice.reason),
            )
        lines = [f"left alone: {one.layer}: {one.reason}" for one in self.skipped]
        lines += [self.note] if self.note else []
        table.caption = rich.markup.escape("\n".join(lines)) or None
        table.caption_justify = "left"
        return table

    def _grouped(self):
        """Yields the names of all layers with one and the same choice, and that."""
        groups: dict[tuple, list[Choice]] = {}
        for choice in self.values():
            labels = tuple(map(label, choice.weights.values()))
            groups.setdefault((choice.reason, choice.gain, labels), []).append(choice)
        for group in groups.values():
            names = [choice.layer for choice in group]
            if len(names) > 3:
                names = [*names[:2], f"… {len(names) - 2} more"]
            yield "\n".join(names), group[0]

    def __str__(self):
        return to_text(self)

    __repr__ = __str__

    def _repr_html_(self):
        return to_html(self)


def recommend(model, x=None, class_prior=None):
    """Recommends an initializer for every layer of a model, with the reason.

    What counts is where a layer stands: the activation that follows, normalization
    behind it, residual branches, the depth of plain stacks, the length of sequences;
    the forward pass is traced to see it, so that any kind of model will do. Nothing is
    changed; `kik.reinitialize(model, plan)` applies the plan.

    | the layer | initializer of its kernel |
    |---|---|
    | ahead of ReLU | `HeNormal`; `ActivationScaling` at the gain that other activations need |
    | ahead of tanh and its kin | `GlorotNormal`, scaled by `1 / slope` at 0 |
    | ahead of sigmoid and its kin | `ZeroSum(Orthogonal(1 / slope))`: 4 for sigmoid |
    | one of 20 and more plain layers | `Orthogonal`, `DeltaOrthogonal` for convolutions |
    | the last of a residual branch | as above, `DepthScaled` by `1 / sqrt(branches)` |
    | the output | `LecunNormal`; with `class_prior`, `PriorBias` |
    | recurrent | `GlorotUniform`, `GateOrthogonal`, `ChronoBias` from 50 steps on |

    Depthwise, transposed, grouped, `EinsumDense` and gate kernels get their true fans
    (`initializers.for_layer`).

    Args:
        model: A built Keras model.
        x: Inputs, of which only shapes and dtypes count; for subclassed models that
            take several. Builds a model that is not built yet.
        class_prior: Frequencies of the classes, or the probability of a sigmoid
            output, for the output bias.

    Returns:
        `Plan`. Layers of an unknown kind and frozen ones are in `plan.skipped`.

    Raises:
        ValueError: If the model is not built, or no output fits `class_prior`.

    Example:
    >>> import keras, keras_initkit as kik
    >>> layers = keras.layers
    >>> model = keras.Sequential(
    ...     [layers.Input((8,)), layers.Dense(16, "relu", name="a"), layers.Dense(3)]
    ... )
    >>> choice = next(iter(kik.recommend(model).values()))
    >>> type(choice.initializer).__name__, round(choice.gain, 3)
    ('HeNormal', 1.414)

    References:
    - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    - [Xiao et al., 2018](https://arxiv.org/abs/1806.05393)
    """  # noqa: E501
    if not model.built and x is not None:
        forward(model, x)
    if not model.built:
        raise ValueError(
            "`model` must be built: give it an `Input`, call it on a batch, or pass "
            f"`x`. Received: {type(model).__name__} {model.name!r}, not built."
        )
    owners, skipped = find_owners(model)
    graph = _forward_graph.trace(model, {id(owner.layer) for owner in owners}, x)
    note = ""
    if graph.reason:
        note = (
            "The forward pass could not be traced, so that each layer is judged by its "
            f"own activation alone ({graph.reason})."
        )
    placed = []
    for owner in owners:
        if owner.trainable:
            placed.append((owner, _place(owner, graph, last=owner is owners[-1])))
        else:
            reason = "is not trainable; name it in a mapping to draw it anew"
            skipped.append(Skipped(owner.name, reason))
    placed.sort(key=lambda pair: pair[1].order)
    plain = sum(place.calls for owner, place in placed if _is_plain(owner, place))
    rules = _Rules(plain, graph.branches)
    choices = [rules.choose(owner, place) for owner, place in placed]
    if class_prior is not None:
        choices = _with_prior(choices, placed, class_prior)
    return Plan(model.name, choices, skipped, note)


def _place(owner, graph, last):
    """Returns the place of a layer; a guess for one that the trace did not meet."""
    place = graph.places.get(id(owner.layer))
    if place is not None:
        return place
    own = _forward_graph.own_activation(owner.layer)
    # Behind all others, or, without any trace, in the model's order.
    order = len(graph.places) and math.inf
    return _forward_graph.Place(order, own, head=last and not graph.places)


class _Rules:
    """The rules, and what they know of the model as a whole."""

    def __init__(self, plain, branches):
        self.plain = plain
        self.branches = branches

    def choose(self, owner, place):
        layer = owner.layer
        if isinstance(layer, k.RNN) or gates_of(layer) > 1:
            return _recurrent(owner, place)
        if isinstance(layer, k.Embedding):
            return _embedding(owner)
        if place.head:
            gain, initializer = 1.0, "lecun_normal"
            reason = "output: small logits, so that the loss starts near that of chance"
        else:
            orthogonal = _takes_orthogonal(owner)
            deep = self.plain >= DEEP and _is_plain(owner, place)
            rule = _rule(_key(place.activation), deep and orthogonal)
            gain, initializer, reason = rule
            if deep and orthogonal:
                reason += f"; one of {self.plain} layers without normalization"
            if initializer == "zero_sum" and not orthogonal:
                initializer = "zero_sum_normal"
        initializer = _made(owner, initializer, gain, place.activation)
        if not place.head and place.normalized:
            reason += "; normalized right after, so that its scale hardly matters"
        elif place.ends_branch and self.branches > 1 and not place.head:
            factor = initializers.depth_factor("gpt2", self.branches)
            initializer = initializers.DepthScaled(
                initializer, depth=self.branches, rule="gpt2"
            )
            gain *= factor
            reason += (
                f"; last of a residual branch, scaled by 1/√{self.branches} so that "
                f"{self.branches} branches add up to one"
            )
        weights = {owner.kernel: initializer}
        for name in owner.kernels:
            if name != owner.kernel:
                weights[name] = for_layer(layer, "lecun_normal", name)
        return _choice(owner, initializer, reason, gain, weights)


def _is_plain(owner, place):
    """Whether only its initializer keeps the signal in size behind a layer."""
    recurrent = isinstance(owner.layer, k.RNN | k.Embedding)
    return not (recurrent or place.normalized or place.branch)


def _takes_orthogonal(owner):
    """Whether orthogonal matrices make an isometry of the layer."""
    layer = owner.layer
    if layer_rule(layer, owner.kernel)["rule"] != "plain":
        return False
    if is_convolution(layer):
        separable = owner.kernel != "kernel"
        return not separable and math.prod(layer.strides) == 1
    return len(owner.weights[owner.kernel].shape) == 2


def _key(activation):
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
            f"{gain:.3g} makes up for the slope, weights that sum to 0 for the value"
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
        return initializers.ZeroSum(for_layer(layer, variance, kernel))
    if kind == "orthogonal":
        return for_layer(layer, keras.initializers.Orthogonal(gain), kernel)
    if kind == "glorot":
        scaled = keras.initializers.VarianceScaling(
            gain**2, "fan_avg", "truncated_normal"
        )
        base = "glorot_normal" if abs(gain - 1) < 1e-6 else scaled
        return for_layer(layer, base, kernel)
    if kind == "scaling":
        key = _key(activation)
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
    activation = _key(getattr(cell, "activation", None))
    if gates_of(cell) == 1 and activation == "relu":
        within = initializers.RecurrentIdentity()
        reason = "ReLU recurrence: the identity keeps the state from step to step"
    else:
        within = for_layer(cell, keras.initializers.Orthogonal(), "recurrent_kernel")
        reason = "orthogonal recurrence keeps the state's size from step to step"
    weights = {"kernel": kernel, "recurrent_kernel": within}
    name = {4: "lstm", 3: "gru"}.get(gates_of(cell))
    if name and "bias" in owner.weights:
        steps = place.steps
        if steps is not None and steps >= LONG:
            weights["bias"] = initializers.ChronoBias(steps, name)
            reason += f"; gates open for up to the {steps} steps of its sequences"
        else:
            weights["bias"] = initializers.UnitForgetBias(1.0, name)
            reason += "; gates that keep the state start open"
    return _choice(owner, kernel, reason, 1.0, weights)


def _embedding(owner):
    size = owner.layer.output_dim
    table = keras.initializers.RandomNormal(stddev=size**-0.5)
    reason = f"table: looked up, not multiplied by; rows of length 1 (std 1/√{size})"
    return _choice(owner, table, reason, size**-0.5, {owner.kernel: table})


def _with_prior(choices, placed, class_prior):
    """Gives the outputs that fit a class prior the bias that starts from it."""
    prior = np.asarray(class_prior, dtype=float)
    changed = []
    for choice, (owner, place) in zip(choices, placed, strict=True):
        units = owner.weights[owner.kernel].shape[-1]
        if place.head and choice.bias is not None and units == prior.size:
            sigmoid = prior.size == 1 or _key(place.activation) == "sigmoid"
            kind = "sigmoid" if sigmoid else "softmax"
            bias = initializers.PriorBias(
                prior.tolist() if prior.ndim else float(prior), kind
            )
            changed.append(
                dataclasses.replace(
                    choice,
                    reason=f"{choice.reason}; the bias starts from the class prior",
                    weights={**choice.weights, "bias": bias},
                )
            )
        else:
            changed.append(choice)
    if changed == choices:
        raise ValueError(
            "`class_prior` must have as many entries as an output layer with a bias "
            f"has units. Received: class_prior={class_prior!r}."
        )
    return changed


def label(initializer):
    """Names an initializer with the arguments that differ from its defaults."""
    if not isinstance(initializer, keras.Initializer):
        return getattr(initializer, "__name__", type(initializer).__name__)
    cls = type(initializer)
    arguments = []
    try:
        defaults = cls().get_config()
    except TypeError:
        defaults = {}
    for name, value in initializer.get_config().items():
        value = getattr(initializer, name, value)
        if name == "seed" or value == defaults.get(name, collections.UserDict):
            continue
        if isinstance(value, keras.Initializer):
            value = label(value)
        elif isinstance(value, float):
            value = f"{value:.4g}"
        else:
            value = repr(value)
        arguments.append(value if name == "base" else f"{name}={value}")
    return f"{cls.__name__}({', '.join(arguments)})" if arguments else cls.__name__
