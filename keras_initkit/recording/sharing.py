"""Several monitors of one `fit` that write to one run."""

import contextlib
import os
import threading
import weakref
from typing import Any

from keras_initkit.recording import continuing
from keras_initkit.recording.log import storage
from keras_initkit.recording.log.places import RunIdentity
from keras_initkit.recording.log.writer import RunWriter

# The runs that are being written, by directory and thread.
_RUNS: dict[tuple[str, threading.Thread], "_Run"] = {}


class RunShare:
    """A monitor's share in the writer of a run.

    Event files of one run must not be open at the same time, so the monitors of a `fit`
    that are given one directory share one writer; their signals must differ. The last
    to close closes it. A run that an earlier `fit` left open, because it raised, is
    closed first; one that a `fit` in another thread writes is left alone, and a new run
    beside it begun.

    Args:
        log_dir: Directory of the run.
        fit: An object that stands for the `fit`; its history.
        signals: Names of the signals that the monitor records.
        model: What is trained, for `continuing`.
        before: The monitor's share in an earlier `fit` of this model, whose run then
            goes on.
        details: What is recorded of tensors, some of `schema.DETAILS`: a run of other
            details is not resumed.

    Raises:
        ValueError: If another monitor of the `fit` writes one of the signals there.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        fit: Any,
        signals: tuple[str, ...],
        model: Any = None,
        before: "RunShare | None" = None,
        details: tuple[str, ...] = ("full",),
    ):
        self.signals = signals
        log_dir = os.fspath(log_dir)
        self._key = storage.resolved(log_dir), threading.current_thread()
        _close_left_open(self._key, fit)
        run = _RUNS.get(self._key)
        if run is None:
            run = _RUNS[self._key] = _Run(log_dir, fit, model, details)
        taken = [s for share in run.shares for s in share.signals if s in signals]
        if taken:
            raise ValueError(
                "`log_dir` must differ between the monitors of a `fit`, unless their "
                f"signals differ. Received: log_dir={log_dir!r}, which another monitor "
                f"writes {tuple(taken)} to."
            )
        if before is not None and before.identity is not None:
            run.before.append(before.identity)
        run.shares.append(self)
        self._run = run

    @property
    def writer(self) -> RunWriter:
        """The writer of the run."""
        return self._run.writer

    @property
    def identity(self) -> RunIdentity | None:
        """The run that was written, or would be continued; `None` for neither."""
        return self._run.writer.identity or self._run.continued()

    @property
    def is_dropped(self) -> bool:
        """Whether a write has failed, after which none is tried."""
        return self._run.is_dropped

    def drop(self) -> None:
        """Gives the run up, for all its monitors: it cannot be written."""
        self._run.is_dropped = True
        self._run.shares.clear()
        if _RUNS.get(self._key) is self._run:
            del _RUNS[self._key]
        self.writer.drop()

    def write_run(self, step: int, metadata: dict[str, Any]) -> None:
        """Writes what all monitors of the run know of it.

        Args:
            step: Optimizer iteration.
            metadata: What this monitor knows; the id of the run, `"run"`, is put in.
        """
        identity = self.writer.begin()
        continuing.note(self._run.model(), self._key[0], identity, self._run.details)
        metadata["run"] = identity.run
        self._run.known[self] = dict(metadata)
        self.writer.write_run(step, merged(list(self._run.known.values())))

    def write_findings(self, step: int, findings: list[dict[str, Any]]) -> None:
        """Writes what all monitors of the run have found, each fault once.

        Nothing is written where that is what was written last.
        """
        self._run.found[self] = findings
        each = {
            (one["rule"], one["layer"]): one
            for found in self._run.found.values()
            for one in found
        }
        if list(each.values()) != self._run.written:
            self._run.written = list(each.values())
            self.writer.write_findings(step, self._run.written)

    def close(self) -> None:
        """Gives the share up."""
        if self not in self._run.shares:
            return
        self._run.shares.remove(self)
        if not self._run.shares:
            if _RUNS.get(self._key) is self._run:
                del _RUNS[self._key]
            self.writer.close()


def _close_left_open(key: tuple[str, threading.Thread], fit: Any) -> None:
    """Closes the runs of a directory whose `fit` has raised, or whose thread ended."""
    for other, run in list(_RUNS.items()):
        directory, thread = other
        is_of_here = thread is key[1]
        left_open = run.fit() is not fit if is_of_here else not thread.is_alive()
        if directory == key[0] and left_open:
            del _RUNS[other]
            # Its training has ended: what could not be written is no fault of this.
            with contextlib.suppress(Exception):
                run.writer.close()


class _Run:
    def __init__(self, log_dir: str, fit: Any, model: Any, details: tuple[str, ...]):
        self.details = details
        self.writer = RunWriter(log_dir, self.continued)
        self.model = weakref.ref(fit if model is None else model)
        self._key = storage.resolved(log_dir)
        self.fit = weakref.ref(fit)
        self.shares: list[RunShare] = []
        self.is_dropped = False
        # What earlier fits of the same monitors have written.
        self.before: list[RunIdentity] = []
        # What each knows, those that have closed included.
        self.known: dict[RunShare, dict[str, Any]] = {}
        self.found: dict[RunShare, list[dict[str, Any]]] = {}
        self.written: list[dict[str, Any]] | None = None

    def continued(self) -> RunIdentity | None:
        """The run that this one continues, `None` for a new one."""
        resumed = continuing.resumed(self.model(), self._key, self.details)
        if resumed is not None:
            self.before.insert(0, resumed)
        return self.before[0] if self.before else None


def merged(known: list[dict[str, Any]]) -> dict[str, Any]:
    """Merges what monitors know of their common run.

    Lists of what is not tapped are joined, budgets added up; of overheads, which every
    monitor measures as a whole, the largest stands; else the last one's word.
    """
    whole: dict[str, Any] = {}
    for metadata in known:
        before = dict(whole)
        whole.update(metadata)
        if before.keys() & metadata.keys() >= {"untapped"}:
            old, new = before["untapped"], metadata["untapped"]
            whole["untapped"] = old + [one for one in new if one not in old]
        if before.keys() & metadata.keys() >= {"budget"}:
            whole["budget"] = _added(before["budget"], metadata["budget"])
        if before.keys() & metadata.keys() >= {"overhead"}:
            both = (before["overhead"], metadata["overhead"])
            whole["overhead"] = max(both, key=lambda overhead: overhead["ratio"])
    return whole


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Adds up the numbers of two budgets and joins their dicts."""
    return {
        name: {**one[name], **value} if isinstance(value, dict) else one[name] + value
        for name, value in other.items()
    }
