"""Matrices of float32 packed without loss, as event files hold them (tensors of bytes).

A matrix lies there column by column, as values of a column are alike, and in four
planes: the first byte of every value (sign and most of the exponent), then the second
of every value, down to the last of the mantissa. zlib then finds what repeats:
exponents, columns of one value such as counts of NaN, columns that are nearly equal
such as std and rms.
"""

import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Index: TypeAlias = "int | slice"

# What zlib puts around its data, at most.
_OVERHEAD = 64
# The fastest; slower ones save 2 % more.
_LEVEL = 1
_ALL = slice(None)


def pack(matrix: Array) -> bytes:
    """Returns a matrix packed: float32 of shape `(rows, columns)`, NaN and all."""
    return zlib.compress(to_planes(matrix), _LEVEL)


def most_bytes(rows: int, columns: int) -> int:
    """Returns how many bytes a packed matrix takes at most."""
    size = 4 * rows * columns
    # What cannot be made smaller is stored in pieces, 5 bytes longer each.
    return size + size // 1000 + _OVERHEAD


def unpack(packed: bytes, rows: int, columns: int) -> Array:
    """Returns the matrix that was packed.

    Raises:
        ValueError: If `packed` is no packed matrix of this shape.
    """
    return cut_out([inflate(packed, rows, columns)], rows, columns)[0]


def inflate(packed: bytes, rows: int, columns: int) -> bytes:
    """Returns the planes of a packed matrix.

    Raises:
        ValueError: If `packed` is no packed matrix of this shape.
    """
    if len(packed) > most_bytes(rows, columns):
        # Not to be unpacked: it may grow a thousandfold.
        raise ValueError(
            f"`packed` must hold {rows} x {columns} values. "
            f"Received: {len(packed)} packed bytes"
        )
    size = 4 * rows * columns
    try:
        planes = zlib.decompress(packed, bufsize=size)
    except zlib.error as error:
        raise ValueError(f"`packed` must be a packed matrix ({error}).") from error
    if len(planes) != size:
        raise ValueError(
            f"`packed` must hold {rows} x {columns} values. "
            f"Received: {len(planes)} bytes"
        )
    return planes


def to_planes(matrix: Array) -> bytes:
    """Returns the planes of a matrix that is not packed."""
    values = np.ascontiguousarray(matrix.T, ">f4")
    return values.view(np.uint8).reshape(-1, 4).T.tobytes()


def cut_out(
    planes: Sequence[bytes],
    rows: int,
    columns: int,
    row: Index = _ALL,
    column: Index = _ALL,
) -> Array:
    """Returns `matrices[:, row, column]` of matrices that are given by their planes.

    All at once, which is many times faster than one after the other.
    """
    data = np.frombuffer(b"".join(planes), np.uint8)
    data = data.reshape(len(planes), 4, columns, rows).swapaxes(2, 3)
    data = np.moveaxis(data[:, :, row, column], 1, -1)
    return np.ascontiguousarray(data).view(">f4")[..., 0].astype(np.float32)
