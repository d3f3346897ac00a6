"""What is said of a healthy set-up, before and while it is trained."""

import dataclasses

import keras
import numpy as np

import keras_initkit as kik

STEPS, BATCH = 12, 16


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Findings of a set-up, `rule in layer: message`, by severity.

    Attributes:
        name: Name of the set-up.
        before: Of `lint` and `diagnose`.
        during: Of a monitor of 12 steps; those that were told at any of them.
        after: Of `lint` and `diagnose`, after `recommend`.
    """

    name: str
    before: list
    during: list
    after: list

    def all(self):
        return [*self.before, *self.during, *self.after]


def judge(name, build, fit=True):
    """Judges a set-up, `fit` with a monitor as well."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    model, x, y = build()
    some = _first(x, BATCH), _first(y, BATCH)
    before = [*kik.lint(model), *kik.diagnose(model, *some).findings]
    during = []
    if fit:
        weights = [np.asarray(v) for v in model.variables]
        monitor = kik.SignalMonitor(None, every=1, on_finding=during.append)
        model.fit(
            x, y, batch_size=BATCH, steps_per_epoch=STEPS, epochs=1, verbose=0,
            callbacks=[monitor],
        )  # fmt: skip
        during += monitor.findings
        for variable, value in zip(model.variables, weights, strict=True):
            variable.assign(value)
    kik.reinitialize(model, kik.recommend(model), seed=0)
    after = [*kik.lint(model), *kik.diagnose(model, *some).findings]
    return Verdict(name, *(told(found) for found in (before, during, after)))


def told(findings):
    """Returns findings that are not for information alone, each once."""
    found = {}
    for one in findings:
        if one.severity != "info":
            found.setdefault((one.rule, one.layer), one)
    return list(found.values())


def _first(data, count):
    return keras.tree.map_structure(lambda array: array[:count], data)
