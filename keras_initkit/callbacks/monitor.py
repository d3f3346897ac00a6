"""`SignalMonitor`: what flows through a model, and back, while `fit` trains it."""

import logging
import pathlib
import warnings
from typing import Any

import keras
import numpy as np

from keras_initkit import capture, schedules, schema, stats
from keras_initkit.capture import layers as choosing
from keras_initkit.recording import RunRecord, RunWriter

logger = logging.getLogger(__name__)

# Histograms are recorded at the first monitored step and every so many after it.
HISTOGRAM_EVERY = 10


class SignalMonitor(keras.callbacks.Callback):
    """Records per-layer statistics of the train step, and writes them for TensorBoard.

    The statistics are those of the very step that trains: no second pass, no data of
    its own, and not one bit of the training changed. On steps that are not monitored
    the train function of a bare `fit` runs.

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
            the initial weights), or a schedule: a function from iteration to bool.
        signals: Names out of `schema.SIGNALS`; all by default.
        layers: Names or shell patterns (`"block1/*"`) of the layers to watch; all by
            default. What cannot be tapped is listed in
            `record.metadata["untapped"]` with the reason.
        histograms: Whether histograms of the values are recorded: `True` for the first
            monitored step and every tenth after it, n for every n-th.

    Attributes:
        record: `RunRecord` of all that was recorded. It grows with each `fit`.

    Raises:
        ValueError: If `every`, `signals`, `layers` or `histograms` is not as said.
    """

    def __init__(
        self,
        log_dir,
        every=10,
        signals=tuple(schema.SIGNALS),
        layers=None,
        histograms=True,
    ):
        super().__init__()
        self.log_dir = None if log_dir is None else pathlib.Path(log_dir)
        self.signals = schema.check_signals(tuple(signals))
        self.layers = None if layers is None else tuple(layers)
        self.histogram_every = _histogram_every(histograms)
        self.record = RunRecord()
        self._schedule = schedules.as_schedule(every)
        self._session: Any = None
        self._writer: Any = None
        self._iteration = 0
        self._monitored = 0
        self._unfinished = []

    def on_train_begin(self, logs=None):
        self._session = capture.Session.of(self.model)
        untapped = self._session.listen(
            self, self.signals, self.layers, self.histogram_every > 0
        )
        self.record.metadata.update(
            data_version=schema.DATA_VERSION,
            model=self.model.name,
            layers=choosing.describe(self.model),
            untapped=[[one.layer, one.reason] for one in untapped],
        )
        self._writer = None if self.log_dir is None else RunWriter(self.log_dir)
        self._iteration = self._current_iteration()
        self._write("write_run", self._iteration, self.record.metadata)

    def on_train_batch_begin(self, batch, logs=None):
        self._batch = batch
        steps = self.model.steps_per_execution
        expected = range(self._iteration, self._iteration + steps)
        if any(map(self._schedule, expected)):
            self._iteration = first = self._current_iteration()
            self._session.arm(
                capture.Order(
                    listener=self,
                    plan=lambda done: self._schedule(first + done),
                    count=lambda done: self._wants_histograms(),
                    deliver=lambda done, seen: self._receive(first + done, seen),
                )
            )

    def on_train_batch_end(self, batch, logs=None):
        self._iteration += batch - self._batch + 1
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        for step in self._unfinished:
            self.record.add_scalars(step, metrics)
            self._write("write_metrics", step, metrics)
        self._unfinished.clear()

    def on_train_end(self, logs=None):
        self._session.forget(self)
        self._write("close")

    def _current_iteration(self):
        optimizer = self.model.optimizer
        return 0 if optimizer is None else int(np.asarray(optimizer.iterations))

    def _wants_histograms(self):
        every = self.histogram_every
        return every > 0 and self._monitored % every == 0

    def _receive(self, step, seen):
        """Takes in what a monitored step showed."""
        self._monitored += 1
        self._unfinished.append(step)
        recorded = [signal for signal in self.signals if signal in seen]
        counts = {}
        for signal in recorded:
            keys, statistics, histogram = seen[signal]
            self.record.add(signal, keys, step, statistics)
            if histogram is not None:
                self.record.add_histogram(signal, step, stats.magnitudes(histogram))
                counts[signal] = histogram
        self._write("write_step", step, self.record, tuple(recorded), counts)

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


def _histogram_every(histograms):
    if isinstance(histograms, bool):
        return HISTOGRAM_EVERY if histograms else 0
    if not isinstance(histograms, int) or histograms < 1:
        raise ValueError(
            "`histograms` must be a bool or a positive number of monitored steps. "
            f"Received: histograms={histograms!r}"
        )
    return histograms
