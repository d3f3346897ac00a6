"""Progress of calls that take long: a bar in a terminal, a line in a notebook's cell.

Where nobody looks, in a script's log or a pipe, nothing is shown; nor is it of what is
done within a second.
"""

import html
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import rich.console
import rich.progress

Item = TypeVar("Item")
_QUICK = 1.0  # seconds within which what is done needs no bar


def tracked(
    items: Iterable[Item],
    what: str,
    total: int,
    told: Callable[[Item], str] | None = None,
) -> Iterator[Item]:
    """Yields items, and shows how many have come.

    Args:
        items: What takes its time to come, or to be worked on.
        what: What they are, such as `"runs"`.
        total: How many there are at most.
        told: What is said of the newest.
    """
    bar = _display(what, total)
    started = time.monotonic()
    shown = False
    try:
        for number, item in enumerate(items, 1):
            yield item
            if time.monotonic() - started >= _QUICK:
                bar.show(number, "" if told is None else told(item))
                shown = True
    finally:
        if shown:
            bar.close(time.monotonic() - started)


def _display(what: str, total: int) -> Any:
    """Returns what shows progress here, if anything does."""
    if kernel() is not None:
        return _Cell(what, total)
    console = rich.console.Console(stderr=True, highlight=False)
    return _Bar(what, total, console) if console.is_terminal else _Nothing()


def kernel() -> Any:
    """Returns the kernel of a notebook that this runs in, `None` elsewhere."""
    # Whoever runs in a kernel has IPython already.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None)


class _Nothing:
    """Shows nothing."""

    def show(self, done: int, text: str) -> None:
        """Does nothing."""

    def close(self, seconds: float) -> None:
        """Does nothing."""


class _Bar:
    """A bar on standard error, gone in the end."""

    def __init__(self, what: str, total: int, console: rich.console.Console) -> None:
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[text]}", markup=False),
            rich.progress.TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bars.add_task(what, total=total, text="")

    def show(self, done: int, text: str) -> None:
        """Shows how many are done."""
        self._bars.start()
        self._bars.update(self._task, completed=done, text=text)

    def close(self, seconds: float) -> None:
        """Takes the bar away."""
        self._bars.stop()


class _Cell:
    """A line in a notebook's cell."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._done = 0
        self._output = CellOutput()

    def show(self, done: int, text: str) -> None:
        """Shows how many are done."""
        self._done = done
        count = f"{done} of {self._total} {self._what}"
        line = f"{count}: {text}" if text else count
        bar = f'<progress value="{done}" max="{self._total}"></progress> '
        self._output.put(bar + html.escape(line), line)

    def close(self, seconds: float) -> None:
        """Says how long it took."""
        line = f"{self._done} of {self._total} {self._what} in {seconds:.0f} s"
        self._output.put(html.escape(line), line)


class CellOutput:
    """One output of a notebook's cell, which is written anew."""

    def __init__(self) -> None:
        self._id: str | None = None

    def put(self, shown: str, text: str) -> None:
        """Shows HTML, or a text where there is none, in place of what was there."""
        from IPython.display import display, update_display

        content = {"text/html": shown, "text/plain": text}
        if self._id is None:
            self._id = uuid.uuid4().hex
            display(content, raw=True, display_id=self._id)
        else:
            update_display(content, raw=True, display_id=self._id)
