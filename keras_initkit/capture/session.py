"""A session: the instrumented twin of a model's train function, and who listens to it."""

import contextlib
import threading
import weakref

import numpy as np

from keras_initkit import schema, stats
from keras_initkit.capture import layers as choosing
from keras_initkit.capture import taps
from keras_initkit.capture.collector import Collector

_SESSIONS: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class Session:
    """Hands `fit` an instrumented train function for the steps that are armed.

    One session serves all monitors of a model (`Session.of`), so that a step that
    several of them watch is instrumented once. It is kept alive by its monitors only.

    On an armed step, `model.train_function` is the session's; its first act is to put
    the model's own function back. On every other step the very function of a bare `fit`
    runs. Nothing else is ever put on the model, and taps are on its layers only while
    the armed step runs.
    """

    def __init__(self, model):
        self._model = weakref.ref(model)
        self._listeners = {}
        self._plain = None
        self._twin = None
        self._plain_single = None
        self._signals = ()
        self._layers, self._weight_names, self.untapped = [], {}, []
        self._layouts = []
        self._lock = threading.Lock()

    @classmethod
    def of(cls, model):
        """Returns the session of a model, made where there is none."""
        session = _SESSIONS.get(id(model))
        if session is None or session._model() is not model:
            session = _SESSIONS[id(model)] = cls(model)
        return session

    def listen(self, listener, signals, patterns=None):
        """Registers what a listener wants, before training starts.

        Args:
            listener: Hashable; stands for the monitor.
            signals: Names of signals.
            patterns: Names or shell patterns of layers, all by default.
        """
        model = self._model()
        chosen, self.untapped = choosing.choose_layers(model, patterns)
        below = None if patterns is None else [name for name, _ in chosen]
        self._listeners[listener] = (
            tuple(signals),
            chosen,
            choosing.weight_names(model, below),
        )
        signals, layers, weights = [], {}, {}
        for theirs, chosen, names in self._listeners.values():
            signals.extend(theirs)
            layers.update(chosen)
            weights.update(names)
        wanted = (schema.check_signals(signals), list(layers.items()), weights)
        if wanted != (self._signals, self._layers, self._weight_names):
            self._signals, self._layers, self._weight_names = wanted
            self._twin = None

    def forget(self, listener):
        """Takes a listener off; the taps stay as they are until others ask for less."""
        self._listeners.pop(listener, None)

    def arm(self, plan, deliver):
        """Makes the next execution of the train function a monitored one.

        Args:
            plan: Function of the number of steps done in this execution (0 for the
                first) that says whether the next is to be monitored.
            deliver: Function called after each monitored step with the number of steps
                done before it and `{signal: (keys, statistics)}`.
        """
        model = self._model()
        current = model.train_function
        if isinstance(current, _Armed) and current.session is self:
            current.orders.append((plan, deliver))
            return
        if current is not self._plain:
            self._plain, self._twin = current, None
        model.train_function = _Armed(self, [(plan, deliver)])

    def _run(self, iterator, orders):
        """Runs one execution of the train function, in place of the plain one."""
        model = self._model()
        model.train_function = self._plain
        if self._twin is None:
            self._build(model)
        logs = None
        for done in range(model.steps_per_execution):
            due = [deliver for plan, deliver in orders if plan(done)]
            try:
                logs, results = self._one_step(model, iterator, bool(due))
            except StopIteration:
                if done == 0:
                    raise
                break
            for deliver in due:
                deliver(done, results)
        return logs

    def _one_step(self, model, iterator, due):
        """Runs one step; returns its logs and, where due, what the taps saw."""
        single = model.steps_per_execution == 1
        if not due:
            function = self._plain if single else self._plain_single
            with _attribute(model, "steps_per_execution", 1):
                return function(iterator), None
        with (
            _attribute(model, "steps_per_execution", 1),
            taps.installed(self._layers, model.optimizer, self._weight_names),
        ):
            outputs = self._twin(iterator)
        ((number, values),) = outputs["seen"].items()
        results = _results(self._layouts[int(number)], values)
        return outputs["logs"], results

    def _build(self, model):
        """Makes the twin, and a single-step plain function where it is needed."""
        original = model.train_step

        def train_step(data):
            scale = None
            if model.optimizer is not None:
                scale = taps.loss_scale(model.optimizer)
            collector = Collector(self._signals, scale)
            with collector.listening():
                logs = original(data)
            layout, values = collector.packed()
            return {"logs": logs, "seen": {self._number(layout): values}}

        # Functions read these when they are traced or run, not when they are made.
        with _attribute(model, "train_function", None):
            with _attribute(model, "train_step", train_step):
                model.make_train_function(force=True)
                self._twin = model.train_function
            if model.steps_per_execution > 1:
                model.make_train_function(force=True)
                self._plain_single = model.train_function

    def _number(self, layout):
        """Returns the name by which the host knows the layout of a trace's values."""
        with self._lock:
            if layout not in self._layouts:
                self._layouts.append(layout)
            return str(self._layouts.index(layout))


def _results(layout, values):
    """Finishes the statistics of a step: `{signal: (keys, matrix)}`."""
    results = {}
    for (signal, keys, units), (scalars, profiles) in zip(layout, values, strict=True):
        profiles = np.split(np.sum(profiles, axis=0), np.cumsum(units)[:-1], axis=1)
        matrix = stats.finalize(signal, stats.merge(scalars), profiles)
        results[signal] = (keys, matrix)
    return results


class _Armed:
    """What stands in `model.train_function` for one execution."""

    def __init__(self, session, orders):
        self.session = session
        self.orders = orders

    def __call__(self, iterator):
        return self.session._run(iterator, self.orders)


@contextlib.contextmanager
def _attribute(instance, name, value):
    """Sets an attribute on an instance, past its `__setattr__`, and sets it back."""
    missing = object()
    before = instance.__dict__.get(name, missing)
    instance.__dict__[name] = value
    try:
        yield
    finally:
        if before is missing:
            instance.__dict__.pop(name, None)
        else:
            instance.__dict__[name] = before
