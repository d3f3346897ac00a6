"""`compare`: the same training from different initializers, over seeds."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from keras_initkit import initializers as initializers_room
from keras_initkit import models
from keras_initkit.arguments import (
    check_count,
    check_function,
    naming,
)
from keras_initkit.experiments.comparison import ComparisonResult
from keras_initkit.experiments.data import as_data
from keras_initkit.experiments.jobs import (
    CallbackFactory,
    Results,
    check_jobs,
    in_processes,
    in_turn,
)
from keras_initkit.experiments.reuse import ReferenceBuilder
from keras_initkit.experiments.run_result import RunResult
from keras_initkit.recording.log import storage
from keras_initkit.report.progress import tracked
from keras_initkit.schedules import as_schedule
from keras_initkit.structure.needs import check_backend


def compare(
    build_model: str | Callable[[Any, int], keras.Model],
    data: Any,
    initializers: Sequence[Any] | Mapping[str, Any],
    *,
    seeds: int | Sequence[int] = 3,
    epochs: int | None = None,
    log_dir: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    batch_size: int | None = None,
    every: int = 10,
    callback_factory: CallbackFactory | None = None,
    on_result: Callable[[RunResult], None] | None = None,
) -> ComparisonResult:
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
        callback_factory: Function that is called with the initializer's label and the
            seed of each run, before it trains, and returns a list of Keras callbacks
            for its `fit`: new ones, since callbacks remember. With `n_jobs` it is
            called in the process of the run, and must be picklable.
        on_result: Called with each `RunResult` when it is there.

    Returns:
        A `ComparisonResult`.

    Raises:
        ValueError: If a name is unknown, a label comes twice, there is nothing to
            compare, a number is out of its range, `callback_factory` returns no list
            of callbacks, or something cannot be pickled, to be sent to a process.
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
    check_backend("compare")
    check_jobs(n_jobs)
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        if value is not None:
            check_count(name, value)
    for name, function, of in (
        ("callback_factory", callback_factory, "a label and a seed"),
        ("on_result", on_result, "a result"),
    ):
        if function is not None:
            check_function(name, function, of)
    as_schedule(every)
    with naming("data", data, "be a data set, or name one"):
        split = as_data(data)
    model = _model_of(build_model)
    if not isinstance(build_model, str):
        choices = {label: _for_keras(value) for label, value in choices.items()}
    root = None if log_dir is None else storage.local(log_dir, "log_dir")
    shared = {
        "build_model": model.build,
        "data": split,
        "epochs": model.epochs if epochs is None else epochs,
        "batch_size": model.batch_size if batch_size is None else batch_size,
        "every": every,
        "hyperparameters": {"model": model.name},
    }
    jobs = [
        {
            **shared,
            "initializer": choices[label],
            "label": label,
            "seed": seed,
            "log_dir": None if root is None else root / f"{label}-seed{seed}",
        }
        for seed in seed_list
        for label in choices
    ]
    comparison = ComparisonResult(
        model=model.name,
        data=split.name,
        origin=split.origin,
        is_standin=split.is_standin,
        initializers=tuple(choices),
        seeds=seed_list,
        log_dir=None if root is None else str(root),
    )
    alone = n_jobs in (None, 1)
    results = (
        in_turn(jobs, callback_factory)
        if alone
        else in_processes(jobs, n_jobs, callback_factory)
    )
    if on_result is None:
        results = _shown(results, len(jobs))
    _gather(results, comparison, on_result)
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
        with naming("initializers", initializers, "be a list or a dict of them"):
            pairs = [(_label(value), value) for value in initializers]
    labels = [label for label, _ in pairs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice or not pairs:
        raise ValueError(
            "`initializers` must hold at least one, each with a label of its own (give "
            f"a dict `{{label: initializer}}`). Received: {labels}"
        )
    for label, value in pairs:
        if not isinstance(label, str) or not _names_a_directory(label):
            raise ValueError(
                "`initializers` must have labels that can name a directory. "
                f"Received: {label!r}"
            )
        with naming("initializers", value, "hold what `initializers.get` takes"):
            known = initializers_room.get(value)
        if known is None:
            raise ValueError(
                f"`initializers` must not hold None. Received: {label!r}: None"
            )
    return dict(pairs)


def _names_a_directory(label: str) -> bool:
    return label not in ("", ".", "..") and not set(label) & set("/\\")


class _Model(NamedTuple):
    """What is trained, and for how long if nothing else is said."""

    name: str
    build: Callable[[Any, int], keras.Model]
    epochs: int
    batch_size: int


def _model_of(build_model: str | Callable[[Any, int], keras.Model]) -> _Model:
    if isinstance(build_model, str):
        spec = models.spec_of(build_model)
        builder = ReferenceBuilder(spec.name)
        return _Model(spec.name, builder, spec.epochs, spec.batch_size)
    if callable(build_model):
        name = getattr(build_model, "__name__", type(build_model).__name__)
        return _Model(name, build_model, epochs=1, batch_size=32)
    raise ValueError(
        "`build_model` must be the name of a reference model or a function "
        f"`(initializer, seed)`. Received: build_model={build_model!r}"
    )


def _shown(results: Results, total: int) -> Results:
    """Yields results, and shows how many have come."""

    def told(run: RunResult) -> str:
        return f"{run.initializer} seed {run.seed}, accuracy {run.accuracy:.4f}"

    with contextlib.closing(results):
        yield from tracked(results, "runs", total, told)


def _gather(
    results: Results,
    comparison: ComparisonResult,
    on_result: Callable[[RunResult], None] | None,
) -> None:
    """Adds the runs to a comparison as they finish, until the last one or Ctrl-C."""
    try:
        with contextlib.closing(results):
            for result in results:
                comparison.runs.append(result)
                if on_result is not None:
                    on_result(result)
    except KeyboardInterrupt:
        comparison.interrupted = True
    names, seeds = comparison.initializers, comparison.seeds
    order = [(name, seed) for name in names for seed in seeds]
    comparison.runs.sort(key=lambda run: order.index((run.initializer, run.seed)))


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
    with naming("seeds", seeds, "be a positive number or different integers"):
        found = tuple(range(seeds) if isinstance(seeds, int) else seeds)
        for seed in found:
            check_count("seeds", seed, minimum=0)
    if not found or len(set(found)) < len(found):
        raise ValueError(
            "`seeds` must be a positive number or different integers. "
            f"Received: seeds={seeds!r}"
        )
    return found
