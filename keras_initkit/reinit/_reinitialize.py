"""Redraws a model's weights, in place."""

import dataclasses
import os
import random
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit import initializers
from keras_initkit.arguments import naming
from keras_initkit.initializers._base import draw
from keras_initkit.initializers.attention import PARTS, projections_of
from keras_initkit.reinit.plan import Choice, Plan, label
from keras_initkit.reinit.weight_selection import selected
from keras_initkit.report import result_plots
from keras_initkit.structure import keras_private
from keras_initkit.structure.in_place import Skipped, assigning
from keras_initkit.structure.layers import lasting_names, named_layers
from keras_initkit.structure.needs import check_model
from keras_initkit.structure.owners import find_owners, why_not_trained
from keras_initkit.structure.selection import listed, matched, meant_by


@dataclasses.dataclass(frozen=True)
class Drawn:
    """One weight that was redrawn.

    Attributes:
        layer: Name of its layer.
        weight: Name of the variable, such as `"kernel"`.
        initializer: What it was drawn from, with its arguments, or what it was taken
            from.
        std: Standard deviation of the new values.
    """

    layer: str
    weight: str
    initializer: str
    std: float


@dataclasses.dataclass(frozen=True)
class ReinitializeResult:
    """What `reinitialize` did: redrawn weights, and what was left unchanged and why."""

    weights: tuple[Drawn, ...]
    skipped: tuple[Skipped, ...]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots the standard deviation of each redrawn weight.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        names = [f"{one.layer}/{one.weight}" for one in self.weights]
        return result_plots.reinitialize(names, [one.std for one in self.weights], path)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with redrawn weights, in order."""
        return tuple(dict.fromkeys(drawn.layer for drawn in self.weights))

    def __str__(self) -> str:
        lines = [f"{d.layer}/{d.weight}: {d.initializer}" for d in self.weights]
        lines += [f"left alone: {one.layer}: {one.reason}" for one in self.skipped]
        return "\n".join(lines)


def reinitialize(
    model: keras.Model,
    plan_or_initializer: Any = None,
    *,
    from_model: keras.Model | None = None,
    seed: int | None = None,
    layers: Any = None,
) -> ReinitializeResult:
    """Redraws weights of a model, or takes them from a larger one, in place.

    Each weight has its own initializer, whose seed is derived from `seed`, the layer's
    path and the weight's name: the values of a layer do not depend on which other
    layers exist. Nothing else is touched, including moving averages, seed generators
    and the optimizer (rebuild it to reset its momenta). All values are drawn before the
    first is assigned, so an error changes nothing.

    Args:
        model: A built Keras model of any kind.
        plan_or_initializer: A `Plan` from `kik.recommend`; or a mapping of layers,
            specified as in `layers`, to an initializer for the kernel, a mapping of
            weights to initializers (`{"bias": "chrono_bias"}`) or a `Choice`, where the
            last match for a layer wins; or one initializer for all kernels, including
            recurrent ones but not biases and embeddings. An initializer is anything
            `kik.initializers.get` takes, and is adapted to the layer
            (`kik.initializers.for_layer`): with the true fans, for each gate, group or
            head. This is how to apply structural initializers to a built model.
        from_model: A larger, trained model of the same kind, instead of
            `plan_or_initializer`: each layer gets weights from the layer with the same
            path, every `n`th along each axis (of each gate and group), including
            biases, scales and moving averages. Layers without such a counterpart are
            left unchanged and listed, as are outputs unless `layers` names them: a new
            task has its own classes. Nothing is random.
        seed: Integer, or `None` for new values at every call.
        layers: The layers to treat, including those inside them, among those that the
            plan names: names or shell patterns (`"block1/*"`), compiled regular
            expressions, layer classes, functions of a layer, layers, or a list of
            these; by default all. Layers that are not trainable, and embeddings if a
            single initializer is given, are treated only if they are specified in one
            of these ways.

    Returns:
        `ReinitializeResult`. Layers of an unknown kind are left unchanged and listed.

    Raises:
        ValueError: If the model is not built, a name or pattern matches no layer with
            weights of a known kind, or an initializer does not apply to a weight or
            cannot fill its shape with finite values. If both or neither of
            `plan_or_initializer` and `from_model` are given, or no layer has a
            counterpart with its path in `from_model`.
        TypeError: If `layers` does not specify layers.

    Example:
    >>> import keras, keras_initkit as kik
    >>> layers = keras.layers
    >>> model = keras.Sequential([layers.Input((8,)), layers.Dense(4, name="a")])
    >>> print(kik.reinitialize(model, "he_normal", seed=0).weights[0].initializer)
    HeNormal

    Reference:
    - [Xu et al., 2023](https://arxiv.org/abs/2311.18823) (weight selection)
    """
    check_model("reinitialize", model)
    _check_built("model", model)
    if (plan_or_initializer is None) == (from_model is None):
        raise ValueError(
            "Exactly one of `plan_or_initializer` and `from_model` must be given. "
            f"Received: plan_or_initializer={plan_or_initializer!r}, "
            f"from_model={from_model!r}."
        )
    if from_model is not None:
        return _selected(model, from_model, layers)
    if seed is None:
        seed = random.randint(1, int(1e9))  # noqa: S311 - of weights, no secret
    owners, unknown = find_owners(model)
    names, lasting = _Names(model, owners, unknown), lasting_names(model)
    chosen = None if layers is None else names.below("layers", layers)
    wanted, explicit = _wanted(plan_or_initializer, names, chosen or ())
    explicit = explicit | (chosen or set())
    planned = isinstance(plan_or_initializer, Plan)
    told = plan_or_initializer.skipped if planned else ()
    reasons = {skip.layer: skip.reason for skip in told}
    drawn, skipped = [], [] if chosen is not None else list(unknown)
    for owner in owners:
        if chosen is not None and owner.name not in chosen:
            continue
        weights = wanted.get(owner.name)
        reason = _reason_against(owner, weights, owner.name in explicit)
        if weights is None:
            reason = reasons.get(owner.name, reason)
        if reason:
            skipped.append(Skipped(owner.name, reason))
            continue
        for weight, initializer in weights.items():
            if not (owner.name in explicit or owner.weights[weight].trainable):
                skipped.append(
                    Skipped(owner.name, why_not_trained(owner.layer, weight))
                )
                continue
            path = f"{owner.name}/{weight}"
            one = _fitted(model, initializer, seed, owner, weight, lasting)
            variable = owner.weights[weight]
            value = _draw(one, variable, path)
            std = float(np.std(value.astype("float64")))
            drawn.append((variable, value, Drawn(owner.name, weight, label(one), std)))
    with assigning() as edit:
        for variable, value, _ in drawn:
            edit.assign(variable, value)
    return ReinitializeResult(tuple(row for *_, row in drawn), tuple(skipped))


def _check_built(argument, model):
    if not model.built:
        raise ValueError(
            f"`{argument}` must be built: give it an `Input` or call it on a batch "
            f"first. Received: {type(model).__name__} {model.name!r}, not built."
        )


def _selected(model, from_model, layers):
    """Gives a model weights out of a larger one's."""
    check_model("reinitialize", from_model)
    _check_built("from_model", from_model)
    chosen = None if layers is None else matched("layers", layers, named_layers(model))
    found, skipped = selected(model, from_model, chosen)
    if not found:
        reasons = "; ".join(f"{one.layer} {one.reason}" for one in skipped[:3])
        raise ValueError(
            "`from_model` must have layers with the paths of those of `model`, as "
            "large or larger: give both the same names. "
            f"Received: {from_model.name!r}; {reasons}."
        )
    with assigning() as edit:
        for _, variable, value in found:
            edit.assign(variable, value)
    label = f"selected from {from_model.name!r}"
    drawn = [
        Drawn(path, variable.name, label, float(np.std(value.astype("float64"))))
        for path, variable, value in found
    ]
    return ReinitializeResult(tuple(drawn), tuple(skipped))


class _Names:
    """By which names the weight layers of a model go."""

    def __init__(self, model, owners, unknown):
        self.owners = {owner.name: owner for owner in owners}
        self._unknown = {one.layer: one.reason for one in unknown}
        self._named = named_layers(model)

    def below(self, argument, selectors):
        """Returns the weight layers that are named, or lie in a layer that is.

        Raises:
            ValueError: If one names no layer with weights of a known kind.
        """
        found = set()
        for selector in listed(argument, selectors):
            with naming(argument, selector, "choose layers"):
                meant = meant_by(selector, self._named)
            here = {n for n, owner in self.owners.items() if id(owner.layer) in meant}
            if not here:
                raise ValueError(
                    f"`{argument}` must name layers with weights of a known kind, "
                    f"among {tuple(self.owners)}. Received: "
                    f"{selector!r}{self._hint(meant)}."
                )
            found |= here
        return found

    def _hint(self, meant):
        first = next((name for name, layer in self._named if id(layer) in meant), None)
        if first is None:
            return ""
        return f", which {self._unknown.get(first, 'has no kernel')}"


def _wanted(plan, names, chosen):
    """Returns `{owner: {weight: initializer}}`, and who is named by a mapping."""
    if not isinstance(plan, Mapping) or "class_name" in plan:
        with naming("plan_or_initializer", plan, "be one or hold some"):
            initializers.get(plan)  # raises
        wanted = {}
        for name, owner in names.owners.items():
            tables = [owner.kernel] if name in chosen else []
            wanted[name] = dict.fromkeys(owner.kernels or tables, plan)
        return wanted, set()
    wanted = {}
    for name, value in plan.items():
        # A plan tells layers of the same name apart by their paths.
        exact = isinstance(plan, Plan) and name in names.owners
        for path in [name] if exact else names.below("plan_or_initializer", name):
            owner = names.owners[path]
            if isinstance(value, Choice):
                wanted[path] = dict(value.weights)
            elif isinstance(value, Mapping) and "class_name" not in value:
                wanted[path] = dict(value)
            else:
                wanted[path] = {owner.kernel: value}
            for one in wanted[path].values():
                with naming("plan_or_initializer", one, "be one or hold some"):
                    initializers.get(one)  # raises
            missing = sorted(set(wanted[path]) - set(owner.weights))
            if missing:
                raise ValueError(
                    "`plan_or_initializer` must fit the model. Received: a choice of "
                    f"{tuple(missing)} for {path!r}, which has {tuple(owner.weights)}."
                )
    return wanted, set() if isinstance(plan, Plan) else set(wanted)


def _reason_against(owner, weights, named):
    """Says why a layer is left alone, `None` if it is not."""
    if owner.fixed:
        return owner.fixed
    if weights is None:
        return "is not in the plan"
    if not named and not owner.trainable:
        reason = why_not_trained(owner.layer, owner.kernel)
        return f"{reason}; name it in `layers` to redraw it"
    if not weights:
        return "has a table, not a kernel; name it in `layers` to redraw it"
    return None


def _fitted(model, initializer, seed, owner, weight, lasting):
    """Returns what an initializer means for a weight of a layer, with its seed.

    That is told by the layer's name among `lasting`, those of `lasting_names`.
    """
    path = f"{owner.name}/{weight}"
    one = initializers.seeded(initializer, seed, f"{lasting[owner.name]}/{weight}")
    try:
        if isinstance(one, initializers.MimeticAttention):
            one = _mimetic(model, one, seed, owner.layer, lasting)
        return initializers.for_layer(owner.layer, one, weight)
    except ValueError as error:
        raise ValueError(
            f"`plan_or_initializer` must fit {path!r}. Received: {label(one)}. {error}"
        ) from error


def _mimetic(model, initializer, seed, layer, lasting):
    """Returns the part of a projection, with the seed of its whole attention layer."""
    for name, holder in named_layers(model):
        found = [keras_private.attention_projection(holder, part) for part in PARTS]
        if any(one is layer for one in found):
            parts = projections_of(holder).items()
            fitting = initializers.seeded(initializer, seed, lasting[name])
            fitting.part = next(part for part, one in parts if one is layer)
            return fitting
    raise ValueError(
        "MimeticAttention: the layer must be a projection of an attention layer, since "
        "these share a seed. Initialize each kernel of other layers with "
        f"`MimeticAttention(part, heads=..., seed=...)`. Received: {layer.name!r}."
    )


def _draw(initializer, variable, path):
    """Draws the values of a variable, and checks that they can be its values."""
    shape = tuple(variable.shape)
    try:
        value = np.asarray(
            keras.ops.convert_to_numpy(
                keras.ops.cast(draw(initializer, shape, variable.dtype), variable.dtype)
            )
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`plan_or_initializer` must fill {path!r} of shape {shape}. Received: "
            f"{label(initializer)}, which raised {error}"
        ) from error
    finite = np.isfinite(value.astype("float32")).all()
    if value.shape != shape or not finite:
        raise ValueError(
            f"`plan_or_initializer` must give {path!r} finite values of shape {shape}. "
            f"Received: {label(initializer)}, which gives "
            f"{'shape ' + str(value.shape) if finite else 'NaN or infinite values'}."
        )
    return value
