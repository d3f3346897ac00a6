"""The application: its commands and its own options."""

from typing import Annotated

import typer

from keras_initkit_light._version import __version__
from keras_initkit_light.cli.catalog import catalog
from keras_initkit_light.cli.compare import compare
from keras_initkit_light.cli.diagnose import diagnose
from keras_initkit_light.cli.lesson import lesson
from keras_initkit_light.cli.recommend import recommend
from keras_initkit_light.cli.train import train

app = typer.Typer(
    name="keras-initkit",
    help="Watch what an initializer does to a Keras model while it trains.",
    epilog="Results go to standard output, everything else to standard error. "
    "Exit codes: 0 done, 1 findings (diagnose, lesson), 2 misuse, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train)
app.command()(compare)
app.command()(diagnose)
app.command()(recommend)
app.command()(catalog)
app.command()(lesson)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"keras-initkit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Watch what an initializer does to a Keras model while it trains."""


def main() -> None:
    """Runs the command line."""
    app(prog_name="keras-initkit")
