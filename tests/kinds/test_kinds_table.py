"""Every kind of model and training × every promise of the monitor.

`pytest tests/kinds -m ''` prints the table, and without `-m ''` that of the kinds in
every run of the tests.
"""

import collections
import contextlib
import json
from unittest import mock

import keras
import kinds
import kinds_reference as reference
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.capture.tapping import collector as collecting
from keras_initkit.capture.twin import notes

# Of a tensor's rms.
TOLERANCE = 1e-5
# Of three steps of a deep model that compute the same in different orders, one differs
# from another by this many times what the third does, at most.
ORDERS = 3.0
# A tensor this much smaller than the largest of its signal is zero but for rounding
# (the gradient of a bias ahead of a softmax or a normalization).
ROUNDING = 1e-5
OF_LAYERS = ("activation", "preactivation", "backprop")


class States(keras.callbacks.Callback):
    """Keeps the values of a model's variables before and after one step."""

    def __init__(self, step):
        super().__init__()
        self._step = step
        self._next = 0
        self._first = self.before = self.after = None

    def on_train_begin(self, logs=None):
        # Of two models trained in turn, the first.
        self._first = self._first or self.model

    def on_train_batch_begin(self, batch, logs=None):
        self._batch = batch
        if self.model is self._first and self._next == self._step:
            optimizer = self.model.optimizer
            self.before = [np.asarray(v) for v in self.model.variables]
            self.scale = float(optimizer.scale_loss(1.0)) if optimizer else 1.0

    def on_train_batch_end(self, batch, logs=None):
        if self.model is not self._first:
            return
        if self._next == self._step:
            self.after = [np.asarray(v) for v in self.model.trainable_variables]
        self._next += batch - self._batch + 1


def is_of_twin(collector):
    return collector is not None and not isinstance(collector, notes.Notes)


@contextlib.contextmanager
def counted(model):
    """Counts how often the train step of a model is run by Python, and for what.

    That is: to trace the plain one (which may be noted), or for a twin.
    """
    counts = collections.Counter()
    owner = next(kind for kind in type(model).mro() if "train_step" in vars(kind))
    original = owner.train_step

    def train_step(self, data):
        counts["twin" if is_of_twin(collecting.active()) else "plain"] += 1
        return original(self, data)

    with mock.patch.object(owner, "train_step", train_step):
        yield counts


def train(kind, *callbacks):
    """Trains models of a kind; returns them and how often their step was traced."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model = kind.build()
    with counted(model) as counts:
        models = kind.train(kind, model, callbacks)
    return models, counts


def step_again(kind, states, again):
    """The step whose states were kept, once more: `"float64"`, `"eager"`, `"graph"`."""
    float64 = again == "float64"
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    with reference.floats("float64" if float64 else "float32"):
        return reference.run(
            kind.build(),
            states.before,
            kind.batch(),
            scale=1.0 if float64 else states.scale,
            graph=again == "graph",
        )


def at_step(record, signal, step):
    """`{key: {statistic: value}}` of a signal where a step was first recorded."""
    found = {}
    for series in record.series.values():
        assert len(set(series.tensors)) == len(series.tensors)
        if series.signal == signal and step in series.steps.tolist() and not found:
            row = series.values[series.steps.tolist().index(step)]
            for key, values in zip(series.tensors, row, strict=True):
                found[key] = dict(zip(series.statistics, values.tolist(), strict=True))
    return found


def layer_names(model):
    """Names of layers by number: the path, the second of the same with a `#2`..."""
    seen, names = collections.Counter(), []
    for layer in reference.numbered_layers(model):
        path = layer.path or layer.name
        seen[path] += 1
        names.append(path if seen[path] == 1 else f"{path}#{seen[path]}")
    return names


def expected_tensors(model, seen, states, no_weights):
    """`{signal: {key: array}}` that a step must have shown."""
    names = layer_names(model)
    parts = collections.Counter((n, c) for n, _, c in seen.tensors["activation"])
    expected = {}
    for signal in OF_LAYERS:
        expected[signal] = {
            schema.TensorKey(
                names[number], f"output_{part}" if several else "output", call
            ): array
            for (number, part, call), array in seen.tensors[signal].items()
            for several in [signal != "preactivation" and parts[number, call] > 1]
        }
    variables = model.trainable_variables
    keys = [schema.TensorKey(*v.path.rsplit("/", 1)) for v in variables]
    at = {id(v): i for i, v in enumerate(model.variables)}
    before = [states.before[at[id(v)]] for v in variables]
    after = [a.astype(np.float64) for a in states.after]
    if no_weights:
        return expected
    expected["gradient"] = {keys[i]: g for (i,), g in seen.tensors["gradient"].items()}
    expected["weight"] = {k: a.astype(float) for k, a in zip(keys, before, strict=True)}
    expected["update"] = {
        k: b - a.astype(float) for k, a, b in zip(keys, before, after, strict=True)
    }
    return expected


def bit_equality(bare, watched):
    return [
        f"{one.path} differs"
        for models in zip(bare, watched, strict=True)
        for one, other in zip(*(model.variables for model in models), strict=True)
        if not np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)
    ]


def tracings(bare, watched):
    faults = []
    if watched["plain"] > bare["plain"]:
        faults.append(f"plain step traced {watched['plain']}×, bare {bare['plain']}×")
    if watched["twin"] > bare["plain"]:
        faults.append(f"twin traced {watched['twin']}×, bare {bare['plain']}×")
    return faults


def completeness(kind, model, monitor, expected, closed):
    """What is missing in a record without a reason, and what should not be there."""
    reasons = dict(monitor.record.metadata["untapped"])
    faults = []
    for signal, tensors in expected.items():
        found = at_step(monitor.record, signal, kind.step).keys()
        missing = [k for k in tensors.keys() - found if k.layer not in reasons]
        extra = found - tensors.keys()
        faults += [f"{signal} lacks {key.label}" for key in missing]
        faults += [f"{signal} has {key.label}" for key in extra]
    names = layer_names(model)
    faults += [f"{names[n]} has no reason" for n in closed if names[n] not in reasons]
    listed = {name.rpartition("/")[2] for name in reasons}
    return faults + [
        f"{name} is listed or should be" for name in listed ^ set(kind.untapped)
    ]


def rounding(again, expected, signal, key, floor):
    """By how much a statistic of a tensor differs between two recomputations."""
    other = again[signal].get(key) if again else None
    if other is None:
        return 0.0
    array = expected[signal][key]
    return reference.worst_error(reference.statistics(other), array, floor)[0]


def values(kind, monitor, expected, again=None):
    """What differs from the recomputation, and the worst error of each signal."""
    faults, worst = [], {}
    for signal, tensors in expected.items():
        found = at_step(monitor.record, signal, kind.step)
        rms = [np.sqrt(np.mean(x**2)) for x in tensors.values() if x.size]
        floor = ROUNDING * max(rms, default=0.0) + 1e-30
        for key, array in tensors.items():
            if key not in found or not array.size:
                continue
            error, statistic = reference.worst_error(found[key], array, floor)
            worst[signal] = max(error, worst.get(signal, 0.0))
            known = rounding(again, expected, signal, key, floor)
            if not error <= max(TOLERANCE, ORDERS * known):
                faults.append(f"{signal} {key.label} {statistic}: {error:.1e}")
    return faults, worst


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in kinds.DEFAULT else [pytest.mark.slow])
        for name in kinds.KINDS
    ],
)
def test_kind(name, record_property):
    kind = kinds.KINDS[name]
    bare, bare_tracings = train(kind)
    monitor = kik.SignalMonitor(None, every=kind.every, histograms=kind.histograms)
    states = States(kind.step)
    watched, watched_tracings = train(kind, monitor, states)
    seen = step_again(kind, states, kind.again)
    expected = expected_tensors(watched[0], seen, states, kind.no_weights)
    again = None
    if kind.deep:
        other = step_again(kind, states, kind.deep)
        again = expected_tensors(watched[0], other, states, kind.no_weights)
    wrong, worst = values(kind, monitor, expected, again)
    promises = {
        "bit-equal": bit_equality(bare, watched),
        "traced": tracings(bare_tracings, watched_tracings),
        "complete": completeness(kind, watched[0], monitor, expected, seen.closed),
        "true": wrong,
    }
    # As text, which goes from one process to another.
    row = {
        "name": name,
        "promises": {promise: not faults for promise, faults in promises.items()},
        "tensors": sum(
            len(at_step(monitor.record, signal, kind.step)) for signal in expected
        ),
        "untapped": monitor.record.metadata["untapped"],
        "worst": worst,
        "again": kind.again,
    }
    record_property("kind", json.dumps(row, default=float))
    assert promises == {promise: [] for promise in promises}
