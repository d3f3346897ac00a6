"""`Twins`: the twins of a model's step, noted, made, traced and chosen."""

import contextlib
import functools
import gc
import typing

import tensorflow as tf

from keras_initkit.capture.guard import logger, tried
from keras_initkit.capture.requests import fullest
from keras_initkit.capture.tapping import building, taps
from keras_initkit.capture.tapping.initial import InitialValues
from keras_initkit.capture.tapping.step_statistics import Readers
from keras_initkit.capture.twin import replay, settings, single_step, streams
from keras_initkit.capture.twin.first_trace import FirstTrace
from keras_initkit.capture.twin.notes import Notes
from keras_initkit.capture.twin.watched import NOTHING, Watched
from keras_initkit.structure import keras_private, tensorflow_private
from keras_initkit.structure.shadowing import shadowed


class Twins:
    """The twins of a step, one for each detail, and what they share.

    Args:
        model: Weak reference to the model.
        phase: `phases.Phase`: whether it is about steps that train or that test.
        listeners: `listeners.Listeners`: what twins tap.

    Attributes:
        phase: The same.
        listeners: The same.
        plain: The function of a bare training.
        plain_step: `single_step.Step`, one step of it.
        made: `{detail: Watched}`.
        streams: `streams.Streams`, random numbers that steps draw from their graphs.
        initial: `initial.InitialValues`, what weights were at first.
        readers: `step_statistics.Readers` of what leaves the twins.
        counting: Bool variable, whether the values of the present step are counted.
        one: Float32 variable that holds 1.
        raised: What the plain step raised when it was traced.
    """

    def __init__(self, model, phase, listeners):
        self._model = model
        self.phase = phase
        self.listeners = listeners
        self.plain: typing.Any = None
        self.plain_step: typing.Any = None
        self._plain_is_whole = False
        self._first: typing.Any = None
        # What was noted of the plain step when it was traced.
        self._notes: typing.Any = None
        self.made: dict[str, Watched] = {}
        self.streams = streams.Streams(None)
        self.initial = InitialValues()
        self.readers = Readers()
        # Whether a step of the present training was prepared.
        self._has_begun = False
        self.raised: typing.Any = None
        with tf.init_scope():
            self.counting = tf.Variable(False, trainable=False)
            self.one = tf.Variable(1.0, trainable=False)
        self._counts = False

    @property
    def model(self):
        """The model."""
        return self._model()

    def begin(self, function):
        """A training begins, by a function of the model's own."""
        self._has_begun = False
        self.meet(function)
        self._expect_first_trace()

    def meet(self, function):
        """Takes in the model's own function, where it is another one."""
        if function in (None, self.plain):
            return
        model = self.model
        self.plain, self.made = function, {}
        self.plain_step = single_step.of(function, model.steps_per_execution)
        self._plain_is_whole = False
        self._notes = None
        self.streams = streams.Streams(function)
        if not keras_private.was_traced(function):
            settings.remember(function, model)

    def prepare(self, iterator, details):
        """Has the model made as by a bare `fit`, and twins traced for its batches.

        Args:
            iterator: Where the batches come from.
            details: Those that twins are needed for.

        Returns:
            What was raised by it: the user's own if the plain step raises it, too.
        """
        model = self.model
        try:
            self._begin_run()
            self.streams.ahead_of_plain()
            with _no_collections():
                if not (self._plain_is_whole or model.run_eagerly):
                    self._trace_plain(iterator)
                    self._plain_is_whole = True
                for detail in details:
                    self._make_ready(detail, iterator)
                if self.streams.are_there:
                    self._make_ready(self.listeners.fullest_detail(), iterator)
            self.streams.check(self.chosen(details, self.made))
        except Exception as error:
            return error
        return None

    def _begin_run(self):
        """Has weights be compared with what they are now, if nobody's run goes on."""
        if self._has_begun:
            return
        self._has_begun = True
        if self.listeners.any_goes_on():
            return
        if not self.initial.renew():
            self.initial, self.made = InitialValues(), {}

    def _expect_first_trace(self):
        """Keeps what the first trace of the step may change, if that is yet to come."""
        model = self.model
        function = self.phase.function_of(model)
        if self._first is None or self._first.function is not function:
            unfinished = building.is_unfinished(model)
            self._first = FirstTrace(model, function) if unfinished else None

    def _trace_plain(self, iterator):
        """Traces the plain step ahead of its twin, if bare it would be traced now."""
        self._expect_first_trace()
        model = self.model
        if self._first is None and keras_private.was_traced(self.plain):
            return
        with contextlib.ExitStack() as tapping:
            notes = tried(_not_noted, self._noted, tapping)
            try:
                graph = self.plain_step.trace(iterator)
            except Exception as error:
                self.raised = error
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
        model = self.model
        if model.distribute_strategy.num_replicas_in_sync > 1:
            return None
        detail = self.listeners.fullest_detail()
        wish_of_all = functools.partial(self.listeners.wish_of_all, detail)
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
        notes.settle(self.phase.optimizers_of(self.model))
        return notes.is_whole(graph)

    def _make_ready(self, detail, iterator):
        """Has the twin of a detail made and traced, where it is not."""
        twin, model = self._made_twin(detail), self.model
        if model.run_eagerly or twin.step.is_traced(iterator):
            return
        with self.tapped(twin):
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

    def _trace_twin(self, twin, iterator):
        """Traces a twin by Python, so that it changes what the plain step changes."""
        # Traced now, it would heed other settings than the plain step did.
        changed = settings.changed(self.plain, self.model)
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

    def _made_twin(self, detail):
        """Returns the twin of a detail, made where another one is wanted now."""
        twin = self.current(detail)
        if twin.step is None:
            twin.step = self._step_of(twin)
        return twin

    def current(self, detail):
        """Returns the `Watched` of a detail: another, where another wish is."""
        twin = self.made.get(detail)
        if twin is None or twin.wish != self.listeners.wish_of_all(detail):
            twin = self.made[detail] = Watched(self, detail)
            twin.keep_initial_values()
        return twin

    def _step_of(self, twin):
        """Returns a step of a train function that is made of a twin's train step."""
        model = self.model
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

    def draw(self):
        """Whether steps that are not watched, too, are to be run by a twin."""
        return any(map(self.streams.hold, self.made.values()))

    def chosen(self, wanted, twins):
        """Returns the twin that runs a step.

        Args:
            wanted: The details that are wanted of it.
            twins: Those of the execution, by detail.
        """
        if not self.streams.are_there:
            return twins[fullest(wanted)]
        # None but one may draw.
        holding = (twin for twin in twins.values() if self.streams.hold(twin))
        return next(holding, None) or twins[self.listeners.fullest_detail()]

    def tap(self, taps_in, twin, count):
        """Has a step that a twin runs tapped.

        Args:
            taps_in: `ExitStack` of the time in which it runs.
            twin: Its `Watched`.
            count: Whether its values are counted.
        """
        self.count(count)
        model = self.model
        apart = tensorflow_private.collectives_apart(model.distribute_strategy)
        taps_in.enter_context(apart)
        if model.run_eagerly:  # else they were in when it was traced
            taps_in.enter_context(self.tapped(twin))
        self.streams.begin(twin)

    @contextlib.contextmanager
    def tapped(self, twin, optimizers=None):
        """Has the taps in while a twin is traced, or runs eagerly.

        Args:
            twin: Its `Watched`.
            optimizers: The optimizers that the step may apply; the model's by default.
        """
        if optimizers is None:
            optimizers = self.phase.optimizers_of(self.model)
        with taps.installed(twin.wish.layers, optimizers, twin.weight_names):
            yield

    def count(self, count):
        """Says whether the values of the next step are counted."""
        if self._counts != count:
            self.counting.assign(count)
            self._counts = count

    def read(self, twin, number, values, counted):
        """Reads what left a twin.

        Args:
            twin: Its `Watched`.
            number: The number of its layout, or `NOTHING`.
            values: As `Reader.read` takes them.
            counted: Whether values were counted for histograms.

        Returns:
            `{signal: StepStatistics}`, and what broke the watching: an exception, and
            during what; or `None`.
        """
        if number == NOTHING:
            return {}, twin.broken
        try:
            return self.readers.read(number, values, counted), None
        except Exception as error:
            return {}, (error, "finishing the statistics of a step")


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
