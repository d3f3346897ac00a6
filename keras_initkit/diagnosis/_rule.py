"""What a rule is: a single declaration with everything there is to know about it."""

import dataclasses
import numbers
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_initkit import schema
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.recording.record import RunRecord
from keras_initkit.structure.graph import Graph


class Threshold(NamedTuple):
    """A limit that a rule compares against.

    Attributes:
        value: The default.
        unit: Its unit, `"1"` if it has none.
        meaning: What it limits, and why it is set there, in one sentence.
    """

    value: float
    unit: str
    meaning: str


class Fault(NamedTuple):
    """What a rule's check yields: the part of a `Finding` not fixed by the rule."""

    layer: str | None
    step: int | None
    measured: float
    threshold: float
    message: str
    remedy: str
    severity: str | None = None  # instead of the rule's own


class NotJudged(Exception):
    """Raised by a check if a record holds what it needs, but allows no judgment.

    The message says why, as the predicate of a sentence whose subject is the record:
    `"has 3 steps, 8 are needed"`.
    """


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is judged by rules that look at a model.

    Attributes:
        model: The Keras model.
        graph: Its `Graph`; `None` for a subclassed model, of which only the layers are
            known.
        layers: `(path, layer)` of all layers, including nested ones.
    """

    model: Any
    graph: Graph | None
    layers: tuple[tuple[str, Any], ...]


Check = Callable[[Any, Mapping[str, float]], Iterator[Fault]]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A pure function of what it judges, with everything there is to know about it.

    Attributes:
        name: Name that findings carry.
        judges: What it judges: `"record"` for a `RunRecord`, `"ended record"` for that
            of a finished training, `"model"` for a `Subject`.
        severity: Default severity of its findings; a check may override it.
        summary: What it looks for, in one sentence.
        needs: What must be recorded; a record without it is not judged.
            `"<signal>/<statistic>"`, `"<signal>/histogram"`, `"<signal>/time_steps"`,
            `"scalars/<metric>"` or `"facts/<key of the metadata>"`.
        any_of: Whether one of `needs` is enough.
        thresholds: `{name: Threshold}`.
        reference: Paper or documentation it is taken from.
        by_signs: Whether it predicts from signs in layers that the model will not
            learn, or learn more slowly: a training that has learned disproves it
            (`disproved.py`).
        check: The function `(what it judges, {threshold: value}) -> Iterator[Fault]`.
    """

    name: str
    judges: str
    severity: str
    summary: str
    needs: tuple[str, ...]
    any_of: bool
    thresholds: Mapping[str, Threshold]
    reference: str
    by_signs: bool
    check: Check

    def missing(self, record: Any) -> tuple[str, ...]:
        """Returns what the rule needs but the record lacks."""
        lacking = tuple(need for need in self.needs if not _recorded(record, need))
        enough = self.any_of and len(lacking) < len(self.needs)
        return () if enough else lacking

    def judge(self, subject: Any, **thresholds: float) -> list[Finding]:
        """Returns the findings of this rule alone; `thresholds` replace defaults.

        Raises:
            ValueError: If the rule has no threshold of that name.
        """
        return self.ask(subject, **thresholds)[0]

    def ask(
        self, subject: Any, **thresholds: float
    ) -> tuple[list[Finding], str | None]:
        """Returns the findings, and the reason if it was not judged, else `None`.

        Raises:
            ValueError: If the rule has no threshold of that name.
        """
        check_thresholds(self.name, thresholds, self.thresholds)
        subject = self._telling_most(subject)
        if lacking := self.missing(subject):
            joint = " or " if self.any_of else ", "
            return [], f"does not hold {joint.join(lacking)}"
        values = {name: t.value for name, t in self.thresholds.items()} | thresholds
        try:
            # There may be any numbers: a ratio of two infinities is NaN, which is
            # beyond no threshold.
            with np.errstate(all="ignore"):
                faults = list(self.check(subject, values))
        except NotJudged as reason:
            return [], str(reason)
        return [self._finding(fault) for fault in faults], None

    def _telling_most(self, subject: Any) -> Any:
        """Returns the norms of a record alone, where these are enough and beside it.

        They are those of more steps.
        """
        norms = getattr(subject, "of_norms", None)
        return subject if norms is None or self.missing(norms) else norms

    def unit_of(self, threshold: float, **thresholds: float) -> str | None:
        """Returns the unit of the threshold that a finding of this rule crossed.

        `None` where its threshold is not one of the rule's, which `thresholds` replace,
        or matches several in different units.
        """
        units = {
            one.unit
            for name, one in self.thresholds.items()
            if thresholds.get(name, one.value) == threshold
        }
        return units.pop() if len(units) == 1 else None

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


def _recorded(record: RunRecord, need: str) -> bool:
    kind, _, name = need.partition("/")
    if kind == "scalars":
        return bool(record.scalars.get(name, ((), ()))[0])
    if kind == "facts":
        return record.metadata.get(name) is not None
    if name in ("histogram", "time_steps"):
        held = record.histograms if name == "histogram" else record.time_steps
        return any(one.signal == kind and len(one) > 0 for one in held.values())
    series = record.signal(kind)
    return series is not None and len(series) > 0 and name in series.statistics


def check_thresholds(rule: str, thresholds: Any, known: Collection[str]) -> None:
    """Validates the `{threshold: value}` given for a rule.

    Args:
        rule: Its name.
        thresholds: What was given.
        known: Names of its thresholds.

    Raises:
        TypeError: If it is not a dict, or a value is not a number.
        ValueError: If the rule has no threshold of that name.
    """
    if not isinstance(thresholds, Mapping) or not all(
        isinstance(one, numbers.Real) for one in thresholds.values()
    ):
        raise TypeError(
            f"`rules` must map {rule!r} to a dict {{threshold: number}}, or to `None`. "
            f"Received: {thresholds!r}"
        )
    schema.check_names("thresholds", thresholds)
    if unknown := sorted(set(thresholds) - set(known)):
        raise ValueError(
            f"`thresholds` of rule {rule!r} must be among {tuple(sorted(known))}. "
            f"Received: {tuple(unknown)}"
        )
