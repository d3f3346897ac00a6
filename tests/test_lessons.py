"""Every lesson runs and shows what it says; the command finds and prints them."""

import json
import pathlib
import re

import pytest
from typer.testing import CliRunner

from keras_initkit import lessons
from keras_initkit_light.cli.main import app

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
    "xor": {"seeds": 3, "epochs": 300},
    "references": {},
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
    assert result.picture.read_bytes().startswith(b"\x89PNG")
    assert result.verdict in ("true", "true in part", "not true")
    json.dumps(result.to_dict(), allow_nan=False)


def checks(result):
    """Returns which of a result's own statements hold."""
    return [check.holds for check in result.checks if not check.by_slide]


def test_zero_trap(taught):
    result = taught("zero_trap")
    assert (result.verdict, checks(result)) == ("true", [True] * 3)
    assert result.figures["distinct_units"] == 1


def test_gradients_of_units_that_start_alike_are_equal_bit_for_bit(taught):
    figures = taught("symmetry").figures
    for name in ("zero", "constant"):
        assert figures[f"distinct_units_{name}"] == 1
        assert figures[f"unit_difference_{name}"] == 0
    assert figures["largest_gradient_zero"] == 0
    assert figures["largest_gradient_constant"] > 0
    assert figures["distinct_units_glorot_uniform"] == 32


def test_from_zeros_only_the_output_bias_moves(taught):
    result = taught("no_learning")
    assert result.is_shown
    assert result.verdict == "true in part"
    assert result.figures["moving_weights"] == 1


@pytest.mark.slow
def test_wide_random_weights_explode_with_relu_and_saturate_tanh(taught):
    result = taught("random")
    assert result.is_shown
    assert result.figures["saturated_random"] > 0.5


@pytest.mark.parametrize(
    ("lesson", "rule", "factor"),
    [
        ("xavier", "slide_xavier", 1 / 3),
        ("xavier", "glorot_uniform", 1),
        ("he", "slide_he", 1 / 3),
        ("he", "glorot_uniform", 1 / 2),
        ("he", "he_normal", 1),
    ],
)
def test_factor_a_layer_is_that_of_theory(lesson, rule, factor, taught):
    figures = taught(lesson).figures
    error = figures[f"factor_{rule}_error"]
    assert abs(figures[f"factor_{rule}"] - factor) <= 5 * error
    # No other factor stated would pass.
    assert error < 0.03
    assert taught(lesson).verdict == "not true"


def test_outputs_over_many_draws_are_those_of_theory(taught):
    result = taught("compare")
    # That one draw tells little takes many of them to see.
    assert checks(result)[0]
    assert result.figures["second_moment_zero"] == 0


def test_weights_have_the_spread_of_their_formula(taught):
    result = taught("histograms")
    assert result.is_shown
    assert result.figures["moved_zero"] == 0
    assert list(result.picture.parent.rglob("events.out.tfevents.*"))


def test_xor_from_zeros_stays_at_a_quarter(taught):
    result = taught("xor")
    assert checks(result)[:2] == [True, True]
    assert result.figures["error_zero"] == 0.25
    assert result.figures["error_zero_margin"] == 0
    assert result.figures["error_glorot_uniform"] < 0.2


@pytest.mark.slow
def test_recurrent_networks_of_zeros_answer_one_half(taught):
    result = taught("text")
    assert checks(result) == [True] * 3
    assert result.figures["output_zero"] == 0.5
    assert (
        result.figures["factor_slide_xavier"]
        < 0.7
        < result.figures["factor_orthogonal"]
    )


def test_papers_are_cited_where_they_appeared(taught):
    result = taught("references")
    assert checks(result)[:2] == [True, True]
    assert result.verdict == "true in part"


def test_verdict_counts_the_slide_s_own_checks():
    def verdict(*held):
        checks = tuple(lessons.Check("s", "m", one, by_slide=True) for one in held)
        own = lessons.Check("s", "m", False)
        picture = pathlib.Path("p.png")
        return lessons.Result(
            1, "t", "c", "d", "m", (*checks, own), {}, picture
        ).verdict

    assert verdict(True, True) == "true"
    assert verdict(True, False) == "true in part"
    assert verdict(False) == "not true"


@pytest.mark.parametrize("which", ["15", "0", "glorot", ""])
def test_unknown_lessons_are_refused(which):
    with pytest.raises(ValueError, match=re.escape(f"Received: {which!r}.")):
        lessons.choose(which)


def invoke(*arguments):
    return CliRunner().invoke(app, ["lesson", *arguments], prog_name="keras-initkit")


def test_command_lists_the_lessons():
    result = invoke("--json")
    listed = json.loads(result.stdout)["lessons"]
    assert [one["name"] for one in listed] == list(lessons.NAMES)
    assert all(one["summary"].startswith(f"Lesson {one['slide']}: ") for one in listed)
    assert "zero_trap" in invoke().stdout


def test_command_runs_a_lesson_by_number(tmp_path):
    result = invoke("1", "--log-dir", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout.startswith("Lesson 1: the zero trap\n")
    assert result.stderr.startswith("lesson zero_trap (1 of 1)\n")
    assert (tmp_path / "01_zero_trap" / "zero_trap.png").exists()


def test_command_prints_json_alone(tmp_path):
    result = invoke("zero_trap", "--json", "--log-dir", str(tmp_path))
    (lesson,) = json.loads(result.stdout)["lessons"]
    assert (lesson["slide"], lesson["verdict"], lesson["is_shown"]) == (1, "true", True)


def test_command_refuses_an_unknown_lesson():
    result = invoke("15")
    assert result.exit_code == 2
    assert "by a number from 1 to 14" in result.stderr


@pytest.mark.slow
@pytest.mark.realdata
def test_all_lessons_show_what_they_state_on_real_data(tmp_path):
    result = invoke("all", "--json", "--source", "auto", "--log-dir", str(tmp_path))
    found = json.loads(result.stdout)["lessons"]
    if any(lesson["is_standin"] for lesson in found):
        pytest.skip("real MNIST, CIFAR-10 and IMDB are not all to be had")
    assert result.exit_code == 0
    assert [lesson["slide"] for lesson in found] == list(range(1, 15))
    assert {lesson["slide"]: lesson["verdict"] for lesson in found} == {
        1: "true",
        2: "true",
        3: "true in part",
        4: "true in part",
        5: "not true",
        6: "not true",
        7: "true",
        8: "true",
        9: "true in part",
        10: "true in part",
        11: "true",
        12: "true in part",
        13: "true in part",
        14: "true in part",
    }
