"""Lint: what a model's structure, weights and optimizer reveal without any data."""

import warnings
from collections.abc import Mapping
from typing import Any

from keras_initkit.diagnosis._rule import Subject
from keras_initkit.diagnosis.causes import explained, in_order
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.diagnosis.findings import Findings
from keras_initkit.diagnosis.linting import activations as activations
from keras_initkit.diagnosis.linting import drift as drift
from keras_initkit.diagnosis.linting import losses as losses
from keras_initkit.diagnosis.linting import recurrent as recurrent
from keras_initkit.diagnosis.linting import training as training
from keras_initkit.diagnosis.linting import weights as weights
from keras_initkit.diagnosis.registry import LINTS, Rules, asked_of
from keras_initkit.structure.forward_graph import learn_roles
from keras_initkit.structure.graph import Graph
from keras_initkit.structure.in_place import reason_of
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.needs import check_model


def lint(model: Any, *, rules: Rules = None) -> Findings:
    """Checks a Keras model before training, without data.

    Checks the last activation against the loss, the activations inside, the current
    weights and the optimizer. The structure of a subclassed model is known only when it
    runs, so only its layers, weights and optimizer are checked. Weights that are not
    built yet are skipped, and so, with a warning, is a check in which a custom layer or
    optimizer raises.

    Args:
        model: A Keras model, compiled or not; it is not modified.
        rules: Names from `diagnosis.LINTS`, or a dict that changes individual rules:
            `{rule: {threshold: value}}`, `None` to skip a rule. All by default.

    Returns:
        `Findings`, a list, most severe first; their `step` is `None`. It prints as
        advice; an empty one says that nothing was found.

    Raises:
        ValueError: If a rule or threshold of that name does not exist.
        TypeError: If `model` is not a Keras 3 model, or `rules` is neither names nor
            such a dict.

    Example:
    >>> import keras, keras_initkit as kik
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "softmax")])
    >>> [finding.rule for finding in kik.lint(model)]
    ['LossActivationMismatch']
    """
    check_model("lint", model)
    (asked,) = asked_of(rules, LINTS)
    if model.built:
        learn_roles(model)
    subject = Subject(model, Graph.of(model), tuple(named_layers(model)))
    found = [
        finding
        for name, thresholds in asked.items()
        if thresholds is not None
        for finding in _findings_of(name, subject, thresholds)
    ]
    found = in_order(explained(found, [path for path, _ in subject.layers]))
    count = sum(thresholds is not None for thresholds in asked.values())
    return Findings(found, _clean(model, count))


def _clean(model: Any, count: int) -> str:
    """Says that checks found nothing, and what they have not looked at."""
    checks = "1 check" if count == 1 else f"{count} checks"
    text = f"{model.name}: {checks} without data found nothing"
    if not model.built:
        text += "; its weights are not built yet, so they were not checked"
    return f"{text}. `kik.diagnose(model, x, y)` looks at a batch as well."


def _findings_of(
    name: str, subject: Subject, thresholds: Mapping[str, float]
) -> list[Finding]:
    """Asks one rule; what a user's own optimizer or layer raises is a warning."""
    try:
        return LINTS[name].judge(subject, **thresholds)
    except Exception as error:
        warnings.warn(
            f"`lint` skipped {name} of model {subject.model.name!r}, because it "
            f"{reason_of(error)}",
            stacklevel=3,
        )
        return []
