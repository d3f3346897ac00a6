"""From outcomes to precision, recall, time to finding and right layers. Pure."""

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.faults.kinds import ALWAYS, KINDS
from benchmarks.faults.settings import SetUp

TRAINS = 0.3  # skill from which on a training counts as one that works
FAILS = 0.5  # share of the twin's skill down to which it counts as one that fails
WITHIN = 100  # optimizer iterations

Outcome = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the rules made of one set-up.

    Attributes:
        setup: The set-up.
        outcome: Of its training, as `trial.run` returns it.
        twin: Outcome of its twin, `None` for a healthy one.
        named: Findings of the rules that name the fault, by the time of finding.
        symptoms: Names of other rules that spoke and may.
        false: Names of other rules that spoke.
    """

    setup: SetUp
    outcome: Outcome
    twin: Outcome | None
    named: tuple[dict[str, Any], ...]
    symptoms: tuple[str, ...]
    false: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """Whether a fault hurts and its twin trains; whether a healthy one trains."""
        if self.twin is None:
            return self.outcome["skill"] >= TRAINS
        trains = self.twin["skill"] >= TRAINS
        return trains and self.outcome["skill"] <= FAILS * self.twin["skill"]

    @property
    def is_faulty(self) -> bool:
        """Whether something was done to it."""
        return self.twin is not None

    @property
    def hit(self) -> bool:
        """Whether the fault was named in time."""
        return bool(self.named) and self.named[0]["found"] <= WITHIN

    @property
    def right_layer(self) -> bool | None:
        """Whether the first finding named the layer, `None` where there is none."""
        if not self.hit or not self.setup.layers:
            return None
        where = self.named[0]["layer"] or ""
        return any(
            where == layer or where.startswith(f"{layer}/")
            for layer in self.setup.layers
        )

    @property
    def errors(self) -> tuple[str, ...]:
        """Rules with findings of severity error."""
        grave = (f for f in self.outcome["findings"] if f["severity"] == "error")
        return tuple(dict.fromkeys(f["rule"] for f in grave))


def verdict(setup: SetUp, outcome: Outcome, twin: Outcome | None) -> Verdict:
    """Sorts the findings of an outcome, those of severity warning and error."""
    loud = [f for f in outcome["findings"] if f["severity"] != "info"]
    rules: tuple[str, ...] = ()
    symptoms: tuple[str, ...] = ()
    if setup.kind is not None:
        rules, symptoms = KINDS[setup.kind].rules, KINDS[setup.kind].symptoms + ALWAYS
    others = dict.fromkeys(f["rule"] for f in loud if f["rule"] not in rules)
    return Verdict(
        setup=setup,
        outcome=outcome,
        twin=twin,
        named=tuple(f for f in loud if f["rule"] in rules),
        symptoms=tuple(rule for rule in others if rule in symptoms),
        false=tuple(rule for rule in others if rule not in symptoms),
    )


@dataclasses.dataclass(frozen=True)
class Score:
    """The figures of a number of verdicts.

    Attributes:
        faulty: Set-ups with a fault.
        healthy: Set-ups without.
        hits: Faults named in time.
        named: Pairs of set-up and rule that name the fault, in time or late.
        symptoms: Pairs of set-up and rule that the fault brought about.
        false: Pairs of set-up and rule that are wrong, on faulty and healthy ones.
        alarms: Healthy set-ups with any finding.
        errors: Healthy set-ups with a finding of severity error.
        steps: Steps at which the hits were found.
        layers: Of hits that have a place, whether it was the right one.
    """

    faulty: int
    healthy: int
    hits: int
    named: int
    symptoms: int
    false: int
    alarms: int
    errors: int
    steps: tuple[int, ...]
    layers: tuple[bool, ...]

    @property
    def precision(self) -> float:
        """Right among right and false findings; symptoms count neither way."""
        return _share(self.named, self.named + self.false)

    @property
    def strict_precision(self) -> float:
        """The same with symptoms as false ones."""
        return _share(self.named, self.named + self.symptoms + self.false)

    @property
    def setup_precision(self) -> float:
        """Faults named among these and the healthy set-ups with any finding."""
        return _share(self.hits, self.hits + self.alarms)

    @property
    def recall(self) -> float:
        """Faults named in time."""
        return _share(self.hits, self.faulty)

    @property
    def layer(self) -> float:
        """Right layers among the hits that have a place."""
        return _share(sum(self.layers), len(self.layers))

    @property
    def median_step(self) -> float:
        """Median step at which the hits were found."""
        return statistics.median(self.steps) if self.steps else float("nan")


def score(verdicts: Iterable[Verdict]) -> Score:
    """Counts verdicts, those that count."""
    counted = [v for v in verdicts if v.counts]
    faulty = [v for v in counted if v.is_faulty]
    healthy = [v for v in counted if not v.is_faulty]
    hits = [v for v in faulty if v.hit]
    return Score(
        faulty=len(faulty),
        healthy=len(healthy),
        hits=len(hits),
        named=sum(len({f["rule"] for f in v.named}) for v in faulty),
        symptoms=sum(len(v.symptoms) for v in faulty),
        false=sum(len(v.false) for v in counted),
        alarms=sum(bool(v.false) for v in healthy),
        errors=sum(bool(v.errors) for v in healthy),
        steps=tuple(v.named[0]["found"] for v in hits),
        layers=tuple(v.right_layer for v in hits if v.right_layer is not None),
    )


@dataclasses.dataclass(frozen=True)
class RuleScore:
    """What one rule did.

    Attributes:
        rule: Its name.
        named: Set-ups whose fault it named.
        first: Those where no other rule had named it before.
        symptoms: Set-ups where it told a symptom.
        false: Set-ups where it was wrong.
    """

    rule: str
    named: int
    first: int
    symptoms: int
    false: int


def by_rule(verdicts: Sequence[Verdict]) -> list[RuleScore]:
    """Returns what each rule that spoke did, the busiest first."""
    counted = [v for v in verdicts if v.counts]
    rules = {f["rule"] for v in counted for f in v.named}
    rules |= {rule for v in counted for rule in (*v.symptoms, *v.false)}
    scores = [
        RuleScore(
            rule=rule,
            named=sum(any(f["rule"] == rule for f in v.named) for v in counted),
            first=sum(bool(v.named) and v.named[0]["rule"] == rule for v in counted),
            symptoms=sum(rule in v.symptoms for v in counted),
            false=sum(rule in v.false for v in counted),
        )
        for rule in sorted(rules)
    ]
    return sorted(scores, key=lambda one: -one.named)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
