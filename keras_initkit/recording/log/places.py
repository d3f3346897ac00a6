"""`Place`: the directory that a run is written to, and which run that is."""

import dataclasses
import logging
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable
from typing import Any

from keras_initkit import schema
from keras_initkit.recording.log import locks, storage
from keras_initkit_light.format import files

logger = logging.getLogger(__name__)

_SOMEBODY = "Another process"


@dataclasses.dataclass(frozen=True)
class RunIdentity:
    """Which run was written, and where, so that a later `fit` can continue it.

    Attributes:
        run: Random id, 12 hexadecimal digits.
        directory: Where it lies: the log directory or a `run-<n>` below it.
        fit: Number of its newest `fit`, from 1.
    """

    run: str
    directory: str
    fit: int

    @classmethod
    def of(cls, fields: Any) -> "RunIdentity":
        """Returns the identity of a dict of these fields.

        Raises:
            ValueError: If they are not as said.
        """
        is_one = (
            isinstance(fields, dict)
            and fields.keys() == {"run", "directory", "fit"}
            and isinstance(fields["run"], str)
            and re.fullmatch("[0-9a-f]{12}", fields["run"])
            and isinstance(fields["directory"], str)
            and type(fields["fit"]) is int
        )
        if not is_one:
            raise ValueError(f"no identity of a run. Received: {fields!r}")
        return cls(**fields)


class Place:
    """The directory of a run that is being written.

    Nothing is decided, made or locked before the first `take`. A new run lies in the
    log directory itself if that holds none, else in a `run-<n>` of its own below it,
    behind all that are there: it hides nothing. Where another process, or another
    thread, writes at the same time, a warning says so.

    Args:
        log_dir: The directory that a monitor was given.
        continued: Returns the run that this one continues, `None` for a new one; asked
            when the first step is written.

    Attributes:
        identity: The run, `None` before the first `take`.
    """

    def __init__(
        self,
        log_dir: str,
        continued: Callable[[], RunIdentity | None] = lambda: None,
    ):
        self.identity: RunIdentity | None = None
        self._log_dir = log_dir
        self._continued = continued
        self._lock: locks.Lock | None = None

    def take(self) -> RunIdentity:
        """Takes the directory, for one more file; returns the run."""
        self.release()
        # One that is there was closed, or has vanished, in mid-run.
        before, fits = self.identity, 0
        if before is None:
            before, fits = self._continued(), 1
        identity = None if before is None else self._continue(before, fits)
        self.identity = identity or self._begin(refused=before)
        return self.identity

    def next_file(self) -> files.LogFile:
        """Returns the next file of the run that was taken."""
        identity = self.identity or self.take()
        names = storage.names(identity.directory)
        return files.LogFile.next(identity.run, time.time(), names)

    def release(self) -> None:
        """Gives the directory up."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def _continue(self, before: RunIdentity, fits: int) -> RunIdentity | None:
        """The run that was before, `None` if somebody else writes it."""
        if not self._is_taken(before.directory):
            return None
        return dataclasses.replace(before, fit=before.fit + fits)

    def _begin(self, refused: RunIdentity | None) -> RunIdentity:
        """Takes the first directory behind all that hold a run.

        Args:
            refused: The run that should have been continued, if somebody writes it.
        """
        number, busy = 1, None
        if refused is not None:
            busy = _holder(refused.directory) or _SOMEBODY
        there = storage.names(self._log_dir)
        if holds_run(there):
            busy = busy or _holder(self._log_dir)
            number = 2
        taken = [n for name in there if (n := files.sub_run_number(name)) is not None]
        if taken:
            number = max(taken) + 1
            newest = storage.join(self._log_dir, files.sub_run(max(taken)))
            busy = busy or _holder(newest)
        while not self._is_taken_by_new(directory := self._numbered(number)):
            busy = busy or _holder(directory) or _SOMEBODY
            number += 1
        if busy:
            warnings.warn(
                f"{busy} is also writing to `log_dir`; this run goes to {directory!r}. "
                f"Received: log_dir={self._log_dir!r}",
                stacklevel=2,
            )
        elif number > 1:
            logger.warning(
                "%s already holds a run, which is kept; this one goes to %s",
                self._log_dir,
                directory,
            )
        return RunIdentity(uuid.uuid4().hex[:12], directory, fit=1)

    def _numbered(self, number: int) -> str:
        if number == 1:
            return self._log_dir
        return storage.join(self._log_dir, files.sub_run(number))

    def _is_taken_by_new(self, directory: str) -> bool:
        """Takes a directory unless somebody has it, or had it in the meantime."""
        if not self._is_taken(directory):
            return False
        if holds_run(storage.names(directory)):
            self.release()
            return False
        return True

    def _is_taken(self, directory: str) -> bool:
        """Takes a directory; whether nobody else writes there."""
        storage.make(directory)
        if storage.is_remote(directory):
            return True
        try:
            self._lock = locks.Lock(directory)
        except BlockingIOError:
            return False
        return True


def holds_run(names: list[str]) -> bool:
    """Whether a directory with these names in it holds a run, of any data version."""
    return schema.OLD_RECORD_RUN in names or any(map(files.LogFile.of, names))


def _holder(directory: str) -> str | None:
    return None if storage.is_remote(directory) else locks.holder(directory)


def as_it_is(path: str, before: os.stat_result) -> os.stat_result | None:
    """Returns what a local file is now; `None` if it is gone, another, or was cut.

    Args:
        path: The file, which is being written.
        before: What it was before.
    """
    try:
        now = os.stat(path)
    except OSError:
        return None
    is_cut = now.st_size < before.st_size
    return now if os.path.samestat(now, before) and not is_cut else None
