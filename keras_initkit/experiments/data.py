"""What is trained and tested on, in whichever way it is given."""

import dataclasses
import reprlib
from typing import Any, Protocol

import numpy as np

from keras_initkit import data as data_room
from keras_initkit.arguments import naming


class Data(Protocol):
    """What is trained and tested on, as `data.Dataset` has it."""

    @property
    def name(self) -> str: ...
    @property
    def x_train(self) -> Any: ...
    @property
    def y_train(self) -> Any: ...
    @property
    def x_test(self) -> Any: ...
    @property
    def y_test(self) -> Any: ...
    @property
    def origin(self) -> str: ...
    @property
    def is_standin(self) -> bool: ...


def as_data(data: Any) -> Data:
    """Returns the data of that name, a data set as it is, or arrays as one.

    Raises:
        ValueError: If it is none of these, or its arrays do not fit together.
    """
    if isinstance(data, str):
        return data_room.load(data)
    found: Data = data if hasattr(data, "x_train") else _Arrays(*_four(data))
    for part in ("train", "test"):
        x, y = (_examples(found, f"{name}_{part}") for name in "xy")
        if x != y or not x:
            raise ValueError(
                "`data` must have as many inputs as targets, at least one each, for "
                f"training and for testing. Received: {x} in `x_{part}` and {y} in "
                f"`y_{part}`"
            )
    return found


def _four(data: Any) -> list[Any]:
    """Returns the arrays of two pairs, lists made into arrays."""
    try:
        pairs = list(data)
    except TypeError:
        pairs = []
    # What is a data set of batches can be unpacked, too.
    if len(pairs) != 2 or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise ValueError(
            "`data` must be a name, a Dataset or ((x_train, y_train), (x_test, "
            "y_test)); convert a source of batches, such as a tf.data.Dataset, to "
            f"arrays first. Received: {reprlib.repr(data)} of type "
            f"{type(data).__name__}"
        )
    every = [part for pair in pairs for part in pair]
    with naming("data", data, "hold arrays, or lists that can be made into one"):
        return [np.asarray(a) if isinstance(a, list | tuple) else a for a in every]


def _examples(data: Data, name: str) -> int:
    """Returns the number of examples in one of the arrays."""
    array = getattr(data, name)
    shape = np.shape(array)
    if not shape:
        raise ValueError(
            "`data` must hold arrays, with the examples on the first axis; a model "
            "with several inputs or outputs can be compared if it splits a single "
            f"array itself. Received: `{name}` of type {type(array).__name__}"
        )
    return shape[0]


def as_arrays(data: Data) -> Data:
    """Returns data as arrays of numpy, which any process can read."""
    return _Arrays(
        np.asarray(data.x_train),
        np.asarray(data.y_train),
        np.asarray(data.x_test),
        np.asarray(data.y_test),
        data.name,
        data.origin,
        data.is_standin,
    )


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """Arrays of the user's own, in the form of `data.Dataset`."""

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    name: str = "data"
    origin: str = "arrays of the caller"
    is_standin: bool = False
