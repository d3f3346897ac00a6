"""Every example runs, with tiny settings."""

import pathlib
import runpy

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
TINY = ["--source", "standin", "--limit", "256", "--epochs", "1"]
ARGUMENTS = {
    "train_mnist.py": [*TINY, "--initializer", "he"],
    "mend_a_model.py": [*TINY, "--limit", "128"],
    "train_cifar10.py": [*TINY, "--model", "cifar10_mlp"],
    "train_imdb.py": [*TINY, "--model", "imdb_rnn", "--maxlen", "20"],
    "use_in_your_model.py": ["--epochs", "1"],
}


def test_every_example_is_run():
    assert set(ARGUMENTS) == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_example_runs(name, tmp_path, capsys):
    main = runpy.run_path(str(EXAMPLES / name))["main"]
    main([*ARGUMENTS[name], "--log-dir", str(tmp_path / "log")])
    assert capsys.readouterr().out
    assert list((tmp_path / "log").rglob("events.out.tfevents.*"))
