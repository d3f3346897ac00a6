"""Judging a record by the rules: while it grows, and when training has ended."""

from collections.abc import Mapping

from keras_initkit.diagnosis import disproved
from keras_initkit.diagnosis._rule import Rule
from keras_initkit.diagnosis.causes import explained, in_order
from keras_initkit.diagnosis.findings import Findings
from keras_initkit.diagnosis.registry import (
    REVIEWS,
    RULES,
    Asked,
    Rules,
    asked_of,
    found_by,
)
from keras_initkit.recording.record import RunRecord

# What is said of a record in which the rules find nothing.
_CLEAN = (
    "no findings; `kik.diagnosis.not_judged(record)` lists the rules that could not "
    "judge"
)


def judge(record: RunRecord, rules: Rules = None) -> Findings:
    """Judges a run by the rules.

    Args:
        record: What was recorded. A rule whose signals are missing reports nothing;
            `not_judged` lists these rules.
        rules: Names of the rules to apply; all by default. Or a dict that changes
            individual rules: `{rule: {threshold: value}}`, `None` to skip a rule.

    Returns:
        `Findings`, a list, consequences after their causes; causes by severity, then by
        step, then in the order of the rules and of the layers.

    Raises:
        TypeError: If `rules` is neither names nor such a dict.
        ValueError: If a rule or threshold of that name does not exist.
    """
    (asked,) = asked_of(rules, RULES)
    return _findings_of(RULES, asked, record)


def review(record: RunRecord, *, rules: Rules = None) -> Findings:
    """Judges a finished training: what it showed, and how it ended.

    Args:
        record: Record of a `SignalMonitor` (`monitor.record`), or the result of
            `RunRecord.load` for its directory.
        rules: Names from `diagnosis.RULES` and `diagnosis.REVIEWS`, or a dict, as in
            `judge`; all by default.

    Returns:
        `Findings`, a list in the order of `judge`: the findings of `judge` and those of
        the rules in `diagnosis.REVIEWS`: whether the loss was still falling, whether it
        has stalled with dead units, whether the model has overfitted.

    Raises:
        TypeError: If `record` is not a record, or `rules` is neither names nor such a
            dict.
        ValueError: If a rule or threshold of that name does not exist.

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
            "`record` must be a RunRecord: `monitor.record`, or the result of "
            f"`RunRecord.load`. Received: record={record!r} of type "
            f"{type(record).__name__}."
        )
    both = RULES | REVIEWS
    (asked,) = asked_of(rules, both)
    return _findings_of(both, asked, record)


def _findings_of(
    rules: Mapping[str, Rule], asked: Asked, record: RunRecord
) -> Findings:
    """Returns what rules find of a record, weighed, explained and in order."""
    found = disproved.weighed(found_by(rules, asked, record), record, rules)
    return Findings(in_order(explained(found, layers_of(record))), _CLEAN)


def layers_of(record: RunRecord) -> list[str]:
    """Returns the paths of a record's layers, in forward order."""
    return [layer["path"] for layer in record.metadata.get("layers", ())]


def not_judged(record: RunRecord, rules: Rules = None) -> dict[str, str]:
    """Returns which rules could not judge a run, and why.

    Args:
        record: What was recorded.
        rules: As in `judge`.

    Returns:
        `{rule: reason}`; the reason is the predicate of a sentence whose subject is
        the record, such as `"does not hold scalars/loss"`.

    Raises:
        ValueError: If a rule of that name does not exist.
    """
    (asked,) = asked_of(rules, RULES)
    reasons = {
        name: RULES[name].ask(record, **thresholds)[1]
        for name, thresholds in asked.items()
        if thresholds is not None
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}
