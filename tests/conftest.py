"""The same random numbers at each run, and less work for the garbage collector."""

import gc
import random

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded():
    """Seeds what initializers and shuffles without a seed draw theirs from."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - what Keras shuffles with


@pytest.fixture(scope="session", autouse=True)
def modules_are_no_garbage():
    """Has the collector pass over what imports have made, some million objects."""
    gc.freeze()
