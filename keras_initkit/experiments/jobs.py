"""Runs of a sweep: one after the other here, or several at once by an engine."""

import collections
import concurrent.futures
import dataclasses
import functools
import os
import pickle
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from keras_initkit.experiments.data import Data, as_arrays
from keras_initkit.experiments.engines import Engine
from keras_initkit.experiments.run_result import Lost, RunResult
from keras_initkit.experiments.store import finished
from keras_initkit.experiments.sweep import Cell, Sweep
from keras_initkit.experiments.threads import compute_with

_WATCH = 0.5  # seconds between two looks at whether the parent lives
_SENT_APART: Any = None  # stands for the data of a sweep on its way
# A process trains one model at a time: the seeds of Keras are those of a process.
_ONE_AT_A_TIME = threading.Lock()


Results = Generator[RunResult | Lost, None, None]


def in_turn(sweep: Sweep, cells: Sequence[Cell]) -> Results:
    """Yields the result of each cell, run here one after the other."""
    for cell in cells:
        yield sweep.run(cell)


def by_engine(
    engine: Engine, sweep: Sweep, cells: Sequence[Cell], threads: int
) -> Results:
    """Yields results as they come from other processes.

    Where a process dies, the runs that may have been its end run again, each alone; one
    whose process dies then, too, is lost.

    Args:
        engine: Where runs are computed.
        sweep: What they share.
        cells: The runs.
        threads: Intra-op threads of each.

    Raises:
        ValueError: If something cannot be pickled, to be sent to a process.
    """
    send = _sender(engine, sweep, threads)
    waiting = collections.deque(cells)
    suspects: collections.deque[Cell] = collections.deque()
    flying: dict[concurrent.futures.Future[Any], Cell] = {}
    died: set[tuple[str, str, int]] = set()
    try:
        while waiting or suspects or flying:
            if suspects:
                wanted = [] if flying else [suspects.popleft()]
            elif any(cell.name in died for cell in flying.values()):
                wanted = []  # it flies alone
            else:
                free = min(engine.size - len(flying), len(waiting))
                wanted = [waiting.popleft() for _ in range(free)]
            flying.update({send(cell): cell for cell in wanted})
            done, _ = concurrent.futures.wait(
                flying, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                cell, error = flying.pop(future), future.exception()
                if error is None:
                    result, content = future.result()
                    yield received(result, content, cell)
                elif not engine.has_died(error):
                    raise error
                elif cell.name in died:
                    reason = f"its process died twice ({_first_line(error)})"
                    yield Lost(cell.label, cell.seed, dict(cell.shown), reason)
                else:
                    died.add(cell.name)
                    suspects.append(cell)
    finally:
        if flying:
            engine.stop(list(flying))
        engine.close()


def _sender(
    engine: Engine, sweep: Sweep, threads: int
) -> Callable[[Cell], concurrent.futures.Future[Any]]:
    """Returns a function that has a cell run."""
    import cloudpickle

    bare = dataclasses.replace(sweep, data=_SENT_APART)
    try:
        packed = cloudpickle.dumps(bare)
        data = as_arrays(sweep.data)
    except Exception as error:  # what cannot be pickled raises what it likes
        raise ValueError(
            "`build_model`, `data`, `every` and `callback_factory` must be picklable "
            "if runs go to other processes; create unpicklable objects, such as open "
            f"files, inside them. Received: build_model={sweep.build_model!r}, "
            f"every={sweep.every!r}, callback_factory={sweep.callback_factory!r} "
            f"({error})"
        ) from error
    shared = engine.share((packed, data))
    parent = os.getpid() if engine.watched else None
    return lambda cell: engine.submit(
        run_there, shared, cloudpickle.dumps(cell), threads, parent
    )


def run_there(
    shared: Any, packed: bytes, threads: int, parent: int | None
) -> tuple[RunResult, bytes | None]:
    """Runs a cell in another process.

    Args:
        shared: The packed sweep and the data, or a function that gives them.
        packed: The packed cell.
        threads: Intra-op threads to compute with.
        parent: Process without which this one is to end, `None` for none.

    Returns:
        The result; and its file, if whoever asked for it does not see it.
    """
    if parent is not None:
        _end_with(parent)
    compute_with(threads)
    with _ONE_AT_A_TIME:
        sweep = _unpacked(*(shared() if callable(shared) else shared))
        cell: Cell = pickle.loads(packed)  # noqa: S301 (of this very program)
        result = sweep.run(cell)
    if cell.directory is None or sweep.root_is_shared():
        return result, None
    try:
        return result, finished.content(cell.directory)
    except OSError:  # it could not be kept, which it has told
        return result, None


@functools.lru_cache(maxsize=1)
def _opened(packed: bytes) -> Sweep:
    """Returns a sweep without its data: the same for all runs in a process."""
    return pickle.loads(packed)  # noqa: S301


def _unpacked(packed: bytes, data: Data) -> Sweep:
    return dataclasses.replace(_opened(packed), data=data)


def received(result: RunResult, content: bytes | None, cell: Cell) -> RunResult:
    """Returns a result, whose file is written here if its process could not."""
    if content is None or cell.directory is None:
        return result
    finished.put(content, cell.directory)
    found = finished.read(cell.directory)
    return result if found is None else found[0]


@functools.cache
def _end_with(parent: int) -> None:
    """Ends this process when its parent has ended, even if it was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
