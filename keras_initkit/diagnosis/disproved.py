"""Which predictions from signs in layers a training has disproved.

Most rules read signs: dead units, a fading signal. What these say about the loss is a
prediction, which was wrong if the loss has fallen anyway: the model learns with such
layers, though it might learn better without.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from keras_initkit.diagnosis._rule import Rule
from keras_initkit.diagnosis.constant_guess import share_left
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.recording.record import RunRecord

# The model has learned where no more than this is left of what a constant guess loses:
# nine tenths of a variance explained, of ten classes a probability of 0.79 for the one.
LEARNED = 0.1
_MILDER = {"error": "warning", "warning": "info", "info": "info"}


def weighed(
    findings: Iterable[Finding], record: RunRecord, rules: Mapping[str, Rule]
) -> Iterator[Finding]:
    """Yields findings, with those from signs less severe if the model has learned.

    Args:
        findings: What the rules have found in a record.
        record: The record.
        rules: The rules by name.
    """
    left = share_left(record)
    # A cross-entropy below 0 is that of targets which are no probabilities.
    has_learned = left is not None and 0 <= left <= LEARNED
    for one in findings:
        if not has_learned or not rules[one.rule].by_signs:
            yield one
            continue
        yield dataclasses.replace(
            one,
            severity=_MILDER[one.severity],
            message=f"{one.message} The model has learned anyway: its loss is down to "
            f"{left:.2g} of that of a constant guess.",
        )
