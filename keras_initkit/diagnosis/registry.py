"""Rules and their registry: one declaration holds all there is to know about a rule."""

import dataclasses
import inspect
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_initkit import schema
from keras_initkit.diagnosis import causes
from keras_initkit.diagnosis.causes import explained, in_order
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import SEVERITIES


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


class NotJudged(Exception):
    """Raised by a check where a record holds what it needs, but cannot decide.

    The message says why, as the predicate of a sentence whose subject is the record:
    `"has 3 steps, 8 are needed"`.
    """


Check = Callable[[RunRecord, Mapping[str, float]], Iterator[Fault]]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A pure function over a `RunRecord`, and all there is to know about it.

    Attributes:
        name: Name that findings carry.
        severity: Severity of its findings, unless the check says otherwise.
        summary: What it looks for, in one sentence.
        needs: What must be recorded; a run without it is not judged.
            `"<signal>/<statistic>"`, `"<signal>/histogram"`, `"<signal>/time_steps"`,
            `"scalars/<metric>"` or `"facts/<key of the metadata>"`.
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

    def missing(self, record: RunRecord) -> tuple[str, ...]:
        """Returns which of the rule's needs a record lacks."""
        lacking = tuple(need for need in self.needs if not _recorded(record, need))
        enough = self.any_of and len(lacking) < len(self.needs)
        return () if enough else lacking

    def judge(self, record: RunRecord, **thresholds: float) -> list[Finding]:
        """Returns the findings of this rule alone; `thresholds` replace defaults.

        Raises:
            ValueError: If the rule has no threshold of such a name.
        """
        return self.ask(record, **thresholds)[0]

    def ask(
        self, record: RunRecord, **thresholds: float
    ) -> tuple[list[Finding], str | None]:
        """Returns the findings, and why the record was not judged, `None` if it was.

        Raises:
            ValueError: If the rule has no threshold of such a name.
        """
        self.check_thresholds(thresholds)
        lacking = self.missing(record)
        if lacking:
            joint = " or " if self.any_of else ", "
            return [], f"does not hold {joint.join(lacking)}"
        values = {name: t.value for name, t in self.thresholds.items()} | thresholds
        try:
            # Records may hold any numbers: a ratio of two infinities is NaN, which is
            # beyond no threshold.
            with np.errstate(all="ignore"):
                faults = list(self.check(record, values))
        except NotJudged as reason:
            return [], str(reason)
        return [self._finding(fault) for fault in faults], None

    def check_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Checks `{threshold: value}`.

        Raises:
            TypeError: If that is no dict, or a value no number.
            ValueError: If the rule has no threshold of one of the names.
        """
        if not isinstance(thresholds, Mapping) or not all(
            isinstance(one, numbers.Real) for one in thresholds.values()
        ):
            raise TypeError(
                f"`rules` must have a dict {{threshold: number}} for {self.name!r}, or "
                f"`None`. Received: {thresholds!r}"
            )
        schema.check_names("thresholds", thresholds)
        unknown = sorted(set(thresholds) - set(self.thresholds))
        if unknown:
            raise ValueError(
                f"`thresholds` of rule {self.name!r} must be among "
                f"{tuple(sorted(self.thresholds))}. Received: {tuple(unknown)}"
            )

    def unit_of(self, threshold: float, **thresholds: float) -> str | None:
        """Returns the unit of what a finding of this rule was compared with.

        `None` where its threshold is none of the rule's, which `thresholds` replace,
        or is one of several in different units.
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


RULES: dict[str, Rule] = {}
# Rules about how a training ended: asked of one that is done, by `review`.
REVIEWS: dict[str, Rule] = {}


def rule(
    name: str,
    *,
    severity: str,
    needs: Iterable[str],
    reference: str,
    any_of: bool = False,
    thresholds: Mapping[str, Threshold] | None = None,
    follows_from: Iterable[str] = (),
    follows_steps_of: Iterable[str] = (),
    spans_depth: bool = False,
    after_training: bool = False,
) -> Callable[[Check], Check]:
    """Declares a check as the rule `name`; its docstring becomes the summary.

    One that is to be asked `after_training` only stands in `REVIEWS`, not in `RULES`.
    `follows_from`, `follows_steps_of` and `spans_depth` are those of `causes.declare`.
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

    def declare(check: Check) -> Check:
        if name in RULES or name in REVIEWS:
            raise ValueError(f"`name` must be new. Received: name={name!r}")
        causes.declare(
            name,
            follows_from=follows_from,
            follows_steps_of=follows_steps_of,
            way=_way_of(needs),
            spans_depth=spans_depth,
        )
        rules = REVIEWS if after_training else RULES
        rules[name] = Rule(
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
    *,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Finding]:
    """Judges a run by the rules.

    Args:
        record: What was recorded. A rule whose signals are missing says nothing;
            `not_judged` tells which these are.
        rules: Names of the rules to ask; all by default.
        thresholds: `{rule: {threshold: value}}` to replace defaults.

    Returns:
        Findings, consequences behind their causes; these the gravest first, then by
        step, then in the order of the rules and of the layers.

    Raises:
        ValueError: If a rule or threshold of that name does not exist.
    """
    thresholds = thresholds or {}
    names = check_rules(rules, thresholds)
    found = [
        finding
        for name in names
        for finding in RULES[name].judge(record, **thresholds.get(name, {}))
    ]
    return in_order(explained(found, layers_of(record)))


def review(record: RunRecord) -> list[Finding]:
    """Judges a training that has ended: what it showed, and how it ended.

    Args:
        record: That of a `SignalMonitor` (`monitor.record`), or `RunRecord.load` of its
            directory.

    Returns:
        List of `Finding`: those of `judge`, and of the rules of `diagnosis.REVIEWS`:
        whether the loss was still falling, whether it stands still beside units that
        are dead, whether the model has learnt its examples by heart. In the order of
        `judge`.

    Raises:
        TypeError: If `record` is none.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> keras.utils.set_random_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32")
    >>> model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e-3), "mse")
    >>> monitor = kik.SignalMonitor(every=1)
    >>> _ = model.fit(x, x[:, :1] * 4, epochs=2, callbacks=[monitor], verbose=0)
    >>> [finding.rule for finding in kik.review(monitor.record)]
    ['TooFewEpochs']
    """
    if not isinstance(record, RunRecord):
        raise TypeError(
            "`record` must be a RunRecord: `monitor.record`, or what `RunRecord.load` "
            f"gives. Received: record={record!r} of type {type(record).__name__}."
        )
    found = [f for rule in (RULES | REVIEWS).values() for f in rule.judge(record)]
    return in_order(explained(found, layers_of(record)))


def layers_of(record: RunRecord) -> list[str]:
    """Returns the paths of a record's layers, in forward order."""
    return [layer["path"] for layer in record.metadata.get("layers", ())]


def not_judged(record: RunRecord, rules: Iterable[str] | None = None) -> dict[str, str]:
    """Tells which rules could not judge a run.

    Args:
        record: What was recorded.
        rules: Names of the rules to ask; all by default.

    Returns:
        `{rule: reason}`; the reason is the predicate of a sentence whose subject is
        the record, such as `"does not hold scalars/loss"`.

    Raises:
        ValueError: If a rule of that name does not exist.
    """
    reasons = {name: RULES[name].ask(record)[1] for name in check_rules(rules)}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def check_rules(
    rules: Iterable[str] | None, thresholds: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Returns the names of the rules to ask, all for `None`.

    Raises:
        TypeError: If `rules` are no names.
        ValueError: If a rule or threshold of that name does not exist.
    """
    names = tuple(RULES) if rules is None else schema.check_names("rules", rules)
    unknown = sorted({*names, *(thresholds or {})} - set(RULES))
    if unknown:
        raise ValueError(
            f"`rules` must be among {tuple(sorted(RULES))}. Received: {tuple(unknown)}"
        )
    for name, values in (thresholds or {}).items():
        RULES[name].check_thresholds(values)
    return names


def _way_of(needs: Iterable[str]) -> int:
    """Returns which way a rule's findings lie from their causes, by what it reads."""
    signals = {need.partition("/")[0] for need in needs}
    if signals <= {"activation", "preactivation"}:
        return causes.FORWARD
    return causes.BACKWARD if signals <= {"backprop", "gradient"} else causes.ANY_WAY


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
