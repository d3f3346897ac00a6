"""Schedules: which iterations, combined, pickled and shown."""

import pickle
import re

import pytest

from keras_initkit import schedules
from keras_initkit.schedules import every, first, log_spaced


def accepted(schedule, below=100):
    return [iteration for iteration in range(below) if schedule(iteration)]


def even(iteration):
    return iteration % 2 == 0


@pytest.mark.parametrize(
    ("schedule", "shown", "expected"),
    [
        (every(40), "every(40)", [0, 40, 80]),
        (first(3), "first(3)", [0, 1, 2]),
        (log_spaced(2), "log_spaced(2)", [0, 1, 3, 10, 32]),
        (first(2) | every(50), "first(2) | every(50)", [0, 1, 50]),
        (every(2) & first(5), "every(2) & first(5)", [0, 2, 4]),
        (
            (first(2) | every(30)) & every(3),
            "(first(2) | every(30)) & every(3)",
            [0, 30, 60, 90],
        ),
        (
            first(2) | every(30) & every(3),
            "first(2) | every(30) & every(3)",
            [0, 1, 30, 60, 90],
        ),
    ],
    ids=str,
)
def test_schedule_accepts_shows_and_survives_pickling(schedule, shown, expected):
    assert accepted(schedule) == expected
    assert repr(schedule) == shown
    assert eval(shown) == schedule
    assert accepted(pickle.loads(pickle.dumps(schedule))) == expected


@pytest.mark.parametrize("per_decade", [1, 3, 10, 37])
def test_log_spaced_has_a_fixed_number_a_decade(per_decade):
    marks = {0} | {round(10 ** (k / per_decade)) for k in range(4 * per_decade + 1)}
    assert set(accepted(log_spaced(per_decade), 10_001)) == marks


def test_functions_take_part_on_either_side():
    assert accepted(even & first(5)) == accepted(first(5) & even) == [0, 2, 4]
    assert accepted(even | first(2), 5) == accepted(first(2) | even, 5) == [0, 1, 2, 4]
    assert schedules.as_schedule(even) is even
    assert schedules.as_schedule(7) == every(7)
    with pytest.raises(TypeError):
        first(2) | 3


@pytest.mark.parametrize(
    ("make", "name"), [(every, "n"), (first, "n"), (log_spaced, "per_decade")]
)
@pytest.mark.parametrize("n", [0, -1, 2.0, True, "3"])
def test_what_is_no_positive_integer_is_refused(make, name, n):
    message = f"`{name}` must be a positive integer. Received: {name}={n!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(n)
