"""`ChunkFile`: the event file of the matrices, some steps at a time."""

import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import events
from keras_initkit_tensorboard import packing

# After so many seconds all that waits is written, and a series as soon as its chunk is
# full: fewer events, and a smaller log that is read faster.
SECONDS = 1.0


class ChunkFile:
    """An event file of matrices, each event a chunk of steps of one series.

    The first step of a series is written at once. A killed process loses a second of
    steps at most; any other end, an exception in `fit` too, none.

    Args:
        directory: Where the file goes, made if need be.
    """

    def __init__(self, directory: pathlib.Path):
        self._file = events.EventFile(directory)
        self._waiting: dict[str, list[tuple[int, np.ndarray]]] = {}
        self._started: set[str] = set()
        self._timer: threading.Timer | None = None
        self._failure: Exception | None = None
        self._lock = threading.Lock()

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
            if len(waiting) == packing.MOST_STEPS:
                self._write(tag)
            elif self._timer is None:
                self._timer = threading.Timer(SECONDS, self._write_late)
                self._timer.start()

    def write_text(self, tag: str, step: int, content: Mapping[str, Any]) -> None:
        """Writes a JSON object, at once."""
        with self._lock:
            self._tell_failure()
            self._file.write(step, [events.text(tag, content)])

    def close(self) -> None:
        """Writes what waits and closes the file; what is added later opens another."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            try:
                self._tell_failure()
                self._write_all()
            finally:
                self._waiting.clear()
                self._file.close()

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
        """Writes what waits of a series, as an event of its first step.

        A restart from a later step then supersedes none of the steps ahead of it.
        """
        steps, matrices = zip(*self._waiting[tag], strict=True)
        self._file.write(steps[0], [events.chunk(tag, steps, np.stack(matrices))])
        self._waiting[tag].clear()

    def _write_all(self) -> None:
        for tag in [tag for tag, waiting in self._waiting.items() if waiting]:
            self._write(tag)

    def _write_late(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # closed in the meantime
            self._timer = None
            try:
                self._write_all()
            except Exception as error:  # told where somebody can hear it
                self._failure = error

    def _tell_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
