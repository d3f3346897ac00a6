"""Chunks: some steps of a series of matrices, packed into one tensor of bytes.

As event files hold them, little-endian: the number of steps, the steps and the sizes
of the streams as int64, then the streams. A stream holds one column, so that a
statistic is read without the others, or as many as make up a kilobyte: the float32
values of shape `(columns, steps, rows)` in four planes, the first byte of every value
(sign and most of the exponent) ahead of the second of every value, down to the last of
the mantissa, by zlib, which then finds what repeats: exponents, columns of one value
such as counts of NaN, values that stay. Nothing is lost.
"""

import dataclasses
import math
import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Index: TypeAlias = "int | slice"

# Steps that a chunk holds at most.
MOST_STEPS = 32
# What zlib puts around its data, at most.
_OVERHEAD = 64
# The fastest; slower ones save 2 % more.
_LEVEL = 1
# Bytes: columns share a stream up to this.
_STREAM = 1024
_INTEGER = np.dtype("<i8")


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some steps of a series of matrices, as they were packed.

    Attributes:
        steps: The steps, ascending.
        rows: Number of rows of each matrix.
        columns: Number of columns of each matrix.
        streams: The columns, some in each.
    """

    steps: tuple[int, ...]
    rows: int
    columns: int
    streams: tuple[bytes, ...]

    def values(self, row: Index = slice(None), column: int | None = None) -> Array:
        """Returns `matrices[:, row, column]`, float32; only this is unpacked.

        Raises:
            ValueError: If a stream is not what a chunk of this shape has.
        """
        if column is not None:
            number, place = divmod(column, _shared(len(self.steps), self.rows))
            return self._stream(number)[place][:, row]
        streams = map(self._stream, range(len(self.streams)))
        return np.moveaxis(np.concatenate([*streams])[:, :, row], 0, -1)

    def _stream(self, number: int) -> Array:
        """Returns the values of a stream, `(columns, steps, rows)`."""
        shared = _shared(len(self.steps), self.rows)
        columns = min(shared, self.columns - number * shared)
        shape = columns, len(self.steps), self.rows
        content = _inflate(self.streams[number], 4 * math.prod(shape))
        planes = np.frombuffer(content, np.uint8).reshape(4, -1)
        values = np.ascontiguousarray(planes.T).view(">f4")
        return values.reshape(shape).astype(np.float32)


def pack(steps: Sequence[int], matrices: Array) -> bytes:
    """Returns a chunk.

    Args:
        steps: Ascending integers, `MOST_STEPS` at most.
        matrices: float32 of shape `(steps, rows, columns)`, NaN and all.
    """
    values = np.ascontiguousarray(np.moveaxis(matrices, 2, 0), ">f4")
    shared = _shared(len(steps), matrices.shape[1])
    streams = [
        zlib.compress(
            values[i : i + shared].view(np.uint8).reshape(-1, 4).T.tobytes(), _LEVEL
        )
        for i in range(0, len(values), shared)
    ]
    head = np.array([len(steps), *steps, *map(len, streams)], _INTEGER)
    return b"".join([head.tobytes(), *streams])


def most_bytes(steps: int, rows: int, columns: int) -> int:
    """Returns how many bytes a chunk takes at most."""
    streams = _streams(steps, rows, columns)
    return (
        _INTEGER.itemsize * (1 + steps + streams)
        + _most(4 * steps * rows * columns)
        + _OVERHEAD * streams
    )


def unpack(packed: bytes, rows: int, columns: int) -> Chunk:
    """Returns the chunk of matrices of `rows` and `columns` that was packed.

    Raises:
        ValueError: If `packed` is none.
    """
    size = _INTEGER.itemsize
    count = int.from_bytes(packed[:size], "little")
    if not 0 < count <= MOST_STEPS:
        raise _Malformed(packed, rows, columns)
    head = size * (1 + count + _streams(count, rows, columns))
    if len(packed) < head:
        raise _Malformed(packed, rows, columns)
    numbers = np.frombuffer(packed[size:head], _INTEGER)
    steps, sizes = numbers[:count], numbers[count:]
    ends = head + np.cumsum(sizes)
    fits = (sizes > 0).all() and (sizes <= len(packed)).all()
    if not fits or (np.diff(steps) <= 0).any() or [*ends[-1:]] != [len(packed)]:
        raise _Malformed(packed, rows, columns)
    streams = (packed[end - n : end] for end, n in zip(ends, sizes, strict=True))
    return Chunk(tuple(steps.tolist()), rows, columns, tuple(streams))


def _shared(steps: int, rows: int) -> int:
    """How many columns share a stream."""
    return max(1, _STREAM // max(1, 4 * steps * rows))


def _streams(steps: int, rows: int, columns: int) -> int:
    return -(-columns // _shared(steps, rows))


def _most(size: int) -> int:
    """How long a stream of so many bytes may be when it is packed."""
    # What cannot be made smaller is stored in pieces, 5 bytes longer each.
    return size + size // 1000 + _OVERHEAD


def _inflate(stream: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        # Hardly more than is wanted: a stream may grow a thousandfold.
        content = unpacker.decompress(stream, size + 1)
    except zlib.error as error:
        raise ValueError(f"`packed` must hold streams of zlib ({error}).") from error
    if len(content) != size or not unpacker.eof:
        raise ValueError(
            f"`packed` must hold whole streams of {size} bytes. "
            f"Received: {len(content)} bytes, whole={unpacker.eof}"
        )
    return content


class _Malformed(ValueError):
    def __init__(self, packed: bytes, rows: int, columns: int):
        super().__init__(
            f"`packed` must be a chunk of matrices of {rows} x {columns} values. "
            f"Received: {len(packed)} bytes"
        )
