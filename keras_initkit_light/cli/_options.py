"""Arguments and options that several commands have."""

from typing import Annotated

import typer

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A data set (mnist, cifar10, imdb, xor) or a reference model "
        "(mnist_cnn, imdb_lstm…).",
        show_default=False,
    ),
]
Source = Annotated[
    str,
    typer.Option(help="auto, real (no stand-ins), standin, or a folder with NAME.npz."),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="A different reference model for the same data.", show_default=False
    ),
]
Every = Annotated[int, typer.Option(min=1, help="Monitor every n-th optimizer step.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of tables.")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Examples per step.", show_default=False)
]
