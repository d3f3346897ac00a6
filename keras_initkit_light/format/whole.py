"""A file that is there whole, or as it was before, whenever the process dies."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path to write to, which becomes the file when all of it is on disk.

    Args:
        path: The file, in a directory that is there.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def unfinished(directory: pathlib.Path) -> list[pathlib.Path]:
    """Lists what processes that died have left of files they did not finish."""
    return list(directory.glob(".*.partial"))
