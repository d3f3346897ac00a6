"""A session for a user's own train step, outside of `fit`."""

import contextlib
import functools
import types
import typing
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from keras_initkit.capture.guard import attempt
from keras_initkit.capture.requests import Watch, details_of, fullest
from keras_initkit.capture.session import Session
from keras_initkit.capture.tapping.building import is_built
from keras_initkit.capture.twin.first_trace import FirstTrace
from keras_initkit.structure import keras_private, tensorflow_private
from keras_initkit.structure.layers import Together
from keras_initkit.structure.shadowing import shadowed

_as_it_is = tf.autograph.experimental.do_not_convert


class Loop(Session):
    """A train step that runs instrumented when a listener wants it, else untouched.

    It is called like the step and returns what the step returns. A monitored call runs
    a twin: the same Python code, traced with the same options while the taps are in.
    Every other call runs the step itself.

    Args:
        step: `tf.function`, or a Python function that runs eagerly. What it hands to
            `strategy.run` is tapped in every replica.
        models: List of the models that it trains, built.
        optimizers: List of the optimizers that it applies.

    Raises:
        ValueError: If a model is not built, or two have the same name.
    """

    def __init__(self, step, models, optimizers):
        for model in models:
            if not is_built(model):
                raise ValueError(
                    "`models` must be built, with `model.build(shape)` or by a first "
                    f"call. Received: the model {model.name!r}, which is not"
                )
        # A session holds its model by a weak reference only.
        self.trained = models[0] if len(models) == 1 else Together(models)
        super().__init__(self.trained)
        functools.update_wrapper(self, getattr(step, "python_function", step))
        self._step = step
        self._optimizers = optimizers
        self._strategy = keras_private.strategy_given(models[0])
        # Of a function that nobody has yet said whether to convert.
        self._conversion = tensorflow_private.autograph_status()
        self._first: typing.Any = None
        self._requests: list = []
        # What the first call is numbered, and how many there were.
        self.first_step = min(int(np.asarray(one.iterations)) for one in optimizers)
        self.calls = 0

    def request(self, request):
        """Takes a standing request: the calls that are done count as its steps."""
        self._requests.append(request)

    def forget(self, listener, goes_on=False):
        """Takes a listener and its requests off."""
        self._listeners.remove(listener)
        self._requests = [one for one in self._requests if one.listener is not listener]

    def __call__(self, *args, **kwargs):
        done = self.calls
        due = details_of(self._requests, done)
        watch = due and attempt(due, "the schedule", Watch.of, due, done)
        twin = watch and attempt(due, "preparing a step", self._prepared, watch)
        if twin:
            outputs, seen = self._monitored_call(args, kwargs, twin, watch)
        else:
            due, outputs = {}, self._step(*args, **kwargs)
        self.calls += 1
        for request, detail in due.items():
            counted = request in watch.counting
            self._give(request, detail, done, seen, _logs(outputs), counted)
        return outputs

    def _prepared(self, watch):
        """Returns the twin of a step that is watched."""
        twin = self._twins.current(fullest(watch.details.values()))
        if twin.step is None:
            twin.step = self._with_outlet(self._step, twin)
        self._twins.count(bool(watch.counting))
        return twin

    def _monitored_call(self, args, kwargs, twin, watch):
        """Runs a twin; returns the step's outputs and `{signal: StepStatistics}`."""
        counted = bool(watch.counting)
        with (
            self._as_at_first(args, kwargs),
            self._twins.tapped(twin, self._optimizers),
            tensorflow_private.collectives_apart(self._strategy),
        ):
            outputs, parts = twin.step(*args, **kwargs)
        seen, self.failure = [], None
        for number, values in parts.items():
            part, failure = self._twins.read(twin, number, values, counted)
            seen.append(part)
            self.failure = failure or self.failure
        return outputs, _joined(seen)

    def _as_at_first(self, args, kwargs):
        """Has the step traced ahead of its twin; a `with` in which that does the same.

        A step that makes its optimizers' variables is traced as it would be bare.
        """
        if not isinstance(self._step, tf.types.experimental.PolymorphicFunction):
            return contextlib.nullcontext()
        built = all(getattr(one, "built", True) for one in self._optimizers)
        if self._first is None and not built:
            held = types.SimpleNamespace(of=[self.trained, *self._optimizers])
            self._first = FirstTrace(held, self._step)
            traced = self._step.get_concrete_function(*args, **kwargs)
            self._first.end(held, traced, traced.graph)
        if self._first is None or not self._first.is_repeated:
            return contextlib.nullcontext()
        return self._first.again(self._step.get_concrete_function(*args, **kwargs))

    def _with_outlet(self, function, twin, autograph=False):
        """Returns the twin of a function: it also returns what the taps saw.

        That is a dict from number of layout to values, one for the function itself and
        one for each function that it has replicas run.
        """
        traced = isinstance(function, tf.types.experimental.PolymorphicFunction)
        body, compiled = function, False
        if traced:
            body = function.python_function
            compiled, autograph = tensorflow_private.function_options(function)
        if autograph:
            # As `tf.function` does itself, unless our own code lies between.
            body = tensorflow_private.converted(body, self._conversion)
        watched = twin.function(body, self._optimizers, compiled)

        @_as_it_is
        @functools.wraps(body)
        def with_outlet(*args, **kwargs):
            with self._tapped_replicas(twin, autograph) as parts:
                outputs, number, values = watched(*args, **kwargs)
            parts[number] = values
            return outputs, parts

        if not traced:
            return with_outlet
        return tensorflow_private.function_like(function, with_outlet)

    @contextlib.contextmanager
    def _tapped_replicas(self, twin, autograph):
        """Has `strategy.run` leave what its replicas see in the dict given."""
        parts: dict = {}
        strategy = self._strategy
        if strategy is None or _in_a_replica():
            yield parts
            return
        original = strategy.run

        @_as_it_is
        def run(fn, args=(), kwargs=None, options=None):
            with_outlet = self._with_outlet(fn, twin, autograph)
            outputs, seen = original(with_outlet, args, kwargs, options)
            # The same leaves every replica.
            local = strategy.experimental_local_results
            parts.update(tf.nest.map_structure(lambda value: local(value)[0], seen))
            return outputs

        with shadowed(strategy, "run", run):
            yield parts


def _in_a_replica():
    several = tf.distribute.has_strategy()
    return several and not tf.distribute.in_cross_replica_context()


def _joined(parts):
    """Puts together what replicas showed, where a step has them run several times."""
    joined: dict = {}
    for part in parts:
        for signal, seen in part.items():
            joined[signal] = joined[signal].then(seen) if signal in joined else seen
    return joined


def _logs(outputs):
    """The numbers among what a step returns: a dict's by name, or one as the loss."""
    logs = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
    return {
        name: np.asarray(value)
        for name, value in logs.items()
        if isinstance(value, tf.Tensor | np.generic | float) and np.ndim(value) == 0
    }
