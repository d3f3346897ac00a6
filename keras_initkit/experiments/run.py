"""One training run: a model, a seed, the monitor, and the result."""

import contextlib
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit import diagnosis, schedules
from keras_initkit.experiments import building
from keras_initkit.experiments.batches import ShuffledBatches
from keras_initkit.experiments.data import Data
from keras_initkit.experiments.reuse import Reused
from keras_initkit.experiments.run_log import RunLog
from keras_initkit.experiments.run_result import METRICS, RunResult
from keras_initkit.experiments.starts import start as start_from
from keras_initkit.experiments.threads import threads_here
from keras_initkit.experiments.verdict import Constant
from keras_initkit.recording import RunRecord
from keras_initkit.recording.log import hparams
from keras_initkit.structure import description

_EVALUATION_BATCH = 1000
# What the names of metrics have in them of which more is better.
_MORE_IS_BETTER = re.compile("acc|auc|precision|recall|f1|f_?beta|fbeta|iou|r2|score")


def _facts_of(data: Data) -> dict[str, Any]:
    return {
        "data": data.name,
        "standin": bool(data.is_standin),
        "examples": len(data.x_train),
    }


def train_run(
    build_model: Callable[..., keras.Model],
    data: Data,
    initializer: Any,
    seed: int,
    *,
    label: str | None = None,
    epochs: int,
    batch_size: int,
    log_dir: str | os.PathLike[str] | None = None,
    every: int | schedules.Function = 10,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    hyperparameters: Mapping[str, hparams.HParamValue] | None = None,
    options: Mapping[str, Any] | None = None,
    point: Mapping[str, Any] | None = None,
    start: str | None = None,
    on_model: Callable[[keras.Model], None] | None = None,
) -> RunResult:
    """Trains one model under the monitor, tests it and judges what was recorded.

    The order of the batches depends only on `seed`, so runs of one seed see the same
    batches whatever their initializer. The global generators (Python's, numpy's,
    TensorFlow's) are seeded as well, in case `build_model` draws from them.

    A directory that holds an earlier run of this function is reused: its event files
    are removed first, because two runs in one directory would be drawn as one zigzag
    curve. Event files of other programs are never removed.

    Args:
        build_model: Function `(initializer, seed, **options)` that gives a compiled
            model.
        data: A `data.Dataset`, or anything with its attributes.
        initializer: Passed on to `build_model`.
        seed: Integer.
        label: Name of the initializer in results. Defaults to `str(initializer)`.
        epochs: Passes over the training set.
        batch_size: Examples an iteration.
        log_dir: Directory of this run; nothing is written if `None`.
        every: Monitor every n-th optimizer iteration, including the first, or a
            schedule, as `SignalMonitor` takes it.
        callbacks: More Keras callbacks.
        hyperparameters: More entries for the HParams dashboard.
        options: More arguments of `build_model`.
        point: The same as results and dashboards show them.
        start: What changes the initial weights of the built model, one of
            `starts.STARTS`.
        on_model: Called with the model as it was built, ahead of that.

    Returns:
        A `RunResult`.

    Raises:
        ValueError: If `build_model` returns no compiled model, or one that an earlier
            run has trained.
        LogDirError: If `log_dir` holds event files of another program, or cannot be
            written to.
        KeyboardInterrupt: On Ctrl-C, after the log of the run has been closed.
    """
    started = time.perf_counter()
    label = str(initializer) if label is None else label
    facts: dict[str, Any] = {"initializer": label, "seed": seed}
    facts |= {"epochs": epochs, "batch_size": batch_size, **_facts_of(data)}
    facts |= {**(hyperparameters or {}), **(point or {})}
    varied = ("initializer", "seed", *(point or {}))
    log = RunLog(log_dir, facts, METRICS, data.origin, data.is_standin, varied)
    # What is found is told with the result.
    from keras_initkit.callbacks import SignalMonitor

    monitor = SignalMonitor(log.directory, every=every, on_finding=lambda finding: None)
    monitor.record.metadata.update(data=data.origin, standin=bool(data.is_standin))
    with _logged(log, monitor):
        seed_generators(seed, build_model)
        model = build_model(initializer, seed, **(options or {}))
        building.check_new(model)
        if on_model is not None:
            on_model(as_built(build_model, model))
        if start is not None:
            start_from(start, model, data.x_train, batch_size, seed)
        try:
            model.fit(
                ShuffledBatches(data.x_train, data.y_train, batch_size, seed),
                shuffle=False,  # they are
                epochs=epochs,
                callbacks=[monitor, *callbacks],
                verbose=0,
            )
        finally:
            building.has_trained(model)
        metric, accuracy, loss_final = _test(model, data)
    record = monitor.record
    constant = Constant.of(data.y_test, _plain_loss(model), metric)
    judgement = constant.judge(accuracy, loss_final)
    result = RunResult(
        initializer=label,
        seed=seed,
        accuracy=accuracy,
        loss_initial=_initial_loss(record),
        loss_final=loss_final,
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
        point=dict(point or {}),
        threads=threads_here(),
        learned=judgement.learned,
        learned_reason=judgement.reason,
        tested=len(data.x_test),
    )
    log.finish(result.to_dict(), result.steps)
    return result


def _test(model: keras.Model, data: Data) -> tuple[str | None, float, float]:
    """Returns name and value of the metric on the test set, and the loss there."""
    scores = model.evaluate(
        data.x_test,
        data.y_test,
        batch_size=_EVALUATION_BATCH,
        verbose=0,
        return_dict=True,
    )
    loss = float(scores.pop("loss"))
    metric = next((one for one in scores if _MORE_IS_BETTER.search(one.lower())), None)
    return metric, math.nan if metric is None else float(scores[metric]), loss


def _plain_loss(model: keras.Model) -> str | None:
    """Returns the name of a loss that is a mean over the examples and nothing more."""
    loss = description.loss_of(model)
    is_mean = loss is not None and loss["reduction"] == "sum_over_batch_size"
    if not is_mean or loss["weighted"] or model.losses:
        return None
    return loss["name"]


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


def as_built(build_model: Any, model: keras.Model) -> keras.Model:
    """Returns the model that a builder has built, where it gave one used before."""
    return build_model.fresh if isinstance(build_model, Reused) else model


def seed_generators(seed: int, build_model: Any) -> None:
    """Seeds the global generators, from which a model may be drawn."""
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
