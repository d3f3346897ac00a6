"""A session: the instrumented twin of a model's train function and its listeners."""

import contextlib
import dataclasses
import functools
import threading
import typing
import weakref

import keras
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.capture import building, one_step, replicas, taps
from keras_initkit.capture import layers as choosing
from keras_initkit.capture.collector import Collector
from keras_initkit.capture.expected import expected_tensors
from keras_initkit.capture.seen import Reader
from keras_initkit.structure import uses
from keras_initkit.structure.layers import weight_names
from keras_initkit.structure.selection import Selection
from keras_initkit.structure.shadowing import shadowed

_SESSIONS: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


@dataclasses.dataclass(frozen=True)
class Order:
    """What a listener wants of one execution of the train function.

    Attributes:
        listener: As given to `Session.listen`.
        plan: Function of the number of steps done in this execution (0 for the first)
            that says whether the next is to be monitored.
        count: The same for histograms.
        deliver: Function called after each monitored step with the number of steps done
            before it, `{signal: Seen}` and the step's logs.
        look: Function called ahead of each monitored step with a function that returns
            its data.
    """

    listener: typing.Hashable
    plan: typing.Callable[[int], bool]
    count: typing.Callable[[int], bool]
    deliver: typing.Callable[[int, dict, dict], None]
    look: typing.Callable[[typing.Callable[[], typing.Any]], None]


@dataclasses.dataclass(frozen=True)
class _Wish:
    """What a listener wants to be tapped: signals, `(name, layer)`s, weights by id."""

    signals: tuple
    layers: tuple
    weights: dict
    histograms: bool

    def owners(self):
        """Returns the names of layers and of the owners of weights."""
        return self._names() | self._weight_owners()

    def _names(self):
        return {name for name, _ in self.layers}

    def _weight_owners(self):
        return {owner for owner, _ in self.weights.values()}

    def part_of(self, seen, histograms):
        """Returns what of `{signal: Seen}` was wished for."""
        wanted = {"layer": self._names(), "weight": self._weight_owners()}
        return {
            signal: one.part(wanted[schema.SIGNALS[signal].source], histograms)
            for signal, one in seen.items()
            if signal in self.signals
        }


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

    def __init__(self, model):
        self._model: typing.Any = weakref.ref(model)
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
        self._twin: typing.Any = None
        self._lock = threading.Lock()
        with tf.init_scope():
            self._counting = tf.Variable(False, trainable=False)
        self._counts = False

    @property
    def model(self):
        """The model, `None` when it is gone."""
        return self._model()

    @classmethod
    def of(cls, model):
        """Returns the session of a model, made where there is none."""
        session = _SESSIONS.get(id(model))
        if session is None or session._model() is not model:
            session = _SESSIONS[id(model)] = cls(model)
        return session

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
            ValueError: If the selection names what a built model does not have.
        """
        self._wishes.pop(listener, None)
        self._heard[listener] = (tuple(signals), selection or Selection(), histograms)
        if building.is_built(self._model()):
            self._understand()

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
            *(choosing.Untapped(*one) for one in unseen.items()),
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
            chosen, self._untapped[listener] = choosing.choose_layers(model, selection)
            weights = weight_names(model, selection)
            wish = _Wish(signals, tuple(chosen), weights, histograms)
            self._wishes[listener] = wish

    def forget(self, listener):
        """Takes a listener off, and what it had armed."""
        self._let_go(listener)
        model = self._model()
        armed = model.train_function
        if isinstance(armed, _Armed) and armed.session is self:
            armed.orders = [o for o in armed.orders if o.listener is not listener]
            if not armed.orders:
                model.train_function = self._plain

    def _let_go(self, listener):
        for by_listener in (self._heard, self._wishes, self._untapped):
            by_listener.pop(listener, None)

    def arm(self, order):
        """Makes the next execution of the train function a monitored one."""
        model = self._model()
        current = model.train_function
        if isinstance(current, _Armed) and current.session is self:
            current.orders.append(order)
            return
        if current is not self._plain:
            self._plain, self._twin = current, None
            self._plain_step = one_step.of(current)
        model.train_function = _Armed(self, [order], _training(model))

    def call_off(self, iterator):
        """Runs the plain function in place of an armed one that nobody waits for."""
        model = self._model()
        model.train_function = self._plain
        return self._plain(iterator)

    def run(self, iterator, orders):
        """Runs one execution of the train function, in place of the plain one.

        Step by step: each gets its batch as data, so that no step starts on an iterator
        that has run out (it would count examples before it fails).
        """
        model = self._model()
        model.train_function = self._plain
        logs = None
        for done in range(model.steps_per_execution):
            optional = iterator.get_next_as_optional()
            if not bool(optional.has_value()):
                break
            batch = functools.cache(optional.get_value)
            if done == 0:
                self._prepare(model, batch)
            due = [order for order in orders if order.plan(done)]
            for order in due:
                order.look(batch)
            given = one_step.arguments(iterator, optional, batch, model.run_eagerly)
            if due:
                count = any(order.count(done) for order in due)
                logs, seen = self._monitored_step(model, given, count)
            else:
                logs = self._plain_step(*given)
            for order in due:
                wish = self._wishes[order.listener]
                order.deliver(done, wish.part_of(seen, order.count(done)), logs)
        if logs is None:
            raise StopIteration
        return logs

    def _monitored_step(self, model, given, count):
        """Runs one instrumented step; returns its logs and `{signal: Seen}`."""
        optimizers = _optimizers_of(model)
        with self._tapping(optimizers, count):
            outputs = self._twin(*given)
        ((number, values),) = outputs["seen"].items()
        return outputs["logs"], self._read(number, values, count)

    @contextlib.contextmanager
    def _tapping(self, optimizers, count):
        """Has the taps in and, if need be, values counted, while the twin runs."""
        if self._counts != count:
            self._counting.assign(count)
            self._counts = count
        layers, weights = self._tapped.layers, self._tapped.weights
        with taps.installed(layers, optimizers, weights):
            yield

    def _read(self, number, values, count):
        """Returns `{signal: Seen}` of what left a step, laid out as numbered."""
        return self._readers[int(number)].read(values, count)

    def _prepare(self, model, batch):
        """Makes the twin where there is none for what is wanted now."""
        if not building.is_built(model) or building.builds_in_first_trace(model):
            building.build(model, batch())
        if not self._wants_another():
            return
        step = self._instrumented_step(model)
        with (
            shadowed(model, "train_function", None),
            shadowed(model, "train_step", step),
        ):
            model.make_train_function(force=True)
            self._twin = one_step.of(model.train_function)

    def _wants_another(self):
        """Looks up what is wanted now; returns whether that takes another twin."""
        self._understand()
        wishes = self._wishes.values()
        wanted = _Wish(
            _tapped_signals(signal for wish in wishes for signal in wish.signals),
            tuple({layer: None for wish in wishes for layer in wish.layers}),
            {k: v for wish in wishes for k, v in wish.weights.items()},
            any(wish.histograms for wish in wishes),
        )
        if self._twin is not None and wanted == self._tapped:
            return False
        self._tapped, self._twin = wanted, None
        self._called, self._unseen = set(), {}
        return True

    def _instrumented_step(self, model):
        optimizers = _optimizers_of(model)
        step = self._watched(model.train_step, optimizers, bool(model.jit_compile))

        def train_step(data):
            logs, number, values = step(data)
            values = tf.nest.map_structure(replicas.averaged, values)
            return {"logs": logs, "seen": {number: values}}

        return train_step

    def _watched(self, function, optimizers, compiled):
        """Returns a function that also returns what the taps saw, behind its number.

        It is to be called where the step runs: in each replica, in the graph traced.
        """
        wanted = self._tapped

        @functools.wraps(function)
        def watched(*args, **kwargs):
            scales = [taps.loss_scale(optimizer) for optimizer in optimizers]
            collector = Collector(
                wanted.signals,
                next((scale for scale in scales if scale is not None), None),
                self._counting if wanted.histograms else None,
                compiled,
            )
            with collector.listening():
                outputs = function(*args, **kwargs)
            if not tf.executing_eagerly():
                uses.learn(self.model, tf.compat.v1.get_default_graph())
            self._called.update(collector.calls)
            self._unseen.update(collector.unseen())
            layout, values = collector.packed()
            values = _of_all_replicas(layout, values)
            return outputs, self._number(layout), values

        return watched

    def _number(self, layout):
        """Returns the name by which the host knows the layout of a trace's values."""
        with self._lock:
            layouts = [reader.layouts for reader in self._readers]
            if layout not in layouts:
                self._readers.append(Reader(layout))
                layouts.append(layout)
            return str(layouts.index(layout))


def _optimizers_of(model):
    """Lists the optimizers that a train step may use: attributes of the model."""
    own = [v for v in vars(model).values() if isinstance(v, keras.optimizers.Optimizer)]
    return list(
        {id(one): one for one in [model.optimizer, *own] if one is not None}.values()
    )


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
        if schema.SIGNALS[rows[0].signal].source == "layer":
            arrays = replicas.gathered(arrays)
        everything.append(dict(zip(by_name, arrays, strict=True)))
    return tuple(everything)


class _Armed:
    """What stands in `model.train_function` for one execution.

    Where the `fit` that it was made for has ended before it was called (another
    callback raised), it runs the plain function.
    """

    def __init__(self, session, orders, training):
        self.session = session
        self.orders = orders
        self._training = training

    def __call__(self, iterator):
        if _training(self.session.model) is not self._training:
            return self.session.call_off(iterator)
        return self.session.run(iterator, self.orders)


def _training(model):
    """What tells one `fit` from another: Keras gives each a history of its own."""
    return getattr(model, "history", None)
