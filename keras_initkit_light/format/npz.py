"""Arrays of `.npz` files, believed in nothing: no code in them runs."""

import math
import zipfile
from collections.abc import Callable
from typing import IO, Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"


def read_array(
    archive: zipfile.ZipFile,
    name: str,
    unpickle: Callable[[IO[bytes]], Any] | None = None,
) -> Array:
    """Returns one array.

    Args:
        archive: The open file.
        name: Name of the array.
        unpickle: Reads an array of objects from where its pickle begins; without it
            such arrays are refused.

    Raises:
        ValueError: If there is no such array, or it is damaged, or its header claims
            more than its member of the archive holds.
    """
    try:
        return _read(archive, f"{name}.npy", unpickle)
    except Exception as error:  # of zipfile, its decompressors, ast, tokenize, pickle
        told = f"{type(error).__name__}: {error}"
        raise ValueError(f"the array {name!r} cannot be read ({told})") from error


def _read(
    archive: zipfile.ZipFile, member: str, unpickle: Callable[[IO[bytes]], Any] | None
) -> Array:
    size = archive.getinfo(member).file_size
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read_header(file)
        if dtype.hasobject:
            if unpickle is None:
                raise ValueError("it holds objects, which are refused")
            array: Array = unpickle(file)
            return array
        claimed = math.prod(shape) * dtype.itemsize
        if file.tell() + claimed != size:
            raise ValueError(
                f"its header claims {claimed} bytes, but {size - file.tell()} follow"
            )
        values = np.frombuffer(file.read(), dtype)
        return values.reshape(shape, order="F" if is_fortran else "C").copy()
