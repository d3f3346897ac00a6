"""`keras-initkit compare`: the same training with different initializers."""

import json as json_module
import math
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import rich.markup
import rich.measure
import rich.table
import typer

from keras_initkit_light.cli import _console, _names, _sweeps
from keras_initkit_light.cli._closing import closing_lines
from keras_initkit_light.cli._options import BatchSize, Every, Json, Name, Source
from keras_initkit_light.format import whole

if TYPE_CHECKING:
    from keras_initkit.experiments import ComparisonResult, Row
    from keras_initkit.report import MeanStd

INITIALIZERS = "zero,random,slide_xavier,slide_he,glorot_uniform,he_normal"
# Measured on 2 cores: 18 runs in about a minute on MNIST, of which tracing the train
# step is the larger part.
_QUICK = {
    "mnist": _names.Quick(limit=12_800, steps=200, batch_size=128),
    "cifar10": _names.Quick(limit=5_000, steps=150, batch_size=64),
    "imdb": _names.Quick(limit=5_000, steps=150, batch_size=64),
}


def compare(
    name: Name,
    initializers: Annotated[
        str, typer.Option(help="Names from Keras or the catalog, comma-separated.")
    ] = INITIALIZERS,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per initializer.")] = 3,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Default: enough to see who learns (200 steps on mnist); the model's "
            "own with --limit 0.",
            show_default=False,
        ),
    ] = None,
    log_dir: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Default: logdir/<data>/<model>. Each run goes to its subdirectory "
            "<initializer>-seed<n>, and replaces an earlier one there.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Training examples; 0 uses all. Default: a quick subset (12,800 of "
            "mnist).",
            show_default=False,
        ),
    ] = None,
    source: Source = "auto",
    model: Annotated[
        str | None,
        typer.Option(
            help="A different reference model for the same data, or a function "
            "(initializer, seed, ...) in a file: path.py:build.",
            show_default=False,
        ),
    ] = None,
    batch_size: BatchSize = None,
    every: Every = 10,
    jobs: Annotated[
        int,
        typer.Option(help="Processes; -1 for one per core. Needs joblib."),
    ] = 1,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARGUMENT=VALUES",
            help="Comma-separated values of an argument of the model: depth=5,30. May "
            "be given several times.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="loky (processes), ray or dask (the cluster at RAY_ADDRESS or "
            "DASK_SCHEDULER_ADDRESS, or a local one).",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Rerun everything, even runs that have already finished."
        ),
    ] = False,
    report: Annotated[
        pathlib.Path | None,
        typer.Option(help="Write a self-contained page: report.html."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare initializers over seeds: a table, a picture, and why."""
    with _console.command():
        _console.import_keras()
        from keras_initkit import experiments
        from keras_initkit.experiments import threads

        with _console.misuse():
            build, spec = _sweeps.model_of(name, model)
            names = _names.split_list(initializers)
            experiments.labelled(names)
            experiments.check_jobs(jobs)
            experiments.check_engine(engine)
            points = _sweeps.grid_of(grid or [])
            experiments.check_grid(build, points or None)
            quick = None if limit == 0 else _QUICK.get(spec.data)
            task = _names.load(spec, source, limit or None, epochs, batch_size, quick)
            directory = log_dir or _sweeps.directory(task, build)
        total = len(names) * seeds * math.prod(len(one) for one in points.values())
        _announce(task, build, names, seeds, points)
        finished = _sweeps.Finished(total, quiet=json)
        # One thread a run, whatever --jobs: results are the same to the bit.
        threads.compute_with(1)
        try:
            with _sweeps.connected(engine):
                comparison = experiments.compare(
                    build,
                    task.data,
                    names,
                    seeds=seeds,
                    grid=points or None,
                    epochs=task.epochs,
                    log_dir=directory,
                    n_jobs=_sweeps.count_of(jobs, engine),
                    engine=engine,
                    batch_size=task.batch_size,
                    every=every,
                    on_result=finished.add,
                    fresh=fresh,
                    progress=False if json else None,
                )
        except (experiments.LogDirError, ImportError) as error:
            _console.fail(str(error))
        try:
            picture = _save(comparison, directory, report)
        except KeyboardInterrupt:
            picture, comparison.interrupted = None, True
    if json:
        _console.print_json(comparison.to_dict())
    else:
        _print_table(comparison)
    if comparison.interrupted:
        _console.stderr().print(
            f"[bold]Interrupted:[/] {len(comparison.runs)} of {total} runs had "
            "finished and are kept.",
            soft_wrap=True,
        )
    closing_lines(task, directory, picture)
    if comparison.interrupted:
        raise typer.Exit(_console.INTERRUPTED)


def _announce(
    task: _names.Task,
    build: Any,
    names: list[str],
    seeds: int,
    points: dict[str, list[Any]],
) -> None:
    axes = "".join(f" × {len(values)} of {name}" for name, values in points.items())
    _console.stderr().print(
        f"{_sweeps.title(build)} on {len(task.data.x_train):,} examples of "
        f"{task.data.name}: {len(names)} initializers × {seeds} "
        f"seed{'s' * (seeds != 1)}{axes}, {task.epochs} "
        f"epoch{'s' * (task.epochs != 1)} each",
        soft_wrap=True,
    )


def _save(
    comparison: "ComparisonResult",
    directory: pathlib.Path,
    report: pathlib.Path | None,
) -> pathlib.Path | None:
    """Writes compare.json, compare.png and the report; returns the picture."""
    if not comparison.runs:
        return None
    text = json_module.dumps(comparison.to_dict(), indent=1, allow_nan=False)
    with whole.replacing(directory / "compare.json") as partial:
        partial.write_text(text + "\n")
    picture = directory / "compare.png"
    try:
        comparison.plot(picture)
        if report is not None:
            comparison.to_html(report)
            shown = rich.markup.escape(str(report))
            _console.stderr().print(f"Report: {shown}", soft_wrap=True)
    except ImportError as error:
        _console.stderr().print(f"[yellow]No picture:[/] {error}", soft_wrap=True)
        return None
    return picture


def _print_table(comparison: "ComparisonResult") -> None:
    out = _console.stdout()
    if not comparison.runs:
        out.print("No run has finished.")
        return
    rows = comparison.table()
    table = _table(comparison, rows)
    # Wider than the terminal rather than without figures.
    room = out.options.update(max_width=1000)
    natural = rich.measure.Measurement.get(out, room, table).maximum
    out.width = max(out.width, natural)
    out.print(table)
    for line in comparison.verdict.lines():
        out.print(rich.markup.escape(line), soft_wrap=True)
    width = max(len(row.name) for row in rows)
    for row in rows:
        why = rich.markup.escape(row.why)
        out.print(f"[bold]{row.name:>{width}}[/]  {why}", soft_wrap=True)
    for line in comparison.remarks():
        _console.stderr().print(rich.markup.escape(line), soft_wrap=True)


def _table(comparison: "ComparisonResult", rows: "list[Row]") -> rich.table.Table:
    run = comparison.runs[0]
    counts = {row.accuracy.runs for row in rows}
    uneven = len(counts) > 1  # after Ctrl-C
    table = rich.table.Table(
        title=f"{comparison.model} on {comparison.data}, {_over(counts)}, "
        f"{run.steps} steps of {run.batch_size}",
        title_style="bold",
        caption="learned: runs better than the best constant prediction; loss start: "
        "first batch, initial weights; loss end: test set; signal and gradient: factor "
        "from one weight layer to the next at step 0",
    )
    table.add_column("initializer", no_wrap=True)
    if uneven:
        table.add_column("seeds", justify="right")
    for column in (
        "accuracy",
        "learned",
        "loss start",
        "loss end",
        "signal",
        "gradient",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("first NaN", justify="right")
    for row in rows:
        table.add_row(
            row.name,
            *([str(row.accuracy.runs)] if uneven else []),
            _mean_std(row.accuracy, ".3f"),
            f"{row.learned}/{row.judged}" if row.judged else "–",
            _mean_std(row.loss_initial, ".3g"),
            _mean_std(row.loss_final, ".3g"),
            _factor(row.activation_slope),
            _factor(row.gradient_slope),
            "" if row.nonfinite_step is None else f"step {row.nonfinite_step}",
        )
    return table


def _over(counts: set[int]) -> str:
    """Says what stands in the cells, from how many runs the rows have."""
    if len(counts) > 1:
        return "mean ± std over seeds"
    (count,) = counts
    return f"mean ± std over {count} seeds" if count > 1 else "1 seed"


def _mean_std(value: "MeanStd", form: str) -> str:
    mean = f"{value.mean:{form}}"
    return mean if math.isnan(value.std) else f"{mean} ±{value.std:.2g}"


def _factor(slope: "MeanStd") -> str:
    return "–" if math.isnan(slope.mean) else f"×{10**slope.mean:.2g}"
