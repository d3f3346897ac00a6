"""What a record hands over to `report`, which draws and prints it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.contents import Contents
from keras_initkit.report.record_plot import Course, Loss, Mark
from keras_initkit_light.format import running

# Of what the picture of a run shows, what is there.
_PROFILES = ("activation", "backprop", "inference")
_HEAT = ("gradient", "backprop", "activation", "update", "weight")


def course_of(record: Contents, signal: str, statistic: str) -> Course:
    """Returns a statistic of a signal over the steps: of weights, of the kernels.

    Raises:
        KeyError: If the signal was not recorded, or has no such statistic.
    """
    series = record.most_of(signal, statistic)
    if statistic not in series.statistics:
        raise KeyError(
            f"`statistic` must be one of {signal!r}, {series.statistics}. "
            f"Received: statistic={statistic!r}"
        )
    rows = _rows_of(record, signal, series.tensors)
    what = schema.STATISTICS[statistic]
    return Course(
        title=signal,
        label=statistic,
        tensors=[series.tensors[row].label for row in rows],
        steps=series.steps,
        values=series.statistic(statistic)[:, rows],
        is_size=what.minimum == 0 and what.maximum == np.inf,
    )


def profiles_of(record: Contents) -> list[Course]:
    """Returns the sizes of two signals at most, those that tell most of a run."""
    return [course_of(record, name, "rms") for name in _there(record, _PROFILES)[:2]]


def heat_of(record: Contents) -> Course:
    """Returns the sizes of the signal that tells most over the steps."""
    return course_of(record, _there(record, _HEAT)[0], "rms")


def loss_of(record: Contents) -> Loss:
    """Returns the loss between the recorded steps, and the causes that were found."""
    steps, means = record.scalars.get("loss", ((), ()))
    at, losses = np.asarray(steps, np.int64), np.asarray(means, np.float64)
    apart = running.taken_apart(at, losses, running.Epochs.of(record.metadata))
    return Loss(
        at, losses if apart is None else apart, marks_of(record), verdict_of(record)
    )


def marks_of(record: Contents) -> list[Mark]:
    """Returns what stands and follows from nothing else, one a rule and step."""
    groups: dict[tuple[str, int, str], list[str | None]] = {}
    for one in _standing(record):
        place = one["rule"], one["step"] or 0, one["severity"]
        groups.setdefault(place, []).append(one["layer"])
    return [
        Mark(step, severity, f"{rule}{_places(layers)}, since step {step}")
        for (rule, step, severity), layers in groups.items()
    ]


def verdict_of(record: Contents) -> str:
    """Returns the findings of a record in a word or two."""
    if record.findings is None:
        return "not judged by rules"
    rules = list(dict.fromkeys(one["rule"] for one in _standing(record)))
    return ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "") or "no finding"


def title_of(record: Contents) -> str:
    """Returns the name of the model, and between which steps it was watched."""
    stores = (record.series, record.norms)
    steps = [step for one in stores for held in one.values() for step in held.steps]
    name = record.metadata.get("model") or "a run"
    return f"{name}, steps {min(steps)} to {max(steps)}" if steps else f"{name}, empty"


def facts_of(record: Contents) -> list[tuple[str, str]]:
    """Returns what a record holds, as pairs of a heading and a text."""
    loss = loss_of(record)
    finite = np.isfinite(loss.losses)
    facts = [
        (name, f"{what}{len(series)} steps of {len(series.tensors)} tensors")
        for what, store in (("", record.series), ("norms of ", record.norms))
        for name, series in store.items()
    ]
    if len(loss.losses):
        text = f"{loss.losses[0]:.4g} at step {loss.steps[0]}, "
        text += f"{loss.losses[-1]:.4g} at step {loss.steps[-1]}"
        facts.append(("loss", text + ("" if finite.all() else " (not always finite)")))
    facts.append(("findings", loss.verdict))
    facts += [(mark.severity, mark.text) for mark in loss.marks]
    facts += [("missing", str(one)) for one in record.missing]
    return facts


def _there(record: Contents, wanted: Sequence[str]) -> list[str]:
    """Returns those of some signals that were recorded, else the others that were."""
    recorded = record.signals()
    if not recorded:
        raise ValueError(
            "There is nothing to plot: the record holds no monitored steps. A monitor "
            "fills it while `fit` runs."
        )
    return [name for name in wanted if name in recorded] or recorded


def _rows_of(
    record: Contents, signal: str, tensors: Sequence[schema.TensorKey]
) -> list[int]:
    """Returns which tensors are drawn: of weights the kernels, if these are known."""
    everything = list(range(len(tensors)))
    if schema.ALL_SIGNALS[signal].source == "layer":
        return everything
    roles = record.roles()
    kernels = [
        row
        for row in everything
        if roles.get((tensors[row].layer, tensors[row].tensor)) in schema.CARRIERS
    ]
    return kernels or everything


def _standing(record: Contents) -> list[dict[str, Any]]:
    """Returns findings that have not ceased, are faults, and follow from no other."""
    return [
        one
        for one in record.findings or ()
        if one.get("cleared") is None
        and one.get("because_of") is None
        and one["severity"] != "info"
    ]


def _places(layers: Sequence[str | None]) -> str:
    """Returns where a fault is: in its first layer, and in how many more."""
    named = [layer for layer in layers if layer is not None]
    if not named:
        return ""
    more = f" and {len(named) - 1} more" if len(named) > 1 else ""
    return f" in {named[0]}{more}"
