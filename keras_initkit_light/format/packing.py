"""Chunks: some steps of a series of matrices, packed into one tensor of bytes.

As event files hold them, little-endian: a checksum (uint32, CRC-32 of the tag of the
series and of all that follows), how many steps of the series are ahead of it in its
file, the number of its own, these steps and the sizes of the streams as int64, then the
streams. A stream holds one column, so that a statistic is read without the others, or
as many as make up a kilobyte: the float32 values of shape `(columns, steps, rows)` in
four planes, the first byte of every value (sign and most of the exponent) ahead of the
second of every value, down to the last of the mantissa, by zlib, which then finds what
repeats: exponents, columns of one value such as counts of NaN, values that stay.
Nothing is lost; what is damaged or missing is known from the checksum and the counts.
"""

import dataclasses
import itertools
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Index: TypeAlias = "int | slice"

# Steps that a chunk holds at most.
MOST_STEPS = 32
# What zlib puts around a stream, at most.
_OVERHEAD = 64
# The fastest; slower ones save 2 % more.
_LEVEL = 1
# Bytes: columns share a stream up to this.
_STREAM = 1024
# Bytes of the checksum, and of an integer of the head.
_CHECKSUM, _INTEGER = 4, 8


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some steps of a series of matrices, as they were packed.

    Attributes:
        ahead: How many steps of the series come before these in the same file.
        steps: The steps, ascending.
        rows: Number of rows of each matrix.
        columns: Number of columns of each matrix.
        streams: The columns, some in each.
    """

    ahead: int
    steps: tuple[int, ...]
    rows: int
    columns: int
    streams: tuple[bytes, ...]

    def values(self, row: Index = slice(None), column: int | None = None) -> Array:
        """Returns `matrices[:, row, column]`, float32; only this is unpacked.

        Raises:
            ValueError: If a stream is not what a chunk of this shape has.
        """
        return values([self], [self.inflated(column)], row, column)[0]

    def inflated(self, column: int | None = None) -> tuple[bytes, ...]:
        """Returns what is in the stream of a column, or in all streams.

        Raises:
            ValueError: If a stream is not what a chunk of this shape has.
        """
        numbers = range(len(self.streams)) if column is None else [self._stream(column)]
        return tuple(
            _inflate(self.streams[n], 4 * math.prod(self._shape(n))) for n in numbers
        )

    def _stream(self, column: int) -> int:
        return column // _shared(len(self.steps), self.rows)

    def _shape(self, stream: int) -> tuple[int, int, int]:
        """The shape of the values of a stream: columns, steps, rows."""
        shared = _shared(len(self.steps), self.rows)
        columns = min(shared, self.columns - stream * shared)
        return columns, len(self.steps), self.rows


def values(
    chunks: Sequence[Chunk],
    contents: Sequence[tuple[bytes, ...]],
    row: Index = slice(None),
    column: int | None = None,
) -> Array:
    """Returns what is wanted of chunks of one shape, `(chunks, steps, ...)`.

    All at once, which is many times faster where chunks are short.

    Args:
        chunks: Chunks of as many steps, rows and columns.
        contents: What each has `inflated` for this column.
        row: As for `Chunk.values`.
        column: As for `Chunk.values`.
    """
    one = chunks[0]
    if column is not None:
        number = one._stream(column)
        (streams,) = zip(*contents, strict=True)
        place = column - number * one._shape(0)[0]
        return _unplaned(streams, one._shape(number))[:, place][..., row]
    parts = [
        _unplaned(streams, one._shape(number))
        for number, streams in enumerate(zip(*contents, strict=True))
    ]
    return np.moveaxis(np.concatenate(parts, axis=1)[..., row], 1, -1)


def _unplaned(contents: Sequence[bytes], shape: tuple[int, int, int]) -> Array:
    planes = np.frombuffer(b"".join(contents), np.uint8)
    planes = planes.reshape(len(contents), 4, *shape)
    each = np.ascontiguousarray(np.moveaxis(planes, 1, -1)).view(">f4")
    return each[..., 0].astype(np.float32)


def pack(tag: str, ahead: int, steps: Sequence[int], matrices: Array) -> bytes:
    """Returns a chunk.

    Args:
        tag: Tag of the series.
        ahead: How many steps of the series are ahead of these in the same file.
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
    numbers = [ahead, len(steps), *steps, *map(len, streams)]
    rest = b"".join([struct.pack(f"<{len(numbers)}q", *numbers), *streams])
    return struct.pack("<I", _checksum(tag, rest)) + rest


def _checksum(tag: str, rest: bytes) -> int:
    return zlib.crc32(rest, zlib.crc32(tag.encode()))


def most_bytes(steps: int, rows: int, columns: int) -> int:
    """Returns how many bytes a chunk takes at most."""
    streams = _streams(steps, rows, columns)
    size = 4 * steps * rows * columns
    # What cannot be made smaller is stored in pieces, 5 bytes longer each.
    return (
        _CHECKSUM
        + _INTEGER * (2 + steps + streams)
        + size
        + size // 1000
        + _OVERHEAD * (1 + streams)
    )


def unpack(tag: str, packed: bytes, rows: int, columns: int) -> Chunk:
    """Returns the chunk of matrices of `rows` and `columns` that was packed.

    Raises:
        ValueError: If `packed` is none, or not as it was packed under this tag.
    """
    if len(packed) < _CHECKSUM + 2 * _INTEGER:
        raise _Malformed(packed, rows, columns)
    (checksum,) = struct.unpack_from("<I", packed)
    rest = packed[_CHECKSUM:]
    if checksum != _checksum(tag, rest):
        raise ValueError(
            f"`packed` must be a chunk packed under {tag!r}, but its checksum does not "
            f"match. Received: {len(packed)} bytes"
        )
    ahead, count = struct.unpack_from("<2q", rest)
    if ahead < 0 or not 0 < count <= MOST_STEPS:
        raise _Malformed(packed, rows, columns)
    head = f"<{2 + count + _streams(count, rows, columns)}q"
    end = struct.calcsize(head)
    if len(rest) < end:
        raise _Malformed(packed, rows, columns)
    _, _, *numbers = struct.unpack_from(head, rest)
    steps, sizes = numbers[:count], numbers[count:]
    ascends = all(one < other for one, other in itertools.pairwise(steps))
    if not ascends or min(sizes, default=0) < 0 or end + sum(sizes) != len(rest):
        raise _Malformed(packed, rows, columns)
    starts = itertools.accumulate(sizes, initial=end)
    streams = (rest[i : i + size] for i, size in zip(starts, sizes, strict=False))
    return Chunk(ahead, tuple(steps), rows, columns, tuple(streams))


def _shared(steps: int, rows: int) -> int:
    """How many columns share a stream."""
    return max(1, _STREAM // max(1, 4 * steps * rows))


def _streams(steps: int, rows: int, columns: int) -> int:
    return -(-columns // _shared(steps, rows))


def _inflate(stream: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        # Hardly more than is wanted: a stream may grow a thousandfold.
        content = unpacker.decompress(stream, size + 1)
    except zlib.error as error:
        raise ValueError(f"`packed` must hold zlib streams ({error}).") from error
    if len(content) != size or not unpacker.eof:
        raise ValueError(
            f"`packed` must hold complete streams of {size} bytes. Received: "
            f"{len(content)} bytes, whole={unpacker.eof}"
        )
    return content


class _Malformed(ValueError):
    def __init__(self, packed: bytes, rows: int, columns: int):
        super().__init__(
            f"`packed` must be a chunk of matrices of {rows} x {columns} values. "
            f"Received: {len(packed)} bytes"
        )
