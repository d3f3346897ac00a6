"""What results give to other programs: data frames and files."""

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_initkit import schema


def dataframe(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> Any:
    """Returns rows as a `pandas.DataFrame`; by default with the columns they have.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "`to_dataframe()` needs pandas: pip install 'keras-initkit[frame]'"
        ) from error
    rows = list(rows)
    try:
        return pd.DataFrame(rows, columns=columns)
    except UnicodeEncodeError:  # of a name; pandas 3 keeps strings as UTF-8
        return pd.DataFrame([_well_formed(row) for row in rows], columns=columns)


def _well_formed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: schema.well_formed(value) if isinstance(value, str) else value
        for name, value in row.items()
    }


def written(text: str, path: str | os.PathLike[str] | None) -> str:
    """Returns a text, which is written where there is a path to write it to."""
    if path is not None:
        file = pathlib.Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    return text
