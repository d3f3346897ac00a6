"""Why an initializer ranks where it does: findings of its runs, in one line."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_initkit.diagnosis import Finding
from keras_initkit.experiments.run_result import RunResult
from keras_initkit.report.numbers import short


def explain(runs: Sequence[RunResult]) -> str:
    """Returns one line on all runs of one initializer.

    States what most runs share; if only some do, how many.

    Args:
        runs: Results of one initializer over seeds, at least one.

    Returns:
        What is wrong, most severe first. If no rule found anything: `"healthy: ..."`
        with the factors by which the signal and its gradient change from one weight
        layer to the next, or `"no fault at this depth, but..."` if the signal's would
        be one in a deep model. Without a slope: `"no fault at this depth"`.

    Raises:
        ValueError: If `runs` is empty.
    """
    if not runs:
        raise ValueError("`runs` must hold at least one run. Received: runs=[]")
    by_rule: dict[str, list[Finding]] = {}
    shares: dict[str, int] = {}
    for run in runs:
        for rule in dict.fromkeys(finding.rule for finding in run.findings):
            shares[rule] = shares.get(rule, 0) + 1
        for finding in run.findings:
            by_rule.setdefault(finding.rule, []).append(finding)
    parts = []
    for rules, tell in _STORIES:
        found = [rule for rule in rules if rule in by_rule]
        if not found:
            continue
        text = tell([f for rule in found for f in by_rule[rule]], runs)
        share = max(shares[rule] for rule in found)
        parts.append(text if share == len(runs) else f"{text} ({share} of {len(runs)})")
    told = {rule for rules, _ in _STORIES for rule in rules}
    parts += [_first_message(by_rule[rule]) for rule in by_rule if rule not in told]
    return "; ".join(parts) if parts else _no_fault(runs)


def factor(slope: float) -> str:
    """Returns a slope in decades a layer as a factor a layer: `"×0.41"`."""
    return "n/a" if math.isnan(slope) else f"×{short(10**slope)}"


def mean_slope(runs: Sequence[RunResult], name: str) -> float:
    """Returns the mean of a slope over those runs that have one."""
    values = [v for v in (getattr(run, name) for run in runs) if not math.isnan(v)]
    return float(np.mean(values)) if values else math.nan


def _no_fault(runs):
    slope = mean_slope(runs, "activation_slope")
    if math.isnan(slope):
        return "no fault at this depth"
    signal = factor(slope)
    gradient = factor(mean_slope(runs, "gradient_slope"))
    if abs(slope) < _STEADY:
        return f"healthy: signal {signal} and gradient {gradient} per layer"
    verb = "grows" if slope > 0 else "fades"
    return f"no fault at this depth, but the signal {verb}: {signal} per layer"


def _layers(findings, runs):
    # Keras numbers the names it gives through all models of a process, so that the
    # same layer has another name in each run: its place tells which it is.
    wanted = set(map(id, findings))
    layers: dict[tuple[str, Any], str] = {}
    for run in runs:
        owners, others = run.summary.weight_layers, run.summary.layers
        for finding in run.findings:
            if id(finding) in wanted and finding.layer is not None:
                place = _place(finding.layer, owners, others)
                layers.setdefault(place, finding.layer)
    depth = len(runs[0].summary.weight_layers)
    weighted = sum(kind == "weight layer" for kind, _ in layers)
    if depth > 1 and weighted == depth:
        return f"all {depth} weight layers"
    if len(layers) <= _NAMED:
        return ", ".join(layers.values())
    if weighted == len(layers):
        return f"{weighted} of {depth} weight layers"
    return f"{len(layers)} layers"


def _place(layer, owners, others):
    """Returns the same for the same layer of two models that are built alike."""
    if layer in owners:
        return "weight layer", owners.index(layer)
    if layer in others:
        return "layer", others.index(layer)
    return "name", layer


def _first_message(findings):
    return findings[0].message.rstrip(".")


def _tell_non_finite(findings, runs):
    first = min(findings, key=lambda f: f.step)
    return f"numbers overflow: {_first_message([first])}"


def _tell_symmetry(findings, runs):
    return (
        f"identical units: in {_layers(findings, runs)} every unit stays a copy of the "
        "others"
    )


def _tell_no_gradient(findings, runs):
    return f"no gradient: exactly 0 in {_layers(findings, runs)}"


def _tell_silence(findings, runs):
    return f"no signal: only zeros leave {_layers(findings, runs)}"


def _tell_drift(findings, runs):
    slope = mean_slope(runs, "activation_slope")
    if math.isnan(slope):
        return f"signal: {_first_message(findings)}"
    if slope < 0:
        return f"signal fades: {factor(slope)} per layer"
    loss = float(np.mean([run.loss_initial for run in runs]))
    return (
        f"signal explodes: {factor(slope)} per layer, so the loss starts at {loss:.3g}"
    )


def _tell_gradient(findings, runs):
    return f"gradient: {_first_message(findings)}"


# A factor 1.5 a layer, in decades: what fan-in and fan-out do to healthy models.
_STEADY = 0.176
_NAMED = 4  # more layers than this are counted
# Rules told together, in the order of the story.
_STORIES = (
    (("NonFinite",), _tell_non_finite),
    (("SymmetricUnits",), _tell_symmetry),
    (("NoGradient",), _tell_no_gradient),
    (("DeadRelu", "AllZero"), _tell_silence),
    (("PoorWeightInitialization",), _tell_drift),
    (("VanishingGradient",), _tell_gradient),
    (("ExplodingGradient",), _tell_gradient),
)
