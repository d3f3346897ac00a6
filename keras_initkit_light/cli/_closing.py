"""The last lines of a command: where the data come from, and what to type next."""

import pathlib

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
    _console.stderr().print(
        f"[bold]Next:[/] tensorboard --logdir {path}", soft_wrap=True
    )
