"""The log of a monitor: what it writes, without ever failing the training."""

import contextlib
import logging
import warnings
from typing import Any

from keras_initkit.recording import RunShare

logger = logging.getLogger(__name__)


class GuardedLog:
    """The log of the run that a monitor records, if it writes one.

    A failure costs one warning and the writing, never the training.
    """

    def __init__(self):
        self._log_dir: Any = None
        self._share: Any = None
        self._last: Any = None

    @property
    def is_open(self):
        """Whether what is written now goes to a log."""
        return self._share is not None

    def begin(self, log_dir, training, signals, model, details):
        """Opens the log of a training.

        Args:
            log_dir: The directory; `None` where nothing is to be written.
            training: An object that tells the training from others.
            signals: Names of what is recorded.
            model: The model that is trained.
            details: What is recorded of its tensors, some of `schema.DETAILS`.

        Raises:
            ValueError: If there can be no log in this directory.
        """
        self._share, self._log_dir = None, log_dir
        # With several workers, all of them record and only the chief writes.
        writes = model.distribute_strategy.extended.should_save_summary
        if log_dir is not None and writes:
            self._share = self._last = RunShare(
                log_dir, training, signals, model, self._last, details
            )

    def begin_anew(self):
        """Has the next training be a run of its own: that of another model."""
        self._last = None

    def show(self, statistics):
        """Tells which statistics stock dashboards get."""
        if self._share is not None:
            self._share.writer.show(statistics)

    def write_step(self, step, record, signals, counts):
        """Writes what a step showed."""
        self._write("write_step", step, record, signals, counts)

    def write_norms(self, step, record, signals):
        """Writes the norms of a step that may show no more."""
        self._write("write_norms", step, record, signals)

    def write_metrics(self, step, metrics, part):
        """Writes the metrics of a step."""
        self._write("write_metrics", step, metrics, part)

    def write_prediction(self, step, *prediction):
        """Writes what theory expects of a signal."""
        self._write("write_prediction", step, *prediction)

    def write_run(self, step, metadata):
        """Writes the facts of the run, those of all who share it."""
        self._write("write_run", step, metadata, shared=True)

    def write_findings(self, step, findings):
        """Writes the findings, those of all who share the run."""
        self._write("write_findings", step, findings, shared=True)

    def flush(self):
        """Has all that was written on disk: a training that is resumed goes on here."""
        if self._is_kept():
            self._guarded(self._share.writer.flush)

    def close(self):
        """Closes the log."""
        if self._share is not None:
            self._guarded(self._share.close)
        self._share = None

    def abandon(self):
        """Closes the log of a training that is not watched any more."""
        with contextlib.suppress(Exception):
            self._share.close()
        self._share = None

    def _is_kept(self):
        return self._share is not None and not self._share.is_dropped

    def _write(self, method, step, *args, shared=False):
        if self._is_kept():
            target = self._share if shared else self._share.writer
            self._guarded(getattr(target, method), step, *args)

    def _guarded(self, write, *args):
        try:
            write(*args)
        except Exception as error:
            logger.debug("SignalMonitor could not write", exc_info=True)
            self._share.drop()
            self._share = None
            warnings.warn(
                f"SignalMonitor cannot write to `log_dir` and goes on in memory only. "
                f"Received: log_dir={str(self._log_dir)!r} ({error})",
                stacklevel=2,
            )
