"""Arrays of `.npz` files: read right, or refused with one error."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_initkit_light.format import npz


def saved(**values):
    file = io.BytesIO()
    np.savez(file, **values)
    return file.getvalue()


def read(data, name="x"):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return npz.read_array(archive, name)


DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.floating_dtypes(),
    arrays.unicode_string_dtypes(),
)


@given(arrays.arrays(DTYPES, arrays.array_shapes()))
def test_what_was_saved_comes_back(array):
    found = read(saved(x=array))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(read(saved(x=np.asfortranarray(array))), array)


def with_member(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


def with_header(text):
    header = text.encode()
    return with_member(
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    )


@pytest.mark.parametrize(
    "data",
    [
        with_member(b""),
        with_member(b"\x93NUMPY\x07\x00"),
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**12, 125)}"),
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,)}"),
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,"),
        with_header("("),
        with_header("__import__('os').abort()"),
        saved(y=np.zeros(3)),
        saved(x=np.array([{}], object)),
    ],
    ids="empty version expression huge negative objects open token code none pickle"
    "".split(),
)
def test_what_is_no_array_is_one_error(data):
    with pytest.raises(ValueError, match="the array 'x' cannot be read"):
        read(data)


@given(st.data())
def test_damage_is_one_error(data):
    content = bytearray(saved(x=np.arange(50.0)))
    at = data.draw(st.integers(30, 500))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = read(bytes(content))
    except (ValueError, zipfile.BadZipFile):
        return
    # Outside of the array and of what finds it.
    np.testing.assert_array_equal(found, np.arange(50.0))
