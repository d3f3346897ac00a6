"""Faults that happen to trainings, and what must hold when they do.

Each is a generator of trials, registered with how many the full and the short form
make; a trial gives what did not hold, `""` where all did.
"""

import dataclasses
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        trials: Function of a directory, how often, and a generator of random numbers.
        full: Trials of the full form.
        short: Trials of the short form, which the tests run.
        promise: What holds.
    """

    trials: Callable[[pathlib.Path, int, np.random.Generator], Iterator[str]]
    full: int
    short: int
    promise: str


FAULTS: dict[str, Fault] = {}


class NotHereError(Exception):
    """A fault cannot be made to happen on this machine; says why."""


def fault(name, promise, *, full, short):
    def register(trials):
        FAULTS[name] = Fault(trials, full, short, promise)
        return trials

    return register


def run(name, count, seed=0):
    """Makes trials of a fault; returns what did not hold in each, `""` for nothing."""
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*")
        rng = np.random.default_rng(seed)
        return [*FAULTS[name].trials(pathlib.Path(directory), count, rng)]
