"""One training, looked at as a user would: what it learns, and what is said when."""

import collections
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

import keras_initkit as kik
from benchmarks.faults import models, tasks
from benchmarks.faults.runs import Stop
from benchmarks.faults.settings import Setting
from keras_initkit.recording.record import RunRecord
from keras_initkit.recording.series import SignalSeries

EVERY = 10  # monitored steps
LOOKED_AT = 64  # examples that `diagnose` gets
JUDGED_ON = 1000  # examples that skill is measured on
BEFORE, DURING = "before.json", "during.json"  # the records
KEPT = ("rule", "severity", "layer", "message")


def run(setting: Setting, keep: pathlib.Path) -> dict[str, Any]:
    """Trains a setting, and keeps what a `SignalMonitor` and `kik.diagnose` record.

    Args:
        setting: The setting.
        keep: Folder for the two records.

    Returns:
        JSON-able dict: `skill`, `static` (the findings that need no record, of
        `kik.lint` and of theory), `error` (what `diagnose` or `fit` raised, or `None`)
        and `seconds` of CPU.
    """
    began = time.process_time()
    keras.backend.clear_session()
    keras.utils.set_random_seed(setting.seed)
    keras.config.set_dtype_policy(setting.policy)
    try:
        task = tasks.load(setting.data, setting.damage)
        model = models.build(setting, task)
        static, raised = _diagnose(model, task, keep / BEFORE)
        raised = _fit(model, task, setting, keep / DURING) or raised
        skill = skill_of(model, task)
    finally:
        keras.config.set_dtype_policy("float32")
    seconds = time.process_time() - began
    return {"skill": skill, "static": static, "error": raised, "seconds": seconds}


def findings_of(outcome: dict[str, Any], keep: pathlib.Path) -> list[dict[str, Any]]:
    """Returns what the rules say of a training, each finding when it is first told.

    Returns:
        Dicts with the `rule`, `severity`, `layer` and `message` of a finding and in
        `found` the step at which it was told, in this order.
    """
    told: dict[tuple[str, str, str | None], dict[str, Any]] = {}

    def tell(finding, step):
        word = tuple(finding[name] for name in ("rule", "severity", "layer"))
        kept = {name: finding[name] for name in KEPT}
        told.setdefault(word, {**kept, "found": step})

    before = [RunRecord.from_json(path) for path in _files(keep / BEFORE)]
    for finding in (f for record in before for f in kik.diagnosis.judge(record)):
        tell(finding.to_dict(), 0)
    for finding in outcome["static"]:
        tell(finding, 0)
    during = [RunRecord.from_json(path) for path in _files(keep / DURING)]
    for step, then in (pair for record in during for pair in growing(record)):
        for finding in kik.diagnosis.judge(then):
            tell(finding.to_dict(), step)
    return sorted(told.values(), key=lambda one: one["found"])


def growing(record: RunRecord) -> Iterator[tuple[int, RunRecord]]:
    """Yields each step with the record as it was then: one object, which grows."""
    stores = ("series", "histograms", "time_steps")
    then = RunRecord(metadata=record.metadata)
    events: dict[int, list[Any]] = collections.defaultdict(list)
    for store in stores:
        for name, series in getattr(record, store).items():
            grown = SignalSeries(series.signal, series.tensors, series.statistics)
            for step, values in zip(series.steps.tolist(), series.values, strict=True):
                events[step].append((getattr(then, store), name, grown, values))
    losses = dict(zip(*record.scalars.get("loss", ((), ())), strict=True))
    for step in sorted(events):
        for held, name, grown, values in events[step]:
            grown.append(step, values)
            held[name] = grown
        if step in losses:
            then.add_scalars(step, {"loss": losses[step]})
        yield step, then


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    return [path] if path.exists() else []


def _diagnose(model, task, path):
    """Returns static findings and what was raised; keeps the record."""
    some = slice(LOOKED_AT)
    findings = kik.lint(model)
    raised = None
    try:
        diagnosis = kik.diagnose(model, task.x[some], task.y[some])
    except Exception as error:  # what users would see in place of a diagnosis
        raised = f"diagnose: {type(error).__name__}: {error}"[:500]
    else:
        diagnosis.record.to_json(path)
        findings += [f for f in diagnosis.findings if f.rule == "TrainableDepth"]
    return [{name: getattr(f, name) for name in KEPT} for f in findings], raised


def _fit(model, task, setting, path):
    """Trains a model; returns what was raised, and keeps the record."""
    # One rule reads histograms, that of float16 gradients.
    counted = "float16" in setting.policy
    monitor = kik.SignalMonitor(None, every=EVERY, rules=None, histograms=counted)
    raised = None
    try:
        model.fit(
            task.x,
            task.y,
            batch_size=setting.batch,
            epochs=-(-setting.steps * setting.batch // len(task.x)),
            callbacks=[monitor, Stop(setting.steps)],
            verbose=0,
        )
    except Exception as error:
        raised = f"fit: {type(error).__name__}: {error}"[:500]
    monitor.record.to_json(path)
    return raised


def skill_of(model: keras.Model, task: tasks.Task) -> float:
    """Returns how much better than a constant guess a model is, at most 1.

    Returns:
        R² of numbers; of classes the accuracy above that of the most frequent one, as
        a share of what was to be gained. NaN predictions have a skill of 0.
    """
    x, y = task.x[:JUDGED_ON], task.y[:JUDGED_ON]
    outputs = model.predict(x, batch_size=250, verbose=0).astype("float64")
    if not np.isfinite(outputs).all():
        return 0.0
    if task.asks == "numbers":
        y = y.reshape(outputs.shape)
        spread = float(np.square(y - y.mean(0)).mean())
        return 1 - float(np.square(outputs - y).mean()) / spread
    if outputs.shape[-1] > 1:
        guess = outputs.argmax(-1)
    else:
        squashed = model.layers[-1].activation.__name__ in ("sigmoid", "softmax")
        guess = outputs[:, 0] > (0.5 if squashed else 0)
    right = np.mean(guess == (y > 0 if task.asks == "two classes" else y))
    _, counts = np.unique(y, return_counts=True)
    constant = counts.max() / len(y)
    return float((right - constant) / (1 - constant))
