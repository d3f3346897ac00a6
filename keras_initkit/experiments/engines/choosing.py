"""Which engine computes the runs."""

from typing import Any

from keras_initkit.arguments import is_integer
from keras_initkit.experiments.engines.base import Engine

ENGINES = ("loky", "ray", "dask")
# Backends of joblib by their classes, where an engine of ours does their work: it tells
# which run a death was of, and gives results as they come.
_BACKENDS = {
    "LokyBackend": "loky",
    "SequentialBackend": "loky",
    "RayBackend": "ray",
    "DaskDistributedBackend": "dask",
}


def check_jobs(n_jobs: int | None) -> None:
    """Raises a ValueError if `n_jobs` is no number of processes."""
    if n_jobs is not None and not (is_integer(n_jobs) and (n_jobs == -1 or n_jobs > 0)):
        raise ValueError(
            "`n_jobs` must be at least 1, or -1 for a process per core. "
            f"Received: n_jobs={n_jobs!r}"
        )


def check_engine(engine: str | None) -> None:
    """Raises a ValueError if there is no such engine."""
    if engine is not None and engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {ENGINES}. Received: {engine!r}")


def engine_of(engine: str | None, n_jobs: int | None) -> Engine | None:
    """Returns the engine that is asked for; `None` for this process.

    Args:
        engine: One of `ENGINES`; by default the backend that
            `joblib.parallel_config` names, which is loky without it.
        n_jobs: Number of processes, or -1 for all there are.

    Raises:
        ValueError: If there is no such engine, or it needs a cluster first.
        ImportError: If what it needs is not installed.
    """
    check_jobs(n_jobs)
    check_engine(engine)
    if engine in (None, "loky"):
        joblib = _joblib(needed=engine is not None or n_jobs not in (None, 1))
        if joblib is None:
            return None
        backend, _ = joblib.parallel.get_active_backend()
        kind = type(backend).__name__
        name = engine or _BACKENDS.get(kind)
        size = joblib.effective_n_jobs(n_jobs)
        if name in ("loky", None) and size == 1:
            return None
        if name is None:
            return _other(backend, kind, size)
    else:
        name, backend = engine, None
    at_once = None if n_jobs == -1 else n_jobs
    if name == "ray":
        _register_ray()
        from keras_initkit.experiments.engines.ray_tasks import RayEngine

        return RayEngine(at_once)
    if name == "dask":
        _import("dask.distributed", "dask")
        from keras_initkit.experiments.engines.dask_tasks import DaskEngine

        return DaskEngine(at_once, getattr(backend, "client", None))
    from keras_initkit.experiments.engines.loky_processes import LokyEngine

    return LokyEngine(size)


def _other(backend: Any, kind: str, size: int) -> Engine:
    if kind == "MultiprocessingBackend":
        raise ValueError(
            "`joblib.parallel_config` must not name the backend 'multiprocessing': it "
            "forks this process, in which TensorFlow is running, so its children would "
            "hang. Use 'loky', 'ray' or 'dask'. Received: backend='multiprocessing'"
        )
    from keras_initkit.experiments.engines.joblib_batches import JoblibEngine

    return JoblibEngine(size, backend)


def _joblib(needed: bool) -> Any:
    try:
        import cloudpickle  # noqa: F401 (what runs are sent with)
        import joblib.parallel
    except ImportError as error:
        if not needed:
            return None
        raise ImportError(
            "`n_jobs` needs joblib: pip install 'keras-initkit[sweep]'"
        ) from error
    return joblib


def _register_ray() -> None:
    """Makes Ray known to joblib, so that `parallel_config` takes its name, too."""
    _import("ray", "ray")
    from ray.util.joblib import register_ray

    register_ray()


def _import(module: str, extra: str) -> None:
    try:
        __import__(module)
    except ImportError as error:
        raise ImportError(
            f'`engine="{extra}"` needs {extra}: pip install '
            f"'keras-initkit[{extra}]' ({error})"
        ) from error
