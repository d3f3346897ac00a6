"""One training run: a model, a seed, the monitor, and what came out of it."""

import contextlib
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit import diagnosis
from keras_initkit.experiments.batches import ShuffledBatches
from keras_initkit.experiments.data import Data
from keras_initkit.experiments.reuse import Reused
from keras_initkit.experiments.run_log import RunLog
from keras_initkit.experiments.run_result import METRICS, RunResult
from keras_initkit.recording import RunRecord
from keras_initkit.recording.log import hparams

_EVALUATION_BATCH = 1000


def train_run(
    build_model: Callable[[Any, int], keras.Model],
    data: Data,
    initializer: Any,
    seed: int,
    *,
    label: str | None = None,
    epochs: int,
    batch_size: int,
    log_dir: str | os.PathLike[str] | None = None,
    every: int = 10,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    hyperparameters: Mapping[str, hparams.HParamValue] | None = None,
) -> RunResult:
    """Trains one model under the monitor, tests it and judges what was recorded.

    The order of the batches depends on `seed` alone, so that runs of one seed see the
    same batches whatever their initializer. The global generators (Python's, numpy's,
    TensorFlow's) are seeded as well, for what `build_model` draws from them.

    A directory that holds an earlier run of this function is used again: its event
    files are removed first, because two runs in one directory would be drawn as one
    zigzag curve. Event files of other programs are never removed.

    Args:
        build_model: Function `(initializer, seed)` that gives a compiled model.
        data: A `data.Dataset`, or anything with its attributes.
        initializer: Passed on to `build_model`.
        seed: Integer.
        label: Name of the initializer in results. Defaults to `str(initializer)`.
        epochs: Passes over the training set.
        batch_size: Examples an iteration.
        log_dir: Directory of this run; nothing is written if `None`.
        every: Monitor every so many optimizer iterations, the first included.
        callbacks: More Keras callbacks.
        hyperparameters: More entries for the HParams dashboard.

    Returns:
        A `RunResult`.

    Raises:
        LogDirError: If `log_dir` holds event files of another program, or cannot be
            written to.
        KeyboardInterrupt: On Ctrl-C, after the log of the run has been closed.
    """
    started = time.perf_counter()
    label = str(initializer) if label is None else label
    facts = {
        "initializer": label,
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "data": data.name,
        "standin": bool(data.is_standin),
        "examples": len(data.x_train),
        **(hyperparameters or {}),
    }
    log = RunLog(log_dir, facts, METRICS, data.origin, data.is_standin)
    # What is found is told with the result.
    from keras_initkit.callbacks import SignalMonitor

    monitor = SignalMonitor(log.directory, every=every, on_finding=lambda finding: None)
    monitor.record.metadata.update(data=data.origin, standin=bool(data.is_standin))
    with _logged(log, monitor):
        _seed_generators(seed, build_model)
        model = build_model(initializer, seed)
        model.fit(
            ShuffledBatches(data.x_train, data.y_train, batch_size, seed),
            shuffle=False,  # they are
            epochs=epochs,
            callbacks=[monitor, *callbacks],
            verbose=0,
        )
        scores = model.evaluate(
            data.x_test,
            data.y_test,
            batch_size=_EVALUATION_BATCH,
            verbose=0,
            return_dict=True,
        )
    loss_final = scores.pop("loss")
    record = monitor.record
    result = RunResult(
        initializer=label,
        seed=seed,
        accuracy=float(next(iter(scores.values()), math.nan)),
        loss_initial=_initial_loss(record),
        loss_final=float(loss_final),
        activation_slope=diagnosis.depth_profile(record, "activation", "std").slope,
        gradient_slope=diagnosis.depth_profile(record, "gradient", "rms").slope,
        nonfinite_step=_first_nonfinite(record),
        epochs=epochs,
        steps=int(model.optimizer.iterations),
        batch_size=batch_size,
        seconds=time.perf_counter() - started,
        log_dir=None if log.directory is None else str(log.directory),
        findings=diagnosis.judge(record),
        record=record,
        examples=len(data.x_train),
    )
    log.finish(result.to_dict(), result.steps)
    return result


@contextlib.contextmanager
def _logged(log: RunLog, monitor: Any) -> Iterator[None]:
    """Starts a run's log; closes it, and the monitor's, if the run is cut short."""
    try:
        log.start()
        yield
    except BaseException as error:
        # What stopped the run is told, not that its log cannot be closed then.
        with contextlib.suppress(OSError):
            monitor.on_train_end()
        with contextlib.suppress(OSError):
            log.abort(error)
        raise


def _seed_generators(seed: int, build_model: Any) -> None:
    if isinstance(build_model, Reused):
        # These models draw nothing from TensorFlow's generator, and seeding it
        # throws away all that is compiled, the functions to be used again included.
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (Keras's own rule of seeding)
    else:
        keras.utils.set_random_seed(seed)


def _initial_loss(record: RunRecord) -> float:
    """The loss of iteration 0: a running mean over one batch is that batch's."""
    steps, losses = record.scalars.get("loss", ([], []))
    return losses[0] if steps and steps[0] == 0 else math.nan


def _first_nonfinite(record: RunRecord) -> int | None:
    """The first step at which a monitored tensor or the loss is not finite."""
    steps, losses = record.scalars.get("loss", ([], []))
    found = [
        step
        for step, loss in zip(steps, losses, strict=True)
        if not math.isfinite(loss)
    ]
    for series in record.series.values():
        if "nonfinite_count" in series.statistics:
            bad = (series.statistic("nonfinite_count") != 0).any(axis=1)
            found += np.asarray(series.steps)[bad].tolist()
    return min(found, default=None)
