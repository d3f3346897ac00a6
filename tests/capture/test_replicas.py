"""Two replicas in one process: statistics of the global batch, training undisturbed."""

import distribution_cases as cases
import pytest

import keras_initkit as kik


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
