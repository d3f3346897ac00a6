"""Processes of this machine, by loky, which joblib brings along."""

import concurrent.futures.process
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from keras_initkit.experiments.engines.base import Future

_IDLE = 300  # seconds after which processes without work end


class LokyEngine:
    """Computes in processes of this machine; see `Engine`.

    Args:
        size: Number of processes.
    """

    watched = True

    def __init__(self, size: int) -> None:
        self.size = size
        self._folders: list[str] = []

    def _executor(self) -> Any:
        from joblib.externals import loky

        return loky.get_reusable_executor(max_workers=self.size, timeout=_IDLE)

    def share(self, value: Any) -> Any:
        """Writes a value to a file of which processes share the memory."""
        folder = tempfile.mkdtemp(prefix="keras_initkit-")
        self._folders.append(folder)
        path = os.path.join(folder, "shared")
        import joblib

        joblib.dump(value, path)
        return _Dumped(path)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Has a function computed; after a death, by new processes."""
        future: Future = self._executor().submit(function, *arguments)
        return future

    def has_died(self, error: BaseException) -> bool:
        """Whether a process died; all that were computing fail then."""
        return isinstance(error, concurrent.futures.process.BrokenProcessPool)

    def stop(self, flying: list[Future]) -> None:
        """Kills the processes."""
        self._executor().shutdown(wait=False, kill_workers=True)

    def close(self) -> None:
        """Removes what was written to be shared."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


class _Dumped:
    """A value in a file, of which a process reads the parts that it uses."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> Any:
        return _opened(self._path)


@functools.lru_cache(maxsize=1)
def _opened(path: str) -> Any:
    """Reads a file once in a process: each map of it counts as memory of its own.

    Loky ends processes whose memory grows.
    """
    import joblib

    return joblib.load(path, mmap_mode="r")
