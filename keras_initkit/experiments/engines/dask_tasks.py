"""Tasks of a Dask cluster."""

from collections.abc import Callable
from typing import Any

from keras_initkit.experiments.engines.base import Future


class DaskEngine:
    """Computes as tasks of Dask; see `Engine`.

    Args:
        size: Number of tasks at once; by default as many as there are workers.
        client: The client of a cluster; by default the one of this process.

    Raises:
        ValueError: If there is no client.
    """

    watched = False

    def __init__(self, size: int | None = None, client: Any = None) -> None:
        from dask import distributed

        self._deaths = distributed.KilledWorker
        try:
            self._client = client or distributed.get_client()
        except ValueError as error:
            raise ValueError(
                '`engine="dask"` needs a cluster: create a `dask.distributed.Client` '
                "first; `Client()` starts one on this machine. Received: no client"
            ) from error
        workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        self.size = size or max(1, workers)
        self._executor = self._client.get_executor(pure=False)

    def share(self, value: Any) -> Any:
        """Scatters a value to the workers."""
        return self._client.scatter(value, broadcast=True, hash=False)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Has a function computed."""
        future: Future = self._executor.submit(function, *arguments)
        return future

    def has_died(self, error: BaseException) -> bool:
        """Whether the workers died that a task was given to, one after the other."""
        return isinstance(error, self._deaths)

    def stop(self, flying: list[Future]) -> None:
        """Cancels tasks that have not begun; those that have go on to their end."""
        for future in flying:
            future.cancel()

    def close(self) -> None:
        """Leaves the cluster as it is."""
        self._executor.shutdown(wait=False)
