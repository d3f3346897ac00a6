"""`compare`: the same training with different initializers, over seeds."""

import contextlib
import dataclasses
import inspect
import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from keras_initkit import initializers as initializers_room
from keras_initkit import models, schedules
from keras_initkit.arguments import check_bool, check_count, check_function, naming
from keras_initkit.experiments import grid as grid_room
from keras_initkit.experiments import jobs, resuming, shown
from keras_initkit.experiments.building import check_signature
from keras_initkit.experiments.comparison import ComparisonResult
from keras_initkit.experiments.data import as_data
from keras_initkit.experiments.engines import Engine, engine_of
from keras_initkit.experiments.reuse import ReferenceBuilder
from keras_initkit.experiments.run_log import LogDirError
from keras_initkit.experiments.run_result import Lost, RunResult
from keras_initkit.experiments.starts import BASE, STARTS
from keras_initkit.experiments.sweep import CallbackFactory, Cell, Sweep
from keras_initkit.experiments.threads import threads_here
from keras_initkit.recording.log import storage
from keras_initkit.report import live_table
from keras_initkit.structure.needs import check_backend

_PACKAGE = __name__.partition(".")[0]


def compare(
    build_model: str | Callable[..., keras.Model],
    data: Any,
    initializers: Sequence[Any] | Mapping[str, Any],
    *,
    seeds: int | Sequence[int] = 3,
    grid: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    log_dir: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    engine: str | None = None,
    batch_size: int | None = None,
    every: int | schedules.Function = 10,
    callback_factory: CallbackFactory | None = None,
    on_result: Callable[[RunResult], None] | None = None,
    fresh: bool = False,
    progress: bool | None = None,
) -> ComparisonResult:
    """Trains a model with several initializers, over seeds, under the monitor.

    Runs of one seed see the same batches in the same order. Each seed goes through all
    initializers before the next begins, so that Ctrl-C leaves something to compare: it
    ends the comparison, and the finished runs are returned.

    With `log_dir`, each finished run is kept there in its own file. Repeating the call
    runs only what is missing or has changed: the initial weights and the configuration
    of the model, the initializer, the seed, the data, the settings, versions, and the
    source of `build_model`, of custom classes and of everything they close over. `kept`
    and `changed` of the result say what was done. For each initializer, the model of
    one kept seed is built to check whether it is still the same. Not detected are
    changes in files, environment variables and services that a run reads, in objects it
    reaches by names made at run time, in the code of installed packages beyond their
    versions, and in the kind of processor.

    Args:
        build_model: Name of a reference model, or a function `(initializer, seed)`,
            plus the arguments in `grid`, that returns a new compiled model. Names and
            objects without a seed in `initializers` are passed to it as something that
            every Keras layer accepts and draws new values from. An object with a seed
            draws the same weights in all runs.
        data: Name of a data set, a `data.Dataset`, or
            `((x_train, y_train), (x_test, y_test))`.
        initializers: Sequence of identifiers that `initializers.get` takes, or
            `{label: identifier}`. Also `"recommended"`, `"lsuv"` and
            `"preserve_signal"`: the model is built with `"glorot_uniform"`, and its
            weights are drawn as `kik.recommend` says, or scaled by these functions.
        seeds: Number of seeds (0, 1, 2...), or a list of seeds.
        grid: `{argument: values}` of `build_model`, such as
            `{"depth": [5, 30], "learning_rate": [0.01, 0.001]}`, all combinations of
            which are run. Values without a short name need one, `{"activation":
            {"mine": my_function}}`.
        epochs: Passes over the training set. Defaults to that of the reference model,
            and to 1 for a function.
        log_dir: Directory of the runs: each goes to `<log_dir>/<label>-seed<n>`, with a
            `grid` to `<log_dir>/<argument>=<value>,.../<label>-seed<n>`, and replaces
            an earlier one there. All processes should see this path; if one on another
            machine does not, its result is returned and kept here, but its event files
            stay there. Nothing is written if `None`.
        n_jobs: Number of processes, at least 1, or -1 for one per core. By default the
            runs are executed one after another in this process, unless
            `joblib.parallel_config` says otherwise.
        engine: `"loky"` (processes of this machine), `"ray"` or `"dask"` (tasks of the
            cluster that this process is connected to); by default the backend of
            `joblib.parallel_config`, or loky. Each run uses as many intra-op threads as
            this process, whatever the engine, so that results are bit-identical on the
            same kind of processor: if many processes share a machine, call
            `tf.config.threading.set_intra_op_parallelism_threads(1)` first.
        batch_size: Examples per step. Defaults to that of the reference model, and to
            32 for a function.
        every: Monitor every n-th optimizer iteration, including the first, or a
            schedule, as `SignalMonitor` takes it; it must be picklable if sent to other
            processes.
        callback_factory: Function that is called with the initializer's label and the
            seed of each run, before it trains, and returns a list of Keras callbacks
            for its `fit`: new ones, since callbacks have state. It is called in the
            process of the run, and must be picklable for other processes.
        on_result: Called with each `RunResult` when available, starting with those kept
            from before.
        fresh: Whether to rerun everything, whatever is kept in `log_dir`.
        progress: Whether to show a live table of the runs; by default in notebooks, and
            if standard error is a terminal.

    Returns:
        A `ComparisonResult`.

    Raises:
        ValueError: If a name is unknown, a label is repeated, there is nothing to
            compare, a number is out of range, `build_model` does not return a compiled
            model or returns one that an earlier run has trained, `callback_factory`
            does not return a list of callbacks, or something cannot be pickled for
            another process.
        LogDirError: If a run's directory holds event files of another program, or
            cannot be written to.
        ImportError: If joblib, Ray or Dask is requested but not installed.

    Example:
    >>> import keras_initkit as kik
    >>> comparison = kik.compare("xor_mlp", "xor", ["zero", "he"], seeds=2, epochs=2)
    >>> [(run.initializer, run.seed) for run in comparison.runs]
    [('zero', 0), ('zero', 1), ('he', 0), ('he', 1)]
    """
    check_backend("compare")
    choices = grid_room.labelled(initializers)
    seed_list = grid_room.seed_list(seeds)
    _check(epochs, batch_size, every, callback_factory, on_result, fresh, progress)
    with naming("data", data, "be a data set, or name one"):
        split = as_data(data)
    points = check_grid(build_model, grid)
    model = _model_of(build_model)
    check_signature(model.build, points[0].options)
    computing = engine_of(engine, n_jobs)
    root = None if log_dir is None else storage.local(log_dir, "log_dir")
    sweep = Sweep(
        build_model=model.build,
        data=split,
        epochs=model.epochs if epochs is None else epochs,
        batch_size=model.batch_size if batch_size is None else batch_size,
        every=every,
        callback_factory=callback_factory,
        hyperparameters={"model": model.name},
    )
    cells = [
        _cell(label, identifier, seed, point, root, model)
        for seed in seed_list
        for point in points
        for label, identifier in choices.items()
    ]
    comparison = ComparisonResult(
        model=model.name,
        data=split.name,
        origin=split.origin,
        is_standin=split.is_standin,
        initializers=tuple(choices),
        seeds=seed_list,
        log_dir=None if root is None else str(root),
        grid=grid_room.axes(points),
        call=_call(build_model, data, choices, seed_list, grid, sweep, log_dir),
    )
    table = live_table.LiveTable(
        comparison.row_names(), len(seed_list), getattr(computing, "size", 1), progress
    )
    _carry_out(comparison, computing, sweep, cells, fresh, on_result, table)
    return comparison


def _carry_out(
    comparison: ComparisonResult,
    engine: Engine | None,
    sweep: Sweep,
    cells: list[Cell],
    fresh: bool,
    on_result: Callable[[RunResult], None] | None,
    table: live_table.LiveTable,
) -> None:
    """Adds the runs to a comparison, those kept first, until the last or Ctrl-C."""

    def take(result: RunResult | Lost, is_kept: bool = False) -> None:
        name = grid_room.row_name(result.initializer, result.point)
        if isinstance(result, Lost):
            table.add(name, math.nan, 0.0)
            comparison.lost.append(result)
            return
        table.add(name, result.accuracy, 0.0 if is_kept else result.seconds)
        comparison.runs.append(result)
        if on_result is not None:
            on_result(result)

    threads = threads_here()
    try:
        with table.shown():
            if comparison.log_dir is not None:
                resumed = resuming.resume(sweep, cells, threads, fresh)
                cells = resumed.missing
                comparison.kept = len(resumed.kept)
                comparison.changed = resumed.changed
                comparison.unseen = resumed.unseen
                for kept in resumed.kept:
                    take(kept, is_kept=True)
            with _results(engine, sweep, cells, threads, comparison.log_dir) as results:
                for one in results:
                    take(one)
    except KeyboardInterrupt:
        comparison.interrupted = True
    comparison.put_in_order()


@contextlib.contextmanager
def _results(
    engine: Engine | None,
    sweep: Sweep,
    cells: list[Cell],
    threads: int,
    log_dir: str | None,
) -> Iterator[jobs.Results]:
    """Gives the results as they come; what still runs then is stopped."""
    if engine is None or not cells:
        with contextlib.closing(jobs.in_turn(sweep, cells)) as results:
            yield results
        return
    with _token(log_dir) as token:
        sweep = dataclasses.replace(sweep, token=token)
        flow = jobs.by_engine(engine, sweep, cells, threads)
        with contextlib.closing(flow) as results:
            yield results


@contextlib.contextmanager
def _token(log_dir: str | None) -> Iterator[pathlib.Path | None]:
    """Gives a file in the directory of a sweep, which is there while it goes on."""
    if log_dir is None:
        yield None
        return
    try:
        os.makedirs(log_dir, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=log_dir, prefix=".sweep-") as file:
            yield pathlib.Path(file.name)
    except OSError as error:
        raise LogDirError.of(log_dir, error) from error


def _call(
    build_model: Any,
    data: Any,
    choices: Mapping[str, Any],
    seeds: tuple[int, ...],
    grid: Mapping[str, Any] | None,
    sweep: Sweep,
    log_dir: Any,
) -> str:
    """Returns the code of a call that makes the same comparison."""
    plain = all(
        isinstance(identifier, str) and label == identifier
        for label, identifier in choices.items()
    )
    settings = {
        "initializers": list(choices) if plain else dict(choices),
        "seeds": seeds,
        **({} if grid is None else {"grid": dict(grid)}),
        "epochs": sweep.epochs,
        "batch_size": sweep.batch_size,
        "every": sweep.every,
        **({} if log_dir is None else {"log_dir": os.fspath(log_dir)}),
    }
    name = build_model if not isinstance(build_model, str) else repr(build_model)
    named = name if isinstance(name, str) else grid_room.label_of(name)
    return shown.call(named, repr(data) if isinstance(data, str) else "data", settings)


class _Model(NamedTuple):
    """What is trained, and for how long if nothing else is said."""

    name: str
    build: Callable[..., keras.Model]
    epochs: int
    batch_size: int
    by_name: bool


def _model_of(build_model: str | Callable[..., keras.Model]) -> _Model:
    if isinstance(build_model, str):
        spec = models.spec_of(build_model)
        builder = ReferenceBuilder(spec.name)
        return _Model(spec.name, builder, spec.epochs, spec.batch_size, by_name=True)
    if callable(build_model):
        name = grid_room.label_of(build_model)
        return _Model(name, build_model, epochs=1, batch_size=32, by_name=False)
    raise ValueError(
        "`build_model` must be the name of a reference model or a function "
        f"`(initializer, seed)`. Received: build_model={build_model!r}"
    )


def _cell(
    label: str,
    identifier: Any,
    seed: int,
    point: grid_room.Point,
    root: pathlib.Path | None,
    model: _Model,
) -> Cell:
    start = identifier if isinstance(identifier, str) and identifier in STARTS else None
    initializer = identifier if start is None else BASE
    draws_anew = isinstance(initializer, str) or _is_unseeded(initializer)
    if draws_anew and not model.by_name:
        # What a Keras layer takes, and makes a new initializer of each time.
        known = initializers_room.get(initializer)
        initializer = keras.initializers.serialize(known)
    directory = None if root is None else root / point.name / f"{label}-seed{seed}"
    return Cell(label, seed, initializer, start, point.shown, point.options, directory)


def _is_unseeded(initializer: Any) -> bool:
    """Whether it is an object of Keras or of the kit that was given no seed.

    Such an object draws the same numbers each time, whatever the seed of the run.
    """
    if not isinstance(initializer, keras.Initializer):
        return False
    known = type(initializer).__module__.partition(".")[0] in ("keras", _PACKAGE)
    return known and initializer.get_config().get("seed", 0) is None


def _check(
    epochs: Any,
    batch_size: Any,
    every: Any,
    callback_factory: Any,
    on_result: Any,
    fresh: Any,
    progress: Any,
) -> None:
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        if value is not None:
            check_count(name, value)
    if callback_factory is not None:
        of = "a label and a seed"
        check_function("callback_factory", callback_factory, of, 2)
    if on_result is not None:
        check_function("on_result", on_result, "a result")
    schedules.as_schedule(every)
    check_bool("fresh", fresh)
    if progress is not None:
        check_bool("progress", progress)


def check_grid(
    build_model: str | Callable[..., keras.Model], grid: Mapping[str, Any] | None
) -> list[grid_room.Point]:
    """Returns the points of a grid, one without arguments where there is none.

    Raises:
        ValueError: If it is no grid, or the model takes no such argument.
    """
    points = grid_room.points(grid)
    model = _model_of(build_model)
    options = points[0].options
    if not options:
        return points
    if model.by_name:
        known = models.options_of(model.name)
    else:
        parameters = inspect.signature(model.build).parameters.values()
        if any(one.kind is one.VAR_KEYWORD for one in parameters):
            return points
        known = tuple(
            one.name for one in parameters if one.kind is not one.VAR_POSITIONAL
        )
    for name in options:
        if name not in known:
            raise ValueError(
                f"`grid` must name arguments of `build_model`, which are {known}. "
                f"Received: {name!r}"
            )
    return points
