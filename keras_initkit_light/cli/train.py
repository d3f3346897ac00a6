"""`keras-initkit train`: one model, watched while it trains."""

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
    from keras_initkit.diagnosis import Profile
    from keras_initkit.experiments import RunResult


def train(
    name: Name,
    initializer: Annotated[
        str,
        typer.Option(
            help="Initializer of the kernels: any name from Keras or the catalog."
        ),
    ] = "glorot_uniform",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Default: the model's own.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and batches.")] = 0,
    log_dir: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Default: logdir/<data>/<model>/<initializer>-seed<n>. Replaces an "
            "earlier run of this program there.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Training examples. Default: all.", show_default=False
        ),
    ] = None,
    source: Source = "auto",
    model: Model = None,
    batch_size: BatchSize = None,
    every: Every = 10,
    json: Json = False,
) -> None:
    """Train a reference model with an initializer, and log every layer."""
    with _console.command():
        _console.import_keras()
        from keras_initkit import experiments, initializers, models

        with _console.misuse():
            spec = _names.resolve(name, model)
            initializers.get(initializer)
            task = _names.load(spec, source, limit, epochs, batch_size)
            directory = log_dir or task.directory / f"{initializer}-seed{seed}"
        progress = Progress(runs=1)
        try:
            with progress.shown():
                result = experiments.train_run(
                    lambda i, s: models.build(spec.name, initializer=i, seed=s),
                    task.data,
                    initializer,
                    seed,
                    epochs=task.epochs,
                    batch_size=task.batch_size,
                    log_dir=directory,
                    every=every,
                    callbacks=progress.callbacks(initializer, seed),
                    hyperparameters={"model": spec.name},
                )
        except KeyboardInterrupt as error:
            _console.stderr().print(
                "[bold]Interrupted.[/] What was recorded so far is in "
                f"{rich.markup.escape(str(directory))}",
                soft_wrap=True,
            )
            raise typer.Exit(_console.INTERRUPTED) from error
        except experiments.LogDirError as error:
            _console.fail(str(error))
        progress.finished(result)
    _report(result, task, directory, as_json=json)


def _report(
    result: "RunResult", task: _names.Task, directory: pathlib.Path, as_json: bool
) -> None:
    if as_json:
        _console.print_json(
            {
                "model": task.spec.name,
                "data": task.data.name,
                "origin": task.data.origin,
                "is_standin": task.data.is_standin,
                "runs": [result.to_dict()],
            }
        )
    else:
        _print_result(result, task)
    closing_lines(task, directory, None)


def _print_result(result: "RunResult", task: _names.Task) -> None:
    table = rich.table.Table(
        title=f"{task.spec.name} on {task.data.name}, {result.initializer}, "
        f"seed {result.seed}",
        title_style="bold",
        caption="at step 0, before the first update",
    )
    for column in ("layer", "activation std", "gradient rms"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for row in _depth_rows(result):
        table.add_row(*row)
    out = _console.stdout()
    out.print(table)
    out.print(
        f"test accuracy [bold]{result.accuracy:.4f}[/], loss "
        f"{result.loss_initial:.4g} (first batch) → {result.loss_final:.4g} "
        f"(test set), {result.epochs} epochs, {result.seconds:.1f} s"
    )
    for finding in result.findings:
        out.print(f"• {rich.markup.escape(str(finding))}", soft_wrap=True)
        out.print(f"  {rich.markup.escape(finding.remedy)}", soft_wrap=True)
    if not result.findings:
        out.print("No fault found.")


def _depth_rows(result: "RunResult") -> list[tuple[str, str, str]]:
    """Returns the weight layers with the signal that leaves and the gradient."""
    activation = _by_depth(result.profile("activation", "std"))
    gradient = _by_depth(result.profile("gradient", "rms"))
    rows = []
    for depth in sorted({*activation, *gradient}):
        signals, gradients = activation.get(depth, []), gradient.get(depth, [])
        layer, _ = (signals or gradients)[0]
        rows.append((layer, _joined(signals), _joined(gradients)))
    return rows


def _joined(values: list[tuple[str, str]]) -> str:
    return ", ".join(text for _, text in values)


def _by_depth(profile: "Profile") -> dict[int, list[tuple[str, str]]]:
    """Returns `{depth: [(layer, value)]}`: a recurrent layer has two kernels."""
    found: dict[int, list[tuple[str, str]]] = {}
    depths = profile.depths.tolist()
    for key, depth, value in zip(profile.keys, depths, profile.values, strict=True):
        found.setdefault(depth, []).append((key.layer, f"{value:.3g}"))
    return found
