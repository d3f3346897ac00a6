"""What results give to other programs: data frames and files."""

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


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
    return pd.DataFrame(list(rows), columns=columns)


def written(text: str, path: str | os.PathLike[str] | None) -> str:
    """Returns a text, which is written where there is a path to write it to."""
    if path is not None:
        file = pathlib.Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return text
