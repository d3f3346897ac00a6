"""Any other backend of joblib: what is submitted is computed in batches."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from keras_initkit.experiments.engines.base import Future

_Call = tuple[Future, Callable[..., Any], tuple[Any, ...]]
_GATHERING = 0.05  # seconds that a batch waits for what comes with its first call


class JoblibEngine:
    """Computes by the backend that `joblib.parallel_config` names; see `Engine`.

    Args:
        size: Number of calls at once.
        backend: The backend.
    """

    watched = False

    def __init__(self, size: int, backend: Any) -> None:
        self.size = size
        self._backend = backend
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._compute, daemon=True).start()

    def share(self, value: Any) -> Any:
        """Leaves it to the backend how a value is sent."""
        return value

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Has a function computed with the next batch."""
        future: Future = Future()
        self._calls.put((future, function, arguments))
        return future

    def has_died(self, error: BaseException) -> bool:
        """Whether a process died: not known of other backends."""
        return False

    def stop(self, flying: list[Future]) -> None:
        """Lets the batch that is computed come to its end."""

    def close(self) -> None:
        """Ends the thread that waits for calls."""
        self._calls.put(None)

    def _compute(self) -> None:
        while (first := self._calls.get()) is not None:
            time.sleep(_GATHERING)
            batch = [first]
            while not self._calls.empty() and (call := self._calls.get()) is not None:
                batch.append(call)
            self._compute_batch(batch)

    def _compute_batch(self, batch: list[_Call]) -> None:
        import joblib

        tasks = [joblib.delayed(function)(*given) for _, function, given in batch]
        try:
            with joblib.parallel_config(backend=self._backend):
                results = joblib.Parallel(n_jobs=self.size, batch_size=1)(tasks)
        except Exception as error:  # of any of the calls
            for future, *_ in batch:
                future.set_exception(error)
            return
        for (future, *_), result in zip(batch, results, strict=True):
            future.set_result(result)
