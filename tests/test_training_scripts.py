"""The training scripts: killed and begun again, and their switches."""

import os
import pathlib
import runpy
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_initkit as kik

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"

# Runs a script and sends its process a signal in the middle of an epoch.
INTERRUPTED = """
import os, runpy, sys
import keras

signal, at_epoch, at_batch, *sys.argv = *map(int, sys.argv[1:4]), *sys.argv[4:]
fit = keras.Model.fit

class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (at_epoch, at_batch):
            os.kill(os.getpid(), signal)

def interrupted_fit(model, *args, callbacks, **kwargs):
    return fit(model, *args, callbacks=[*callbacks, Interruption()], **kwargs)

keras.Model.fit = interrupted_fit
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SMALL = ["--source", "standin", "--limit", "600", "--epochs", "3", "--deterministic"]
SCRIPTS = {
    "train_mnist.py": [*SMALL, "--model", "mnist_mlp"],
    "train_cifar10.py": [*SMALL, "--model", "cifar10_mlp"],
    "train_imdb.py": [*SMALL, "--model", "imdb_lstm", "--maxlen", "30"],
}
KILLED = (signal.SIGKILL, 1, 2)  # in the middle of the second epoch
CTRL_C = (signal.SIGINT, 2, 1)


def run(name, log_dir, stop=None):
    """Runs a script in a process of its own; `stop` is (signal, epoch, batch)."""
    command = [str(EXAMPLES / name), *SCRIPTS[name], "--log-dir", str(log_dir)]
    if stop is not None:
        command = ["-c", INTERRUPTED, *map(str, stop), *command]
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        # A shell may have told its children to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        check=False,
    )


def final_state(log_dir):
    (path,) = log_dir.rglob("model.keras")
    model = keras.saving.load_model(path)
    # Seeds of random layers are not in the file: loading draws new ones.
    return [v.numpy() for v in (*model.weights, *model.optimizer.variables)]


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        pytest.param("train_mnist.py", [KILLED], marks=pytest.mark.slow),
        pytest.param("train_mnist.py", [CTRL_C], marks=pytest.mark.slow),
        pytest.param("train_cifar10.py", [KILLED, CTRL_C], marks=pytest.mark.slow),
        pytest.param("train_imdb.py", [KILLED, CTRL_C], marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_ends_at_the_bits_of_an_undisturbed_one(name, stops, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    undisturbed = run(name, whole)
    assert undisturbed.returncode == 0, undisturbed.stderr

    for number, at_epoch, batch in stops:
        stopped = run(name, broken, stop=(number, at_epoch, batch))
        if number == signal.SIGKILL:
            assert stopped.returncode == -signal.SIGKILL, stopped.stderr
        else:
            assert stopped.returncode == 130, stopped.stderr
            told = f"Stopped after {at_epoch} epochs; the same command goes on."
            assert told in stopped.stdout
    finished = run(name, broken)
    assert finished.returncode == 0, finished.stderr
    assert f"after epoch {at_epoch} of" in finished.stdout

    assert not list(broken.rglob("resume.npz"))
    assert finished.stdout.splitlines()[-1] == undisturbed.stdout.splitlines()[-1]
    pairs = zip(final_state(broken), final_state(whole), strict=True)
    for resumed, expected in pairs:
        np.testing.assert_array_equal(resumed, expected)

    loaded, expected = (
        kik.RunRecord.load(file.parent).signal("weight").steps
        for logs in (broken, whole)
        for file in [next(logs.rglob("*tfevents*"))]
    )
    np.testing.assert_array_equal(loaded, expected)


@pytest.mark.parametrize("name", list(SCRIPTS))
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--limit", "5"], "--limit must be at least 10"),
        (["--epochs", "0"], "--epochs and --batch-size must be at least 1"),
        (["--initializer", "no_such"], "no_such"),
        (["--model", "no_such"], "invalid choice: 'no_such'"),
        (["--precision", "float8"], "invalid choice: 'float8'"),
    ],
)
def test_flags_that_cannot_be_are_refused_before_anything_is_loaded(
    name, flags, told, capsys
):
    main = runpy.run_path(str(EXAMPLES / name))["main"]
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_a_finished_run_is_not_overwritten(name, tmp_path):
    main = runpy.run_path(str(EXAMPLES / name))["main"]
    model = SCRIPTS[name][SCRIPTS[name].index("--model") + 1]
    finished = tmp_path / model / "mine" / "model.keras"
    finished.parent.mkdir(parents=True)
    finished.touch()
    flags = ["--log-dir", str(tmp_path), "--name", "mine"]
    with pytest.raises(SystemExit, match="is finished"):
        main([*SCRIPTS[name], *flags])


@pytest.fixture
def default_dtype_policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("default_dtype_policy")
@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_switches_for_precision_strategy_and_augmentation(tmp_path, capsys):
    main = runpy.run_path(str(EXAMPLES / "train_cifar10.py"))["main"]
    command = "--source standin --limit 256 --epochs 1 --model cifar10_mlp --no-augment"
    switches = ["--precision", "mixed_float16", "--strategy", "mirrored"]
    main([*command.split(), *switches, "--log-dir", str(tmp_path)])
    (path,) = tmp_path.rglob("model.keras")
    model = keras.saving.load_model(path)
    assert model.layers[-1].dtype_policy.name == "mixed_float16"
    assert "test accuracy" in capsys.readouterr().out
