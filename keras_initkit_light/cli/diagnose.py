"""`keras-initkit diagnose`: checks a saved model before training."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import rich.markup
import typer

from keras_initkit_light.cli import _console, _models
from keras_initkit_light.cli._options import Json, Source

if TYPE_CHECKING:
    from keras_initkit.inspection import DiagnosisResult


def diagnose(
    model: _models.ModelFile,
    data: Annotated[
        str,
        typer.Option(
            help="A data set (mnist, cifar10, imdb, xor) or a .npz file with arrays x "
            "and y.",
            show_default=False,
        ),
    ],
    fail_on: Annotated[
        str,
        typer.Option(
            help="Exit with 1 at or above this severity: info, warning, error."
        ),
    ] = "warning",
    loss: Annotated[
        str | None,
        typer.Option(
            help="Name of a Keras loss. Default: the compiled one.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Examples.")] = 128,
    jacobian: Annotated[
        bool,
        typer.Option(
            "--jacobian", help="Also compute singular values of the Jacobian."
        ),
    ] = False,
    plot: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Save a plot of signals against depth here.", show_default=False
        ),
    ] = None,
    source: Source = "auto",
    json: Json = False,
) -> None:
    """Diagnose a saved model on one batch, without changing it.

    Exit codes: 0 nothing found, 1 findings at or above --fail-on, 2 misuse.
    """
    with _console.command():
        from keras_initkit_light.format.schema import SEVERITIES

        # What a look can tell, before Keras is loaded.
        if fail_on not in SEVERITIES:
            _console.fail(
                f"--fail-on must be one of {SEVERITIES}. Received: {fail_on!r}."
            )
        with _console.misuse():
            _models.check_file(model)
        _console.import_keras()
        from keras_initkit.inspection import diagnose as run

        with _console.misuse():
            loaded = _models.load_model(model)
            x, y, origin = _models.load_batch(data, loaded, source, batch_size)
            result = run(loaded, x, y, loss=loss, jacobian=jacobian)
            if plot is not None:
                result.plot(plot)
    _report(result, model, origin, as_json=json)
    if plot is not None:
        _console.stderr().print(
            f"Picture: {rich.markup.escape(str(plot))}", soft_wrap=True
        )
    causes = [finding for finding in result.findings if finding.because_of is None]
    worst = [SEVERITIES.index(finding.severity) for finding in causes]
    if max(worst, default=-1) >= SEVERITIES.index(fail_on):
        raise typer.Exit(1)


def _report(
    result: "DiagnosisResult", path: pathlib.Path, origin: str, as_json: bool
) -> None:
    if as_json:
        _console.print_json({"path": str(path), "data": origin, **result.to_dict()})
    else:
        _console.stdout().print(result)
