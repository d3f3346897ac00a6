"""Packing of chunks: nothing is lost, nothing is believed."""

import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_initkit_light.format import packing

STEPS = (5, 6, 40)
MATRICES = np.arange(36, dtype=np.float32).reshape(3, 4, 3)
TAG = "initkit/activation"


def pack(steps, matrices):
    return packing.pack(TAG, 0, steps, matrices)


def unpack(packed, rows, columns):
    return packing.unpack(TAG, packed, rows, columns)


PACKED = pack(STEPS, MATRICES)
NARROWER = pack(STEPS, MATRICES[:, :, :2])


def bits(matrices):
    return np.ascontiguousarray(matrices, "<f4").view(np.uint32)


@given(
    arrays.arrays(
        np.uint32,
        st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 2**32 - 1),
    )
)
def test_every_bit_comes_back(words):
    count, *shape = words.shape
    packed = pack(range(count), words.view(np.float32))
    assert len(packed) <= packing.most_bytes(*words.shape)
    chunk = unpack(packed, *shape)
    assert chunk.steps == tuple(range(count))
    assert (bits(chunk.values()) == words).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (32, 50, 12), (1, 600, 100)])
def test_noise_takes_no_more_than_is_told(shape):
    noise = np.random.default_rng(0).integers(0, 2**32, shape, np.uint32)
    packed = pack(range(len(noise)), noise.view(np.float32))
    assert noise.nbytes <= len(packed) <= packing.most_bytes(*shape)
    assert (bits(unpack(packed, *shape[1:]).values()) == noise).all()


def test_magnitudes_and_values_that_stay_shrink():
    rng = np.random.default_rng(0)
    random = np.exp(rng.normal(size=(20, 50, 4))).astype(np.float32)
    constant = np.broadcast_to(np.float32([0, np.nan, 64, 0.1]), random.shape)
    both = np.concatenate([random, constant], axis=2)
    # Three of four bytes are noise, and a half; the constants leave next to nothing.
    assert len(pack(range(20), both)) < 0.95 * random.nbytes


def test_rows_and_columns_are_cut_out():
    chunk = unpack(PACKED, 4, 3)
    assert chunk.steps == STEPS
    np.testing.assert_array_equal(chunk.values(), MATRICES)
    np.testing.assert_array_equal(chunk.values(row=2), MATRICES[:, 2])
    np.testing.assert_array_equal(chunk.values(column=1), MATRICES[:, :, 1])


def test_a_column_is_read_without_the_others():
    matrices = np.random.default_rng(0).normal(size=(8, 40, 3)).astype(np.float32)
    chunk = unpack(pack(range(8), matrices), 40, 3)
    streams = (chunk.streams[0], b"no zlib", chunk.streams[2])
    broken = dataclasses.replace(chunk, streams=streams)
    np.testing.assert_array_equal(broken.values(column=2), matrices[:, :, 2])
    with pytest.raises(ValueError, match="incorrect header check"):
        broken.values(column=1)
    with pytest.raises(ValueError, match="incorrect header check"):
        broken.values()


def test_short_columns_share_a_stream():
    matrices = np.random.default_rng(0).normal(size=(1, 6, 100)).astype(np.float32)
    chunk = unpack(pack([0], matrices), 6, 100)
    assert len(chunk.streams) == 3
    np.testing.assert_array_equal(chunk.values(), matrices)
    for column in (0, 41, 42, 99):
        values = chunk.values(column=column)
        np.testing.assert_array_equal(values, matrices[:, :, column])


def with_steps(*steps):
    return pack(steps, MATRICES[: len(steps)])


def sealed(rest):
    """Puts the right checksum ahead of a chunk that is wrong otherwise."""
    return zlib.crc32(rest, zlib.crc32(TAG.encode())).to_bytes(4, "little") + rest


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        sealed(b"no chunk at all, to be sure"),
        sealed((2**62).to_bytes(8, "little") * 9),
        sealed((-1).to_bytes(8, "little", signed=True) + PACKED[12:]),
        pack(range(33), np.zeros((33, 4, 3))),
        sealed(PACKED[4:24]),
        sealed(PACKED[4:-9]),
        sealed(PACKED[4:] + b"x"),
        pack((), MATRICES[:0]),
        with_steps(1, 1),
        with_steps(2, 1),
    ],
    ids="empty other huge negative long head short longer none twice back".split(),
)
def test_what_is_no_chunk_is_refused(packed):
    with pytest.raises(ValueError, match=rf"4 x 3 values\. Received: {len(packed)} b"):
        unpack(packed, 4, 3)


@given(st.integers(0, 8 * len(PACKED) - 1))
def test_every_bit_that_flips_is_noticed(bit):
    flipped = bytearray(PACKED)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="its checksum does not match"):
        unpack(bytes(flipped), 4, 3)


def test_a_chunk_of_another_tag_is_refused():
    with pytest.raises(ValueError, match="'initkit/gradient', but its checksum"):
        packing.unpack("initkit/gradient", PACKED, 4, 3)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"no zlib", "incorrect header check"),
        (zlib.compress(bytes(144))[:-3], "Received: 144 bytes, whole=False"),
        (
            zlib.compress(bytes(140)),
            "complete streams of 144 bytes. Received: 140 bytes",
        ),
        (unpack(NARROWER, 4, 2).streams[0], "Received: 96 bytes, whole=True"),
        (zlib.compress(bytes(10**6)), "Received: 145 bytes, whole=False"),
    ],
    ids=["other", "truncated", "shorter", "narrower", "bomb"],
)
def test_what_is_no_stream_is_refused(stream, message):
    with pytest.raises(ValueError, match=message):
        packing.Chunk(0, STEPS, 4, 3, (stream,)).values()
