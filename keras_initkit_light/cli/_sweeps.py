"""What `compare` is given: a model, a grid, an engine; and what it says of each run."""

import ast
import contextlib
import dataclasses
import os
import pathlib
import runpy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from keras_initkit_light.cli import _console, _names
from keras_initkit_light.cli._progress import line_of

if TYPE_CHECKING:
    from keras_initkit.experiments import RunResult
    from keras_initkit.models import ModelSpec

_OWN_EPOCHS, _OWN_BATCH = 1, 32  # as for functions given to `kik.compare`


def model_of(
    name: str, model: str | None
) -> tuple[str | Callable[..., Any], "ModelSpec"]:
    """Returns what is built, and the spec whose data it is trained on.

    Args:
        name: NAME: a data set or a reference model.
        model: `--model`: a reference model, or `path.py:function`.

    Raises:
        ValueError: If there is no such model, or the file has no such function.
    """
    path, colon, function = (model or "").rpartition(":")
    if not colon:
        spec = _names.resolve(name, model)
        return spec.name, spec
    spec = _names.resolve(name, None)
    own = dataclasses.replace(spec, epochs=_OWN_EPOCHS, batch_size=_OWN_BATCH)
    return _function_of(pathlib.Path(path), function), own


def _function_of(path: pathlib.Path, name: str) -> Callable[..., Any]:
    """Returns a function of a file, which is run as Python runs a script's imports."""
    if not path.is_file():
        raise ValueError(
            "--model must be a reference model, or a function in a file, "
            f"path.py:build. Received: {f'{path}:{name}'!r}, but there is no such file."
        )
    # Not in `sys.modules`: its functions go to other processes as they are.
    found = runpy.run_path(str(path), run_name=path.stem).get(name)
    if not callable(found):
        raise ValueError(
            f"--model must name a function in its file. Received: {name!r}, which "
            f"{str(path)!r} does not define."
        )
    function: Callable[..., Any] = found
    return function


def title(build: str | Callable[..., Any]) -> str:
    """Returns what is built, in a word."""
    return build if isinstance(build, str) else getattr(build, "__name__", "model")


def directory(task: _names.Task, build: str | Callable[..., Any]) -> pathlib.Path:
    """Returns the default place of the runs."""
    return task.directory.with_name(title(build))


def grid_of(texts: list[str]) -> dict[str, list[Any]]:
    """Returns `{argument: values}` of `--grid` options.

    Example:
    >>> grid_of(["depth=5,30", "activation=relu,tanh"])
    {'depth': [5, 30], 'activation': ['relu', 'tanh']}

    Raises:
        ValueError: If one does not read ARGUMENT=VALUES, or comes twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        found = [_value(one) for one in _names.split_list(values)]
        if not equals or not name.isidentifier() or not found or name in grid:
            raise ValueError(
                "--grid must read ARGUMENT=VALUES, such as depth=5,30, once per "
                f"argument. Received: {text!r}."
            )
        grid[name] = found
    return grid


def _value(text: str) -> Any:
    """Returns a number, a truth value or None that a text reads as, or the text."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, bool | int | float | None) else text


def count_of(jobs: int, engine: str | None) -> int | None:
    """Returns `n_jobs`: of a cluster, all there is, unless a number is asked for."""
    return None if engine in ("ray", "dask") and jobs == 1 else jobs


@contextlib.contextmanager
def connected(engine: str | None) -> Iterator[None]:
    """Connects to a Dask cluster while inside; Ray does so by itself."""
    if engine != "dask":
        yield
        return
    try:
        from dask import distributed
    except ImportError as error:
        raise ImportError(
            "--engine dask needs dask: pip install 'keras-initkit[dask]'"
        ) from error
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    settings = {"address": address} if address else {"dashboard_address": None}
    with distributed.Client(**settings):
        yield


class Finished:
    """Says in a line on standard error what came out of each run.

    Args:
        runs: Number of runs.
        quiet: Whether to say nothing.
    """

    def __init__(self, runs: int, quiet: bool) -> None:
        self._console = _console.stderr()
        self._runs = runs
        self._quiet = quiet
        self._done = 0

    def add(self, result: "RunResult") -> None:
        """Counts a run."""
        self._done += 1
        if self._quiet:
            return
        text = line_of(result, self._done, self._runs)
        self._console.print(text, soft_wrap=True)
