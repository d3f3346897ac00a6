"""`SignalMonitor`: what flows through a model, and back, while `fit` trains it."""

import logging
import pathlib
import time
import warnings

import keras

from keras_initkit import capture, schedules, schema
from keras_initkit.capture import layers as choosing
from keras_initkit.recording import RunRecord, RunWriter

logger = logging.getLogger(__name__)


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
        histograms: Whether magnitude histograms are recorded and written.

    Attributes:
        record: `RunRecord` of the last (or running) `fit`s.

    Raises:
        ValueError: If `every`, `signals` or `layers` is not as said.
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
        self.histograms = histograms
        self.record = RunRecord()
        self._schedule = schedules.as_schedule(every)
        self._session = None
        self._writer = None
        self._iteration = 0
        self._recorded = []

    def on_train_begin(self, logs=None):
        self._session = capture.Session.of(self.model)
        self._session.listen(self, self.signals, self.layers)
        self.record.metadata.update(
            data_version=schema.DATA_VERSION,
            model=self.model.name,
            layers=choosing.describe(self.model),
            untapped=[[u.layer, u.reason] for u in self._session.untapped],
        )
        self._writer = None if self.log_dir is None else RunWriter(self.log_dir)
        self._iteration = self._current_iteration()
        self._started = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        self._batch = batch
        steps = self.model.steps_per_execution
        expected = range(self._iteration, self._iteration + steps)
        if any(map(self._schedule, expected)):
            self._iteration = first = self._current_iteration()
            self._session.arm(
                lambda done: self._schedule(first + done),
                lambda done, results: self._receive(first + done, results),
            )

    def on_train_batch_end(self, batch, logs=None):
        self._iteration += batch - self._batch + 1
        for step in self._recorded:
            self._observe(self._write_scalars, step, logs or {})
        self._recorded.clear()

    def on_train_end(self, logs=None):
        self._session.forget(self)
        if self._writer is not None:
            self._observe(self._writer.close)

    def _current_iteration(self):
        optimizer = self.model.optimizer
        return 0 if optimizer is None else int(optimizer.iterations.numpy())

    def _receive(self, step, results):
        self._recorded.append(step)
        self._observe(self._keep, step, results)

    def _keep(self, step, results):
        for signal in self.signals:
            if signal in results:
                keys, values = results[signal]
                self.record.add(signal, keys, step, values)
                if self._writer is not None:
                    self._writer.write_matrix(self.record, signal, step)

    def _write_scalars(self, step, logs):
        self.record.add_scalars(step, {k: float(v) for k, v in logs.items()})
        if self._writer is not None:
            self._writer.write_metrics(self.record, step)

    def _observe(self, function, *args):
        """Calls what observes; a failure costs one warning, never the training."""
        try:
            function(*args)
        except Exception as error:
            logger.debug("monitoring failed", exc_info=True)
            warnings.warn(
                f"SignalMonitor could not observe this run and stops writing "
                f"({type(error).__name__}: {error}). Training goes on.",
                stacklevel=2,
            )
            self._writer = None
