"""The last lines of a command: where the data come from, and what to type next."""

import pathlib
import shutil
import sys

import rich.markup

from keras_initkit_light.cli import _console, _names


def closing_lines(
    task: _names.Task, directory: pathlib.Path, picture: pathlib.Path | None
) -> None:
    """Says where the data come from and what to type next, on standard error."""
    err = _console.stderr()
    origin = rich.markup.escape(task.data.origin)
    if task.data.is_standin:
        err.print(f"[bold yellow]NOT THE REAL DATA:[/] {origin}", soft_wrap=True)
    else:
        err.print(f"Data: {origin}", soft_wrap=True)
    if picture is not None:
        err.print(f"Picture: {rich.markup.escape(str(picture))}", soft_wrap=True)
    next_step(directory)


def next_step(directory: pathlib.Path) -> None:
    """Says how to look at what was logged, on standard error."""
    path = rich.markup.escape(_names.shell_word(directory))
    program = rich.markup.escape(tensorboard())
    _console.stderr().print(f"[bold]Next:[/] {program} --logdir {path}", soft_wrap=True)


def tensorboard() -> str:
    """Returns how TensorBoard is started here: by name, else from beside Python."""
    beside = pathlib.Path(sys.executable).with_name("tensorboard")
    if shutil.which("tensorboard") or not beside.exists():
        return "tensorboard"
    here = pathlib.Path.cwd()
    is_below = beside.parent != here and beside.is_relative_to(here)
    return _names.shell_word(beside.relative_to(here) if is_below else beside)
