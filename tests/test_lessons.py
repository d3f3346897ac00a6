"""Every lesson runs and shows what it says; the command finds and prints them."""

import json
import pathlib

import pytest

from keras_initkit import lessons

FILES = sorted((pathlib.Path(__file__).parents[1] / "examples/lessons").glob("*.py"))
# What makes a lesson short enough for every run of the tests.
SHORT = {
    "zero_trap": {},
    "symmetry": {"steps": 12},
    "no_learning": {"limit": 6_400},
    "random": {"draws": 4},
    "xavier": {"draws": 10},
    "he": {"draws": 10, "deep": 2, "limit": 640, "epochs": 1},
    "compare": {"draws": 40, "cnn_draws": 2},
    "histograms": {"limit": 640},
    "xor": {"seeds": 3, "epochs": 600},
}
pytestmark = pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Runs lessons in their short form, each once."""
    directory, results = tmp_path_factory.mktemp("lessons"), {}

    def run(name):
        if name not in results:
            results[name] = lessons.run(name, directory, **SHORT.get(name, {}))
        return results[name]

    return run


def test_there_is_a_lesson_for_every_file_in_the_order_of_the_slides():
    assert [f"{n:02}_{name}" for n, name in enumerate(lessons.NAMES, start=1)] == [
        path.stem for path in FILES
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_lesson_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 200


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in SHORT))
        for name in lessons.NAMES
    ],
)
def test_lesson_runs_and_leaves_its_picture(name, taught):
    result = taught(name)
    assert result.slide == lessons.NAMES.index(name) + 1
    assert pathlib.Path(result.picture).read_bytes().startswith(b"\x89PNG")
    assert result.verdict in ("true", "true in part", "not true")
    json.dumps(result.to_dict(), allow_nan=False)
