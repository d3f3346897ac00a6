"""Frames: the records of an event file, read one by one past what is damaged.

A frame is the length of its content (uint64), the checksum of these eight bytes, the
content, and its checksum; checksums are masked CRC-32C, numbers little-endian (TFRecord
format, https://www.tensorflow.org/tutorials/load_data/tfrecord). TensorBoard's readers
end at the first frame that is damaged; here reading goes on at the next whole one.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_HEAD = struct.Struct("<QI")
_FOOT = struct.Struct("<I")
# Castagnoli's polynomial, its bits reversed.
_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8
_ONES = 0xFFFFFFFF
# Bytes that are taken in at once, and starts of frames that are looked for at once.
_BLOCK = 512
_WINDOW = 1 << 18


class Frame(NamedTuple):
    """A whole frame."""

    offset: int
    content: bytes


class Gap(NamedTuple):
    """Bytes that are no whole frame."""

    offset: int
    size: int


def frames(data: bytes) -> Iterator[Frame | Gap]:
    """Yields what is in an event file, in order; every byte belongs to one item."""
    at = 0
    while at < len(data):
        content = _content_at(data, at)
        if content is None:
            found = _next_head(data, at + 1)
            yield Gap(at, found - at)
            at = found
        else:
            yield Frame(at, content)
            at += _HEAD.size + len(content) + _FOOT.size


def _content_at(data: bytes, at: int) -> bytes | None:
    """The content of the frame that begins there; `None` if there is no whole one."""
    size = _size_at(data, at)
    if size is None:
        return None
    begin = at + _HEAD.size
    end = begin + size
    if end + _FOOT.size > len(data):
        return None
    content = data[begin:end]
    is_whole = _FOOT.unpack_from(data, end)[0] == masked_checksum(content)
    return content if is_whole else None


def _size_at(data: bytes, at: int) -> int | None:
    """The size of the content of a frame; `None` if none can begin there."""
    if at + _HEAD.size > len(data):
        return None
    size, checksum = _HEAD.unpack_from(data, at)
    return size if checksum == masked_checksum(data[at : at + 8]) else None


def _next_head(data: bytes, start: int) -> int:
    """Where the next frame begins that ends within `data`; the end if there is none."""
    last = len(data) - _HEAD.size - _FOOT.size
    for first in range(start, last + 1, _WINDOW):
        stop = min(first + _WINDOW, last + 1)
        for at in (first + np.flatnonzero(_are_heads(data, first, stop))).tolist():
            size = _HEAD.unpack_from(data, at)[0]
            if at + _HEAD.size + size + _FOOT.size <= len(data):
                return at
    return len(data)


def _are_heads(data: bytes, first: int, stop: int) -> np.ndarray:
    """Whether a frame may begin at each place from `first` to `stop`."""
    count = stop - first
    window = np.frombuffer(data, np.uint8, count + _HEAD.size - 1, first)
    state = np.zeros(count, np.uint32)
    for place in range(8):
        byte = window[place : place + count]
        state ^= _TABLES[7 - place][byte ^ 0xFF if place < 4 else byte]
    stored = sum(
        window[8 + place : 8 + place + count].astype(np.uint32) << np.uint32(8 * place)
        for place in range(4)
    )
    return _masked(state ^ np.uint32(_ONES)) == stored


def masked_checksum(content: bytes) -> int:
    """Returns the checksum of bytes as frames hold it."""
    return int(_masked(np.array([checksum(content)], np.uint32))[0])


def _masked(checksums: np.ndarray) -> np.ndarray:
    """Rotates and moves checksums (uint32), which wrap around."""
    right, left = np.uint32(15), np.uint32(17)
    return ((checksums >> right) | (checksums << left)) + np.uint32(_MASK)


def checksum(content: bytes) -> int:
    """Returns the CRC-32C of bytes.

    The state of the checksum is linear in the bytes, so that a table for each place of
    a block takes in all its bytes at once.
    """
    if len(content) < 4:
        return _checksum_of_few(content)
    blocks = -(-len(content) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, np.uint8)  # zeros ahead leave a state of 0
    begin = len(padded) - len(content)
    padded[begin:] = np.frombuffer(content, np.uint8)
    padded[begin : begin + 4] ^= 0xFF  # the state that a checksum begins with
    state = 0
    for first in range(0, blocks, _BLOCK):
        part = padded[first * _BLOCK : (first + _BLOCK) * _BLOCK].reshape(-1, _BLOCK)
        taken = _TABLES[_PLACES, part]
        for one in np.bitwise_xor.reduce(taken, axis=1).tolist():
            state = one ^ _moved(state)
    return state ^ _ONES


def _checksum_of_few(content: bytes) -> int:
    state = _ONES
    for byte in content:
        state = int(_TABLES[0, (state ^ byte) & 0xFF]) ^ (state >> 8)
    return state ^ _ONES


def _moved(state: int) -> int:
    """The state after a block of zeros."""
    return (
        _MOVES[0][state & 0xFF]
        ^ _MOVES[1][state >> 8 & 0xFF]
        ^ _MOVES[2][state >> 16 & 0xFF]
        ^ _MOVES[3][state >> 24]
    )


def _tables(count: int) -> np.ndarray:
    """What a byte makes of a state of 0, with n zeros behind it: `[n, byte]`."""
    state = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (state & np.uint32(1)).astype(bool)
        state = (state >> np.uint32(1)) ^ np.where(odd, np.uint32(_POLYNOMIAL), 0)
        state = state.astype(np.uint32)
    tables = [state]
    for _ in range(count - 1):
        last = tables[-1]
        tables.append(tables[0][last & np.uint32(0xFF)] ^ (last >> np.uint32(8)))
    return np.stack(tables)


_TABLES = _tables(_BLOCK)
_PLACES = np.arange(_BLOCK - 1, -1, -1)
# What a block of zeros makes of each byte of a state: that of the byte alone, moved on,
# as a byte that is taken in stands for the lowest one of the state.
_MOVES = [_TABLES[_BLOCK - 1 - place].tolist() for place in range(4)]
