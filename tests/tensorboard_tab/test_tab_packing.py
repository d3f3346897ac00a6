"""Packing of matrices: nothing is lost, nothing is believed."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_initkit_tensorboard import packing

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)


def bits(matrix):
    return np.ascontiguousarray(matrix, "<f4").view(np.uint32)


@given(
    arrays.arrays(
        np.uint32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 2**32 - 1),
    )
)
def test_every_bit_comes_back(words):
    matrix = words.view(np.float32)
    packed = packing.pack(matrix)
    assert len(packed) <= packing.most_bytes(*matrix.shape)
    assert (bits(packing.unpack(packed, *matrix.shape)) == words).all()


@pytest.mark.parametrize("shape", [(1, 1), (50, 12), (600, 100), (2000, 128)])
def test_noise_takes_no_more_than_is_told(shape):
    noise = np.random.default_rng(0).integers(0, 2**32, shape, np.uint32)
    packed = packing.pack(noise.view(np.float32))
    assert noise.nbytes <= len(packed) <= packing.most_bytes(*shape)
    assert (bits(packing.unpack(packed, *shape)) == noise).all()


def test_magnitudes_and_constant_columns_shrink():
    rng = np.random.default_rng(0)
    random = np.exp(rng.normal(size=(50, 4))).astype(np.float32)
    constant = np.repeat(np.float32([[0, np.nan, 64, 0.1]]), 50, axis=0)
    size = len(packing.pack(np.hstack([random, constant])))
    # Three of four bytes are noise; the constant half leaves next to nothing.
    assert size < 0.9 * random.nbytes + 100


def test_rows_and_columns_are_cut_out_of_many():
    matrices = np.stack([MATRIX, MATRIX + 100, -MATRIX])
    planes = [packing.to_planes(matrix) for matrix in matrices]
    assert planes == [packing.inflate(packing.pack(m), 4, 3) for m in matrices]
    np.testing.assert_array_equal(packing.cut_out(planes, 4, 3), matrices)
    np.testing.assert_array_equal(packing.cut_out(planes, 4, 3, row=2), matrices[:, 2])
    np.testing.assert_array_equal(
        packing.cut_out(planes, 4, 3, column=1), matrices[:, :, 1]
    )


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"", "incomplete or truncated stream"),
        (b"no zlib", "incorrect header check"),
        (packing.pack(MATRIX)[:-9], "incomplete or truncated stream"),
        (packing.pack(MATRIX[:3]), "must hold 4 x 3 values. Received: 36 bytes"),
        (zlib.compress(bytes(10**6)), r"4 x 3 values. Received: \d+ packed bytes"),
    ],
    ids=["empty", "other", "truncated", "smaller", "bomb"],
)
def test_what_is_no_packed_matrix_is_refused(packed, message):
    with pytest.raises(ValueError, match=message):
        packing.unpack(packed, 4, 3)
