"""Causes and consequences: which findings bring about others.

Each rule declares which rules' findings bring its own about (`declare`, through `@rule`
and `@lint_rule`). `explained` draws the lines between the findings of one model, by the
layers and steps they name, and gives each consequence its first cause.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from keras_initkit.diagnosis.finding import Finding
from keras_initkit_light.format.schema import SEVERITIES


class _Node(NamedTuple):
    """What is known of a rule's place in the graph; see `declare`."""

    causes: tuple[str, ...] = ()
    causes_by_steps: tuple[str, ...] = ()
    way: int = 0
    spans_depth: bool = False


# Ways that a fault travels through the layers.
FORWARD, BACKWARD, ANY_WAY = 1, -1, 0

_GRAPH: dict[str, _Node] = {}


def declare(
    name: str,
    *,
    follows_from: Iterable[str] = (),
    follows_steps_of: Iterable[str] = (),
    way: int = ANY_WAY,
    spans_depth: bool = False,
) -> None:
    """Declares a rule's causes; several declarations of one name add up.

    Args:
        name: Name of the rule.
        follows_from: Rules whose findings bring about its own, the likeliest first.
        follows_steps_of: Rules whose findings do so through the optimizer's steps, and
            hence only at later steps. Causes at the same step must not form a cycle.
        way: `FORWARD` if its findings lie in or after the layer of their cause,
            `BACKWARD` if in or before it.
        spans_depth: Whether its findings concern all layers, though they name one.
    """
    known = _GRAPH.get(name, _Node())
    _GRAPH[name] = _Node(
        tuple(dict.fromkeys((*known.causes, *follows_from))),
        tuple(dict.fromkeys((*known.causes_by_steps, *follows_steps_of))),
        way or known.way,
        spans_depth or known.spans_depth,
    )


def causes_of(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns whose findings bring about those of a rule: at once, and by steps."""
    node = _GRAPH.get(name, _Node())
    return node.causes, node.causes_by_steps


def place_of(finding: Finding) -> tuple[str, str | None]:
    """Returns rule and layer of a finding; no layer where it concerns all of them."""
    wide = _GRAPH.get(finding.rule, _Node()).spans_depth
    return finding.rule, None if wide else finding.layer


def explained(findings: Iterable[Finding], layers: Sequence[str] = ()) -> list[Finding]:
    """Separates consequences from causes.

    Args:
        findings: Findings of one model.
        layers: Paths of its layers in forward order, as far as they are known.

    Returns:
        The findings in their order; `because_of` is set for those that follow from
        another one, to the rule of the first cause. A cause is at least as severe as
        its most severe consequence.
    """
    findings = [dataclasses.replace(one, because_of=None) for one in findings]
    places = {layer: number for number, layer in enumerate(layers)}
    parents = [_parent(one, findings, places) for one in findings]
    roots = [_root(number, parents) for number in range(len(findings))]
    gravest = {root: SEVERITIES.index(findings[root].severity) for root in roots}
    for number, root in enumerate(roots):
        severity = SEVERITIES.index(findings[number].severity)
        gravest[root] = max(gravest[root], severity)
    return [
        dataclasses.replace(one, severity=SEVERITIES[gravest[root]])
        if root == number
        else dataclasses.replace(one, because_of=findings[root].rule)
        for number, (one, root) in enumerate(zip(findings, roots, strict=True))
    ]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Returns findings sorted: causes by severity, then by step.

    Consequences follow the first finding of their cause. Ties keep their order.
    """
    findings = sorted(findings, key=_rank)
    following: dict[str | None, list[Finding]] = {}
    for one in findings:
        following.setdefault(one.because_of, []).append(one)
    ordered = []
    for cause in following.pop(None, ()):
        ordered += [cause, *following.pop(cause.rule, ())]
    # The cause may have ceased, and be no more among them.
    return ordered + [one for group in following.values() for one in group]


def causes_among(findings: Iterable[Finding]) -> list[Finding]:
    """Returns the findings that do not follow from another one."""
    return [one for one in findings if one.because_of is None]


def consequences(findings: Iterable[Finding], rule: str) -> str:
    """Returns a sentence on what follows from the findings of a rule, or nothing."""
    rules = [one.rule for one in findings if one.because_of == rule]
    if not rules:
        return ""
    counts = collections.Counter(rules)
    names = ", ".join(f"{n} ({k})" if k > 1 else n for n, k in counts.items())
    verb = "follows" if len(rules) == 1 else "follow"
    return f"And {len(rules)} more that {verb} from it: {names}."


def _rank(finding: Finding) -> tuple[int, float]:
    step = float("inf") if finding.step is None else finding.step
    return -SEVERITIES.index(finding.severity), step


def _parent(
    effect: Finding, findings: Sequence[Finding], places: dict[str, int]
) -> int | None:
    """Returns which finding brings an effect about, `None` for none."""
    node = _GRAPH.get(effect.rule, _Node())
    for name in (*node.causes, *node.causes_by_steps):
        later = name not in node.causes
        for number, cause in enumerate(findings):
            if (
                cause.rule == name
                and _in_time(cause, effect, later)
                and _in_place(cause, effect, node.way, places)
            ):
                return number
    return None


def _in_time(cause: Finding, effect: Finding, later: bool) -> bool:
    """Whether an effect is not ahead of its cause; what has no step is at the first."""
    started, seen = (0 if one.step is None else one.step for one in (cause, effect))
    return seen > started if later else seen >= started


def _in_place(
    cause: Finding, effect: Finding, way: int, places: dict[str, int]
) -> bool:
    """Whether an effect lies where its cause acts."""
    wide = any(_GRAPH.get(f.rule, _Node()).spans_depth for f in (cause, effect))
    if wide or way == ANY_WAY or cause.layer is None or effect.layer is None:
        return True
    at, seen = places.get(cause.layer), places.get(effect.layer)
    return at is None or seen is None or way * (seen - at) >= 0


def _root(number: int, parents: Sequence[int | None]) -> int:
    """Returns the first cause: at one step, rules form no circle."""
    while (parent := parents[number]) is not None:
        number = parent
    return number
