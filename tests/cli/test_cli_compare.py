"""`keras-initkit compare` with models, grids and reports of one's own."""

import json
import pathlib
import re

import pytest

from keras_initkit_light.cli import _sweeps

MODEL = """
import keras
import keras_initkit as kik

class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def mine(initializer, seed, units=2, activation="tanh"):
    model = keras.Sequential([
        keras.Input((2,)),
        keras.layers.Dense(units, activation, kernel_initializer=initializer),
        Twice(),
        keras.layers.Dense(1, "sigmoid"),
    ])
    model.compile("sgd", "mse", metrics=["accuracy"])
    return model
"""


@pytest.fixture
def own_model(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(MODEL)
    return path


@pytest.mark.slow
def test_a_function_of_a_file_over_a_grid_gives_a_report(invoke, own_model):
    arguments = [
        "compare", "xor", "--model", f"{own_model}:mine", "--initializers=he,zero",
        "--seeds=1", "--epochs=1", "--grid", "units=2,3", "--report", "report.html",
    ]  # fmt: skip
    result = invoke(*arguments, "--json")
    content = json.loads(result.stdout)
    assert content["model"] == "mine"
    assert content["grid"] == {"units": [2, 3]}
    assert [run["point"]["units"] for run in content["runs"]] == [2, 2, 3, 3]
    assert not re.search(r"\d/4", result.stderr)  # silent but for what it begins with
    page = pathlib.Path("report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "he units=3" in page
    assert pathlib.Path("logdir/xor/mine/units=2/he-seed0/finished.npz").exists()
    again = json.loads(invoke(*arguments, "--json").stdout)
    assert (again["kept"], again["changed"]) == (4, {})
    fresh = invoke(*arguments, "--fresh")
    assert "were kept" not in fresh.stderr
    assert "4/4 zero units=3 seed 0: accuracy" in fresh.stderr
    assert "he units=2: 0 of 1 learned (0% to 98% of such runs would)" in fresh.stdout
    own_model.write_text(MODEL.replace("2 * x", "3 * x"))
    assert json.loads(invoke(*arguments, "--json").stdout)["changed"] == {"source": 4}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "depth"], "Error: --grid must read ARGUMENT=VALUES"),
        (["--grid", "deep=5"], "Error: `grid` must name arguments of `build_model`"),
        (["--engine", "spark"], "Error: `engine` must be one of ('loky', 'ray', "),
        (["--model", "nowhere.py:build"], "Error: --model must be a reference model,"),
        (["--model", "own.py:build"], "Error: --model must name a function in its "),
    ],
)
def test_misuse_is_told_before_anything_runs(invoke, own_model, arguments, message):
    result = invoke("compare", "xor", "--epochs=1", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(message)


def test_grids_read_numbers_truth_and_words():
    assert _sweeps.grid_of(["a=1,2.5", "b=True,None", "c=relu,1e-3", "d=x y,[1]"]) == {
        "a": [1, 2.5],
        "b": [True, None],
        "c": ["relu", 0.001],
        "d": ["x y", "[1]"],
    }


def test_clusters_are_used_whole_by_default():
    assert _sweeps.count_of(1, "ray") is None
    assert _sweeps.count_of(3, "ray") == 3
    assert _sweeps.count_of(1, None) == 1
