"""How a lesson is run."""

import argparse
import contextlib
import pathlib
import runpy
from collections.abc import Callable, Iterator
from typing import Any

import rich.console
import rich.progress

from keras_initkit.lessons._result import Result
from keras_initkit_light.lessons import FILES

Lesson = Callable[..., Result]

LOG_DIR = "logdir/lessons"


def run(
    name: str, log_dir: Any = LOG_DIR, source: str = "auto", **settings: Any
) -> Result:
    """Runs a lesson.

    Args:
        name: One of `NAMES`.
        log_dir: Its picture and event files go to a directory of its own below this
            one, called as its file.
        source: Source of the data, as for `kik.data.load`.
        **settings: Keyword arguments of the lesson's own, to make it shorter or longer.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    lesson = runpy.run_path(str(FILES[name]))["run"]
    return _run(lesson, log_dir, source, settings)


def main(lesson: Lesson, argv: list[str] | None = None) -> None:
    """Runs the lesson of a file that was called by itself, and prints its result."""
    text = getattr(lesson, "__globals__", {}).get("__doc__") or ""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("--log-dir", default=LOG_DIR, help=f"default: {LOG_DIR}")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    args = parser.parse_args(argv)
    with working(f"lesson {_stem(lesson)}"):
        result = _run(lesson, args.log_dir, args.source, {})
    print(result)


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Says on standard error what goes on; on a terminal also for how long."""
    console = rich.console.Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.print(f"[dim]{text}[/]")
        yield
        return
    columns = (
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}"),
        rich.progress.TimeElapsedColumn(),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as bars:
        bars.add_task(text, total=None)
        yield


def _run(lesson: Lesson, log_dir: Any, source: str, settings: dict[str, Any]) -> Result:
    import keras  # not needed to list the lessons

    from keras_initkit.report import drawing

    drawing.matplotlib_figure()  # missed before an hour of training, not after
    keras.utils.set_random_seed(0)
    return lesson(pathlib.Path(log_dir) / _stem(lesson), source=source, **settings)


def _stem(lesson: Lesson) -> str:
    """Returns the name of a lesson's file, without its suffix."""
    return pathlib.Path(getattr(lesson, "__globals__", {})["__file__"]).stem
