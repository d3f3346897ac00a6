"""What goes where: results to standard output, everything else to standard error."""

import contextlib
import importlib
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import rich.console
import rich.markup
import typer

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Lines that TensorFlow's C++ parts write before they look at the log level.
_NOISE = re.compile(
    r"[IWE]0000 |WARNING: All log messages before absl::|To enable the following instr"
)
_PIPE_WIDTH = 160  # columns of a table that goes to a file or pipe


def stderr() -> rich.console.Console:
    """Returns a console on standard error."""
    return rich.console.Console(stderr=True, highlight=False)


def stdout() -> rich.console.Console:
    """Returns a console on standard output, as wide as `COLUMNS` says, if it does.

    Tables are not cut short in a pipe.
    """
    is_told = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    width = None if is_told else _PIPE_WIDTH
    return rich.console.Console(width=width, highlight=False, soft_wrap=False)


def print_json(content: dict[str, Any]) -> None:
    """Prints one JSON object; what is not finite must be None already."""
    sys.stdout.write(json.dumps(content, indent=1, allow_nan=False) + "\n")


def fail(message: str) -> NoReturn:
    """Ends the command as misuse, with a message of one line."""
    stderr().print(f"[bold red]Error:[/] {rich.markup.escape(message)}", soft_wrap=True)
    raise typer.Exit(2)


@contextlib.contextmanager
def misuse() -> Iterator[None]:
    """Turns errors about arguments and missing parts into `fail`.

    For checks only: an error while a model trains is no misuse, and keeps its
    traceback.
    """
    try:
        yield
    except (ValueError, ImportError) as error:
        fail(str(error))


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """Keeps standard output for results: what is printed inside goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Says so when Ctrl-C ends the command, while it imports and loads."""
    try:
        yield
    except KeyboardInterrupt as error:
        stderr().print("[bold]Interrupted.[/]")
        raise typer.Exit(INTERRUPTED) from error


@contextlib.contextmanager
def loud_warnings() -> Iterator[None]:
    """Shows warnings as plain notices, without a line of source."""

    def show(message: Any, category: type[Warning], *_: Any) -> None:
        stderr().print(
            f"[bold yellow]{category.__name__}:[/] {rich.markup.escape(str(message))}",
            soft_wrap=True,
        )

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@contextlib.contextmanager
def command() -> Iterator[None]:
    """What a command works in: results only, loud warnings, interruptible."""
    with results_only(), loud_warnings(), interruptible():
        yield


def import_keras() -> None:
    """Imports Keras and its backend without their start-up messages.

    A log level that the user has set stands, and everything is shown.
    """
    if _LOG_LEVEL in os.environ:
        return
    os.environ[_LOG_LEVEL] = "3"
    with _without_noise():
        importlib.import_module("keras")


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, then passes on all but noise."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        try:
            os.dup2(held.fileno(), 2)
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = held.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(x for x in lines if not _NOISE.match(x)))
            sys.stderr.flush()
