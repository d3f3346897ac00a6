"""Two replicas in one process: statistics of the global batch, training undisturbed."""

import distribution_cases as cases
import pytest


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """What a process with two logical CPUs leaves: TensorFlow makes them only once."""
    directory = tmp_path_factory.mktemp("mirrored") / "out"
    cases.finish(cases.run_apart("mirrored", directory))
    return directory


@pytest.mark.parametrize("way", ["fit", "loop"])
def test_two_replicas(mirrored, way, record_property):
    name = f"two_replicas_in_{way}"
    cases.assert_promises(name, [mirrored], way, record_property)
