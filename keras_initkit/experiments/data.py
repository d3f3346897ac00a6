"""What is trained and tested on, in whichever way it is given."""

import dataclasses
from typing import Any, Protocol

import numpy as np

from keras_initkit import data as data_room


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
        ValueError: If it is none of these.
    """
    if isinstance(data, str):
        return data_room.load(data)
    if hasattr(data, "x_train"):
        return data
    try:
        (x_train, y_train), (x_test, y_test) = data
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`data` must be a name, a Dataset or ((x_train, y_train), (x_test, "
            f"y_test)). Received: {type(data).__name__}"
        ) from error
    return _Arrays(x_train, y_train, x_test, y_test)


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
