"""Training runs, one after the other here or several at once in processes."""

import contextlib
import os
import pickle
from collections.abc import Callable, Generator, Sequence
from typing import Any

import keras

from keras_initkit.arguments import is_integer
from keras_initkit.experiments.run import train_run
from keras_initkit.experiments.run_result import RunResult

Job = dict[str, Any]  # the arguments of `train_run`
Results = Generator[RunResult, None, None]
CallbackFactory = Callable[[str, int], Sequence[keras.callbacks.Callback]]


def check_jobs(n_jobs: int | None) -> None:
    """Raises a ValueError if `n_jobs` is no number of processes."""
    if n_jobs is not None and not (is_integer(n_jobs) and (n_jobs == -1 or n_jobs > 0)):
        raise ValueError(
            "`n_jobs` must be at least 1, or -1 for a process per core. "
            f"Received: n_jobs={n_jobs!r}"
        )


def in_turn(jobs: list[Job], callback_factory: CallbackFactory | None) -> Results:
    """Yields the result of each job, run here one after the other."""
    for job in jobs:
        yield _run(job, callback_factory)


def in_processes(
    jobs: list[Job], n_jobs: int | None, callback_factory: CallbackFactory | None
) -> Results:
    """Yields the results of jobs as they finish in processes.

    Raises:
        ImportError: If joblib is not installed.
        ValueError: If something cannot be pickled, to be sent to a process.
    """
    try:
        import joblib
    except ImportError as error:
        raise ImportError(
            "`n_jobs` needs joblib: pip install 'keras-initkit[sweep]'"
        ) from error
    count = joblib.effective_n_jobs(n_jobs)
    threads = max(1, (os.cpu_count() or 1) // count)
    # A batch of runs to a process would be lost as a whole on Ctrl-C.
    pool = joblib.Parallel(
        n_jobs=n_jobs, batch_size=1, return_as="generator_unordered", max_nbytes="1M"
    )
    tasks = (
        joblib.delayed(_run_in_process)(threads, job, callback_factory) for job in jobs
    )
    try:
        yield from pool(tasks)
    except pickle.PicklingError as error:
        raise ValueError(
            "`build_model`, `data` and `callback_factory` must be picklable where "
            "`n_jobs` asks for processes, to which they are sent; what cannot be, such "
            "as an open file, is to be made inside them. Received: "
            f"callback_factory={callback_factory!r} ({error.__cause__ or error})"
        ) from error


def _run_in_process(
    threads: int, job: Job, callback_factory: CallbackFactory | None
) -> RunResult:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Too late, and then already done, if the process has had a run before.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
    return _run(job, callback_factory)


def _run(job: Job, callback_factory: CallbackFactory | None) -> RunResult:
    """Runs a job with callbacks of its own."""
    made: Any = ()
    if callback_factory is not None:
        made = callback_factory(job["label"], job["seed"])
        several = isinstance(made, list | tuple)
        if not several or not all(
            isinstance(c, keras.callbacks.Callback) for c in made
        ):
            raise ValueError(
                "`callback_factory` must return a list of Keras callbacks. "
                f"Received: {made!r} for {job['label']!r}, seed {job['seed']}."
            )
    return train_run(**job, callbacks=made)
