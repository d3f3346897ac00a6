"""A session: the instrumented twin of a model's train function and its listeners."""

import collections
import contextlib
import functools
import gc
import threading
import typing
import weakref
from collections.abc import Mapping

import tensorflow as tf

from keras_initkit import schema
from keras_initkit.capture import replay
from keras_initkit.capture.guard import RefusedError, attempt, logger, tried
from keras_initkit.capture.notes import Notes
from keras_initkit.capture.phases import TRAIN
from keras_initkit.capture.requests import Watch, Wish, details_of, fullest
from keras_initkit.capture.tapping import building, taps
from keras_initkit.capture.tapping import layers as tapped_layers
from keras_initkit.capture.tapping.expected import expected_tensors
from keras_initkit.capture.tapping.initial import InitialValues
from keras_initkit.capture.tapping.step_statistics import Reader
from keras_initkit.capture.twin import settings, single_step, streams
from keras_initkit.capture.twin.first_trace import FirstTrace
from keras_initkit.capture.watched import NOTHING, Watched
from keras_initkit.structure import keras_private, tensorflow_private
from keras_initkit.structure.selection import Selection
from keras_initkit.structure.shadowing import shadowed

_FULL = "full"
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
        streams: `streams.Streams`, random numbers that steps draw from their graphs.
        initial: `initial.InitialValues`, what weights were at first.
        counting: Bool variable, whether the values of the present step are counted.
        failure: What broke the watching of the present step; `None` for nothing.
    """

    def __init__(self, model, phase=TRAIN):
        self._model: typing.Any = weakref.ref(model)
        self.phase = phase
        self._attribute = phase.function
        # By listener: what it said, what that means in this model, what is not tapped.
        self._heard: dict = {}
        self._wishes: dict = {}
        self._untapped: dict = {}
        self._readers: list = []
        # The function of a bare training, one step of it, and its twins by their
        # detail.
        self._plain: typing.Any = None
        self._plain_step: typing.Any = None
        self._plain_is_whole = False
        self._first: typing.Any = None
        # What was noted of the plain step when it was traced.
        self._notes: typing.Any = None
        self._twins: dict[str, Watched] = {}
        self.streams = streams.Streams(None)
        self.initial = InitialValues()
        # Whether a step of the present training was prepared.
        self._has_begun = False
        # What the plain step raised when it was traced.
        self._raised: typing.Any = None
        # What broke the watching of the present step.
        self.failure: typing.Any = None
        self._lock = threading.Lock()
        with tf.init_scope():
            self.counting = tf.Variable(False, trainable=False)
        self._counts = False

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
        self._wishes.pop(listener, None)
        selection = selection or Selection()
        by_detail = signals if isinstance(signals, Mapping) else {_FULL: signals}
        self._heard[listener] = (by_detail, selection, histograms, goes_on)
        if building.is_built(self._model()):
            try:
                self._understand()
            except ValueError as error:
                self._let_go(listener)
                raise RefusedError(str(error)) from None

    def begin_fit(self):
        """Takes in the train function of a `fit` that begins, before it runs."""
        self._has_begun = False
        self._meet(self.phase.function_of(self._model()))
        self.expect_first_trace()
        self._stay()

    def expect_first_trace(self):
        """Keeps what the first trace of the step may change, if that is yet to come."""
        model = self._model()
        function = self.phase.function_of(model)
        if self._first is None or self._first.function is not function:
            unfinished = building.is_unfinished(model)
            self._first = FirstTrace(model, function) if unfinished else None

    def untapped(self, listener):
        """Lists the `layers.Untapped` among a listener's layers, after a step."""
        wishes = self._wishes[listener]
        wish = wishes[fullest(wishes)]
        own = wish.owners()
        called = set().union(*(one.called for one in self._twins.values()))
        reasons = collections.ChainMap(*(one.unseen for one in self._twins.values()))
        unseen = {
            **{
                name: "is not called in the train step"
                for name, _ in wish.layers
                if name not in called
            },
            **{layer: why for layer, why in reasons.items() if layer in own},
        }
        return [
            *self._untapped[listener],
            *(tapped_layers.Untapped(*one) for one in unseen.items()),
        ]

    def expected(self, listener):
        """Tells what a monitored step will show a listener, if the model is built.

        Returns:
            What `expected_tensors` tells, or `None`.
        """
        wishes = self._wishes.get(listener)
        if wishes is None:
            return None
        wish, model = wishes[fullest(wishes)], self._model()
        return expected_tensors(model, wish.signals, wish.layers, wish.weights)

    def _understand(self):
        """Looks up what the listeners named, in a built model."""
        model = self._model()
        for listener in self._heard.keys() - self._wishes.keys():
            by_detail, selection, histograms, _ = self._heard[listener]
            chosen, self._untapped[listener] = tapped_layers.choose_layers(
                model, selection
            )
            weights = self.phase.weights(model, selection)
            self._wishes[listener] = {
                detail: Wish(
                    tuple(signals),
                    tuple(chosen),
                    weights,
                    histograms and detail == _FULL,
                    detail,
                )
                for detail, signals in by_detail.items()
            }

    def wish_of_all(self, detail, anew=False):
        """Returns what all listeners wish for together, where a detail is recorded.

        In full detail, those who only want norms, too, get theirs.

        Args:
            detail: One of `schema.DETAILS`.
            anew: Whether names of layers are to be looked up again.
        """
        if anew:
            self._wishes.clear()
        self._understand()
        wishes = [
            wish
            for by_detail in self._wishes.values()
            for wish in by_detail.values()
            if detail in (_FULL, wish.detail)
        ]
        return Wish(
            _tapped_signals(signal for wish in wishes for signal in wish.signals),
            tuple({layer: None for wish in wishes for layer in wish.layers}),
            {k: v for wish in wishes for k, v in wish.weights.items()},
            any(wish.histograms for wish in wishes),
            detail,
        )

    def forget(self, listener, goes_on=False):
        """Takes a listener off, and what it had armed.

        Args:
            listener: The listener.
            goes_on: Whether the training does, for others or for nobody.
        """
        self._let_go(listener)
        model = self._model()
        armed = self.phase.function_of(model)
        if isinstance(armed, _Armed) and armed.session is self:
            armed.requests = [o for o in armed.requests if o.listener is not listener]
            if not armed.requests:
                self.phase.put(model, self._plain)
        if goes_on:
            self._stay()

    def hears(self, request):
        """Whether the listener of a request has not been taken off."""
        return request.listener in self._heard

    def _let_go(self, listener):
        for by_listener in (self._heard, self._wishes, self._untapped):
            by_listener.pop(listener, None)

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
        self._meet(current)
        self.phase.put(model, _Armed(self, [request], _training(model)))
        return True

    def _meet(self, train_function):
        """Takes in the model's own train function, where it is another one."""
        if train_function in (None, self._plain) or type(train_function) is _Armed:
            return
        model = self._model()
        self._plain, self._twins = train_function, {}
        self._plain_step = single_step.of(train_function, model.steps_per_execution)
        self._plain_is_whole = False
        self._notes = None
        self.streams = streams.Streams(train_function)
        if not keras_private.was_traced(train_function):
            settings.remember(train_function, model)

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
            try:
                logs = self._plain(iterator)  # raises what is the user's own
            except Exception as raised:
                # Traced once more, it may raise another error than when it was traced
                # ahead: Keras has begun to build losses.
                first, self._raised = self._raised, None
                raise first or raised from None
            attempt(requests, "telling so", self._tell, due, error)
            return logs
        logs, model, twins = None, self._model(), self._twins
        for done in range(model.steps_per_execution):
            optional = iterator.get_next_as_optional()
            if not bool(optional.has_value()):
                if done == 0:
                    return self._plain(iterator)
                break
            batch = functools.cache(optional.get_value)
            given = single_step.arguments(iterator, optional, batch, model.run_eagerly)
            wanting = due.get(done, {})
            watch = None
            if wanting:
                watch = attempt(wanting, "the schedule", Watch.of, wanting, done)
            if watch is None and not draws:
                logs = self._plain_step(*given)
                continue
            twin = self._twin_for(wanting.values(), twins)
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
        count = watch is not None and bool(watch.counting)
        self._count(count)
        model = self._model()
        apart = tensorflow_private.collectives_apart(model.distribute_strategy)
        taps_in.enter_context(apart)
        if model.run_eagerly:  # else they were in when it was traced
            taps_in.enter_context(self._tapping(twin))
        self.streams.begin(twin)

    def _stay(self):
        """Has the twin run the next execution, too, if none but the twin can."""
        model = self._model()
        if self._twin_draws() and self.phase.function_of(model) is self._plain:
            self.phase.put(model, _Armed(self, [], _training(model)))

    def _twin_draws(self):
        """Whether steps that are not watched, too, are to be run by the twin."""
        return any(map(self.streams.hold, self._twins.values()))

    def _fullest_detail(self):
        """Returns the detail in which everything that listeners want is there."""
        return fullest(
            {one for by_detail, *_ in self._heard.values() for one in by_detail}
        )

    def _twin_for(self, wanted, twins):
        """Returns the twin that runs a step.

        Args:
            wanted: The details that are wanted of it.
            twins: Those of the execution, by detail.
        """
        if not self.streams.are_there:
            return twins[fullest(wanted)]
        # None but one may draw.
        holding = (twin for twin in twins.values() if self.streams.hold(twin))
        return next(holding, None) or twins[self._fullest_detail()]

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
        error = self._prepare(iterator, details) if due else None
        # A twin that draws in one step of the execution does in all.
        draws = self._twin_draws() or (bool(due) and self.streams.are_there)
        return due, draws, error

    def _tell(self, due, error):
        """Tells those who waited for a step why it was not watched."""
        for request in (request for wanting in due.values() for request in wanting):
            request.failed(error, "tracing a watched step")

    def _finish(self, twin, watch, outputs, logs):
        """Delivers what left a watched step."""
        self.failure = None
        ((number, values),) = outputs.items()
        seen = self._read(twin, number, values, bool(watch.counting))
        for request, detail in watch.details.items():
            counted = request in watch.counting
            self._give(request, detail, watch.done, seen, logs, counted)

    def _give(self, request, detail, done, seen, logs, counted):
        """Delivers what a request asks for of a step."""
        if self.failure is not None:
            self._twins = {}  # a later training tries again
            request.failed(*self.failure)
            return
        wishes = self._wishes.get(request.listener)
        if wishes is None:
            return  # it has given up meanwhile
        wish = wishes[detail]
        request.give(done, wish.part_of(seen, counted), logs)

    def _prepare(self, iterator, details):
        """Has the model made as by a bare `fit`, and twins traced for its batches.

        Args:
            iterator: Where the batches come from.
            details: Those that twins are needed for.

        Returns:
            What was raised by it: the user's own if the plain step raises it, too.
        """
        model = self._model()
        try:
            self._begin_run()
            with _no_collections():
                if not (self._plain_is_whole or model.run_eagerly):
                    self._trace_plain(iterator)
                    self._plain_is_whole = True
                for detail in details:
                    self._make_ready(detail, iterator)
                if self.streams.are_there:
                    self._make_ready(self._fullest_detail(), iterator)
            self.streams.check(self._twin_for(details, self._twins))
        except Exception as error:
            return error
        return None

    def _begin_run(self):
        """Has weights be compared with what they are now, if nobody's run goes on."""
        if self._has_begun:
            return
        self._has_begun = True
        if any(goes_on for *_, goes_on in self._heard.values()):
            return
        if not self.initial.renew():
            self.initial, self._twins = InitialValues(), {}

    def _make_ready(self, detail, iterator):
        """Has the twin of a detail made and traced, where it is not."""
        twin, model = self._made_twin(detail), self._model()
        if model.run_eagerly or twin.step.is_traced(iterator):
            return
        with self._tapping(twin):
            if self._notes is None:
                self._trace_twin(twin, iterator)
                return
            try:
                twin.step.trace(iterator)
            except Exception as error:
                logger.debug("a step cannot be copied", exc_info=error)
                self._notes, twin.broken = None, None
                twin.step = self._step_of(twin)
                self._trace_twin(twin, iterator)

    def _trace_plain(self, iterator):
        """Traces the plain step ahead of its twin, if bare it would be traced now."""
        self.expect_first_trace()
        model = self._model()
        if self._first is None and keras_private.was_traced(self._plain):
            return
        with contextlib.ExitStack() as tapping:
            notes = tried(_not_noted, self._noted, tapping)
            try:
                graph = self._plain_step.trace(iterator)
            except Exception as error:
                self._raised = error
                raise
        if notes is not None and tried(_not_noted, self._is_whole, notes, graph):
            self._notes = notes
        if self._first is not None:
            self._first.end(model, iterator.element_spec, graph)

    def _noted(self, tapping):
        """Begins to note the plain step, where no replicas run it.

        Args:
            tapping: `ExitStack` of the time in which it is traced.

        Returns:
            `Notes`, or `None`.
        """
        model = self._model()
        if model.distribute_strategy.num_replicas_in_sync > 1:
            return None
        wish_of_all = functools.partial(self.wish_of_all, self._fullest_detail())
        is_built = building.is_built(model)
        notes = Notes(
            wish_of_all(anew=not is_built),
            self.phase.optimizers_of(model),
            None if is_built else functools.partial(wish_of_all, True),
        )
        tapping.enter_context(notes.tapping())
        return notes

    def _is_whole(self, notes, graph):
        """Whether a twin can be made of what was noted of a graph."""
        notes.settle(self.phase.optimizers_of(self._model()))
        return notes.is_whole(graph)

    def _trace_twin(self, twin, iterator):
        """Traces a twin by Python, so that it changes what the plain step changes."""
        # Traced now, it would heed other settings than the plain step did.
        changed = settings.changed(self._plain, self._model())
        if changed is not None:
            raise RuntimeError(changed)
        if self._first is None:
            twin.step.trace(iterator)
            return
        specification = iterator.element_spec
        with self._first.again(specification):
            graph = twin.step.trace(iterator)
        if self._first.differs(specification, graph):
            # TensorFlow has traced the plain step twice, for a reason not known here.
            self._first.ignore()
            twin.step = self._step_of(twin)
            self._first.check(specification, twin.step.trace(iterator))

    @contextlib.contextmanager
    def _tapping(self, twin, optimizers=None):
        """Has the taps in while a twin is traced, or runs eagerly.

        Args:
            twin: Its `Watched`.
            optimizers: The optimizers that the step may apply; the model's by default.
        """
        if optimizers is None:
            optimizers = self.phase.optimizers_of(self._model())
        with taps.installed(twin.wish.layers, optimizers, twin.weight_names):
            yield

    def _count(self, count):
        """Says whether the values of the next step are counted."""
        if self._counts != count:
            self.counting.assign(count)
            self._counts = count

    def _read(self, twin, number, values, count):
        """Returns `{signal: StepStatistics}` of what left a step, by its layout."""
        if number == NOTHING:
            self.failure = twin.broken
            return {}
        try:
            return self._readers[int(number)].read(values, count)
        except Exception as error:
            self.failure = error, "finishing the statistics of a step"
            return {}

    def _made_twin(self, detail):
        """Returns the twin of a detail, made where another one is wanted now."""
        twin = self._current(detail)
        if twin.step is None:
            twin.step = self._step_of(twin)
        return twin

    def _current(self, detail):
        """Returns the `Watched` of a detail: another, where another wish is."""
        twin = self._twins.get(detail)
        if twin is None or twin.wish != self.wish_of_all(detail):
            twin = self._twins[detail] = Watched(self, detail)
            twin.keep_initial_values()
        return twin

    def _step_of(self, twin):
        """Returns a step of a train function that is made of a twin's train step."""
        model = self._model()
        optimizers = self.phase.optimizers_of(model)
        plain = getattr(model, self.phase.step)
        if self._notes is not None and replay.covers(self._notes, twin.wish):
            plain = replay.step_of(self._notes, twin.wish, plain)
        step = twin.train_step(plain, optimizers, bool(model.jit_compile))
        with (
            shadowed(model, self.phase.function, None),
            shadowed(model, self.phase.step, step),
        ):
            self.phase.make(model, force=True)
            made = self.phase.function_of(model)
            return single_step.of(made, model.steps_per_execution)

    def number_of(self, layout):
        """Returns the name by which the host knows the layout of a trace's values."""
        with self._lock:
            layouts = [reader.layouts for reader in self._readers]
            if layout not in layouts:
                self._readers.append(Reader(layout))
                layouts.append(layout)
            return str(layouts.index(layout))


def _not_noted(error):
    """Tells that a step cannot be noted: its twin is traced by Python."""
    logger.debug("the plain step cannot be noted", exc_info=error)


@contextlib.contextmanager
def _no_collections():
    """Keeps Python's cyclic garbage collector still while graphs are made.

    It would go through all of Keras and TensorFlow, a quarter of a second each time,
    because graphs are many objects, and find little: they are made to last.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _tapped_signals(signals):
    """Returns signals in order, with the weights that updates are compared with."""
    signals = set(signals)
    return schema.check_signals(
        (*signals, "weight") if "update" in signals else tuple(signals)
    )


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
            setattr(session._model(), session._attribute, session._plain)
        if is_meant:
            return session.run(iterator, self.requests)
        return session._plain(iterator)

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
