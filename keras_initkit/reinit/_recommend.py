"""Recommends an initializer for every layer of a model, with the reason."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit import initializers
from keras_initkit.arguments import naming
from keras_initkit.reinit.choosing import Rules, activation_key, is_plain
from keras_initkit.reinit.plan import Plan
from keras_initkit.structure import forward_graph
from keras_initkit.structure.in_place import Skipped, forward, reason_of
from keras_initkit.structure.needs import check_model
from keras_initkit.structure.owners import find_owners, why_not_trained


def recommend(
    model: keras.Model,
    x: Any = None,
    *,
    class_prior: float | Sequence[float] | None = None,
) -> Plan:
    """Recommends an initializer for every layer of a model, with the reason.

    The choice depends on the context of a layer: the activation that follows,
    normalization after it, residual branches, the depth of plain stacks, the length of
    sequences. The forward pass is traced to see it, so any kind of model works. Nothing
    is changed; `kik.reinitialize(model, plan)` applies the plan.

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
        x: Inputs, of which only shapes and dtypes matter; for subclassed models that
            take several. Builds a model that is not built yet.
        class_prior: Class frequencies, or the probability of a sigmoid output, for the
            output bias.

    Returns:
        `Plan`. Layers of an unknown kind and frozen ones are in `plan.skipped`.

    Raises:
        ValueError: If the model is not built, or no output fits `class_prior`.
        TypeError: If `model` is not a Keras 3 model.

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
    check_model("recommend", model)
    if class_prior is not None:
        with naming("class_prior", class_prior, "be one probability, or one a class"):
            np.asarray(class_prior, dtype=float)  # raises
    _build(model, x)
    owners, skipped = find_owners(model)
    graph = forward_graph.trace(model, {id(owner.layer) for owner in owners}, x)
    note = ""
    if graph.reason:
        note = (
            "The forward pass could not be traced, so each layer is judged by its own "
            f"activation alone ({graph.reason})."
        )
    placed = []
    for owner in owners:
        if owner.fixed:
            skipped.append(Skipped(owner.name, owner.fixed))
        elif owner.trainable:
            placed.append((owner, _place(owner, graph, last=owner is owners[-1])))
        else:
            reason = why_not_trained(owner.layer, owner.kernel)
            advice = "; name it in a mapping to redraw it"
            skipped.append(Skipped(owner.name, reason + advice))
    placed.sort(key=lambda pair: pair[1].order)
    plain = sum(place.calls for owner, place in placed if is_plain(owner, place))
    rules = Rules(plain, graph.branches)
    choices = [rules.choose(owner, place) for owner, place in placed]
    if class_prior is not None:
        choices = _with_prior(choices, placed, class_prior)
    return Plan(model.name, choices, skipped, note)


def _build(model, x):
    """Builds a model that is not built yet, by a pass on `x`."""
    why = ""
    if not model.built and x is not None:
        try:
            forward(model, x)
        except Exception as error:
            why = f"; its forward pass on `x` {reason_of(error)}"
    if not model.built:
        raise ValueError(
            "`model` must be built: give it an `Input`, call it on a batch, or pass "
            f"`x`. Received: {type(model).__name__} {model.name!r}, not built{why}."
        )


def _place(owner, graph, last):
    """Returns the place of a layer; a guess for one that the trace did not meet."""
    place = graph.places.get(id(owner.layer))
    if place is not None:
        return place
    own = forward_graph.own_activation(owner.layer)
    # Behind all others, or, without any trace, in the model's order.
    order = len(graph.places) and math.inf
    return forward_graph.Place(order, own, head=last and not graph.places)


def _with_prior(choices, placed, class_prior):
    """Gives the outputs that fit a class prior the bias that starts from it."""
    prior = np.asarray(class_prior, dtype=float)
    changed = []
    for choice, (owner, place) in zip(choices, placed, strict=True):
        units = owner.weights[owner.kernel].shape[-1]
        if place.head and choice.bias is not None and units == prior.size:
            sigmoid = prior.size == 1 or activation_key(place.activation) == "sigmoid"
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
