"""A session: the instrumented twin of a model's train function and its listeners."""

import contextlib
import functools
import gc
import threading
import typing
import weakref

import tensorflow as tf

from keras_initkit import schema
from keras_initkit.capture import building, replicas, taps
from keras_initkit.capture import layers as tapped_layers
from keras_initkit.capture.collector import Collector
from keras_initkit.capture.expected import expected_tensors
from keras_initkit.capture.guard import RefusedError, attempt, tried
from keras_initkit.capture.initial import InitialValues
from keras_initkit.capture.phases import TRAIN
from keras_initkit.capture.requests import Watch, Wish
from keras_initkit.capture.step_statistics import Reader
from keras_initkit.capture.twin import settings, single_step, streams
from keras_initkit.capture.twin.first_trace import FirstTrace
from keras_initkit.structure import keras_private, uses
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.selection import Selection
from keras_initkit.structure.shadowing import shadowed

# In place of the number of a layout, where a step could not be watched.
_NOTHING = "nothing"
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
    """

    def __init__(self, model, phase=TRAIN):
        self._model: typing.Any = weakref.ref(model)
        self._phase = phase
        self._attribute = phase.function
        # By listener: what it said, what that means in this model, what is not tapped.
        self._heard: dict = {}
        self._wishes: dict = {}
        self._untapped: dict = {}
        # The layers that were called, and what was not seen of them: `{layer: reason}`.
        self._called: set = set()
        self._unseen: dict = {}
        self._readers: list = []
        # What the twin taps, the function it is the twin of, one step of it, the twin.
        self._tapped: typing.Any = None
        self._plain: typing.Any = None
        self._plain_step: typing.Any = None
        self._plain_is_whole = False
        self._first: typing.Any = None
        self._twin: typing.Any = None
        self._streams = streams.Streams(None)
        self._initial = InitialValues()
        # What the plain step raised when it was traced.
        self._raised: typing.Any = None
        # What broke the watching of the twin, and of the present step; names that an
        # eager step has given to layers while it built them.
        self._broken: typing.Any = None
        self.failure: typing.Any = None
        self._settled = True
        self._named_at_first: tuple = ()
        self._lock = threading.Lock()
        with tf.init_scope():
            self._counting = tf.Variable(False, trainable=False)
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

    @classmethod
    def discard(cls, model):
        """Has the next training of a model be watched as if it were its first."""
        for key in [key for key in _SESSIONS if key[0] == id(model)]:
            _SESSIONS.pop(key, None)

    def listen(self, listener, signals, selection=None, histograms=False):
        """Registers what a listener wants, before training starts.

        Layers are looked up when the model is built, at the latest ahead of the first
        monitored step.

        Args:
            listener: Hashable; stands for the monitor.
            signals: Names of signals.
            selection: `Selection` of layers, all by default.
            histograms: Whether it may ask for histograms.

        Raises:
            RefusedError: If the selection names what a built model does not have.
        """
        self._wishes.pop(listener, None)
        self._heard[listener] = (tuple(signals), selection or Selection(), histograms)
        if building.is_built(self._model()):
            try:
                self._understand()
            except ValueError as error:
                self._let_go(listener)
                raise RefusedError(str(error)) from None

    def begin_fit(self):
        """Takes in the train function of a `fit` that begins, before it runs."""
        self._meet(self._phase.function_of(self._model()))
        self.expect_first_trace()
        self._stay()

    def expect_first_trace(self):
        """Keeps what the first trace of the step may change, if that is yet to come."""
        model = self._model()
        function = self._phase.function_of(model)
        if self._first is None or self._first.function is not function:
            unfinished = building.is_unfinished(model)
            self._first = FirstTrace(model, function) if unfinished else None

    def untapped(self, listener):
        """Lists the `layers.Untapped` among a listener's layers, after a step."""
        wish = self._wishes[listener]
        own = wish.owners()
        unseen = {
            **{
                name: "is not called in the train step"
                for name, _ in wish.layers
                if name not in self._called
            },
            **{layer: why for layer, why in self._unseen.items() if layer in own},
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
        wish = self._wishes.get(listener)
        if wish is None:
            return None
        model = self._model()
        return expected_tensors(model, wish.signals, wish.layers, wish.weights)

    def _understand(self):
        """Looks up what the listeners named, in a built model."""
        model = self._model()
        for listener in self._heard.keys() - self._wishes.keys():
            signals, selection, histograms = self._heard[listener]
            chosen, self._untapped[listener] = tapped_layers.choose_layers(
                model, selection
            )
            weights = self._phase.weights(model, selection)
            wish = Wish(signals, tuple(chosen), weights, histograms)
            self._wishes[listener] = wish

    def forget(self, listener):
        """Takes a listener off, and what it had armed."""
        self._let_go(listener)
        model = self._model()
        armed = self._phase.function_of(model)
        if isinstance(armed, _Armed) and armed.session is self:
            armed.requests = [o for o in armed.requests if o.listener is not listener]
            if not armed.requests:
                self._phase.put(model, self._plain)

    def _let_go(self, listener):
        for by_listener in (self._heard, self._wishes, self._untapped):
            by_listener.pop(listener, None)

    def arm(self, request):
        """Makes the next execution of the train function a monitored one.

        Returns:
            Whether it was not one already: the one that was armed has not come.
        """
        model = self._model()
        self._phase.make(model)
        current = self._phase.function_of(model)
        if isinstance(current, _Armed) and current.session is self:
            if all(one.listener is not request.listener for one in current.requests):
                current.requests.append(request)
                return True
            return False
        self._meet(current)
        self._phase.put(model, _Armed(self, [request], _training(model)))
        return True

    def _meet(self, train_function):
        """Takes in the model's own train function, where it is another one."""
        if train_function in (None, self._plain) or type(train_function) is _Armed:
            return
        model = self._model()
        self._plain, self._twin = train_function, None
        self._plain_step = single_step.of(train_function, model.steps_per_execution)
        self._plain_is_whole = False
        self._streams = streams.Streams(train_function)
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
        logs, model = None, self._model()
        for done in range(model.steps_per_execution):
            optional = iterator.get_next_as_optional()
            if not bool(optional.has_value()):
                if done == 0:
                    return self._plain(iterator)
                break
            batch = functools.cache(optional.get_value)
            given = single_step.arguments(iterator, optional, batch, model.run_eagerly)
            wanting = due.get(done, ())
            watch = attempt(wanting, "the schedule", Watch.of, wanting, done)
            if watch is None and not draws:
                logs = self._plain_step(*given)
                continue
            with contextlib.ExitStack() as taps_in:
                attempt(requests, "tapping", self._tap, taps_in, watch, batch)
                outputs = self._twin(*given)
            logs = outputs["logs"]
            if watch is not None:
                attempt(
                    requests, "recording a step", self._finish, watch, done, outputs
                )
        attempt(requests, "waiting for the next step", self._stay)
        return logs

    def _tap(self, taps_in, watch, batch):
        """Has a step that the twin runs tapped, and shown to those who watch it."""
        if watch is not None:
            for request in watch.requests:
                request.show(batch)
        count = watch is not None and bool(watch.counting)
        taps_in.enter_context(self._tapping(count))
        self._streams.begin(self._twin)

    def _stay(self):
        """Has the twin run the next execution, too, if none but the twin can."""
        model = self._model()
        if self._twin_draws() and self._phase.function_of(model) is self._plain:
            self._phase.put(model, _Armed(self, [], _training(model)))

    def _twin_draws(self):
        """Whether steps that are not watched, too, are to be run by the twin."""
        return self._streams.hold(self._twin)

    def _ready(self, requests, iterator):
        """Makes ready what the steps of an execution take.

        Returns:
            By the numbers of the steps that are due, the requests for them;
            whether other steps, too, are the twin's; and what stands against watching.
        """
        steps = range(self._model().steps_per_execution)
        due = {
            done: [request for request in requests if request.wants(done)]
            for done in steps
        }
        due = {done: wanting for done, wanting in due.items() if wanting}
        error = self._prepare(iterator) if due else None
        return due, self._twin_draws(), error

    def _tell(self, due, error):
        """Tells those who waited for a step why it was not watched."""
        for request in (request for wanting in due.values() for request in wanting):
            request.failed(error, "tracing a watched step")

    def _finish(self, watch, done, outputs):
        """Delivers what left a watched step."""
        self.failure = None
        ((number, values),) = outputs["seen"].items()
        seen = self._read(number, values, bool(watch.counting))
        for request in watch.requests:
            counted = request in watch.counting
            self._give(request, done, seen, outputs["logs"], counted)

    def _give(self, request, done, seen, logs, counted):
        """Delivers what a request asks for of a step."""
        if self.failure is not None:
            self._twin = None  # a later training tries again
            request.failed(*self.failure)
            return
        wish = self._wishes.get(request.listener)
        if wish is None:
            return  # it has given up meanwhile
        request.give(done, wish.part_of(seen, counted), logs)

    def _prepare(self, iterator):
        """Has the model made as by a bare `fit`, and the twin traced for its batches.

        Returns:
            What was raised by it: the user's own if the plain step raises it, too.
        """
        model = self._model()
        try:
            with _no_collections():
                if not (self._plain_is_whole or model.run_eagerly):
                    self.expect_first_trace()
                    if self._first is not None:
                        self._trace_plain(iterator)
                    self._plain_is_whole = True
                self._make_twin()
                if not model.run_eagerly:
                    self._check_settings(iterator)
                    with self._tapping(self._counts):
                        self._trace_twin(iterator)
            self._streams.check(self._twin)
        except Exception as error:
            return error
        return None

    def _check_settings(self, iterator):
        """Raises where a step that is not traced yet would heed other settings."""
        if not self._twin.is_traced(iterator):
            changed = settings.changed(self._plain, self._model())
            if changed is not None:
                raise RuntimeError(changed)

    def _trace_plain(self, iterator):
        """Traces the plain step ahead of its twin."""
        try:
            graph = self._plain_step.trace(iterator)
        except Exception as error:
            self._raised = error
            raise
        self._first.end(self._model(), iterator.element_spec, graph)

    def _trace_twin(self, iterator):
        """Traces the twin, so that it changes what the plain step changes."""
        if self._first is None:
            self._twin.trace(iterator)
            return
        specification = iterator.element_spec
        with self._first.again(specification):
            graph = self._twin.trace(iterator)
        if self._first.differs(specification, graph):
            # TensorFlow has traced the plain step twice, for a reason not known here.
            self._first.ignore()
            self._twin = None
            self._make_twin()
            self._first.check(specification, self._twin.trace(iterator))

    @contextlib.contextmanager
    def _tapping(self, count, optimizers=None):
        """Has the taps in and, if need be, values counted, while the twin runs.

        Args:
            count: Whether values are counted.
            optimizers: The optimizers that the step may apply; the model's by default.
        """
        if optimizers is None:
            optimizers = self._phase.optimizers_of(self._model())
        if self._counts != count:
            self._counting.assign(count)
            self._counts = count
        with taps.installed(self._tapped.layers, optimizers, self._weight_names):
            yield

    def _read(self, number, values, count):
        """Returns `{signal: StepStatistics}` of what left a step, by its layout."""
        if number == _NOTHING:
            self.failure = self._broken
            return {}
        try:
            return self._readers[int(number)].read(values, count)
        except Exception as error:
            self.failure = error, "finishing the statistics of a step"
            return {}

    def _make_twin(self):
        """Makes the twin where there is none for what is wanted now."""
        if not self._wants_another():
            return
        model = self._model()
        step = self._instrumented_step(model)
        with (
            shadowed(model, self._phase.function, None),
            shadowed(model, self._phase.step, step),
        ):
            self._phase.make(model, force=True)
            made = self._phase.function_of(model)
            self._twin = single_step.of(made, model.steps_per_execution)

    def _wants_another(self):
        """Looks up what is wanted now; returns whether that takes another twin."""
        self._understand()
        wanted = self._all_wishes()
        if self._twin is not None and wanted == self._tapped:
            return False
        self._tapped, self._twin, self._broken = wanted, None, None
        self._called, self._unseen = set(), {}
        self._settled = building.is_built(self._model())
        self._named_at_first = wanted.layers
        return True

    def _all_wishes(self):
        """Returns what all listeners wish for together."""
        wishes = self._wishes.values()
        return Wish(
            _tapped_signals(signal for wish in wishes for signal in wish.signals),
            tuple({layer: None for wish in wishes for layer in wish.layers}),
            {k: v for wish in wishes for k, v in wish.weights.items()},
            any(wish.histograms for wish in wishes),
        )

    def _instrumented_step(self, model):
        optimizers = self._phase.optimizers_of(model)
        plain = getattr(model, self._phase.step)
        step = self._watched(plain, optimizers, bool(model.jit_compile))

        def instrumented(data):
            logs, number, values = step(data)
            values = tf.nest.map_structure(replicas.averaged, values)
            return {"logs": logs, "seen": {number: values}}

        return instrumented

    def _watched(self, function, optimizers, compiled):
        """Returns a function that also returns what the taps saw, behind its number.

        It is to be called where the step runs: in each replica, in the graph traced.
        """
        wanted = self._tapped

        def broken(error):
            self._broken = error, "watching a step"

        @functools.wraps(function)
        def watched(*args, **kwargs):
            collector = tried(broken, self._collector, wanted, optimizers, compiled)
            if collector is None:
                return function(*args, **kwargs), _NOTHING, ()
            with contextlib.ExitStack() as stack:
                tried(broken, stack.enter_context, collector.listening())
                outputs = function(*args, **kwargs)
                if "state" in wanted.signals:
                    tried(broken, self._add_states, collector)
            packed = tried(broken, self._packed, collector, outputs)
            return outputs, *(packed or (_NOTHING, ()))

        return watched

    def _collector(self, wanted, optimizers, compiled):
        """Returns what gathers the tensors of a step."""
        scales = [taps.loss_scale(optimizer) for optimizer in optimizers]
        return Collector(
            wanted.signals,
            next((scale for scale in scales if scale is not None), None),
            self._counting if wanted.histograms else None,
            compiled,
            self._phase.signals,
            self._initial,
        )

    def _add_states(self, collector):
        """Notes the weights that an evaluation finds, which no gradient trains."""
        for variable in self._model().non_trainable_variables:
            names = self._tapped.weights.get(id(variable))
            if names is not None:
                value = tf.convert_to_tensor(variable.value)
                collector.add("state", schema.TensorKey(*names), value)

    def _packed(self, collector, outputs):
        """Returns number and values of what a collector has seen of a step."""
        if collector.failure is not None:
            self._broken = collector.failure
            return _NOTHING, ()
        if not tf.executing_eagerly():
            graph = tf.compat.v1.get_default_graph()
            uses.learn(self.model, graph)
            self._streams.look(graph)
        renamed = self._settle_names()
        self._settled = True
        self._called.update(renamed.get(name, name) for name in collector.calls)
        for name, reason in collector.unseen().items():
            self._unseen[renamed.get(name, name)] = reason
        collector.rename(renamed)
        layout, values = collector.packed(outputs)
        return self._number(layout), _of_all_replicas(layout, values)

    def _weight_names(self):
        self._settle_names()
        return self._tapped.weights

    def _settle_names(self):
        """Looks names up again that layers have got while an eager step built them.

        Returns:
            `{name by which a layer was tapped: its name}`, of those that differ.
        """
        if self._settled or not tf.executing_eagerly():
            return {}
        self._wishes.clear()
        self._understand()
        self._tapped = self._all_wishes()
        names = {id(layer): name for name, layer in named_layers(self._model())}
        return {
            old: names[id(layer)]
            for old, layer in self._named_at_first
            if names.get(id(layer), old) != old
        }

    def _number(self, layout):
        """Returns the name by which the host knows the layout of a trace's values."""
        with self._lock:
            layouts = [reader.layouts for reader in self._readers]
            if layout not in layouts:
                self._readers.append(Reader(layout))
                layouts.append(layout)
            return str(layouts.index(layout))


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


def _of_all_replicas(layout, values):
    """Returns packed values, those of signals of layers with a part a replica."""
    everything = []
    for rows, by_name in zip(layout, values, strict=True):
        arrays = list(by_name.values())
        if schema.ALL_SIGNALS[rows[0].signal].source == "layer":
            arrays = replicas.gathered(arrays)
        everything.append(dict(zip(by_name, arrays, strict=True)))
    return tuple(everything)


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
