"""The rules during training: when they are applied, and what findings trigger."""

import dataclasses
import logging
import math
import time
import warnings
import weakref
from collections.abc import Iterable
from typing import Any

from keras_initkit import diagnosis
from keras_initkit.arguments import check_function

logger = logging.getLogger(__name__)

# Rules are asked again when there are so many times the monitored steps of last time...
_GROWTH = 1.25
# ...and as long as they have taken no more than this share of the time since `fit`
# began.
_SHARE = 0.02
_ACTIONS = ("raise", "stop", "warn")

# What was told in a `fit`, by its history: several monitors share the model's word.
_TOLD: Any = weakref.WeakKeyDictionary()


class TrainingFault(RuntimeError):
    """Raised by a monitor with `on_finding="raise"`; the model is as `fit` left it.

    Attributes:
        findings: The findings, most severe first.
        stops_training: Whether it should end the training, as was requested.
    """

    stops_training = True

    def __init__(self, findings: Iterable[diagnosis.Finding]) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.findings = list(findings)


@dataclasses.dataclass
class _Case:
    """A finding and the step at which it had ceased to show, `None` while it stands."""

    finding: diagnosis.Finding
    cleared: int | None = None


class Judge:
    """Applies the rules to a growing record and reports what changes.

    A finding is reported once when it opens and once when it clears, as a warning of
    the logger `keras_initkit.callbacks.judging`, which Python prints to standard error
    if logging is not configured. The same fault in several layers is reported in one
    message, which names its consequences; these get no messages of their own. If
    `on_finding` is a function, it is called instead, once per finding.

    Args:
        rules: As in `SignalMonitor`.
        on_finding: As in `SignalMonitor`.
        severity: As in `SignalMonitor`.

    Raises:
        ValueError: If one of them is invalid.
        TypeError: If `rules` has the wrong type, or `on_finding` takes other arguments.
    """

    def __init__(self, rules="default", on_finding="warn", severity="warning"):
        self._rules = _asked(rules)
        if callable(on_finding):
            check_function("on_finding", on_finding, "a finding")
        elif on_finding not in _ACTIONS:
            raise ValueError(
                f"`on_finding` must be a function of a finding or one of {_ACTIONS}. "
                f"Received: on_finding={on_finding!r}"
            )
        if not isinstance(severity, str) or severity not in diagnosis.SEVERITIES:
            raise ValueError(
                f"`severity` must be one of {diagnosis.SEVERITIES}. "
                f"Received: severity={severity!r}"
            )
        self._on_finding = on_finding
        self._grave = diagnosis.SEVERITIES[diagnosis.SEVERITIES.index(severity) :]
        self._cases: dict[tuple[str, str | None], _Case] = {}
        self._begun = self._spent = 0.0
        self._due = 0
        self._has_asked = False
        self._told: set = set()

    def __getstate__(self):
        # What a `fit` was told is of that `fit`.
        return vars(self) | {"_begun": 0.0, "_spent": 0.0, "_due": 0, "_told": set()}

    @property
    def findings(self):
        """The open findings: causes, most severe first, and consequences."""
        cases = self._cases.values()
        standing = (case.finding for case in cases if case.cleared is None)
        return diagnosis.Findings(diagnosis.in_order(standing), self._clean())

    def _clean(self):
        """Says what it means that there is no finding."""
        if not self.has_rules:
            return "not judged: the monitor has no rules"
        return (
            "no finding" if self._has_asked else "not judged: no step was monitored yet"
        )

    @property
    def has_rules(self):
        """Whether there are rules to apply."""
        return any(asked is not None for asked in self._rules.values())

    def begin(self, history):
        """A `fit` begins, which has this `History`."""
        self._begun, self._spent = time.perf_counter(), 0.0
        self._due = 0
        self._told = _TOLD.setdefault(history, set())

    def is_due(self, monitored):
        """Whether the rules are to be asked after so many monitored steps."""
        elapsed = time.perf_counter() - self._begun
        return (
            self.has_rules
            and monitored >= max(1, self._due)
            and self._spent <= _SHARE * elapsed
        )

    def ask(self, record, step, monitored):
        """Asks the rules, and tells what has opened and what has cleared since.

        Args:
            record: The `RunRecord`.
            step: The last monitored optimizer iteration.
            monitored: How many steps were monitored.

        Returns:
            The findings that have opened, of the severities wanted, that follow from no
            other.
        """
        started = time.perf_counter()
        self._has_asked = True
        self._due = max(monitored + 1, math.ceil(_GROWTH * monitored))
        found = self._judge(record)
        opened = []
        for finding in found:
            place = finding.rule, finding.layer
            case = self._cases.get(place)
            if case is None or case.cleared is not None:
                opened.append(finding)
            self._cases[place] = _Case(finding)
        places = {(finding.rule, finding.layer) for finding in found}
        cleared = []
        for place, case in self._cases.items():
            if case.cleared is None and place not in places:
                case.cleared = step
                cleared.append(case.finding)
        opened = self._grave_causes(opened)
        self._tell(opened)
        self._tell(self._grave_causes(cleared), gone_at=step)
        self._spent += time.perf_counter() - started
        return opened

    def act(self, opened, model):
        """Does what `on_finding` says about findings that have opened.

        Raises:
            TrainingFault: With `on_finding="raise"`.
        """
        if not opened:
            return
        if callable(self._on_finding):
            for finding in opened:
                self._on_finding(finding)
        elif self._on_finding == "stop":
            model.stop_training = True
        elif self._on_finding == "raise":
            raise TrainingFault(opened)

    def summarize(self):
        """Tells what stands at the end, if anything was found on the way."""
        grave = self._grave_causes(case.finding for case in self._cases.values())
        if not grave or callable(self._on_finding):
            return
        standing = self._grave_causes(self.findings)
        gone = len(grave) - len(standing)
        names = ", ".join(dict.fromkeys(f"{f.severity} {f.rule}" for f in standing))
        counts = f"findings: {len(standing)} open, {gone} cleared"
        logger.warning("%s%s", counts, names and f" ({names})")

    def to_dicts(self):
        """Returns all findings so far as dicts.

        With the step `"cleared"`, and the `"unit"` of what was measured, `None` where
        the rule does not tell.
        """
        cleared = {
            (case.finding.rule, case.finding.layer): case.cleared
            for case in self._cases.values()
        }
        found = diagnosis.in_order(case.finding for case in self._cases.values())
        return [
            {
                **finding.to_dict(),
                "cleared": cleared[finding.rule, finding.layer],
                "unit": self._unit_of(finding),
            }
            for finding in found
        ]

    def _unit_of(self, finding):
        rule = diagnosis.RULES.get(finding.rule)
        if rule is None:
            return None
        return rule.unit_of(finding.threshold, **(self._rules[rule.name] or {}))

    def _grave_causes(self, findings):
        causes = diagnosis.causes_among(findings)
        return [one for one in causes if one.severity in self._grave]

    def _judge(self, record):
        try:
            return diagnosis.judge(record, self._rules)
        except Exception as error:
            # The training is worth more than what is said about it.
            logger.debug("A rule failed", exc_info=True)
            self._rules = _asked(None)
            warnings.warn(
                "SignalMonitor stops applying rules, because one of them failed "
                f"({error!r}).",
                stacklevel=2,
            )
            return self.findings

    def _tell(self, findings, gone_at=None):
        if callable(self._on_finding):
            return
        groups: dict[tuple, list] = {}
        for finding in findings:
            word = finding.rule, finding.layer, gone_at is None
            if word not in self._told:
                self._told.add(word)
                groups.setdefault((finding.rule, finding.severity), []).append(finding)
        for group in groups.values():
            if gone_at is None:
                logger.warning("%s", _told_together(group, self.findings))
            else:
                logger.warning("gone at step %d: %s", gone_at, _named_together(group))


def _told_together(group, findings):
    """Returns one text of findings of one rule: the first, where else, what follows."""
    others = _layers(group[1:])
    texts = (
        f"{group[0]} {group[0].remedy}",
        f"The same applies to {others}." if others else "",
        diagnosis.consequences(findings, group[0].rule),
    )
    return " ".join(filter(None, texts))


def _named_together(group):
    """Returns the name of a rule and where it had findings."""
    layers = _layers([finding for finding in group if finding.layer is not None])
    return group[0].rule + (f" in {layers}" if layers else "")


def _layers(findings, most=4):
    names = [repr(finding.layer) for finding in findings[:most]]
    more = len(findings) - most
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _asked(rules):
    """Returns `{rule: {threshold: value}}`, `None` for rules that are not asked."""
    if rules is None:
        return dict.fromkeys(diagnosis.RULES)
    if isinstance(rules, str):
        if rules != "default":
            raise ValueError(
                "`rules` must be 'default', None, a list of names or a dict "
                f"{{rule: {{threshold: value}}}}. Received: rules={rules!r}"
            )
        rules = None
    return diagnosis.asked_of(rules, diagnosis.RULES)[0]
