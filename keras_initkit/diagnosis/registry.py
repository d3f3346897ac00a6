"""The registry of all rules: how one is declared, and which are applied."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from keras_initkit import schema
from keras_initkit.diagnosis import causes
from keras_initkit.diagnosis._rule import Fault, Rule, Threshold, check_thresholds
from keras_initkit.diagnosis.finding import Finding
from keras_initkit_light.format.schema import SEVERITIES

# All rules by what they judge, each by its name.
DECLARED: dict[str, dict[str, Rule]] = {"record": {}, "ended record": {}, "model": {}}
RULES = DECLARED["record"]
# Rules about how a training ended: asked of one that is done, by `review`.
REVIEWS = DECLARED["ended record"]
# Rules about a model, which take no data: asked by `lint`.
LINTS = DECLARED["model"]
# Both judge records, by one name.
_ALIKE = dict.fromkeys(("record", "ended record"), ("record", "ended record"))

AnyCheck = TypeVar("AnyCheck", bound=Callable[..., Iterator[Fault]])
# Names of rules, or a dict that changes some of all: thresholds, `None` for none.
Asked = Mapping[str, Mapping[str, float] | None]
Rules = Iterable[str] | Asked | None


def rule(
    name: str,
    *,
    severity: str,
    needs: Iterable[str] = (),
    reference: str,
    judges: str = "record",
    any_of: bool = False,
    thresholds: Mapping[str, Threshold] | None = None,
    follows_from: Iterable[str] = (),
    follows_steps_of: Iterable[str] = (),
    spans_depth: bool = False,
    by_signs: bool = False,
) -> Callable[[AnyCheck], AnyCheck]:
    """Declares a check as the rule `name`; its docstring becomes the summary.

    The other arguments are the attributes of `Rule`; `follows_from`, `follows_steps_of`
    and `spans_depth` are those of `causes.declare`. A rule over records and one over
    models may share a name if they mean the same fault.
    """
    needs = tuple(needs)
    for need in needs:
        kind = need.partition("/")[0]
        if kind not in ("scalars", "facts"):
            schema.check_signals((kind,))
    if severity not in SEVERITIES:
        raise ValueError(
            f"`severity` must be one of {SEVERITIES}. Received: severity={severity!r}"
        )

    def declare(check: AnyCheck) -> AnyCheck:
        if any(name in DECLARED[one] for one in _ALIKE.get(judges, (judges,))):
            raise ValueError(f"`name` must be new. Received: name={name!r}")
        causes.declare(
            name,
            follows_from=follows_from,
            follows_steps_of=follows_steps_of,
            way=_way_of(needs),
            spans_depth=spans_depth,
        )
        DECLARED[judges][name] = Rule(
            name=name,
            judges=judges,
            severity=severity,
            summary=(inspect.getdoc(check) or "").partition("\n")[0],
            needs=needs,
            any_of=any_of,
            thresholds=dict(thresholds or {}),
            reference=reference,
            by_signs=by_signs,
            check=check,
        )
        return check

    return declare


def asked_of(rules: Rules, *known: Mapping[str, Rule]) -> tuple[Asked, ...]:
    """Returns which rules to apply, and with which thresholds.

    Args:
        rules: Names of the rules to apply; all for `None`. Or a dict that changes
            individual rules: `{rule: {threshold: value}}`, `None` to skip a rule.
        known: Rules by name. A name may be in several: each gets the thresholds that it
            has.

    Returns:
        For each of `known`, a dict with all its rules: `{threshold: value}`, `None` for
        a rule that is not applied.

    Raises:
        TypeError: If `rules` is neither names nor such a dict.
        ValueError: If a rule or threshold of that name does not exist.
    """
    everything = dict.fromkeys(name for one in known for name in one)
    names = everything if rules is None else schema.check_names("rules", rules)
    unknown = sorted(set(names) - set(everything))
    if unknown:
        raise ValueError(
            f"`rules` must be among {tuple(sorted(everything))}. "
            f"Received: {tuple(unknown)}"
        )
    if isinstance(rules, Mapping):
        changes = {name: rules.get(name, {}) for name in everything}
    else:
        changes = {name: {} if name in names else None for name in everything}
    for name, thresholds in changes.items():
        if thresholds is not None:
            having = [one[name].thresholds for one in known if name in one]
            check_thresholds(name, thresholds, set().union(*having))
    return tuple(
        {name: _own(changes[name], rule.thresholds) for name, rule in one.items()}
        for one in known
    )


def _own(
    changes: Mapping[str, float] | None, thresholds: Mapping[str, Threshold]
) -> Mapping[str, float] | None:
    """Returns those of the changes that are for thresholds of a rule."""
    if changes is None:
        return None
    return {name: value for name, value in changes.items() if name in thresholds}


def found_by(
    rules: Mapping[str, Rule], asked: Asked, subject: Any
) -> Iterator[Finding]:
    """Yields what the applied rules find in a subject."""
    for name, thresholds in asked.items():
        if thresholds is not None:
            yield from rules[name].judge(subject, **thresholds)


def _way_of(needs: Iterable[str]) -> int:
    """Returns which way a rule's findings lie from their causes, by what it reads."""
    signals = {need.partition("/")[0] for need in needs}
    if signals <= {"activation", "preactivation"}:
        return causes.FORWARD
    return causes.BACKWARD if signals <= {"backprop", "gradient"} else causes.ANY_WAY
