"""Disks that fill up and processes that die: the training goes on, the log is whole."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
import warnings

import keras
import numpy as np
import pytest

import keras_initkit as kik

X = np.random.default_rng(0).standard_normal((160, 3)).astype(np.float32)


def trained(*callbacks):
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(4, activation="tanh", name="hidden")
    parts = [keras.layers.Input((3,)), hidden, keras.layers.Dense(1, name="out")]
    model = keras.Sequential(parts)
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0], 8, verbose=0, shuffle=False, callbacks=callbacks)
    return model


@contextlib.contextmanager
def small_files(path):
    """No file may grow beyond 45 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (45_000, hard))
    try:
        yield path
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def small_disk(path):
    """A file system of 64 kB."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems may not be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("limit", [small_files, small_disk])
def test_disk_that_fills_up_costs_one_warning_and_no_training(tmp_path, limit):
    bare = trained()
    with (
        limit(tmp_path / "run") as path,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        monitor = kik.SignalMonitor(path, every=1)
        watched = trained(monitor)
        written = kik.RunRecord.load(path).series["weight"]
        watched_again = trained(kik.SignalMonitor(path, every=1))
    ours = [str(w.message) for w in caught if "SignalMonitor" in str(w.message)]
    assert len(ours) == 2  # one for each `fit`
    told = "SignalMonitor cannot write to `log_dir` and goes on in "
    assert all(message.startswith(told) for message in ours)
    for model in (watched, watched_again):
        for one, other in zip(bare.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    recorded = monitor.record.series["weight"]
    assert recorded.steps.tolist() == list(range(20))
    assert 0 < len(written) < 20
    np.testing.assert_array_equal(written.values, recorded.values[: len(written)])


def test_killed_process_leaves_all_of_its_whole_epochs(tmp_path):
    program = f"""
        import os, signal
        import keras, numpy as np
        import keras_initkit as kik

        class Killed(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.is_second = epoch == 1
                if self.is_second:
                    monitor.record.to_json({str(tmp_path / "record.json")!r})

            def on_train_batch_begin(self, batch, logs=None):
                if self.is_second and batch == 5:
                    os.kill(os.getpid(), signal.SIGKILL)

        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        monitor = kik.SignalMonitor({str(tmp_path)!r}, every=2)
        x = np.ones((80, 3), "float32")
        model.fit(x, x[:, 0], 8, 2, verbose=0, callbacks=[monitor, Killed()])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    loaded = kik.RunRecord.load(tmp_path)
    in_memory = kik.RunRecord.from_json(tmp_path / "record.json")
    assert list(loaded.series) == list(in_memory.series)
    for name, series in in_memory.series.items():
        assert loaded.series[name].steps.tolist() == [0, 2, 4, 6, 8]
        np.testing.assert_array_equal(loaded.series[name].values, series.values)
    assert loaded.scalars["loss"][0] == [0, 2, 4, 6, 8]
    assert loaded.metadata == in_memory.metadata
