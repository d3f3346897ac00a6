"""Raw arrays of a data set: reading `.npz` files, checking, taking a part."""

import os
import pickle
import zipfile
from typing import IO, Any, NamedTuple

import numpy as np

from keras_initkit.data._errors import DataFileError
from keras_initkit_light.format import npz

KEYS = ("x_train", "y_train", "x_test", "y_test")

# All that numpy needs to rebuild an array of lists, in numpy 1 and 2.
_PICKLE_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
}


class RawArrays(NamedTuple):
    """Arrays as files hold them: uint8 images or rows of token ids."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def read_npz(path: str) -> RawArrays:
    """Reads the four arrays of a Keras data set file, running no code in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {n.removesuffix(".npy") for n in archive.namelist()}
            missing = tuple(sorted(set(KEYS) - members))
            if missing:
                raise _bad_file(
                    path,
                    f"must hold the arrays {KEYS}",
                    f"missing={missing}, found={tuple(sorted(members))}",
                )
            return RawArrays(
                *(npz.read_array(archive, key, _unpickled) for key in KEYS)
            )
    except DataFileError:
        raise
    except PermissionError as error:
        raise _bad_file(path, "must be readable", repr(error)) from error
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _bad_file(path, "must be an undamaged .npz file", repr(error)) from error


def check_images(
    raw: RawArrays, shape: tuple[int, ...], classes: int, path: str
) -> RawArrays:
    """Returns the images as uint8 `(n, *shape)` and labels as int32 `(n,)`."""
    parts = []
    for part, x, y in _parts(raw):
        accepted = {shape, shape[:-1]} if shape[-1] == 1 else {shape}
        if x.dtype != np.uint8 or x.shape[1:] not in accepted:
            raise _bad_file(
                path,
                f"must hold `x_{part}` as uint8 images of shape (n, "
                + ", ".join(map(str, shape))
                + ")",
                f"shape={x.shape}, dtype={x.dtype}",
            )
        parts += [x.reshape(-1, *shape), check_labels(x, y, part, classes, path)]
    return RawArrays(*parts)


def check_labels(
    x: np.ndarray, y: np.ndarray, part: str, classes: int, path: str
) -> np.ndarray:
    """Returns the labels as int32 `(n,)`, one for each example."""
    fits = y.shape in {(len(x),), (len(x), 1)} and len(x) > 0
    if not fits or not np.issubdtype(y.dtype, np.integer):
        raise _bad_file(
            path,
            f"must hold one integer in `y_{part}` for each of the examples in "
            f"`x_{part}`, and at least one",
            f"shape={y.shape}, dtype={y.dtype} for {len(x)} examples",
        )
    if y.min() < 0 or y.max() >= classes:
        raise _bad_file(
            path,
            f"must hold class numbers from 0 to {classes - 1} in `y_{part}`",
            f"numbers from {y.min()} to {y.max()}",
        )
    labels: np.ndarray = y.reshape(-1).astype(np.int32)
    return labels


def check_reviews(raw: RawArrays, classes: int, path: str) -> RawArrays:
    """Returns rows of word ranks with their labels as int32 `(n,)`."""
    parts = []
    for part, x, y in _parts(raw):
        if not _are_rows_of_ranks(x):
            raise _bad_file(
                path,
                f"must hold `x_{part}` as one row of word ranks (integers from "
                "1, 0 is padding) a review",
                f"shape={x.shape}, dtype={x.dtype}",
            )
        parts += [x, check_labels(x, y, part, classes, path)]
    return RawArrays(*parts)


def balanced_part(
    labels: np.ndarray, limit: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns the sorted indices of `limit` examples, as even as classes allow.

    Every class gives the same number; where the division leaves a rest, or a
    class has too few, the others give one more in turn. A smaller part is
    contained in every larger one drawn with the same generator state.
    """
    order = rng.permutation(len(labels))
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = np.arange(len(members))
    drawn = order[np.argsort(turn[order], kind="stable")]
    return np.sort(drawn[:limit])


def _parts(raw: RawArrays) -> tuple[tuple[str, np.ndarray, np.ndarray], ...]:
    return (
        ("train", raw.x_train, raw.y_train),
        ("test", raw.x_test, raw.y_test),
    )


def _are_rows_of_ranks(x: np.ndarray) -> bool:
    if x.dtype != object:
        return x.ndim == 2 and np.issubdtype(x.dtype, np.integer) and not (x < 0).any()
    return x.ndim == 1 and all(
        isinstance(row, (list, tuple, np.ndarray))
        and np.issubdtype(np.asarray(row).dtype, np.integer)
        and min(row, default=-1) >= 0
        for row in x
    )


def _unpickled(file: IO[bytes]) -> np.ndarray:
    """Reads an array of lists by an unpickler that knows only arrays."""
    rows: np.ndarray = _ArrayUnpickler(file).load()
    return rows


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PICKLE_GLOBALS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"refused to load {module}.{name}")


def _bad_file(path: str, rule: str, received: str) -> DataFileError:
    return DataFileError(
        f"The file {os.fspath(path)!r} {rule}. Received: {received}. Replace the file, "
        "or remove it to load the data from another source.",
        path=os.fspath(path),
    )
