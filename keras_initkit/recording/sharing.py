"""Several monitors of one `fit` that write to one run."""

import contextlib
import pathlib
import weakref
from collections.abc import Mapping
from typing import Any

from keras_initkit.recording.writer import RunWriter

# The runs that are being written, by directory.
_RUNS: dict[pathlib.Path, "_Run"] = {}


class RunShare:
    """A monitor's share in the writer of a run.

    Event files of one run must not be open at the same time, so the monitors of a `fit`
    that are given one directory share one writer; their signals must differ. The last
    to close closes it. A run that an earlier `fit` left open, because it raised, is
    closed first.

    Args:
        log_dir: Directory of the run.
        fit: An object that stands for the `fit`; its history.
        signals: Names of the signals that the monitor records.

    Raises:
        ValueError: If another monitor of the `fit` writes one of the signals there.
    """

    def __init__(self, log_dir: pathlib.Path, fit: Any, signals: tuple[str, ...]):
        self.signals = signals
        self._path = _resolved(pathlib.Path(log_dir))
        run = _RUNS.get(self._path)
        if run is None or run.fit() is not fit:
            if run is not None:
                # Its training has ended: what could not be written is no fault of this.
                with contextlib.suppress(Exception):
                    run.writer.close()
            run = _RUNS[self._path] = _Run(log_dir, fit)
        taken = [s for share in run.shares for s in share.signals if s in signals]
        if taken:
            raise ValueError(
                "`log_dir` must be another one for each monitor of a `fit`, unless "
                "their signals differ. "
                f"Received: log_dir={str(log_dir)!r}, which another monitor writes "
                f"{tuple(taken)} to."
            )
        run.shares.append(self)
        self._run = run

    @property
    def writer(self) -> RunWriter:
        """The writer of the run."""
        return self._run.writer

    def write_run(self, step: int, metadata: Mapping[str, Any]) -> None:
        """Writes what all monitors of the run know of it."""
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
            if _RUNS.get(self._path) is self._run:
                del _RUNS[self._path]
            self.writer.close()


def _resolved(path: pathlib.Path) -> pathlib.Path:
    """Returns the one name of a directory; its own where it has no other.

    A loop of links, or a working directory that is gone, is found when it is written.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


class _Run:
    def __init__(self, log_dir: pathlib.Path, fit: Any):
        self.writer = RunWriter(log_dir)
        self.fit = weakref.ref(fit)
        self.shares: list[RunShare] = []
        # What each knows, those that have closed included.
        self.known: dict[RunShare, dict[str, Any]] = {}
        self.found: dict[RunShare, list[dict[str, Any]]] = {}
        self.written: list[dict[str, Any]] | None = None


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
