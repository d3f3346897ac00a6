"""One training run: a model, a seed, the monitor, and what came out of it."""

import contextlib
import dataclasses
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from keras_initkit import diagnosis
from keras_initkit.analysis.batches import ShuffledBatches
from keras_initkit.analysis.reuse import Reused
from keras_initkit.analysis.run_log import RunLog
from keras_initkit.callbacks import SignalMonitor
from keras_initkit.recording import RunRecord, hparams

METRICS = {
    "accuracy": "accuracy on the test set, after training",
    "loss_initial": "training loss of the first batch, at the initial weights",
    "loss_final": "loss on the test set, after training",
    "activation_slope": "slope of the activations' std over depth, decades a layer, at "
    "step 0",
    "gradient_slope": "slope of the kernels' gradient rms over depth, decades a layer, "
    "at step 0",
}
_EVALUATION_BATCH = 1000


class Data(Protocol):
    """What is trained and tested on, as `data.Dataset` has it."""

    @property
    def name(self) -> str: ...
    @property
    def x_train(self) -> Any: ...
    @property
    def y_train(self) -> Any: ...
    @property
    def x_test(self) -> Any: ...
    @property
    def y_test(self) -> Any: ...
    @property
    def origin(self) -> str: ...
    @property
    def is_standin(self) -> bool: ...


@dataclasses.dataclass
class RunResult:
    """What came out of one training run.

    A run whose loss becomes NaN is a result, too: its numbers are NaN.

    Attributes:
        initializer: Label of the initializer.
        seed: Seed of the weights and of everything else.
        accuracy: The model's first metric on the test set after training (accuracy for
            the reference models); NaN if it has none.
        loss_initial: Training loss of the first batch, at the initial weights:
            iteration 0 of the monitor, with dropout and penalties if there are any.
        loss_final: Loss on the test set after training.
        activation_slope: Least-squares slope of log10 of the activations' std over
            the weight layers at step 0, in decades a layer; NaN where there is no
            signal or only one layer.
        gradient_slope: The same of the gradient rms of the kernels.
        nonfinite_step: First monitored step with a NaN or Inf anywhere, or `None`.
        epochs: Passes over the training set.
        steps: Optimizer iterations done.
        batch_size: Examples an iteration.
        seconds: Wall time of building, training and testing.
        log_dir: Directory of the event files, `None` if nothing was written.
        findings: What `diagnosis.judge` found in the record.
        record: Everything recorded.
        examples: Examples of an epoch; `None` stands for full batches only.
    """

    initializer: str
    seed: int
    accuracy: float
    loss_initial: float
    loss_final: float
    activation_slope: float
    gradient_slope: float
    nonfinite_step: int | None
    epochs: int
    steps: int
    batch_size: int
    seconds: float
    log_dir: str | None
    findings: list[diagnosis.Finding]
    record: RunRecord = dataclasses.field(repr=False, compare=False)
    examples: int | None = None

    def profile(self, signal: str, statistic: str) -> diagnosis.Profile:
        """Returns a statistic over the weight layers at the first recorded step."""
        return diagnosis.depth_profile(self.record, signal, statistic)

    def loss_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the training loss between monitored steps.

        Keras reports running means over the epoch's examples; here they are taken apart
        again: each value is the mean loss of the examples since the last monitored
        step of the same epoch, the first that of step 0 alone.

        Returns:
            Optimizer iterations, shape `(n,)`, and losses, shape `(n,)`.
        """
        steps, means = self.record.scalars.get("loss", ([], []))
        per_epoch = max(1, self.steps // max(1, self.epochs))
        x = np.asarray(steps, np.int64)
        y = np.asarray(means, np.float64)
        # Examples of the epoch that the mean is over; its last batch may be smaller.
        seen = (x % per_epoch + 1) * self.batch_size
        if self.examples is not None:
            seen = np.minimum(seen, self.examples)
        same = np.zeros(len(x), bool)
        same[1:] = x[1:] // per_epoch == x[:-1] // per_epoch
        before = np.where(same, np.roll(seen, 1), 0)
        sums = np.where(before > 0, np.roll(y, 1) * before, 0.0)
        return x, (y * seen - sums) / (seen - before)

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as JSON takes it: `None` for what is not finite."""
        activation = self.profile("activation", "std")
        gradient = self.profile("gradient", "rms")
        return {
            "initializer": self.initializer,
            "seed": self.seed,
            **{name: number(getattr(self, name)) for name in METRICS},
            "nonfinite_step": self.nonfinite_step,
            "epochs": self.epochs,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "seconds": round(self.seconds, 3),
            "log_dir": self.log_dir,
            "findings": [finding_dict(finding) for finding in self.findings],
            "activation_std": {
                key.label: number(value)
                for key, value in zip(activation.keys, activation.values, strict=True)
            },
            "gradient_rms": {
                key.label: number(value)
                for key, value in zip(gradient.keys, gradient.values, strict=True)
            },
        }


def number(value: float) -> float | None:
    """Returns a float as JSON takes it: `None` if it is not finite."""
    return float(value) if math.isfinite(value) else None


def finding_dict(finding: diagnosis.Finding) -> dict[str, Any]:
    """Returns a finding as JSON takes it."""
    fields = finding.to_dict()
    fields["measured"] = number(finding.measured)
    fields["threshold"] = number(finding.threshold)
    return fields


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
    label = str(initializer) if label is None else label
    log = RunLog(
        log_dir,
        facts={
            "initializer": label,
            "seed": seed,
            "epochs": epochs,
            "batch_size": batch_size,
            "data": data.name,
            "standin": bool(data.is_standin),
            "examples": len(data.x_train),
            **(hyperparameters or {}),
        },
        metrics=METRICS,
        origin=data.origin,
        is_standin=data.is_standin,
    )
    started = time.perf_counter()
    # What is found is told with the result.
    monitor = SignalMonitor(log.directory, every=every, on_finding=lambda finding: None)
    monitor.record.metadata.update(data=data.origin, standin=bool(data.is_standin))
    try:
        log.start()
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
    except BaseException as error:
        # What stopped the run is told, not that its log cannot be closed then.
        with contextlib.suppress(OSError):
            monitor.on_train_end()
        with contextlib.suppress(OSError):
            log.abort(error)
        raise
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
    steps = [
        int(series.steps[row])
        for series in record.series.values()
        if "nonfinite_count" in series.statistics
        for row in np.flatnonzero(
            (~(series.statistic("nonfinite_count") == 0)).any(axis=1)
        )[:1]
    ]
    loss_steps, losses = record.scalars.get("loss", ([], []))
    bad = np.flatnonzero(~np.isfinite(losses))
    steps += [loss_steps[row] for row in bad[:1]]
    return min(steps, default=None)
