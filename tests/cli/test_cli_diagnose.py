"""`diagnose` and `recommend`: exit codes, one JSON object, files, safe loading."""

import json
import re

import keras
import numpy as np
import pytest

layers = keras.layers


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A healthy model, a zero one, and data for both."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "data.npz",
        x=rng.standard_normal((40, 4, 2)).astype("float32"),
        y=rng.integers(0, 3, 40),
    )
    np.savez(folder / "other.npz", z=np.zeros(3))
    np.savez(folder / "wide.npz", x=np.zeros((8, 9)))
    for name, initializer in (("healthy", "he_normal"), ("zero", "zeros")):
        keras.utils.set_random_seed(0)
        hidden = [
            layers.Dense(64, "relu", kernel_initializer=initializer, name=f"h{n}")
            for n in range(2)
        ]
        model = keras.Sequential(
            [layers.Input((8,)), *hidden, layers.Dense(3, name="out")], name=name
        )
        model.compile(
            "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.save(folder / f"{name}.keras")
    return folder


def data(files):
    return "--data", str(files / "data.npz")


def test_healthy_model_exits_with_0(invoke, files):
    result = invoke("diagnose", str(files / "healthy.keras"), *data(files))
    assert result.exit_code == 0
    assert "nothing found before training" in result.stdout
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


def test_findings_exit_with_1_from_the_severity_on(invoke, files, tmp_path):
    path = str(files / "zero.keras")
    picture = tmp_path / "new" / "depth.png"
    result = invoke("diagnose", path, *data(files), "--plot", str(picture))
    assert result.exit_code == 1
    assert "SymmetricUnits in h0" in result.stdout
    assert "What to do:" in result.stdout
    assert picture.exists()
    assert result.stderr == f"Picture: {picture}\n"
    result = invoke("diagnose", path, *data(files), "--fail-on", "error", "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert content["model"] == "zero"
    assert {"SymmetricUnits", "DeadRelu"} <= {f["rule"] for f in content["findings"]}
    assert content["profile"][0]["layer"] == "h0"


def test_less_grave_findings_pass(invoke, files, tmp_path):
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(16, "sigmoid") for _ in range(10)]
    deep = keras.Sequential([layers.Input((8,)), *hidden, layers.Dense(3)])
    deep.save(tmp_path / "deep.keras")
    arguments = "diagnose", str(tmp_path / "deep.keras"), *data(files)
    assert invoke(*arguments).exit_code == 1
    assert invoke(*arguments, "--fail-on", "error").exit_code == 0


def test_data_set_by_name_and_jacobian(invoke, files, tmp_path):
    model = keras.Sequential([layers.Input((2,)), layers.Dense(1, "sigmoid")])
    model.save(tmp_path / "xor.keras")
    result = invoke(
        "diagnose", "xor.keras", "--data", "xor", "--jacobian", "--json",
        "--loss", "binary_crossentropy",
    )  # fmt: skip
    content = json.loads(result.stdout)
    assert content["chance"] == pytest.approx(np.log(2))
    assert len(content["jacobian"]["singular_values"][0]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.keras", "--data", "xor"], "MODEL must be a file."),
        (["{files}/data.npz", "--data", "xor"], "MODEL must be a .keras file"),
        ([__file__, "--data", "xor"], "which is something else"),
        (["{files}/zero.keras", "--data", __file__], "or a .npz file, as `np.savez`"),
        (["{files}/zero.keras", "--data", "mnits"], "--data must be one of"),
        (["{files}/zero.keras", "--data", "{files}/other.npz"], "must hold an array"),
        (["{files}/zero.keras", "--data", "{files}/wide.npz"], "must fit the model's"),
        (["{files}/zero.keras", "--data", "xor", "--fail-on", "x"], "--fail-on must"),
    ],
)
def test_misuse_exits_with_2_and_one_line(invoke, files, arguments, message):
    result = invoke("diagnose", *(a.format(files=files) for a in arguments))
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_code_in_a_file_is_not_run(invoke, files, tmp_path):
    unsafe = keras.Sequential([layers.Input((8,)), layers.Lambda(lambda x: x * 2)])
    unsafe.save(tmp_path / "unsafe.keras")
    for command in (["diagnose", *data(files)], ["recommend"]):
        result = invoke(command[0], "unsafe.keras", *command[1:])
        assert result.exit_code == 2
        assert "loads safely" in result.stderr


def test_recommend_prints_the_plan_and_saves_the_mended_model(invoke, files, tmp_path):
    path = str(files / "zero.keras")
    result = invoke("recommend", path)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert re.search(r"HeNormal .* relu follows: gain 1.41", result.stdout)
    mended = tmp_path / "new" / "mended.keras"
    result = invoke("recommend", path, "--apply", str(mended), "--seed", "3", "--json")
    content = json.loads(result.stdout)
    assert content["layers"]["h0"]["initializer"] == "HeNormal"
    assert content["applied"] == str(mended)
    assert result.stderr == ""
    assert invoke("diagnose", str(mended), *data(files)).exit_code == 0
    again = tmp_path / "again.keras"
    result = invoke("recommend", path, "--apply", str(again), "--seed", "3")
    assert result.stderr == f"Saved: {again}\n"
    one, other = (keras.models.load_model(p).get_weights() for p in (mended, again))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_recommend_refuses_another_ending(invoke, files):
    result = invoke("recommend", str(files / "zero.keras"), "--apply", "out.h5")
    assert result.exit_code == 2
    assert result.stderr == "Error: --apply must end in .keras. Received: 'out.h5'.\n"
