"""Rules and their registry: one declaration holds all there is to know about a rule."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from keras_initkit import schema
from keras_initkit.diagnosis.finding import SEVERITIES, Finding
from keras_initkit.recording.record import RunRecord


class Threshold(NamedTuple):
    """A limit that a rule compares with.

    Attributes:
        value: The default.
        unit: Its unit, `"1"` if it has none.
        meaning: What it limits, and why there, in one sentence.
    """

    value: float
    unit: str
    meaning: str


class Fault(NamedTuple):
    """What a rule's check yields: the part of a `Finding` that is not the rule's."""

    layer: str | None
    step: int | None
    measured: float
    threshold: float
    message: str
    remedy: str
    severity: str | None = None  # instead of the rule's own


Check = Callable[[RunRecord, Mapping[str, float]], Iterator[Fault]]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A pure function over a `RunRecord`, and all there is to know about it.

    Attributes:
        name: Name that findings carry.
        severity: Severity of its findings, unless the check says otherwise.
        summary: What it looks for, in one sentence.
        needs: `"<signal>/<statistic>"` names that must be recorded; a run without them
            is not judged.
        any_of: Whether one of `needs` is enough.
        thresholds: `{name: Threshold}`.
        reference: Paper or documentation that it is taken from.
        check: The function `(record, {name: value}) -> Iterator[Fault]`.
    """

    name: str
    severity: str
    summary: str
    needs: tuple[str, ...]
    any_of: bool
    thresholds: Mapping[str, Threshold]
    reference: str
    check: Check

    def applies_to(self, record: RunRecord) -> bool:
        """Returns whether a record holds what the rule needs."""
        there = [_recorded(record, need) for need in self.needs]
        return any(there) if self.any_of else all(there)

    def judge(self, record: RunRecord, **thresholds: float) -> list[Finding]:
        """Returns the findings of this rule alone; `thresholds` replace defaults.

        Raises:
            ValueError: If the rule has no threshold of such a name.
        """
        unknown = sorted(set(thresholds) - set(self.thresholds))
        if unknown:
            raise ValueError(
                f"`thresholds` of rule {self.name!r} must be among "
                f"{tuple(sorted(self.thresholds))}. Received: {tuple(unknown)}"
            )
        if not self.applies_to(record):
            return []
        values = {name: t.value for name, t in self.thresholds.items()} | thresholds
        return [self._finding(fault) for fault in self.check(record, values)]

    def _finding(self, fault: Fault) -> Finding:
        return Finding(
            rule=self.name,
            severity=fault.severity or self.severity,
            layer=fault.layer,
            step=None if fault.step is None else int(fault.step),
            measured=float(fault.measured),
            threshold=float(fault.threshold),
            message=fault.message,
            remedy=fault.remedy,
            reference=self.reference,
        )


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    *,
    severity: str,
    needs: Iterable[str],
    reference: str,
    any_of: bool = False,
    thresholds: Mapping[str, Threshold] | None = None,
) -> Callable[[Check], Check]:
    """Declares a check as the rule `name`; its docstring becomes the summary."""
    needs = tuple(needs)
    for need in needs:
        schema.check_signals((need.partition("/")[0],))
    if severity not in SEVERITIES:
        raise ValueError(
            f"`severity` must be one of {SEVERITIES}. Received: severity={severity!r}"
        )

    def declare(check: Check) -> Check:
        if name in RULES:
            raise ValueError(f"`name` must be new. Received: name={name!r}")
        RULES[name] = Rule(
            name=name,
            severity=severity,
            summary=(inspect.getdoc(check) or "").partition("\n")[0],
            needs=needs,
            any_of=any_of,
            thresholds=dict(thresholds or {}),
            reference=reference,
            check=check,
        )
        return check

    return declare


def judge(
    record: RunRecord,
    rules: Iterable[str] | None = None,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Finding]:
    """Judges a run by the rules.

    Args:
        record: What was recorded. A rule whose signals are missing says nothing.
        rules: Names of the rules to ask; all by default.
        thresholds: `{rule: {threshold: value}}` to replace defaults.

    Returns:
        Findings, the gravest first, then by step, then in the order of the rules and
        of the layers.

    Raises:
        ValueError: If a rule or threshold of that name does not exist.
    """
    names = tuple(RULES) if rules is None else tuple(rules)
    thresholds = thresholds or {}
    unknown = sorted({*names, *thresholds} - set(RULES))
    if unknown:
        raise ValueError(
            f"`rules` must be among {tuple(sorted(RULES))}. Received: {tuple(unknown)}"
        )
    findings = [
        finding
        for name in names
        for finding in RULES[name].judge(record, **thresholds.get(name, {}))
    ]
    return sorted(
        findings,
        key=lambda f: (
            -SEVERITIES.index(f.severity),
            float("inf") if f.step is None else f.step,
        ),
    )


def _recorded(record: RunRecord, need: str) -> bool:
    signal, _, statistic = need.partition("/")
    series = record.signal(signal)
    return series is not None and len(series) > 0 and statistic in series.statistics
