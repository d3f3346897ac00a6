"""`ChunkFile`: the event file of the matrices, some steps at a time."""

import atexit
import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import events
from keras_initkit_light.format import packing

# After so many seconds all that waits is written, and a series as soon as its chunk is
# full: fewer events, and a smaller log that is read faster. TensorBoard looks for news
# as often.
SECONDS = 5.0


class ChunkFile:
    """An event file of matrices, each event a chunk of steps of one series.

    The first step of a series is written at once. A killed process loses what came
    after the last `flush`, and no more than `SECONDS` of it; any other end, an
    exception or Ctrl-C, loses nothing.

    Args:
        directory: Where the file goes, made if need be.
    """

    def __init__(self, directory: pathlib.Path):
        self._file = events.EventFile(directory)
        self._waiting: dict[str, list[tuple[int, np.ndarray]]] = {}
        self._started: set[str] = set()
        self._timer: threading.Timer | None = None
        self._failure: Exception | None = None
        # Reentrant: a handler of a signal may close what it has interrupted.
        self._lock = threading.RLock()

    def add(
        self,
        tag: str,
        step: int,
        matrix: np.ndarray,
        describe: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Adds the matrix of a step to a series.

        Args:
            tag: Tag of the series, whose matrices all have one shape.
            step: Optimizer iteration.
            matrix: Array of shape `(rows, columns)`, kept as it is until it is written.
            describe: Returns the metadata of the series, where the file lacks it.
        """
        with self._lock:
            self._tell_failure()
            if not self._file.describes(tag):
                self._begin(tag, step, matrix, describe())
                return
            waiting = self._waiting.setdefault(tag, [])
            if waiting and waiting[-1][0] >= step:  # begun anew
                self._write(tag)
            waiting.append((step, matrix))
            if len(waiting) >= packing.MOST_STEPS:
                self._write(tag)
            elif self._timer is None:
                self._start_timer()

    def write_text(self, tag: str, step: int, content: Mapping[str, Any]) -> None:
        """Writes a JSON object, at once."""
        with self._lock:
            self._tell_failure()
            self._file.write(step, [events.text(tag, content)])

    def flush(self) -> None:
        """Writes what waits."""
        with self._lock:
            self._tell_failure()
            for tag in list(self._waiting):
                self._write(tag)

    def close(self) -> None:
        """Writes what waits and closes the file; what is added later opens another."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            atexit.unregister(self.close)
            try:
                self.flush()
            finally:
                self._file.close()

    def _start_timer(self) -> None:
        timer = threading.Timer(SECONDS, self._write_late)
        timer.daemon = True  # a program that ends does not wait for it, but closes
        timer.start()
        atexit.unregister(self.close)
        atexit.register(self.close)
        self._timer = timer

    def _begin(
        self, tag: str, step: int, matrix: np.ndarray, content: Mapping[str, Any]
    ) -> None:
        values = [events.chunk(tag, [step], matrix[None], content)]
        if tag not in self._started:
            # Once more under a tag of one event, which no sampling can drop.
            first = tag + schema.FIRST_SUFFIX
            values.append(events.chunk(first, [step], matrix[None], content))
        self._file.write(step, values)
        self._started.add(tag)

    def _write(self, tag: str) -> None:
        """Writes what waits of a series, each chunk as an event of its first step.

        A restart from a later step then supersedes none of the steps ahead of it.
        """
        waiting = self._waiting[tag]
        while waiting:
            steps, matrices = zip(*waiting[: packing.MOST_STEPS], strict=True)
            value = events.chunk(tag, steps, np.stack(matrices))
            try:
                self._file.write(steps[0], [value])
            except Exception:
                waiting.clear()  # not tried again
                raise
            del waiting[: len(steps)]

    def _write_late(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # closed in the meantime
            self._timer = None
            try:
                self.flush()
            except Exception as error:  # told where somebody can hear it
                self._failure = error

    def _tell_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
