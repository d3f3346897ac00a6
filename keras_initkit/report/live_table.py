"""A table of runs while they go on, with the time that is left."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence

import rich.console
import rich.live
import rich.table

from keras_initkit.report import progress, tables

_MOST_ROWS = 30  # those that are shown of a large grid


class LiveTable:
    """Shows how many runs of each initializer are done, and what came out so far.

    Args:
        rows: Names of the rows.
        seeds: Runs of each.
        at_once: Runs that are computed at once.
        wanted: Whether to show it; by default in notebooks, and where standard error is
            a terminal.
    """

    def __init__(
        self, rows: Sequence[str], seeds: int, at_once: int, wanted: bool | None
    ) -> None:
        self._console = rich.console.Console(stderr=True, highlight=False)
        self._cell = None if progress.kernel() is None else progress.CellOutput()
        can = self._console.is_terminal or self._cell is not None
        self._wanted = can if wanted is None else wanted
        self._accuracies: dict[str, list[float]] = {name: [] for name in rows}
        self._total = len(rows) * seeds
        self._seeds = seeds
        self._at_once = at_once
        self._seconds: list[float] = []
        self._done = 0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the table while inside, if it is wanted."""
        started = time.monotonic()
        if not self._wanted:
            yield
        elif self._cell is not None:
            self._put()
            yield
            seconds = time.monotonic() - started
            line = f"{self._done} of {self._total} runs in {seconds:.0f} s"
            self._cell.put(line, line)
        else:
            # Where nobody looks, what it ends with is all that is shown.
            transient = self._console.is_terminal
            with rich.live.Live(self, console=self._console, transient=transient):
                yield

    def _put(self) -> None:
        """Shows the table as it is in a notebook's cell."""
        if self._wanted and self._cell is not None:
            self._cell.put(tables.to_html(self), tables.to_text(self))

    def add(self, name: str, accuracy: float, seconds: float) -> None:
        """Counts a run.

        Args:
            name: Name of its row.
            accuracy: Its accuracy, NaN if it has none.
            seconds: What it took; 0 for one that is there from before.
        """
        self._done += 1
        self._accuracies.setdefault(name, []).append(accuracy)
        if seconds > 0:
            self._seconds.append(seconds)
        self._put()

    @property
    def left(self) -> float:
        """Estimated seconds to the end; NaN before the first run has finished."""
        if not self._seconds:
            return math.nan
        mean = sum(self._seconds) / len(self._seconds)
        return (self._total - self._done) * mean / self._at_once

    def __rich__(self) -> rich.table.Table:
        left = "" if math.isnan(self.left) else f", about {_duration(self.left)} left"
        table = rich.table.Table(title=f"{self._done} of {self._total} runs{left}")
        table.add_column("initializer")
        table.add_column("runs", justify="right")
        table.add_column("mean accuracy", justify="right")
        begun = [name for name, found in self._accuracies.items() if found]
        others = [name for name in self._accuracies if name not in set(begun)]
        for name in [*begun, *others][:_MOST_ROWS]:
            found = self._accuracies[name]
            mean = f"{sum(found) / len(found):.4f}" if found else ""
            table.add_row(name, f"{len(found)}/{self._seeds}", mean)
        hidden = len(self._accuracies) - _MOST_ROWS
        if hidden > 0:
            table.add_row(f"and {hidden} more", "", "")
        return table


def _duration(seconds: float) -> str:
    """Returns a time as people say it.

    Example:
    >>> _duration(75)
    '1 min 15 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
