"""One program, looked at as a user would: what it learns, and what is said of it."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator

import keras
import numpy as np

import keras_initkit as kik
from benchmarks.faults.runs import Stop
from benchmarks.faults.trial import growing
from benchmarks.published.data import Examples
from benchmarks.published.programs import Spec, build, steps_of
from keras_initkit.diagnosis import Finding
from keras_initkit.recording.record import RunRecord

EVERY, FEWEST = 10, 20  # monitored steps: every tenth, but at least so many of a fit
GROWTH = 1.25  # the rules are asked again after so many times the monitored steps
JUDGED_ON = 1000  # examples that skill is measured on
# What the record of a training hangs on: the rules excepted, which judge it anew.
SOURCES = (
    "benchmarks/published/data.py",
    "benchmarks/published/programs.py",
    "benchmarks/published/trial.py",
    "keras_initkit/callbacks",
    "keras_initkit/capture",
    "keras_initkit/stats",
    "keras_initkit/structure",
)
ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a program.

    Attributes:
        skill: How much better than a constant guess it is after training, at most 1.
        findings: What was said of it, causes ahead, in the order in which it is shown.
    """

    skill: float
    findings: tuple[Finding, ...]


def run(spec: Spec, keep: pathlib.Path) -> Outcome:
    """Diagnoses and trains a program; trainings are kept in a folder.

    Args:
        spec: The program.
        keep: Folder of the trainings that were run before.
    """
    model, examples = _fresh(spec)
    before = kik.diagnose(model, examples.x, examples.y).findings
    skill, record = _trained(spec, keep)
    during = [
        finding for then in _looks(record) for finding in kik.diagnosis.judge(then)
    ]
    after = kik.review(record)
    told: dict[tuple[str, str | None], Finding] = {}
    for finding in [*before, *during, *after]:
        told.setdefault((finding.rule, finding.layer), finding)
    shown = kik.diagnosis.explained(told.values(), kik.diagnosis.layers_of(record))
    return Outcome(skill, tuple(kik.diagnosis.in_order(shown)))


def skill_after(spec: Spec, keep: pathlib.Path) -> float:
    """Returns the skill of a program after training."""
    return _trained(spec, keep)[0]


def _fresh(spec: Spec) -> tuple[keras.Model, Examples]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return build(spec)


def _trained(spec: Spec, keep: pathlib.Path) -> tuple[float, RunRecord]:
    """Returns skill and record of a training, run if it was not before."""
    folder = keep / _digest(spec)
    kept, skill = folder / "record.json", folder / "skill.json"
    if not skill.exists():
        folder.mkdir(parents=True, exist_ok=True)
        model, examples = _fresh(spec)
        _fit(model, examples, spec).to_json(kept)
        skill.write_text(json.dumps(skill_of(model, examples)))
    return json.loads(skill.read_text()), RunRecord.from_json(kept)


def _digest(spec: Spec) -> str:
    """Returns the name of a training: of its settings and of the code it hangs on."""
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode())
    for name in SOURCES:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _fit(model: keras.Model, examples: Examples, spec: Spec) -> RunRecord:
    steps = steps_of(spec, len(examples.x))
    every = max(1, min(EVERY, steps // FEWEST))
    monitor = kik.SignalMonitor(None, every=every, rules=None, histograms=False)
    model.fit(
        examples.x,
        examples.y,
        batch_size=spec["batch_size"],
        epochs=spec["epochs"],
        callbacks=[monitor, Stop(steps)],
        verbose=0,
    )
    return monitor.record


def _looks(record: RunRecord) -> Iterator[RunRecord]:
    """Yields the record as it was whenever a monitor would have asked the rules."""
    due = then = None
    for number, (_, then) in enumerate(growing(record), start=1):
        if due is None or number >= due:
            due = max(number + 1, int(np.ceil(GROWTH * number)))
            yield then
    if then is not None:
        yield then


def skill_of(model: keras.Model, examples: Examples) -> float:
    """Returns how much better than a constant guess a model is, at most 1.

    Returns:
        R² of numbers; of classes and labels the accuracy above that of the most
        frequent one, as a share of what was to be gained (the accuracy itself where
        there is but one). NaN predictions have a skill of 0.
    """
    x, truth = examples.x[:JUDGED_ON], examples.truth[:JUDGED_ON]
    outputs = model.predict(x, batch_size=250, verbose=0).astype("float64")
    if not np.isfinite(outputs).all():
        return 0.0
    if examples.asks == "numbers":
        spread = np.square(truth - truth.mean(axis=0)).mean()
        return float(
            1 - np.square(outputs - truth.reshape(outputs.shape)).mean() / spread
        )
    truth = truth.reshape(*outputs.shape[:-1], -1).astype(int)
    if truth.shape == outputs.shape:
        guess = (outputs > 0.5).astype(int)
    else:
        guess = outputs.argmax(axis=-1)[..., None]
    right = float((guess == truth).mean())
    constant = np.mean(
        [_most_frequent(column) for column in truth.reshape(-1, truth.shape[-1]).T]
    )
    return right if constant == 1 else float((right - constant) / (1 - constant))


def _most_frequent(values: np.ndarray) -> float:
    return np.bincount(values).max() / len(values)
