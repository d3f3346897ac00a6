"""Data sets for the reference models: the real ones, or declared stand-ins.

`load("mnist")` and its like return a `Dataset`. Real data come from a folder of the
user's own `NAME.npz` files, or from `keras.datasets`; if neither is available, a
generated or bundled stand-in takes over with a `StandInWarning`.
"""

from keras_initkit.data._dataset import Dataset
from keras_initkit.data._errors import (
    DataError,
    DataFileError,
    DataUnavailableError,
    StandInWarning,
)
from keras_initkit.data._load import DATA_DIR_VARIABLE, NAMES, load

__all__ = [
    "load",
    "Dataset",
    "NAMES",
    "DATA_DIR_VARIABLE",
    "DataError",
    "DataFileError",
    "DataUnavailableError",
    "StandInWarning",
]
