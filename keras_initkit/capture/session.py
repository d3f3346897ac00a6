"""A session: who listens to a model's steps, who is armed, how an execution runs."""

import contextlib
import functools
import typing
import weakref

import tensorflow as tf

from keras_initkit.capture.guard import attempt
from keras_initkit.capture.listeners import Listeners
from keras_initkit.capture.phases import TRAIN
from keras_initkit.capture.requests import Watch, details_of, fullest
from keras_initkit.capture.twin import single_step
from keras_initkit.capture.twin.twins import Twins

_SESSIONS: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class Session:
    """Hands `fit` an instrumented train function for the steps that are armed.

    One session serves all monitors of a model (`Session.of`), so that a step that
    several of them watch is instrumented once. It is kept alive by its monitors only.

    On an armed step, `model.train_function` is the session's; its first act is to put
    the model's own function back. On every other step the very function of a bare `fit`
    runs. Nothing else is ever put on the model, and taps are on its layers only while
    the armed step runs. With `steps_per_execution`, the steps of an execution that
    holds a monitored one are run one by one.

    Attributes:
        phase: `phases.Phase`: whether it is about steps that train or that test.
        failure: What broke the watching of the present step; `None` for nothing.
    """

    def __init__(self, model, phase=TRAIN):
        self._model: typing.Any = weakref.ref(model)
        self.phase = phase
        self._attribute = phase.function
        self._listeners = Listeners(self._model, phase)
        self._twins = Twins(self._model, phase, self._listeners)
        self.failure: typing.Any = None

    @property
    def model(self):
        """The model, `None` when it is gone."""
        return self._model()

    @classmethod
    def of(cls, model, phase=TRAIN):
        """Returns the session of a model and a phase, made where there is none."""
        key = id(model), phase.name
        session = _SESSIONS.get(key)
        if session is None or session._model() is not model:
            session = _SESSIONS[key] = cls(model, phase)
        return session

    def listen(
        self, listener, signals, selection=None, histograms=False, goes_on=False
    ):
        """Registers what a listener wants, before training starts.

        Layers are looked up when the model is built, at the latest ahead of the first
        monitored step.

        Args:
            listener: Hashable; stands for the monitor.
            signals: Names of signals; or `{detail: names}`, for each of the
                `schema.DETAILS` that its requests may name.
            selection: `Selection` of layers, all by default.
            histograms: Whether it may ask for histograms.
            goes_on: Whether it goes on with what it recorded of this model. Where none
                does, weights are compared with what they are now.

        Raises:
            RefusedError: If the selection names what a built model does not have.
        """
        self._listeners.add(listener, signals, selection, histograms, goes_on)

    def begin_fit(self):
        """Takes in the train function of a `fit` that begins, before it runs."""
        self._twins.begin(self._own_function())
        self._stay()

    def untapped(self, listener):
        """Lists the `layers.Untapped` among a listener's layers, after a step."""
        return self._listeners.untapped(listener, self._twins.made.values())

    def expected(self, listener):
        """Tells what a monitored step will show a listener, if the model is built.

        Returns:
            What `expected_tensors` tells, or `None`.
        """
        return self._listeners.expected(listener)

    def forget(self, listener, goes_on=False):
        """Takes a listener off, and what it had armed.

        Args:
            listener: The listener.
            goes_on: Whether the training does, for others or for nobody.
        """
        self._listeners.remove(listener)
        model = self._model()
        armed = self.phase.function_of(model)
        if isinstance(armed, _Armed) and armed.session is self:
            armed.requests = [o for o in armed.requests if o.listener is not listener]
            if not armed.requests:
                self.phase.put(model, self._twins.plain)
        if goes_on:
            self._stay()

    def hears(self, request):
        """Whether the listener of a request has not been taken off."""
        return request.listener in self._listeners

    def arm(self, request):
        """Makes the next execution of the train function a monitored one.

        Returns:
            Whether it was not one already: the one that was armed has not come.
        """
        model = self._model()
        self.phase.make(model)
        current = self.phase.function_of(model)
        if isinstance(current, _Armed) and current.session is self:
            if all(one.listener is not request.listener for one in current.requests):
                current.requests.append(request)
                return True
            return False
        self._twins.meet(self._own_function())
        self.phase.put(model, _Armed(self, [request], _training(model)))
        return True

    def _own_function(self):
        """Returns the model's own function, `None` where none is in its place."""
        function = self.phase.function_of(self._model())
        return None if type(function) is _Armed else function

    def run(self, iterator, requests):
        """Runs one execution of the train function, in place of the plain one.

        Here, and in `_Armed`, stands nothing of ours that an exception could end but
        behind `attempt`.

        Step by step: each gets its batch as data. The plain function runs where no step
        can be watched, and is left an iterator that has run out: it may count an
        iteration before it fails.
        """
        made = attempt(requests, "preparing a step", self._ready, requests, iterator)
        due, draws, error = ({}, False, None) if made is None else made
        if error is not None or not (due or draws):
            ran = self._twins.streams.plain_runs
            attempt(requests, "noting that the plain step runs", ran)
            try:
                logs = self._twins.plain(iterator)  # raises what is the user's own
            except Exception as raised:
                # Traced once more, it may raise another error than when it was traced
                # ahead: Keras has begun to build losses.
                first, self._twins.raised = self._twins.raised, None
                raise first or raised from None
            attempt(requests, "telling so", self._tell, due, error)
            return logs
        logs, model, twins = None, self._model(), self._twins.made
        for done in range(model.steps_per_execution):
            optional = iterator.get_next_as_optional()
            if not bool(optional.has_value()):
                if done == 0:
                    return self._twins.plain(iterator)
                break
            batch = functools.cache(optional.get_value)
            given = single_step.arguments(iterator, optional, batch, model.run_eagerly)
            wanting = due.get(done, {})
            watch = None
            if wanting:
                watch = attempt(wanting, "the schedule", Watch.of, wanting, done)
            if watch is None and not draws:
                logs = self._twins.plain_step(*given)
                continue
            twin = self._twins.chosen(wanting.values(), twins)
            with contextlib.ExitStack() as taps_in:
                attempt(requests, "tapping", self._tap, taps_in, twin, watch, batch)
                outputs = twin.step(*given)
            logs = outputs["logs"]
            if watch is not None:
                seen = outputs["seen"]
                attempt(
                    requests, "recording a step", self._finish, twin, watch, seen, logs
                )
        attempt(requests, "waiting for the next step", self._stay)
        return logs

    def _tap(self, taps_in, twin, watch, batch):
        """Has a step that a twin runs tapped, and shown to those who watch it."""
        if watch is not None:
            for request in watch.details:
                request.show(batch)
        self._twins.tap(taps_in, twin, watch is not None and bool(watch.counting))

    def _stay(self):
        """Has the twin run the next execution, too, if none but the twin can."""
        model = self._model()
        if self._twins.draw() and self.phase.function_of(model) is self._twins.plain:
            self.phase.put(model, _Armed(self, [], _training(model)))

    def _ready(self, requests, iterator):
        """Makes ready what the steps of an execution take.

        Returns:
            By the numbers of the steps that are due, `{request: detail}`;
            whether other steps, too, are the twin's; and what stands against watching.
        """
        steps = range(self._model().steps_per_execution)
        due = {done: details_of(requests, done) for done in steps}
        # Some may have given up meanwhile.
        due = {
            done: {one: detail for one, detail in wanting.items() if self.hears(one)}
            for done, wanting in due.items()
        }
        due = {done: wanting for done, wanting in due.items() if wanting}
        details = dict.fromkeys(fullest(one.values()) for one in due.values())
        error = self._twins.prepare(iterator, details) if due else None
        # A twin that draws in one step of the execution does in all.
        draws = self._twins.draw() or (bool(due) and self._twins.streams.are_there)
        return due, draws, error

    def _tell(self, due, error):
        """Tells those who waited for a step why it was not watched."""
        for request in (request for wanting in due.values() for request in wanting):
            request.failed(error, "tracing a watched step")

    def _finish(self, twin, watch, outputs, logs):
        """Delivers what left a watched step."""
        ((number, values),) = outputs.items()
        counted = bool(watch.counting)
        seen, self.failure = self._twins.read(twin, number, values, counted)
        for request, detail in watch.details.items():
            counted = request in watch.counting
            self._give(request, detail, watch.done, seen, logs, counted)

    def _give(self, request, detail, done, seen, logs, counted):
        """Delivers what a request asks for of a step."""
        if self.failure is not None:
            self._twins.made = {}  # a later training tries again
            request.failed(*self.failure)
            return
        wish = self._listeners.wish(request.listener, detail)
        if wish is not None:  # else it has given up meanwhile
            request.give(done, wish.part_of(seen, counted), logs)


# What `fit` gives a train function; `train_on_batch` gives a Python iterator.
_OF_FIT = (tf.data.Iterator, tf.distribute.DistributedIterator)


class _Armed:
    """What stands in `model.train_function` for one execution.

    Where the `fit` that it was made for has ended before it was called (another
    callback raised), it runs the plain function.
    """

    def __init__(self, session, requests, training):
        self.session = session
        self.requests = requests
        self._training = training

    def __call__(self, iterator):
        session = self.session
        is_meant = attempt(self.requests, "taking a step", self._is_meant, iterator)
        if is_meant is not False:
            setattr(session._model(), session._attribute, session._twins.plain)
        if is_meant:
            return session.run(iterator, self.requests)
        return session._twins.plain(iterator)

    def _is_meant(self, iterator):
        """Whether a call is that which was waited for.

        Returns:
            `None` where nobody waits any more; `False` for another call meanwhile, as
            `train_on_batch` makes it, with a Python iterator, from a callback of `fit`.
        """
        if _training(self.session.model) is not self._training:
            return None
        return isinstance(iterator, _OF_FIT)


def _training(model):
    """What tells one `fit` from another: Keras gives each a history of its own."""
    return getattr(model, "history", None)
