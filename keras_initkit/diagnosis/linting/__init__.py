"""Lint: what a model's structure, weights and optimizer tell without any data."""

import warnings
from collections.abc import Iterable
from typing import Any

from keras_initkit import schema
from keras_initkit.diagnosis.causes import explained, in_order
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.diagnosis.linting import (
    activations as activations,
)
from keras_initkit.diagnosis.linting import (
    losses as losses,
)
from keras_initkit.diagnosis.linting import (
    training as training,
)
from keras_initkit.diagnosis.linting import (
    weights as weights,
)
from keras_initkit.diagnosis.linting.registry import LINTS as LINTS
from keras_initkit.diagnosis.linting.registry import Lint as Lint
from keras_initkit.diagnosis.linting.registry import Subject
from keras_initkit.structure.forward_graph import learn_roles
from keras_initkit.structure.graph import Graph
from keras_initkit.structure.in_place import told
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.needs import check_model


def lint(model: Any, *, rules: Iterable[str] | None = None) -> list[Finding]:
    """Checks a Keras model without data, before it is trained.

    Judges the structure: the last activation against the loss, activations inside, the
    weights as they now are, the optimizer. Of a subclassed model, whose structure
    is known only when it runs, layers, weights and optimizer are checked; weights that
    are not built yet are not. A check in which a layer or optimizer of your own raises
    is left out, with a warning.

    Args:
        model: A Keras model, compiled or not; nothing of it is changed.
        rules: Names out of `diagnosis.LINTS`; all by default.

    Returns:
        List of `Finding`, the gravest first; their `step` is `None`.

    Raises:
        ValueError: If there is no check of such a name.
        TypeError: If `model` is no model of Keras 3, or `rules` are no names.

    Example:
    >>> import keras, keras_initkit as kik
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "softmax")])
    >>> [finding.rule for finding in kik.lint(model)]
    ['LossActivationMismatch']
    """
    check_model("lint", model)
    names = tuple(LINTS) if rules is None else schema.check_names("rules", rules)
    unknown = sorted(set(names) - set(LINTS))
    if unknown:
        raise ValueError(
            f"`rules` must be among {tuple(sorted(LINTS))}. Received: {tuple(unknown)}"
        )
    if model.built:
        learn_roles(model)
    subject = Subject(model, Graph.of(model), tuple(named_layers(model)))
    found = [finding for name in names for finding in _asked(name, subject)]
    return in_order(explained(found, [path for path, _ in subject.layers]))


def _asked(name: str, subject: Subject) -> list[Finding]:
    """Asks one check; what a user's own optimizer or layer raises is a warning."""
    try:
        return LINTS[name].ask(subject)
    except Exception as error:
        warnings.warn(
            f"`lint` did not judge {name} of model {subject.model.name!r}, because it "
            f"{told(error)}",
            stacklevel=3,
        )
        return []
