"""`load`: from a name to arrays, by the nearest source that has them."""

import functools
import logging
import operator
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.arguments import did_you_mean
from keras_initkit.data._arrays import RawArrays, balanced_part
from keras_initkit.data._dataset import FIRST_WORD, OOV, PAD, Dataset
from keras_initkit.data._errors import DataUnavailableError, StandInWarning
from keras_initkit.data._real import (
    load_from_folder,
    load_from_keras,
    words_from_folder,
    words_from_keras,
)
from keras_initkit.data._reviews import standin_words
from keras_initkit.data._specs import SPECS, XOR, DataSpec
from keras_initkit.data._standins import STANDINS

NAMES = tuple(sorted(SPECS))
DATA_DIR_VARIABLE = "KERAS_INITKIT_DATA_DIR"
_SOURCES = ("auto", "real", "standin")
_Words = Callable[[], Mapping[int, str]]
_Found = tuple[RawArrays, str, bool, _Words]

logger = logging.getLogger(__name__)


def load(
    name: str,
    source: str | os.PathLike[str] = "auto",
    *,
    limit: int | None = None,
    seed: int = 0,
    test_limit: int | None = None,
    vocabulary: int = 10_000,
    maxlen: int = 200,
) -> Dataset:
    """Loads a data set: the real one if available, else a stand-in.

    With `source="auto"` the data come from the first of these that has them:

    1. the folder named by the environment variable `KERAS_INITKIT_DATA_DIR`,
       if it holds `NAME.npz` (Keras's array names; any number of examples);
    2. `keras.datasets`, from its cache or the network;
    3. a stand-in, with a `StandInWarning`: the handwritten digits of
       scikit-learn for `mnist`, generated images for `cifar10` and generated
       reviews for `imdb`. They can be learned, but they are not the real thing.

    `xor` is always the four points themselves, for training and for testing.

    Args:
        name: One of `"cifar10"`, `"imdb"`, `"mnist"`, `"xor"`.
        source: `"auto"`; `"real"` to refuse stand-ins; `"standin"` to always use one;
            or a folder that holds `NAME.npz`.
        limit: Number of training examples to take, the same number from each class as
            far as the set has them. `None` takes all. A smaller part is contained in
            every larger one with the same seed. A stand-in with fewer examples returns
            all it has.
        seed: Seed of the parts taken and of the generated stand-ins.
        test_limit: As `limit`, for the test set. `None` takes all, so that
            accuracies stay comparable while `limit` changes.
        vocabulary: Number of token ids of a text, including special ones; rarer words
            get the id 2. Only for `imdb`.
        maxlen: Tokens to which a review is cut or, with 0, padded, both at its start,
            so that every row ends with the end of the review. Only for `imdb`.

    Returns:
        A `Dataset`, which documents shapes, dtypes and ranges.

    Raises:
        ValueError: If an argument is out of its range.
        DataFileError: If a data file exists but cannot be used. No other source is
            tried then.
        DataUnavailableError: If `source="real"` and the real data are not available.
        ImportError: If the stand-in for `mnist` is needed without scikit-learn.

    Example:
    >>> xor = load("xor")
    >>> xor.x_train.tolist(), xor.y_train.tolist()
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0])
    """
    if not isinstance(name, str) or name not in SPECS:
        raise ValueError(
            f"`name` must be one of {NAMES}. Received: name={name!r}."
            + did_you_mean(name, NAMES)
        )
    vocabulary = _integer("vocabulary", vocabulary, FIRST_WORD + 1)
    maxlen = _integer("maxlen", maxlen, 1)
    seed = _integer("seed", seed, 0)
    for key, value in (("limit", limit), ("test_limit", test_limit)):
        if value is not None:
            _integer(key, value, 1)
    spec = SPECS[name]
    raw, origin, is_standin, words = _find(spec, source, seed, vocabulary)
    if is_standin:
        limit = limit and min(limit, len(raw.x_train))
        test_limit = test_limit and min(test_limit, len(raw.x_test))
    rng = np.random.default_rng(seed)
    train = _part("limit", raw.x_train, raw.y_train, limit, rng, spec)
    test = _part("test_limit", raw.x_test, raw.y_test, test_limit, rng, spec)
    parts = [_ready(spec, x, vocabulary, maxlen) for x in (train[0], test[0])]
    logger.info("%s: %s", name, origin)
    return Dataset(
        name=name,
        x_train=parts[0],
        y_train=train[1],
        x_test=parts[1],
        y_test=test[1],
        class_names=spec.class_names,
        origin=origin,
        is_standin=is_standin,
        vocabulary=vocabulary if spec.is_text else None,
        _words=words if spec.is_text else None,
    )


def _find(spec: DataSpec, source: Any, seed: int, vocabulary: int) -> _Found:
    """Returns raw arrays, their origin, whether a stand-in, and the words."""
    folder = _folder(source)
    if spec is XOR:
        if folder is not None:
            raise ValueError(
                f"`source` must be one of {_SOURCES} for 'xor', which is not stored in "
                f"a file. Received: source={source!r}."
            )
        return _xor(), "the four points of XOR", False, dict
    if folder is not None:
        return _from_folder(spec, folder, required=True)
    if source == "standin":
        return _standin(spec, seed, "requested by source='standin'")
    found = _from_variable(spec)
    if found is not None:
        return found
    try:
        raw, origin = load_from_keras(spec, vocabulary)
    except DataUnavailableError as error:
        if source == "real":
            raise DataUnavailableError(
                f"source='real': the real {spec.name!r} data are not available. "
                f"{error}. Load them once with network access, or point `source` or "
                f"{DATA_DIR_VARIABLE} to a folder with '{spec.name}.npz', or use a "
                "stand-in with source='standin'.",
                name=spec.name,
            ) from error
        found = _standin(spec, seed, str(error))
        warnings.warn(
            f"Not the real {spec.name!r} data: {found[1]}. Results on it say nothing "
            "about the real set; source='real' refuses stand-ins.",
            StandInWarning,
            stacklevel=3,
        )
        return found
    return raw, origin, False, words_from_keras


def _folder(source: Any) -> str | None:
    """Returns the folder that `source` names, if it names one."""
    if source in _SOURCES:
        return None
    if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
        return os.fspath(source)
    raise ValueError(
        f"`source` must be one of {_SOURCES} or a folder that holds NAME.npz files. "
        f"Received: source={source!r}, which is not a folder."
    )


def _from_variable(spec: DataSpec) -> _Found | None:
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return None
    if not os.path.isdir(folder):
        raise ValueError(
            f"The environment variable {DATA_DIR_VARIABLE} must name a folder. "
            f"Received: {DATA_DIR_VARIABLE}={folder!r}. Correct it or unset it."
        )
    if not os.path.exists(os.path.join(folder, f"{spec.name}.npz")):
        return None
    return _from_folder(spec, folder)


def _from_folder(spec: DataSpec, folder: str, required: bool = False) -> _Found:
    path = os.path.join(folder, f"{spec.name}.npz")
    if required and not os.path.exists(path):
        there = tuple(sorted(f for f in os.listdir(folder) if f.endswith(".npz")))
        raise DataUnavailableError(
            f"`source` must hold the file '{spec.name}.npz'. Received: "
            f"source={folder!r}, whose .npz files are {there}.",
            name=spec.name,
        )
    words = functools.partial(words_from_folder, folder)  # can be pickled
    return load_from_folder(spec, path), path, False, words


def _standin(spec: DataSpec, seed: int, why: str) -> _Found:
    make, what = STANDINS[spec.name]
    origin = f"stand-in for {spec.name}: {what} ({why})"
    return make(seed), origin, True, standin_words


def _xor() -> RawArrays:
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    answers = np.array([0, 1, 1, 0], dtype=np.int32)
    return RawArrays(points, answers, points.copy(), answers.copy())


def _part(
    argument: str,
    x: np.ndarray,
    y: np.ndarray,
    limit: int | None,
    rng: np.random.Generator,
    spec: DataSpec,
) -> tuple[np.ndarray, np.ndarray]:
    if limit is None:
        return x, y
    if limit > len(x):
        which = "training" if argument == "limit" else "test"
        raise ValueError(
            f"`{argument}` must be at most {len(x)}, the number of {which} examples of "
            f"{spec.name!r}. Received: {argument}={limit}. Omit it to use all."
        )
    chosen = balanced_part(y, limit, rng)
    return x[chosen], y[chosen]


def _ready(spec: DataSpec, x: np.ndarray, vocabulary: int, maxlen: int) -> np.ndarray:
    """Scales images to [0, 1]; pads and cuts texts, both at their start."""
    if spec is XOR:
        return x
    if not spec.is_text:
        scaled: np.ndarray = np.divide(x, np.float32(255), dtype=np.float32)
        return scaled
    ids: np.ndarray = keras.utils.pad_sequences(
        x, maxlen=maxlen, dtype="int32", value=PAD
    )
    return np.where(ids < vocabulary, ids, np.int32(OOV))


def _integer(argument: str, value: Any, lowest: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        number = lowest - 1
    if number < lowest:
        raise ValueError(
            f"`{argument}` must be an integer of at least {lowest}. Received: "
            f"{argument}={value!r}."
        )
    return number
