"""`keras-initkit recommend`: the initializer for every layer of a saved model."""

import pathlib
from typing import Annotated

import typer

from keras_initkit_light.cli import _console, _models
from keras_initkit_light.cli._options import Json


def recommend(
    model: _models.ModelFile,
    apply: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="OUT.keras",
            help="Re-initialize the weights with the plan and save the model here.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the re-initialized weights.")
    ] = 0,
    json: Json = False,
) -> None:
    """Recommend an initializer for every layer, and apply it if asked to."""
    with _console.command():
        if apply is not None and apply.suffix != ".keras":
            _console.fail(f"--apply must end in .keras. Received: {str(apply)!r}.")
        _console.import_keras()
        from keras_initkit.reinit import recommend as run
        from keras_initkit.reinit import reinitialize

        with _console.misuse():
            loaded = _models.load_model(model)
            plan = run(loaded)
            if apply is not None:
                reinitialize(loaded, plan, seed=seed)
                apply.parent.mkdir(parents=True, exist_ok=True)
                loaded.save(apply)
    applied = None if apply is None else str(apply)
    if json:
        content = {"path": str(model), **plan.to_dict(), "applied": applied}
        _console.print_json(content)
        return
    _console.stdout().print(plan)
    if applied is not None:
        _console.stderr().print(f"Saved: {applied}", soft_wrap=True, markup=False)
