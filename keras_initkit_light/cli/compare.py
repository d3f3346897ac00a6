"""`keras-initkit compare`: the same training from different initializers."""

import json as json_module
import math
import pathlib
from typing import TYPE_CHECKING, Annotated

import rich.markup
import rich.table
import typer

from keras_initkit_light.cli import _console, _names
from keras_initkit_light.cli._closing import closing_lines
from keras_initkit_light.cli._options import BatchSize, Every, Json, Model, Name, Source
from keras_initkit_light.cli._progress import Progress

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
        str, typer.Option(help="Names of Keras or of the catalog, with commas between.")
    ] = INITIALIZERS,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each initializer.")] = 3,
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
            help="Default: logdir/<data>/<model>. Each run goes to a directory "
            "<initializer>-seed<n> below, and replaces an earlier one there.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Training examples; 0 takes all. Default: a quick part (12,800 of "
            "mnist).",
            show_default=False,
        ),
    ] = None,
    source: Source = "auto",
    model: Model = None,
    batch_size: BatchSize = None,
    every: Every = 10,
    jobs: Annotated[
        int,
        typer.Option(help="Processes; -1 for one per core. Needs joblib."),
    ] = 1,
    json: Json = False,
) -> None:
    """Compare initializers over seeds: a table, a picture, and why."""
    with _console.command():
        _console.import_keras()
        from keras_initkit import experiments

        with _console.misuse():
            spec = _names.resolve(name, model)
            names = _names.split_list(initializers)
            experiments.labelled(names)
            experiments.check_jobs(jobs)
            quick = None if limit == 0 else _QUICK.get(spec.data)
            task = _names.load(spec, source, limit or None, epochs, batch_size, quick)
            directory = log_dir or task.directory
        total = len(names) * seeds
        _announce(task, len(names), seeds)
        progress = Progress(runs=total)
        try:
            with progress.shown():
                comparison = experiments.compare(
                    spec.name,
                    task.data,
                    names,
                    seeds=seeds,
                    epochs=task.epochs,
                    log_dir=directory,
                    n_jobs=jobs,
                    batch_size=task.batch_size,
                    every=every,
                    callback_factory=progress.callbacks if jobs == 1 else None,
                    on_result=progress.finished,
                )
        except (experiments.LogDirError, ImportError) as error:
            _console.fail(str(error))
        try:
            picture = _save(comparison, directory)
        except KeyboardInterrupt:
            picture, comparison.interrupted = None, True
    if json:
        _console.print_json(comparison.to_dict())
    else:
        _print_table(comparison)
    if comparison.interrupted:
        _console.stderr().print(
            f"[bold]Interrupted:[/] {len(comparison.runs)} of {total} runs had "
            "finished; they are kept.",
            soft_wrap=True,
        )
    closing_lines(task, directory, picture)
    if comparison.interrupted:
        raise typer.Exit(_console.INTERRUPTED)


def _announce(task: _names.Task, initializers: int, seeds: int) -> None:
    _console.stderr().print(
        f"{task.spec.name} on {len(task.data.x_train):,} examples of "
        f"{task.data.name}: {initializers} initializers × {seeds} "
        f"seed{'s' * (seeds != 1)}, {task.epochs} epoch{'s' * (task.epochs != 1)} each",
        soft_wrap=True,
    )


def _save(
    comparison: "ComparisonResult", directory: pathlib.Path
) -> pathlib.Path | None:
    """Writes compare.json and compare.png beside the runs; returns the picture."""
    if not comparison.runs:
        return None
    text = json_module.dumps(comparison.to_dict(), indent=1, allow_nan=False)
    (directory / "compare.json").write_text(text + "\n")
    picture = directory / "compare.png"
    try:
        comparison.plot(picture)
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
    out.print(_table(comparison, rows))
    width = max(len(name) for name in comparison.initializers)
    for row in rows:
        why = rich.markup.escape(row.why)
        out.print(f"[bold]{row.initializer:>{width}}[/]  {why}", soft_wrap=True)


def _table(comparison: "ComparisonResult", rows: "list[Row]") -> rich.table.Table:
    run = comparison.runs[0]
    counts = {row.accuracy.runs for row in rows}
    uneven = len(counts) > 1  # after Ctrl-C
    table = rich.table.Table(
        title=f"{comparison.model} on {comparison.data}, {_over(counts)}, "
        f"{run.steps} steps of {run.batch_size}",
        title_style="bold",
        caption="loss start: first batch, initial weights; loss end: test set; signal "
        "and gradient: factor from one weight layer to the next at step 0",
    )
    table.add_column("initializer")
    if uneven:
        table.add_column("seeds", justify="right")
    for column in ("accuracy", "loss start", "loss end", "signal", "gradient"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("first NaN", justify="right")
    for row in rows:
        table.add_row(
            row.initializer,
            *([str(row.accuracy.runs)] if uneven else []),
            _mean_std(row.accuracy, ".3f"),
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
