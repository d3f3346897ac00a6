"""`keras-initkit catalog`: every initializer, by name."""

import rich.markup
import rich.table

from keras_initkit_light.cli import _console
from keras_initkit_light.cli._options import Json


def catalog(json: Json = False) -> None:
    """List the initializers: what each is, and when to use it."""
    with _console.results_only(), _console.interruptible():
        _console.import_keras()
        from keras_initkit import initializers

        entries = initializers.catalog()
    if json:
        _console.print_json(
            {
                "initializers": [
                    {
                        "name": entry.name,
                        "class": entry.cls.__name__,
                        "family": entry.family,
                        "parameters": list(entry.parameters),
                        "formula": entry.formula,
                        "reference": entry.reference,
                        "good_for": entry.good_for,
                        "bad_for": entry.bad_for,
                    }
                    for entry in entries
                ]
            }
        )
        return
    table = rich.table.Table(title=f"{len(entries)} initializers", title_style="bold")
    for column in ("name", "family", "values", "good for", "bad for", "paper"):
        table.add_column(column, no_wrap=column == "name", overflow="fold")
    for entry in entries:
        cells = [entry.name, entry.family, entry.formula]
        cells += [entry.good_for, entry.bad_for, entry.reference]
        table.add_row(*map(rich.markup.escape, cells))
    _console.stdout().print(table)
