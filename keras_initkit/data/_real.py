"""The real data sets: a folder of the user's own files, or `keras.datasets`."""

import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.data._arrays import (
    RawArrays,
    check_images,
    check_reviews,
    read_npz,
)
from keras_initkit.data._dataset import FIRST_WORD, START
from keras_initkit.data._errors import DataFileError, DataUnavailableError
from keras_initkit.data._specs import DataSpec

# Seconds without an answer after which a download counts as failed. Without it
# a network that swallows packets would hold the program for minutes.
NETWORK_TIMEOUT = 10.0
_WORD_FILE = "imdb_word_index.json"


def load_from_folder(spec: DataSpec, path: str) -> RawArrays:
    """Reads and checks `NAME.npz`, in the form that Keras gives its files."""
    raw = read_npz(path)
    classes = len(spec.class_names)
    if not spec.is_text:
        return check_images(raw, spec.input_shape, classes, path)
    x, y, u, v = check_reviews(raw, classes, path)
    return RawArrays(_ranks_to_ids(x), y, _ranks_to_ids(u), v)


def load_from_keras(spec: DataSpec, vocabulary: int) -> tuple[RawArrays, str]:
    """Loads by `keras.datasets`, and says from where.

    Keras reads no cache in a folder that it cannot write to; there the file is
    read directly.
    """
    origin = f"keras.datasets.{spec.name}"
    preferred, used = _cache_folders()
    direct = os.path.join(preferred, spec.cache_file)
    if preferred != used and spec.cache_file.endswith(".npz"):
        if os.path.isfile(direct):
            return load_from_folder(spec, direct), f"{origin} (read from {direct!r})"
    loader = getattr(keras.datasets, spec.name).load_data
    if spec.is_text:
        (x, y), (u, v) = _guarded(spec, lambda: loader(num_words=vocabulary))
    else:
        (x, y), (u, v) = _guarded(spec, loader)
    raw = RawArrays(x, y, u, v)
    if spec.is_text:
        return check_reviews(raw, len(spec.class_names), origin), origin
    return check_images(raw, spec.input_shape, len(spec.class_names), origin), origin


def words_from_keras() -> Mapping[int, str]:
    """Returns the word of every id of the real reviews."""
    preferred, used = _cache_folders()
    direct = os.path.join(preferred, _WORD_FILE)
    if preferred != used and os.path.isfile(direct):
        return _read_words(direct)
    try:
        with _quiet_stdout(), _network_timeout(), _no_leftovers(used, _WORD_FILE):
            ranks = keras.datasets.imdb.get_word_index()
    except Exception as error:
        raise DataUnavailableError(
            f"The word list {_WORD_FILE!r} is neither in {used!r} nor could it be "
            f"downloaded ({error}). The reviews are loaded; only their words are "
            "missing: put the file there, or continue without `decode`.",
            name=_WORD_FILE,
        ) from error
    return _ids_to_words(ranks)


def words_from_folder(folder: str) -> Mapping[int, str]:
    """Returns the words by the list in `folder`, or by Keras's if it has none."""
    path = os.path.join(folder, _WORD_FILE)
    return _read_words(path) if os.path.isfile(path) else words_from_keras()


def _guarded(spec: DataSpec, loader: Callable[[], Any]) -> Any:
    """Calls a Keras loader and tells a damaged cache from a missing one."""
    folder = _cache_folders()[1]
    path = os.path.join(folder, spec.cache_file)
    was_cached = os.path.exists(path)
    try:
        with _quiet_stdout(), _network_timeout(), _no_leftovers(folder, path):
            return loader()
    except MemoryError:
        raise
    except Exception as error:  # Keras raises a bare Exception without network
        if was_cached:
            kept = "is still there" if os.path.exists(path) else "was removed by Keras"
            raise DataFileError(
                f"The cached file {path!r} is damaged or not the one that Keras "
                f"expects, and downloading it again failed ({error}). It {kept}. Put "
                "an undamaged copy there, or load again with network access or with "
                "source='standin'.",
                path=path,
            ) from error
        raise DataUnavailableError(
            f"{path!r} does not exist and downloading it failed: {error}",
            name=spec.name,
        ) from error


def _cache_folders() -> tuple[str, str]:
    """Returns the folder Keras is told to cache in, and the one it then uses."""
    user = os.path.expanduser("~")
    # Keras's own fallback, to the letter.
    temporary = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()  # noqa: S108
    base = user if os.access(user, os.W_OK) else temporary
    home = os.environ.get("KERAS_HOME") or os.path.join(base, ".keras")
    preferred = os.path.join(os.path.expanduser(home), "datasets")
    if os.access(os.path.dirname(preferred), os.W_OK):
        return preferred, preferred
    return preferred, os.path.join(temporary, ".keras", "datasets")


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Sends Keras's download progress to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def _network_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT if before is None else before)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _no_leftovers(folder: str, path: str) -> Iterator[None]:
    """Removes a download that turned out to be something else; Keras keeps it."""
    path = os.path.join(folder, path)
    existed = os.path.exists(path)
    try:
        yield
    except BaseException:
        if not existed:
            with contextlib.suppress(OSError):
                os.remove(path)
        raise


def _ranks_to_ids(rows: np.ndarray) -> np.ndarray:
    """Shifts word ranks past the special ids and marks the start, as Keras does."""
    shift = FIRST_WORD - 1
    out = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        ranks = np.asarray(row, dtype=np.int64)
        out[i] = np.concatenate([[START], ranks[ranks > 0] + shift])
    return out


def _read_words(path: str) -> Mapping[int, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return _ids_to_words(json.load(file))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataFileError(
            f"The file {path!r} must be a JSON object of words and their ranks. "
            f"Received: {error!r}. Replace or remove it.",
            path=path,
        ) from error


def _ids_to_words(ranks: Mapping[str, int]) -> Mapping[int, str]:
    return {rank + FIRST_WORD - 1: word for word, rank in ranks.items()}
