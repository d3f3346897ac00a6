"""`compare`: the same training from different initializers, over seeds."""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import scipy.stats

from keras_initkit import data as data_room
from keras_initkit import initializers as initializers_room
from keras_initkit import models
from keras_initkit.analysis import why as why_room
from keras_initkit.analysis.reuse import ReferenceBuilder
from keras_initkit.analysis.run import METRICS, Data, RunResult, number, train_run

Results = Generator[RunResult, None, None]
Progress = Callable[[str, int], Sequence[keras.callbacks.Callback]]


class Spread(NamedTuple):
    """A quantity over seeds.

    Attributes:
        mean: Mean; NaN if it is NaN in one of the runs.
        std: Sample standard deviation (1/(n−1)); NaN for a single run.
        runs: Number of runs.
    """

    mean: float
    std: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Returns mean and spread of at least one value."""
        array = np.asarray(values, np.float64)
        std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
        return cls(float(array.mean()), std, len(array))

    @property
    def margin(self) -> float:
        """Half width of the mean's 95 % confidence interval; NaN for a single run."""
        return float(margin_of_mean(self.std, self.runs))


def margin_of_mean(std: Any, runs: int) -> Any:
    """Returns the half width of a mean's 95 % confidence interval (Student's t).

    Args:
        std: Sample standard deviation, a number or an array of them.
        runs: Number of independent runs, at least 2 for a number that is not NaN.
    """
    return scipy.stats.t.ppf(0.975, runs - 1) * std / math.sqrt(runs)


@dataclasses.dataclass(frozen=True)
class Row:
    """One initializer in the table of a comparison.

    Attributes:
        initializer: Its label.
        accuracy, loss_initial, loss_final, activation_slope, gradient_slope: `Spread`s
            of the attributes of `RunResult`.
        nonfinite_step: First step with a NaN or Inf in any of the runs, or `None`.
        seconds: Mean wall time of a run.
        why: Why it ranks where it does, in one line.
    """

    initializer: str
    accuracy: Spread
    loss_initial: Spread
    loss_final: Spread
    activation_slope: Spread
    gradient_slope: Spread
    nonfinite_step: int | None
    seconds: float
    why: str


@dataclasses.dataclass
class Comparison:
    """Runs of the same training from different initializers.

    Attributes:
        model: Name of the model.
        data: Name of the data set.
        origin: Where the data come from.
        is_standin: Whether they are a stand-in for the real ones.
        initializers: Labels, in the order asked for.
        seeds: Seeds asked for.
        runs: `RunResult`s of the runs that finished, in the order of `initializers`,
            then of `seeds`.
        log_dir: Directory above those of the runs, `None` if nothing was written.
        interrupted: Whether Ctrl-C ended it before all runs were done.
    """

    model: str
    data: str
    origin: str
    is_standin: bool
    initializers: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: list[RunResult] = dataclasses.field(default_factory=list)
    log_dir: str | None = None
    interrupted: bool = False

    def of(self, initializer: str) -> list[RunResult]:
        """Returns the runs of one initializer."""
        return [run for run in self.runs if run.initializer == initializer]

    @property
    def why(self) -> dict[str, str]:
        """`{initializer: one line}`, for initializers with a finished run."""
        return {
            name: why_room.explain(self.of(name))
            for name in self.initializers
            if self.of(name)
        }

    def table(self) -> list[Row]:
        """Returns a `Row` per initializer with a finished run, the best first.

        They are ranked by mean accuracy, then by mean final loss. Those whose final
        loss is not finite in one of the runs come last.
        """
        rows = []
        for name, why in self.why.items():
            runs = self.of(name)
            steps = [run.nonfinite_step for run in runs]
            rows.append(
                Row(
                    initializer=name,
                    **{m: Spread.of([getattr(r, m) for r in runs]) for m in METRICS},
                    nonfinite_step=min(
                        (s for s in steps if s is not None), default=None
                    ),
                    seconds=float(np.mean([run.seconds for run in runs])),
                    why=why,
                )
            )
        return sorted(rows, key=_rank)

    @property
    def ranking(self) -> tuple[str, ...]:
        """Labels of the initializers, the best first."""
        return tuple(row.initializer for row in self.table())

    def plot(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Draws the comparison as a PNG (or what the suffix says) and returns its path.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If no run has finished.
        """
        from keras_initkit.analysis.plot import save_plot

        return save_plot(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the records as JSON takes it.

        What is not finite (NaN, Inf) becomes `None`, JSON's `null`.
        """
        return {
            "model": self.model,
            "data": self.data,
            "origin": self.origin,
            "is_standin": self.is_standin,
            "interrupted": self.interrupted,
            "log_dir": self.log_dir,
            "initializers": list(self.initializers),
            "seeds": list(self.seeds),
            "ranking": list(self.ranking),
            "why": self.why,
            "table": [
                {
                    "initializer": row.initializer,
                    "runs": row.accuracy.runs,
                    **{
                        name: {
                            "mean": number(getattr(row, name).mean),
                            "std": number(getattr(row, name).std),
                        }
                        for name in METRICS
                    },
                    "nonfinite_step": row.nonfinite_step,
                    "seconds": round(row.seconds, 3),
                }
                for row in self.table()
            ],
            "runs": [run.to_dict() for run in self.runs],
        }

    def __str__(self) -> str:
        lines = [f"{self.model} on {self.data} ({self.origin})"]
        width = max((len(name) for name in self.initializers), default=0)
        lines += [
            f"{row.initializer:>{width}}  accuracy {row.accuracy.mean:.4f}  "
            f"loss {row.loss_initial.mean:.4g} -> {row.loss_final.mean:.4g}  {row.why}"
            for row in self.table()
        ]
        return "\n".join(lines)


def compare(
    build_model: str | Callable[[Any, int], keras.Model],
    data: Any,
    initializers: Sequence[Any] | Mapping[str, Any],
    seeds: int | Sequence[int] = 3,
    epochs: int | None = None,
    log_dir: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    *,
    batch_size: int | None = None,
    every: int = 10,
    callbacks: Progress | None = None,
    on_result: Callable[[RunResult], None] | None = None,
) -> Comparison:
    """Trains a model from several initializers, over seeds, under the monitor.

    Runs of one seed see the same batches in the same order. The seeds come one after
    the other and go through all initializers, so that Ctrl-C leaves something to
    compare: it ends the comparison, and what had finished is returned.

    Args:
        build_model: Name of a reference model, or a function `(initializer, seed)` that
            gives a new compiled model. The function is given what `initializers`
            holds, names of the kit made into something that every Keras layer takes.
        data: Name of a data set, a `data.Dataset`, or
            `((x_train, y_train), (x_test, y_test))`.
        initializers: Sequence of identifiers that `initializers.get` takes, or
            `{label: identifier}`.
        seeds: Number of seeds (0, 1, 2...), or the seeds themselves.
        epochs: Passes over the training set. Defaults to the reference model's own,
            and to 1 for a function.
        log_dir: Directory of the runs: each goes to `<log_dir>/<label>-seed<n>`, and
            replaces an earlier run there. Nothing is written if `None`.
        n_jobs: Number of processes, at least 1, or -1 for one per core. By default the
            runs go one after the other in this process. Each process has its share of
            the cores, so that the last digits may differ from those of a run alone.
        batch_size: Examples a step. Defaults to the reference model's own, and to 32
            for a function.
        every: Monitor every so many optimizer iterations, the first included.
        callbacks: Function `(label, seed)` that gives more Keras callbacks for a run;
            not with `n_jobs`.
        on_result: Called with each `RunResult` when it is there.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: If a name is unknown, a label comes twice, there is nothing to
            compare, or a number is out of its range.
        LogDirError: If a run's directory holds event files of another program, or
            cannot be written to.
        ImportError: If `n_jobs` asks for processes and joblib is not installed.

    Example:
    >>> import keras_initkit as kik
    >>> comparison = kik.compare("xor_mlp", "xor", ["zero", "he"], seeds=2, epochs=2)
    >>> [(run.initializer, run.seed) for run in comparison.runs]
    [('zero', 0), ('zero', 1), ('he', 0), ('he', 1)]
    """
    choices = labelled(initializers)
    seed_list = _seed_list(seeds)
    check_jobs(n_jobs)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
    split = _as_data(data)
    spec = models.spec_of(build_model) if isinstance(build_model, str) else None
    build: Callable[[Any, int], keras.Model]
    if spec is not None:
        build = ReferenceBuilder(spec.name)
        model_name = spec.name
        default_epochs, default_batch = spec.epochs, spec.batch_size
    elif callable(build_model):
        build = build_model
        model_name = getattr(build_model, "__name__", type(build_model).__name__)
        default_epochs, default_batch = 1, 32
        choices = {label: _for_keras(value) for label, value in choices.items()}
    else:
        raise ValueError(
            "`build_model` must be the name of a reference model or a function "
            f"`(initializer, seed)`. Received: build_model={build_model!r}"
        )
    root = None if log_dir is None else pathlib.Path(log_dir)
    jobs = [
        _Job(
            label,
            seed,
            dict(
                build_model=build,
                data=split,
                initializer=choices[label],
                seed=seed,
                label=label,
                epochs=default_epochs if epochs is None else epochs,
                batch_size=default_batch if batch_size is None else batch_size,
                log_dir=None if root is None else root / f"{label}-seed{seed}",
                every=every,
                hyperparameters={"model": model_name},
            ),
        )
        for seed in seed_list
        for label in choices
    ]
    comparison = Comparison(
        model=model_name,
        data=split.name,
        origin=split.origin,
        is_standin=split.is_standin,
        initializers=tuple(choices),
        seeds=seed_list,
        log_dir=None if root is None else str(root),
    )
    results = (
        _in_turn(jobs, callbacks) if n_jobs in (None, 1) else _parallel(jobs, n_jobs)
    )
    try:
        with contextlib.closing(results):
            for result in results:
                comparison.runs.append(result)
                if on_result is not None:
                    on_result(result)
    except KeyboardInterrupt:
        comparison.interrupted = True
    order = [(label, seed) for label in choices for seed in seed_list]
    comparison.runs.sort(key=lambda run: order.index((run.initializer, run.seed)))
    return comparison


def labelled(initializers: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{label: identifier}`, each identifier checked.

    Raises:
        ValueError: If one is unknown or None, a label comes twice or cannot name a
            directory, or there is none.
    """
    if isinstance(initializers, (str, keras.Initializer)):
        initializers = [initializers]
    if isinstance(initializers, Mapping):
        pairs = list(initializers.items())
    else:
        pairs = [(_label(value), value) for value in initializers]
    labels = [label for label, _ in pairs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice or not pairs:
        raise ValueError(
            "`initializers` must hold at least one, each with a label of its own (give "
            f"a dict `{{label: initializer}}`). Received: {labels}"
        )
    for label, value in pairs:
        if not label or set(label) & set("/\\") or label in (".", ".."):
            raise ValueError(
                "`initializers` must have labels that can name a directory. "
                f"Received: {label!r}"
            )
        if initializers_room.get(value) is None:
            raise ValueError(
                f"`initializers` must not hold None. Received: {label!r}: None"
            )
    return dict(pairs)


def check_jobs(n_jobs: int | None) -> None:
    """Raises a ValueError if `n_jobs` is no number of processes."""
    if n_jobs is not None and n_jobs != -1 and n_jobs < 1:
        raise ValueError(
            "`n_jobs` must be at least 1, or -1 for a process per core. "
            f"Received: n_jobs={n_jobs!r}"
        )


class _Job(NamedTuple):
    label: str
    seed: int
    arguments: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """Arrays of the user's own, in the form of `data.Dataset`."""

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    name: str = "data"
    origin: str = "arrays of the caller"
    is_standin: bool = False


def _in_turn(jobs: list[_Job], callbacks: Progress | None) -> Results:
    for job in jobs:
        extra = () if callbacks is None else callbacks(job.label, job.seed)
        yield train_run(**job.arguments, callbacks=extra)


def _parallel(jobs: list[_Job], n_jobs: int | None) -> Results:
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
    yield from pool(
        joblib.delayed(_run_in_process)(threads, job.arguments) for job in jobs
    )


def _run_in_process(threads: int, arguments: dict[str, Any]) -> RunResult:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Too late, and then already done, if the process has had a run before.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
    return train_run(**arguments)


def _rank(row: Row) -> tuple[bool, float, float]:
    accuracy, loss = row.accuracy.mean, row.loss_final.mean
    diverged = not math.isfinite(loss)
    return (
        diverged,
        math.inf if math.isnan(accuracy) else -accuracy,
        math.inf if diverged else loss,
    )


def _label(value: Any) -> str:
    if isinstance(value, str):
        return value
    return getattr(value, "__name__", type(value).__name__)


def _for_keras(identifier: Any) -> Any:
    """Returns what a Keras layer takes and makes a new initializer of each time."""
    if not isinstance(identifier, str):
        return identifier
    return keras.initializers.serialize(initializers_room.get(identifier))


def _seed_list(seeds: int | Sequence[int]) -> tuple[int, ...]:
    found = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not found or len(set(found)) < len(found):
        raise ValueError(
            "`seeds` must be a positive number or different integers. "
            f"Received: seeds={seeds!r}"
        )
    return found


def _as_data(data: Any) -> Data:
    if isinstance(data, str):
        return data_room.load(data)
    if hasattr(data, "x_train"):
        return data
    try:
        (x_train, y_train), (x_test, y_test) = data
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`data` must be a name, a Dataset or ((x_train, y_train), (x_test, "
            f"y_test)). Received: {type(data).__name__}"
        ) from error
    return _Arrays(x_train, y_train, x_test, y_test)
