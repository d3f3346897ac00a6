"""Any `log_dir`: refused when the monitor is made, or one warning and a record."""

import os
import pathlib
import warnings

import keras
import numpy as np
import pytest

from keras_initkit import RunRecord, SignalMonitor


def fitted(log_dir):
    """Fits with a monitor; returns it and the warnings about its directory."""
    layers = [keras.layers.Input((4,)), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse", run_eagerly=True)
    monitor = SignalMonitor(log_dir, every=1, rules=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            np.ones((8, 4)), np.ones(8), batch_size=4, verbose=0, callbacks=[monitor]
        )
    return monitor, [str(w.message) for w in caught if "log_dir" in str(w.message)]


@pytest.mark.parametrize("value", ["", "a/\0b", pathlib.Path("a\0")])
def test_what_names_no_directory_is_refused(value):
    with pytest.raises(ValueError, match=r"`log_dir` must name a directory"):
        SignalMonitor(value)


@pytest.mark.parametrize("value", [3, True, ["logs"], b"logs", object()])
def test_what_is_no_path_is_refused(value):
    with pytest.raises(TypeError, match=r"`log_dir` must be a string or a path"):
        SignalMonitor(value)


def test_bytes_are_told_the_way_out():
    with pytest.raises(TypeError, match=r"os\.fsdecode"):
        SignalMonitor(b"logs")


def loop(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return tmp_path / "loop"


def a_file(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


def dangling(tmp_path):
    (tmp_path / "link").symlink_to("/proc/nowhere")
    return tmp_path / "link"


UNUSABLE = {
    "loop": loop,
    "in_loop": lambda tmp_path: loop(tmp_path) / "run",
    "file": a_file,
    "in_file": lambda tmp_path: str(a_file(tmp_path) / "run"),
    "dangling": dangling,
    "long": lambda tmp_path: tmp_path / ("x" * 300),
    "forbidden": lambda tmp_path: "/proc/run",
    "surrogate": lambda tmp_path: f"{tmp_path}/\udc80",
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_written_costs_one_warning(kind, tmp_path):
    monitor, told = fitted(UNUSABLE[kind](tmp_path))
    assert monitor.record.signal("update").steps.tolist() == [0, 1]
    assert len(told) == 1
    assert "goes on in memory only" in told[0]


def test_working_directory_that_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monitor, told = fitted("logs")
    os.chdir(tmp_path)
    assert monitor.record.signal("update").steps.tolist() == [0, 1]
    assert len(told) == 1


def test_paths_of_any_class_are_taken(tmp_path):
    class Place:
        def __fspath__(self):
            return str(tmp_path / "run")

    monitor, told = fitted(Place())
    assert not told
    assert RunRecord.load(tmp_path / "run").diff(monitor.record).equal
