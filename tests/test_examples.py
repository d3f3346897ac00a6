"""Every example runs, with tiny settings."""

import pathlib
import runpy

import pytest

import keras_initkit as kik

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
TINY = ["--source", "standin", "--limit", "256", "--epochs", "1"]
ARGUMENTS = {
    "train_mnist.py": [*TINY, "--initializer", "he"],
    "mend_a_model.py": [*TINY, "--depth", "2"],
    "train_cifar10.py": [*TINY, "--model", "cifar10_mlp"],
    "train_imdb.py": [*TINY, "--model", "imdb_rnn", "--maxlen", "20"],
    "use_in_your_model.py": ["--epochs", "1"],
}


# Run by a test of its own: tests/tensorboard_tab/test_tab_sample.py.
ELSEWHERE = {"refresh_logdir.py"}


def test_every_example_is_run():
    assert set(ARGUMENTS) | ELSEWHERE == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_example_runs(name, tmp_path, capsys):
    main = runpy.run_path(str(EXAMPLES / name))["main"]
    main([*ARGUMENTS[name], "--log-dir", str(tmp_path / "log")])
    assert capsys.readouterr().out
    assert list((tmp_path / "log").rglob("events.out.tfevents.*"))


@pytest.mark.slow
@pytest.mark.realdata
def test_three_models_fail_on_real_mnist_and_learn_it_once_mended(tmp_path):
    main = runpy.run_path(str(EXAMPLES / "mend_a_model.py"))["main"]
    try:
        cases = main(["--source", "real", "--log-dir", str(tmp_path)])
    except kik.data.DataUnavailableError as error:
        pytest.skip(str(error))
    named = {
        "sigmoid_30": "VanishingGradient",
        "relu_30_glorot": "VanishingGradient",
        "zero_cnn": "SymmetricUnits",
    }
    assert cases.keys() == named.keys()
    for name, (failed, mended) in cases.items():
        assert named[name] in {finding.rule for finding in failed[0].findings}
        assert named[name] not in {finding.rule for finding in mended[0].findings}
        assert failed[2] < 0.15
        assert mended[2] > 0.7
    assert (tmp_path / "mend_a_model.png").stat().st_size < 200_000
