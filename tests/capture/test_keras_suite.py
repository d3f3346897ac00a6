"""Keras's own tests pass under a monitor, and each `fit` ends at the same bits."""

import pytest

from tests import keras_suite

# What a default run takes of them: fits of data in arrays, and errors of a user's own.
BRIEF = "test_fit_flow or metrics_invalid_keys or struct_losses2"


def parts_with_tests(*parts):
    missing = [part for part in parts if keras_suite.tests_of(part) is None]
    if missing:
        pytest.skip(f"the wheel of Keras ships no tests of {missing}")
    return parts


def test_a_chosen_part_of_kerass_tests():
    parts = parts_with_tests("trainers/trainer_test.py", "models/model_test.py")
    runs = [keras_suite.run(parts, watched, "-k", BRIEF) for watched in (False, True)]
    faults, summary = keras_suite.compare(runs[0], None, runs[1])
    print(summary)
    assert not faults, summary
    assert sum(row["steps"] for row in runs[1][1].values()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("written", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize("part", keras_suite.PARTS)
def test_all_of_kerass_tests(part, written, tmp_path):
    parts = parts_with_tests(part)
    bare, again = (keras_suite.run(parts, False) for _ in range(2))
    watched = keras_suite.run(parts, True, log_dir=tmp_path if written else None)
    faults, summary = keras_suite.compare(bare, again, watched)
    print(summary)
    assert not faults, summary
