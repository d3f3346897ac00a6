"""`SignalMonitor`: what flows through a model, and back, while `fit` trains it."""

import logging
import pathlib
import warnings
from typing import Any

import keras
import numpy as np

from keras_initkit import capture, schedules, schema, stats
from keras_initkit.capture import facts
from keras_initkit.capture import layers as choosing
from keras_initkit.recording import RunRecord, RunWriter

logger = logging.getLogger(__name__)

# Histograms are recorded at the first monitored step and every so many after it.
HISTOGRAM_EVERY = 10


class SignalMonitor(keras.callbacks.Callback):
    """Records per-layer statistics of the train step, and writes them for TensorBoard.

    The statistics are those of the very step that trains: no second pass, no data of
    its own, and not one bit of the training changed. On steps that are not monitored
    the train function of a bare `fit` runs. What Keras reads when it traces a step (a
    dropout rate, `trainable`) is to be changed before `compile`, as it asks itself:
    monitored steps are traced later than others. Under `tf.distribute` the statistics
    are those of the global batch; with several workers, only the chief writes.

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
        log_dir: Directory of the run, made when the first step is written. Scalars and
            histograms for the stock dashboards go there, the full record to
            `<log_dir>/initkit`. `None` keeps the record in memory only.
        every: Monitor optimizer iterations 0, n, 2n, … (iteration 0 is the step from
            the initial weights), or a schedule: one of `schedules`, such as
            `log_spaced()` or `first(20) | every(100)`, or any function from iteration
            to bool. Where gradients are accumulated, each batch counts as one.
        signals: Names out of `schema.SIGNALS`; all by default.
        layers: The layers to watch, with those inside them: names or shell patterns
            (`"block1/*"`), compiled regular expressions, layer classes, functions of a
            layer, layers, or a list of these; all by default. What cannot be tapped is
            listed in `record.metadata["untapped"]` with the reason.
        histograms: Whether histograms of the values are recorded: `True` for the first
            monitored step and every tenth after it, n for every n-th, a schedule for
            those monitored steps whose iteration it accepts.
        exclude: The layers not to watch, named in the same ways; none by default.

    Attributes:
        record: `RunRecord` of all that was recorded. It grows with each `fit`.

    Raises:
        ValueError: If `every`, `signals`, `layers`, `exclude` or `histograms` is not as
            said.
        TypeError: If `layers` or `exclude` is of another kind.
    """

    def __init__(
        self,
        log_dir,
        every=10,
        signals=tuple(schema.SIGNALS),
        layers=None,
        histograms=True,
        exclude=None,
    ):
        super().__init__()
        self.log_dir = None if log_dir is None else pathlib.Path(log_dir)
        self.signals = schema.check_signals(tuple(signals))
        self.selection = capture.Selection(layers, exclude)
        self.histograms = _checked_histograms(histograms)
        self.record = RunRecord()
        self._schedule = schedules.as_schedule(every)
        self._session: Any = None
        self._writer: Any = None
        # The next step as counted here, and what the optimizer last counted.
        self._iteration = 0
        self._optimizer_iteration = None
        self._monitored = 0
        self._unfinished = []

    def on_train_begin(self, logs=None):
        self._session = capture.Session.of(self.model)
        self._session.listen(self, self.signals, self.selection, bool(self.histograms))
        # With several workers, all of them record and only the chief writes.
        writes = self.model.distribute_strategy.extended.should_save_summary
        self._writer = RunWriter(self.log_dir) if self.log_dir and writes else None
        self._iteration = self._began = self._current_iteration()
        self._optimizer_iteration = None
        self._described = False
        self._facts = {}
        self._as_compiled = self._check_trainable()

    def on_train_batch_begin(self, batch, logs=None):
        self._batch = batch
        steps = self.model.steps_per_execution
        expected = range(self._iteration, self._iteration + steps)
        if self._as_compiled and any(map(self._schedule, expected)):
            first = self._resynchronize()
            self._session.arm(
                capture.Order(
                    listener=self,
                    plan=lambda done: self._schedule(first + done),
                    count=lambda done: self._wants_histograms(first + done),
                    deliver=lambda done, seen: self._receive(first + done, seen),
                    look=self._look,
                )
            )

    def on_train_batch_end(self, batch, logs=None):
        self._iteration += batch - self._batch + 1
        if not self._unfinished:
            return
        metrics = {
            name: float(value)
            for name, value in (logs or {}).items()
            if np.ndim(value) == 0
        }
        for step in self._unfinished:
            self.record.add_scalars(step, metrics)
            self._write("write_metrics", step, metrics)
        self._unfinished.clear()

    def on_train_end(self, logs=None):
        if self._session is not None:
            self._session.forget(self)
        self._write("close")

    def _current_iteration(self):
        optimizer = self.model.optimizer
        if optimizer is None:
            return 0
        # `iterations` itself is divided by `gradient_accumulation_steps`.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        iterations = getattr(optimizer, "_iterations", optimizer.iterations)
        return int(np.asarray(iterations))

    def _resynchronize(self):
        """Sets the count of steps right where the model's own optimizer counts them."""
        counted = self._current_iteration()
        if counted != self._optimizer_iteration:
            self._iteration = self._optimizer_iteration = counted
        return self._iteration

    def _check_trainable(self):
        """Whether the step still trains what it trained when it was traced."""
        optimizer = self.model.optimizer
        known = getattr(optimizer, "_trainable_variables", None)
        if not getattr(optimizer, "built", False) or not known:
            return True
        if {id(v) for v in known} == {id(v) for v in self.model.trainable_variables}:
            return True
        warnings.warn(
            "SignalMonitor does not monitor this `fit`: the trainable weights of the "
            f"model {self.model.name!r} have changed since it was first trained, which "
            "Keras does not heed before `model.compile(...)` is called again.",
            stacklevel=2,
        )
        return False

    def _wants_histograms(self, step):
        if callable(self.histograms):
            return bool(self.histograms(step))
        return self.histograms > 0 and self._monitored % self.histograms == 0

    def _look(self, batch):
        """Gathers what is known ahead of the first monitored step of a `fit`."""
        if not self._facts:
            self._facts = facts.gather(self.model, batch, self.params, self._began)

    def _receive(self, step, seen):
        """Takes in what a monitored step showed."""
        if not self._described:
            self._describe(
                step, not seen.keys().isdisjoint(("gradient", "weight", "update"))
            )
        self._monitored += 1
        self._unfinished.append(step)
        recorded = [signal for signal in self.signals if signal in seen]
        counts = {}
        for signal in recorded:
            one = seen[signal]
            self.record.add(signal, one.keys, step, one.statistics)
            if one.histogram is not None:
                share = stats.magnitudes(one.histogram)
                self.record.add_histogram(signal, step, share)
                counts[signal] = one.histogram
            time = getattr(one, "time", None)
            if time is not None:
                self.record.add_time_steps(signal, step, *time)
        self._write("write_step", step, self.record, tuple(recorded), counts)

    def _describe(self, step, weights_seen):
        """Says what is recorded, once the model is known to be built."""
        self._described = True
        untapped = self._session.untapped(self)
        self.record.metadata.update(
            data_version=schema.DATA_VERSION,
            model=self.model.name,
            layers=choosing.describe(self.model),
            untapped=[[one.layer, one.reason] for one in untapped],
            **self._facts,
        )
        wanted = {"gradient", "weight", "update"} & set(self.signals)
        if wanted and self.model.trainable_variables and not weights_seen:
            self.record.metadata["untapped"].append(
                [self.model.name, "its weights: not applied by `model.optimizer`"]
            )
        self._write("write_run", step, self.record.metadata)

    def _write(self, method, *args):
        """Writes; a failure costs one warning and the writing, never the training."""
        if self._writer is None:
            return
        try:
            getattr(self._writer, method)(*args)
        except Exception as error:
            logger.debug("SignalMonitor could not write", exc_info=True)
            self._writer = None
            warnings.warn(
                f"SignalMonitor cannot write to `log_dir` and goes on in memory only. "
                f"Received: log_dir={str(self.log_dir)!r} ({error})",
                stacklevel=2,
            )


def _checked_histograms(histograms):
    """Returns a schedule of iterations, or a number of monitored steps, 0 for never."""
    if isinstance(histograms, bool):
        return HISTOGRAM_EVERY if histograms else 0
    if callable(histograms):
        return histograms
    if not isinstance(histograms, int) or histograms < 1:
        raise ValueError(
            "`histograms` must be a bool, a positive number of monitored steps, or a "
            f"schedule. Received: histograms={histograms!r}"
        )
    return histograms
