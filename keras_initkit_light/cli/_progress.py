"""Progress on standard error: bars on a terminal, a line per run elsewhere."""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rich.markup
import rich.progress

from keras_initkit_light.cli import _console

if TYPE_CHECKING:
    import keras

    from keras_initkit.experiments import RunResult

_REFRESH = 0.1  # seconds between two updates of a bar


class Progress:
    """Bars over the runs of a command and over the steps of the current run."""

    def __init__(self, runs: int) -> None:
        self._console = _console.stderr()
        self._runs = runs
        self._done = 0
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[note]}"),
            rich.progress.TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._total = (
            self._bars.add_task("runs", total=runs, note="") if runs > 1 else None
        )
        self._current = self._bars.add_task("", total=None, visible=False, note="")

    @contextlib.contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Shows the bars while inside, if there is a terminal to show them on."""
        if self._console.is_terminal:
            with self._bars:
                yield self
        else:
            yield self

    def callbacks(self, label: str, seed: int) -> "list[keras.callbacks.Callback]":
        """Returns the callback that moves the bar of a run."""
        if not self._console.is_terminal:
            return []
        return [_make_callback(self._bars, self._current, f"{label} seed {seed}")]

    def finished(self, result: "RunResult") -> None:
        """Counts a finished run and says in a line what came out of it."""
        self._done += 1
        if self._total is not None:
            self._bars.update(self._total, completed=self._done)
        text = line_of(result, self._done, self._runs)
        self._console.print(text, soft_wrap=True)


def line_of(result: "RunResult", done: int, runs: int) -> str:
    """Returns what came out of a run, as `rich` prints it."""
    point = "".join(f" {name}={value}" for name, value in result.point.items())
    name = rich.markup.escape(f"{result.initializer}{point}")
    return (
        f"[dim]{done}/{runs}[/] {name} seed {result.seed}: accuracy "
        f"{result.accuracy:.4f}, loss {result.loss_initial:.4g} → "
        f"{result.loss_final:.4g} [dim]({result.seconds:.1f} s)[/]"
    )


def _make_callback(
    bars: rich.progress.Progress, task: rich.progress.TaskID, name: str
) -> "keras.callbacks.Callback":
    """Returns a Keras callback that moves one bar, at most ten times a second."""
    import keras

    class Bar(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self._next = 0.0
            self._epoch = 0

        def on_train_begin(self, logs: Any = None) -> None:
            bars.reset(task, visible=True, description=name, note="")

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _REFRESH
            steps, epochs = self.params["steps"], self.params["epochs"]
            loss = (logs or {}).get("loss")
            bars.update(
                task,
                total=None if steps is None else steps * epochs,
                completed=(steps or 0) * self._epoch + batch + 1,
                note=f"epoch {self._epoch + 1}/{epochs}"
                + ("" if loss is None else f" loss {float(loss):.4g}"),
            )

        def on_train_end(self, logs: Any = None) -> None:
            bars.update(task, visible=False)

    return Bar()
