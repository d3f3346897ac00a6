"""Two replicas in one process: statistics of the global batch, training undisturbed."""

import distribution_cases as cases
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import stats


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """What a process with two logical CPUs leaves: TensorFlow makes them only once."""
    directory = tmp_path_factory.mktemp("mirrored") / "out"
    cases.finish(cases.run_apart("mirrored", directory))
    return directory


@pytest.mark.parametrize("way", ["fit", "loop"])
def test_mirrored_training_does_not_notice(mirrored, way):
    cases.assert_training_did_not_notice(mirrored, way)


@pytest.mark.parametrize("way", ["fit", "loop"])
def test_mirrored_statistics_are_those_of_the_global_batch(mirrored, way):
    record = kik.RunRecord.load(mirrored / f"{way}_run")
    cases.assert_statistics_of_the_global_batch(record)


def test_profiles_of_parts_use_directions_of_their_own():
    """Units that change places between replicas are still two."""
    rows = tf.constant([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    reduced = [
        stats.Reduction(units=True, part=part)(x)
        for part, x in enumerate([rows, rows[:, ::-1]])
    ]
    scalars = stats.merge([[row] for row, _ in reduced])
    profile = sum(profile.numpy() for _, profile in reduced)
    found = stats.finalize("weight", scalars, [profile])
    assert found[0][kik.schema.statistics_of("weight").index("distinct_units")] == 2


@pytest.mark.parametrize("large", [False, True])
def test_a_part_without_rows_takes_no_part(large):
    reduction = stats.Reduction(large=large, zeros=True)
    rows = tf.constant([[1.0, 0.0], [-4.0, 2.5]])
    parts = [reduction(x)[0].numpy()[None] for x in (rows[:0], rows, rows[:0])]
    np.testing.assert_array_equal(stats.merge(parts), parts[1])
    assert stats.merge(parts[:1])[0, stats.PARTIALS.index("count")] == 0
