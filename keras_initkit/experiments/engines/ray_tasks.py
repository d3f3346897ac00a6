"""Tasks of a Ray cluster."""

from collections.abc import Callable
from typing import Any

from keras_initkit.experiments.engines.base import Future


class RayEngine:
    """Computes as tasks of Ray, one core each; see `Engine`.

    The cluster is that of `ray.init`, which is called here if it was not.

    Args:
        size: Number of tasks at once; by default as many as the cluster has cores.
    """

    watched = False

    def __init__(self, size: int | None = None) -> None:
        import ray

        self._ray = ray
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        self.size = size or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._references: dict[Future, Any] = {}

    def share(self, value: Any) -> Any:
        """Puts a value into Ray's object store."""
        return self._ray.put(value)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Has a function computed; it is not tried again by Ray itself."""
        remote = self._ray.remote(max_retries=0)(function)
        reference = remote.remote(*arguments)
        future: Future = reference.future()
        self._references[future] = reference
        return future

    def has_died(self, error: BaseException) -> bool:
        """Whether the process of a task, or its machine, died."""
        deaths = self._ray.exceptions
        return isinstance(
            error,
            deaths.WorkerCrashedError | deaths.NodeDiedError | deaths.OutOfMemoryError,
        )

    def stop(self, flying: list[Future]) -> None:
        """Kills the processes of tasks."""
        for future in flying:
            self._ray.cancel(self._references[future], force=True)

    def close(self) -> None:
        """Forgets the tasks."""
        self._references.clear()
