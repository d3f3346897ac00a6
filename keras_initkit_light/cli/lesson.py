"""`keras-initkit lesson`: the claims of an introductory slide deck, put to the test."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import rich.markup
import rich.table
import typer

from keras_initkit_light import lessons as files
from keras_initkit_light.cli import _console
from keras_initkit_light.cli._closing import next_step
from keras_initkit_light.cli._options import Json, Source

if TYPE_CHECKING:
    from keras_initkit.lessons import Result


def lesson(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="[N|NAME|all]",
            help="Number of a slide, name of a lesson, or all. Default: list the "
            "lessons.",
            show_default=False,
        ),
    ] = None,
    log_dir: Annotated[
        pathlib.Path,
        typer.Option(help="Each lesson gets a subdirectory NN_NAME."),
    ] = pathlib.Path("logdir/lessons"),
    source: Source = "auto",
    json: Json = False,
) -> None:
    """Run lessons: claims of fourteen slides about initializers, and measurements.

    Exit codes: 0 the lessons show what they state, 1 one does not, 2 misuse.
    """
    if which is None:
        _list({name: files.summary(name) for name in files.NAMES}, as_json=json)
        return
    with _console.misuse():
        names = files.choose(which)
    with _console.results_only(), _console.interruptible():
        _console.import_keras()
        from keras_initkit import data, lessons
        from keras_initkit.report import drawing

        with _console.misuse():
            drawing.matplotlib_figure()
    results = []
    for count, name in enumerate(names, start=1):
        with (
            _console.command(),
            lessons.working(f"lesson {name} ({count} of {len(names)})"),
        ):
            try:
                results.append(lessons.run(name, log_dir, source))
            except data.DataError as error:
                _console.fail(str(error))
        if not json:
            typer.echo(f"{results[-1]}\n")
    if json:
        _console.print_json({"lessons": [result.to_dict() for result in results]})
    elif len(results) > 1:
        _console.stdout().print(_table(results))
    if any(log_dir.rglob("events.out.tfevents.*")):
        next_step(log_dir)
    if not all(result.is_shown for result in results):
        raise typer.Exit(1)


def _list(summaries: dict[str, str], as_json: bool) -> None:
    """Prints the lessons there are."""
    if as_json:
        _console.print_json(
            {
                "lessons": [
                    {"slide": number, "name": name, "summary": text}
                    for number, (name, text) in enumerate(summaries.items(), start=1)
                ]
            }
        )
        return
    table = rich.table.Table(title=f"{len(summaries)} lessons", title_style="bold")
    for column in ("slide", "name", "what it shows"):
        table.add_column(column)
    for number, (name, text) in enumerate(summaries.items(), start=1):
        text = text.partition(": ")[2] or text
        table.add_row(str(number), name, rich.markup.escape(text))
    _console.stdout().print(table)


def _table(results: "list[Result]") -> rich.table.Table:
    """Returns the table at the end: each slide's claim, the figures, the verdict."""
    table = rich.table.Table(
        title="Fourteen slides, put to the test",
        title_style="bold",
        caption="verdict: on the slide's claim; shown: whether everything holds that "
        "the lesson states instead",
        show_lines=True,
    )
    for column in ("slide", "its claim", "the deck's figure", "measured", "verdict"):
        table.add_column(column)
    table.add_column("shown")
    for result in results:
        cells = [f"{result.slide} {result.title}", result.claim, result.deck]
        cells += [result.measured, result.verdict]
        table.add_row(
            *map(rich.markup.escape, cells), "yes" if result.is_shown else "NO"
        )
    return table
