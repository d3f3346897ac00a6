"""`ChunkFile`: the matrices of an event file, some steps at a time."""

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.log import events
from keras_initkit_light.format import packing
from keras_initkit_light.format.described import Described

logger = logging.getLogger(__name__)

# After so many seconds all that waits is written, and a series as soon as its chunk is
# full: fewer events, and a smaller log that is read faster. A killed process loses no
# more than this.
SECONDS = 0.5


class ChunkFile:
    """The matrices of an event file, each event a chunk of steps of one series.

    The first step of a series is written at once, and once more under a tag of one
    event, which no sampling can drop. A killed process loses what came after the last
    `flush`, and no more than `SECONDS` of it; any other end, an exception or Ctrl-C,
    loses nothing.

    Args:
        file: The event file, which others may write to, too.
    """

    def __init__(self, file: events.EventFile):
        self._file = file
        self._waiting: dict[str, list[tuple[int, np.ndarray]]] = {}
        self._described: dict[str, Described] = {}
        self._started: set[tuple[str, int]] = set()
        self._timer: threading.Timer | None = None
        self._failure: Exception | None = None
        self._closes_at_exit = False
        _ALL.add(self)

    def add(
        self,
        tag: str,
        step: int,
        matrix: np.ndarray,
        describe: Callable[[], Described],
    ) -> None:
        """Adds the matrix of a step to a series.

        Args:
            tag: Tag of the series, whose matrices all have one shape.
            step: Optimizer iteration.
            matrix: Array of shape `(rows, columns)`, kept as it is until it is written.
            describe: Returns the description of the series, asked once.
        """
        with self._file.lock:
            self._begin()
            if tag not in self._described:
                self._described[tag] = describe()
            waiting = self._waiting.setdefault(tag, [])
            if waiting and waiting[-1][0] >= step:  # begun anew
                self._write(tag)
            waiting.append((step, matrix))
            if len(waiting) >= packing.MOST_STEPS or not self._file.describes(tag):
                self._write(tag)
            elif self._timer is None:
                self._start_timer()

    def write_text(self, tag: str, step: int, content: Mapping[str, Any]) -> None:
        """Writes a JSON object, at once."""
        with self._file.lock:
            self._begin()
            self._file.write(step, [events.text(tag, content)], lasting=True)
            self._file.count(tag, 1)

    def flush(self) -> None:
        """Writes what waits."""
        with self._file.lock:
            self._tell_failure()
            for tag in [*self._waiting]:
                self._write(tag)

    def close(self) -> None:
        """Writes what waits and closes the file; what is added later opens another."""
        with self._file.lock:
            self._cancel()
            self._leave_exit()
            try:
                self.flush()
            finally:
                self._file.close()

    def drop(self) -> None:
        """Lets go of the file as it is, and of what waits."""
        with self._file.lock:
            self._cancel()
            self._leave_exit()
            self._waiting.clear()
            self._failure = None
            self._file.drop()

    def forget(self) -> None:
        """In a forked process: leaves the file to the process that opened it."""
        self._timer = None
        self._waiting.clear()
        self._leave_exit()
        self._file.forget()

    def _begin(self) -> None:
        self._tell_failure()
        if not self._file.is_open:
            self._file.begin()
        if not self._closes_at_exit:
            atexit.register(self._close_at_exit)
            self._closes_at_exit = True

    def _leave_exit(self) -> None:
        if self._closes_at_exit:
            atexit.unregister(self._close_at_exit)
        self._closes_at_exit = False

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except Exception as error:
            logger.warning("The end of a log could not be written: %s", error)

    def _start_timer(self) -> None:
        timer = threading.Timer(SECONDS, self._write_late)
        timer.daemon = True  # a program that ends does not wait for it, but closes
        timer.start()
        self._timer = timer

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _write(self, tag: str) -> None:
        """Writes what waits of a series, each chunk as an event of its first step.

        A restart from a later step then supersedes none of the steps ahead of it.
        """
        waiting = self._waiting[tag]
        while waiting:
            steps, matrices = zip(*waiting[: packing.MOST_STEPS], strict=True)
            try:
                self._write_chunk(tag, steps, np.stack(matrices))
            except Exception:
                waiting.clear()  # not tried again
                raise
            del waiting[: len(steps)]

    def _write_chunk(
        self, tag: str, steps: tuple[int, ...], matrices: np.ndarray
    ) -> None:
        self._file.begin()
        described = None
        if not self._file.describes(tag):
            described = self._described[tag]
            self._write_first(tag, steps[0], matrices[:1])
        ahead = self._file.counts.get(tag, 0)
        value = events.chunk(tag, ahead, steps, matrices, described)
        self._file.write(steps[0], [value])
        self._file.count(tag, len(steps))

    def _write_first(self, tag: str, step: int, matrices: np.ndarray) -> None:
        """Writes the first step of a series, unless a file has it that is still there.

        It is an event of its own, so that damage to one leaves the other.
        """
        if (key := (tag, self._file.vanished)) not in self._started:
            first, described = tag + schema.FIRST_SUFFIX, self._described[tag]
            value = events.chunk(first, 0, [step], matrices, described)
            self._file.write(step, [value])
            self._started.add(key)

    def _write_late(self) -> None:
        with self._file.lock:
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


# Every one of this process: a process that is forked leaves their files alone.
_ALL: "weakref.WeakSet[ChunkFile]" = weakref.WeakSet()


def _forget_all() -> None:
    for chunks in list(_ALL):
        chunks.forget()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_all)
