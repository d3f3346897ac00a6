"""`SignalMonitor`: signals and gradients of a model while `fit` trains it."""

import contextlib
import copy
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit import capture, schedules, schema
from keras_initkit.arguments import check_bool
from keras_initkit.callbacks import evaluating
from keras_initkit.callbacks.arguments import (
    EVERY,
    checked_detail,
    checked_histograms,
    listed,
    signals_by_detail,
)
from keras_initkit.callbacks.counting import StepCount, iterations_of
from keras_initkit.callbacks.fit import Fit, can_be_watched
from keras_initkit.callbacks.judging import Judge
from keras_initkit.callbacks.overhead import OverheadMeter
from keras_initkit.callbacks.requesting import request_of
from keras_initkit.callbacks.writing import GuardedLog
from keras_initkit.capture.guard import Guard, RefusedError, guarded
from keras_initkit.diagnosis import Finding
from keras_initkit.recording import RunRecord
from keras_initkit.recording.log import budget, storage
from keras_initkit.structure import layers as layers_room
from keras_initkit.structure.needs import check_backend, check_model

logger = logging.getLogger(__name__)

Detail = str | Mapping[str, int | schedules.Function]
Rules = str | Sequence[str] | Mapping[str, Mapping[str, float] | None] | None

# What a monitor holds of the training that it watches: no copy of it has it.
_OF_A_FIT = {
    *vars(keras.callbacks.Callback()),
    "guard",
    "_fit",
    "_log",
    "_meter",
    "_monitored",
    "_evaluations",
    "_is_fitting",
    "_may_arm",
}


class SignalMonitor(keras.callbacks.Callback):
    """Records per-layer statistics of the train step, and writes them for TensorBoard.

    Statistics come from the training step itself: there is no second pass and no extra
    data, and on CPU training stays bit-identical. XLA (`jit_compile=True`) plans its
    kernels by what else reads a tensor, so `"backprop"` may change the rounding of a
    deep step there. Steps that are not monitored run the train function of a plain
    `fit`, unless the step draws from seeded stateful generators of TensorFlow
    (`tf.random.normal`): such a training is watched from its first step, or not at all.
    Settings that Keras reads when it traces a step (a dropout rate, `trainable`) must
    be changed before `compile`, as Keras itself requires: if they have changed since,
    nothing more is traced, and a warning says so. Under `tf.distribute` the statistics
    are those of the global batch; with several workers, only the chief writes.

    A monitor, even a used one, can be copied and pickled (Keras Tuner copies
    callbacks): the copy has the same settings, a copy of the record and of the
    findings, and watches no model. It records into new series of its record.

    Example:
    >>> import keras, numpy as np, tempfile
    >>> model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> monitor = SignalMonitor(tempfile.mkdtemp(), every=2)
    >>> x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
    >>> _ = model.fit(x, y, batch_size=2, verbose=0, callbacks=[monitor])
    >>> monitor.record.signal("gradient").steps.tolist()
    [0, 2]

    Args:
        log_dir: Directory of the run, created when the first step is written: one event
            file with the full record, and scalars and histograms for the stock
            dashboards. Another `fit` of the same monitor and model continues its run,
            as does a training resumed by `ResumePoint`. Any other training goes to a
            subdirectory `run-2`, `run-3`... if there already is a run. Remote
            directories that `tf.io.gfile` reaches (`gs://...`) are written to in the
            background. `None`, the default, keeps the record in memory only; so does,
            with a warning, a directory that is not writable.
        every: Monitor optimizer iterations 0, n, 2n, … (iteration 0 is the step from
            the initial weights), or a schedule: one of `schedules`, such as
            `log_spaced()` or `first(20) | every(100)`, or any function from iteration
            to bool, which is called once for each. With gradient accumulation, each
            batch counts as one; if a batch is due that only accumulates its gradients,
            the one that applies them is monitored instead, unless both are due. A train
            step that applies the optimizer several times is monitored if one of its
            iterations is due, and recorded under the first, with an entry of its
            weights for each (their `call`). A step skipped by a `LossScaleOptimizer` is
            not recorded but counted in the scalar `schema.SKIPPED`; it is not an
            iteration.
        signals: Names from `schema.SIGNALS`; all by default, except `"preactivation"`
            where only norms are recorded.
        layers: The layers to watch, including those inside them: names or shell
            patterns (`"block1/*"`), compiled regular expressions, layer classes,
            functions of a layer, layers, or a list of these; all by default. Layers
            that cannot be tapped are listed in `record.metadata["untapped"]` with the
            reason.
        histograms: Whether histograms of the values are recorded: `True` for the first
            monitored step and every tenth after it, n for every n-th, a schedule for
            those monitored steps whose iteration it accepts.
        exclude: The layers not to watch, specified in the same ways; none by default.
        rules: The rules that judge the record while it grows: `"default"` for all of
            `diagnosis.RULES`, a list of names, a dict `{rule: {threshold: value}}` to
            replace thresholds (`None` for a rule skips it), or `None` for no rules.
            They are applied between steps, rarely enough to take about 2 % of the time
            at most, and once more at the end.
        on_finding: What to do about a finding. It is reported when it opens and when it
            clears, as a warning of the logger `keras_initkit.callbacks.judging`;
            `"warn"` does only that, `"stop"` also sets `model.stop_training`, and
            `"raise"` raises `TrainingFault`. A function is called with the `Finding`
            when it opens, and nothing is logged.
        severity: Findings are reported and acted upon at or above this severity:
            `"info"`, `"warning"` or `"error"`.
        evaluate: Whether to watch evaluations as well: the first batch of each
            validation in `fit`, and of `model.evaluate(..., callbacks=[monitor])`, as
            the model computes it in inference mode, and the weights not trained by
            gradients, such as moving averages. They go to separate signals,
            `schema.EVALUATION_SIGNALS`, at the iteration of the weights; the first
            evaluation of an iteration counts.
        detail: What is recorded of each tensor: `"full"`, all statistics; or `"norms"`,
            root mean square, norm, number of non-finite entries and the ratio of update
            to weight, without histograms: cheap enough for every step. Norms equal
            those of full detail to 1e-6, except for tensors of millions of nearly equal
            entries. Or both, each with its own schedule, instead of `every`: `{"norms":
            every(1), "full": every(100)}`. Norms of all steps are then in
            `record.norms`, those of evaluations in full, and rules use whichever has
            more steps.

    Attributes:
        record: `RunRecord` of everything recorded. It grows with each `fit`.
        findings: List of the currently open `Finding`s, most severe first.

    Raises:
        ValueError: If `log_dir`, `every`, `signals`, `layers`, `exclude`, `histograms`,
            `rules`, `on_finding`, `severity` or `detail` is invalid, or Keras runs on a
            backend other than TensorFlow.
        TypeError: If `log_dir`, `signals`, `layers`, `exclude`, `rules`, `evaluate` or
            `detail` has the wrong type, or a function takes other arguments.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        every: int | schedules.Function = EVERY,
        *,
        signals: Iterable[str] | None = None,
        layers: Any = None,
        histograms: bool | int | schedules.Function = True,
        exclude: Any = None,
        rules: Rules = "default",
        on_finding: str | Callable[[Finding], object] = "warn",
        severity: str = "warning",
        evaluate: bool = False,
        detail: Detail = "full",
    ) -> None:
        check_backend(type(self).__name__)
        super().__init__()
        if log_dir is not None:
            log_dir = storage.checked(log_dir, "log_dir")
        self.log_dir = log_dir
        self._schedules = checked_detail(detail, every)
        self._signals = signals_by_detail(signals, self._schedules)
        check_bool("evaluate", evaluate)
        self.evaluate = evaluate
        self.selection = capture.Selection(layers, exclude)
        self.histograms = checked_histograms(histograms)
        self.record = RunRecord()
        self._judge = Judge(rules, on_finding, severity)
        self._begin_fresh()

    def _begin_fresh(self) -> None:
        """Sets what belongs to the training that is watched, not to the monitor."""
        keras.callbacks.Callback.__init__(self)
        self._fit: Any = None
        self._log = GuardedLog()
        self._meter = OverheadMeter()
        self.guard = Guard(type(self).__name__)
        # Steps that were monitored, and those of them in full detail.
        self._monitored = self._monitored_in_full = 0
        self._evaluations = evaluating.Evaluations(
            self, self._tell_budget, self._receive_evaluation
        )
        self._is_fitting = self._may_arm = False

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals that are recorded."""
        return self._signals[self._fullest]

    @property
    def _fullest(self) -> str:
        """That of the monitor's details which records the most."""
        return next(iter(self._schedules))

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        # A `fit` or an `evaluate` is about to begin, whatever became of the last.
        self._is_fitting = False
        try:
            self._evaluations.leave()
            for _, one in layers_room.parts_of(model):
                check_model(type(self).__name__, one)
        except TypeError:
            raise  # no model of Keras 3
        except Exception as error:
            self.give_up(error, "looking at the model")

    def __getstate__(self) -> dict[str, Any]:
        return {name: one for name, one in vars(self).items() if name not in _OF_A_FIT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin_fresh()
        self.record.begin_anew()

    def __deepcopy__(self, memo: dict[int, Any]) -> "SignalMonitor":
        # The layers and functions that a selection names are those of the user.
        memo[id(self.selection)] = self.selection
        fresh = type(self).__new__(type(self))
        memo[id(self)] = fresh
        fresh.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return fresh

    def __copy__(self) -> "SignalMonitor":
        return copy.deepcopy(self)

    def instrument(
        self,
        step_function: Callable[..., Any],
        models: keras.Model | Sequence[keras.Model],
        optimizers: Any,
    ) -> Callable[..., Any]:
        """Watches a custom train step outside of `fit`.

        Example:
        >>> import keras, numpy as np, tensorflow as tf
        >>> model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
        >>> optimizer = keras.optimizers.SGD(0.01)
        >>> @tf.function
        ... def step(x):
        ...     with tf.GradientTape() as tape:
        ...         loss = tf.reduce_mean(model(x) ** 2)
        ...     weights = model.trainable_variables
        ...     optimizer.apply(tape.gradient(loss, weights), weights)
        ...     return loss
        >>> monitor = SignalMonitor(None, every=2)
        >>> watched_step = monitor.instrument(step, model, optimizer)
        >>> for _ in range(4):
        ...     loss = watched_step(np.ones((8, 4), "float32"))
        >>> monitor.record.signal("update").steps.tolist()
        [0, 2]

        Args:
            step_function: `tf.function` that trains on a batch, or a Python function
                that does so eagerly; it may call `strategy.run`. Or the result of
                another monitor's `instrument`: the two then share what they watch. A
                returned number is recorded as `"loss"`, a returned dict of numbers
                under its keys.
            models: The built model that it trains, or a list of several. With several,
                names of layers are prefixed with those of their models.
            optimizers: The optimizer it applies, or a list of several.

        Returns:
            A callable to use in place of `step_function`. Monitored calls run a twin of
            it, all others the function itself. Each call counts as a step, starting
            from the iterations that the optimizers have already done (the fewest, of
            several). A weight updated several times in a call, and a layer called
            several times, have one entry each time. A second backward pass through a
            layer is labeled `<tensor>#2`.

        Raises:
            ValueError: If a model is not built, or two have the same name, or `layers`
                or `exclude` names something that does not exist.
        """
        loop = step_function
        if not isinstance(loop, capture.Loop):
            loop = capture.Loop(loop, listed(models), listed(optimizers))
        self.set_model(loop.trained)
        self._begin(loop, loop, loop.first_step)
        request = self._request(loop.first_step)

        def deliver(*seen):
            request.deliver(*seen)
            self._ask_rules()

        loop.request(dataclasses.replace(request, deliver=deliver))
        return loop

    @guarded("beginning to watch", begins=True)
    def on_train_begin(self, logs=None):
        self._is_fitting = True
        began = iterations_of(self.model)
        # Keras gives each `fit` a history; a loop of one's own may have none.
        training = getattr(self.model, "history", None) or _Training()
        self._begin(capture.Session.of(self.model), training, began)
        self._fit.session.begin_fit()
        if self.evaluate:
            self._watch_evaluations()
        self._fit.count = StepCount(self.model, (self.params or {}).get("steps"))
        self._may_arm = can_be_watched(self.model, type(self).__name__)

    def _watch_evaluations(self):
        self._evaluations.begin(self.model, self._fullest, self.selection)

    def _listen(self, session, signals, histograms, goes_on=False):
        session.listen(self, signals, self.selection, histograms, goes_on)

    def _begin(self, session, training, first_step, signals=None):
        """Begins to watch a training, told from others by an object."""
        by_detail = {self._fullest: signals} if signals else self._signals
        signals = signals or self.signals
        goes_on = self._fit is not None and self._fit.session.model is self.model
        if self._fit is not None and not goes_on:
            self.record.begin_anew()
            self._log.begin_anew()
            self._evaluations.begin_anew()
        written = (*signals, *evaluating.SIGNALS) if self.evaluate else signals
        try:
            details = tuple(self._schedules)
            self._log.begin(self.log_dir, training, written, self.model, details)
        except ValueError as error:
            raise RefusedError(str(error)) from None
        self._fit = Fit(self, session, first_step, self._schedules)
        self._evaluations.leave()
        self._listen(session, by_detail, bool(self.histograms), goes_on)
        self._judge.begin(training)
        self._tell_budget()

    @property
    def findings(self) -> list[Finding]:
        return self._judge.findings

    @guarded("counting steps")
    def on_epoch_begin(self, epoch, logs=None):
        self._fit.count.begin_epoch()

    # There is no `on_train_batch_end`, and must be none: a Keras that calls callbacks
    # asynchronously (3.15 does not on TensorFlow) would then wait for the results of
    # every step, which takes from a GPU the time to prepare the next one.

    @guarded("arming a step")
    def on_train_batch_begin(self, batch, logs=None):
        self._ask_rules()
        fit = self._fit
        expected = fit.count.begin_batch(batch)
        due = self._may_arm and fit.detail_of(expected) is not None
        self._meter.begin(monitored=due)
        if due:
            request = self._request(fit.count.ask(batch), fit.count.updates_per_batch)
            if not fit.session.arm(request):
                fit.missed = True

    def _request(self, first, updates_per_batch=1):
        """Asks for the steps of an execution, which begins with iteration `first`."""
        return request_of(
            self,
            self._fit,
            first,
            updates_per_batch,
            counts=self._wants_histograms,
            deliver=self._receive,
            on_batch=self._note_batch,
        )

    def give_up(self, error: Exception, doing: str) -> None:
        """Stops watching this training, which continues; says why, once."""
        self.guard.keep(error, doing)
        with contextlib.suppress(Exception):
            self._fit.end(goes_on=True)
        with contextlib.suppress(Exception):
            self._evaluations.end()
        with contextlib.suppress(Exception):
            self._meter.end()
        self._log.abandon()

    def close(self) -> None:
        """Ends what `instrument` began: its steps run unmodified, files are closed."""
        self.on_train_end()

    @guarded("measuring the overhead")
    def on_test_begin(self, logs=None):
        self._meter.end()
        if self.evaluate and not self._is_fitting:
            self._begin_evaluation()

    @guarded("beginning to watch an evaluation", begins=True)
    def _begin_evaluation(self):
        """Begins to watch an evaluation that no `fit` asks for."""
        session = capture.Session.of(self.model, capture.TEST)
        began = iterations_of(self.model)
        self._begin(session, _Training(), began, evaluating.SIGNALS)
        self._watch_evaluations()

    @guarded("arming an evaluation")
    def on_test_batch_begin(self, batch, logs=None):
        self._evaluations.begin_batch(batch)

    @guarded("ending an evaluation")
    def on_test_end(self, logs=None):
        if self._evaluations.are_watched and not self._is_fitting:
            self._close(judge=False)

    @guarded("ending an epoch")
    def on_epoch_end(self, epoch, logs=None):
        self._meter.end()
        self._take_validation(logs)
        self._ask_rules()
        self._log.flush()

    def _take_validation(self, logs):
        """Takes in what an epoch's validation gave, as of the last monitored step."""
        metrics = {
            name: value
            for name, value in _numbers(logs or {}).items()
            if name.startswith("val_")
        }
        if metrics and self._monitored:
            part = self.record.add_scalars(self._fit.last_step, metrics)
            self._log.write_metrics(self._fit.last_step, metrics, part)

    @guarded("ending the run")
    def on_train_end(self, logs=None):
        self._close(judge=True)

    def _ask_rules(self):
        """Asks the rules, if it is time to, and does what is wanted about findings."""
        if self._judge.is_due(self._monitored):
            try:
                self._judge.act(self._newly_found(), self.model)
            except BaseException:
                self._close(judge=False)  # `on_train_end` is not called then
                raise

    def _newly_found(self):
        """Asks the rules; returns the findings that have opened."""
        step = self._fit.last_step
        opened = self._judge.ask(self.record, step, self._monitored)
        if self._judge.has_rules or self._judge.findings:
            # An empty list tells that rules were asked and found nothing.
            self.record.findings = self._judge.to_dicts()
            self._log.write_findings(step, self.record.findings)
        return opened

    def _close(self, judge):
        """Takes the monitor off the model, says what stands, closes the files."""
        if self._fit is not None:
            self._fit.end()
        self._evaluations.end()
        self._meter.end()
        if judge and self._monitored:
            opened = self._newly_found()
            self._judge.summarize()
        else:
            opened = []
        if judge and self._fit is not None:
            self._fit.warn_of_nothing(type(self).__name__)
        if self._fit is not None and self._fit.is_described and self._meter.is_running:
            self.record.metadata["overhead"] = self._meter.summary()
            self._log.write_run(self._fit.last_step, self.record.metadata)
        self._log.close()
        self._judge.act(opened, self.model)

    def _wants_histograms(self, step):
        if callable(self.histograms):
            return bool(self.histograms(step))
        return self.histograms > 0 and self._monitored_in_full % self.histograms == 0

    def _note_batch(self, batch):
        """Gathers what is known ahead of the first monitored step of a `fit`."""
        predicts = self._log.is_open and not self._monitored
        self._fit.note(batch, self.params, predicts)
        self._tell_budget()

    def _tell_budget(self):
        """Says once what will be written, when the model is built."""
        expected = self._fit.expects()
        if expected is not None:
            self._budget_for(*expected)

    def _budget_for(self, tensors, sequences):
        estimate = budget.estimate(
            tensors, sequences, bool(self.histograms), tuple(self._schedules)
        )
        self.record.metadata["budget"] = estimate
        if self._log.is_open:
            self._log.show(estimate["statistics"])
            logger.info("%s: %s", self.log_dir, budget.sentence(estimate))

    def _receive(self, step, seen, logs):
        """Takes in what a monitored step showed, unless it trained nothing."""
        fit = self._fit
        if fit.count is not None and fit.count.is_skipped(step):
            fit.skipped += 1
            return
        started = time.perf_counter()
        if not fit.is_described:
            self._describe(step, seen)
        self._monitored += 1
        self._monitored_in_full += is_full(seen)
        fit.last_step = step
        self._record_step(step, seen)
        metrics = _numbers(logs)
        if self._meter.is_running:
            metrics[schema.OVERHEAD] = self._meter.ratio()
        if fit.count is not None and fit.count.skipped is not None:
            metrics[schema.SKIPPED] = float(fit.count.skipped)
        part = self.record.add_scalars(step, metrics)
        self._log.write_metrics(step, metrics, part)
        self._meter.add_host_seconds(time.perf_counter() - started)

    def _receive_evaluation(self, step, seen):
        """Takes in what the first batch of an evaluation showed."""
        if not self._fit.is_described and not self._is_fitting:
            self._describe(step, seen)
        self._record_step(step, seen)

    def _record_step(self, step, seen):
        """Records what a step showed, in memory and in the log."""
        if len(self._schedules) > 1:
            self.record.add_norms(step, seen)
            self._log.write_norms(step, self.record, tuple(seen))
            if not is_full(seen):
                return
        self.record.add_step(step, seen)
        counts = {
            signal: one.histogram
            for signal, one in seen.items()
            if one.histogram is not None
        }
        self._log.write_step(step, self.record, tuple(seen), counts)

    def _describe(self, step, seen):
        """Says what is recorded, once the model is known to be built."""
        facts = self._fit.describe(self._signals, seen)
        self.record.metadata.update(facts)
        tensors, sequences = self._fit.expected
        if any(len(one.keys) > len(tensors.get(s, ())) for s, one in seen.items()):
            # Layers of a subclassed model that are called more than once.
            self._budget_for({s: one.keys for s, one in seen.items()}, sequences)
        self._log.write_run(step, self.record.metadata)
        for signal, expected in self._fit.predictions(seen).items():
            self._log.write_prediction(step, signal, *expected)


class _Training:
    """Stands for a training that Keras has no history of."""


def is_full(seen):
    """Whether a step, `{signal: StepStatistics}`, was recorded in full detail."""
    return any(
        one.columns == schema.statistics_of(signal) for signal, one in seen.items()
    )


def _numbers(logs):
    """Returns those of a step's logs that are single numbers, as floats."""
    numbers = {}
    for name, value in (logs if isinstance(logs, Mapping) else {}).items():
        with contextlib.suppress(TypeError, ValueError):
            if np.ndim(value) == 0:
                numbers[name] = float(value)
    return numbers
