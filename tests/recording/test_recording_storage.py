"""Logs that are not on a local disk, on TensorFlow's file system in memory."""

import pathlib
import threading
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import RunRecord, SignalMonitor
from keras_initkit.experiments import run_log
from keras_initkit.recording import RunWriter
from keras_initkit.recording.log import background, hparams, storage
from tests.faults import written


@pytest.fixture
def remote(tmp_path):
    return f"ram://{tmp_path.name}/logs"


def test_runs_go_to_where_the_path_says(remote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, record = written.write(remote, range(50))
    written.write(remote, range(3))
    first, second = RunRecord.runs(remote)
    assert second.log_dir == f"{remote}/run-2"
    loaded = RunRecord.load(remote, run=first)
    assert not loaded.missing
    assert loaded.diff(record).equal
    assert not list(tmp_path.iterdir())


def test_a_monitor_and_its_entry_of_hparams_go_there(remote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    monitor = SignalMonitor(remote, every=1)
    hparams.write_session_start(remote, {"seed": 3}, {"accuracy": ""})
    model.fit(np.ones((8, 4)), np.ones(8), 4, verbose=0, callbacks=[monitor])
    hparams.write_session_end(remote, {"accuracy": 0.5}, 2)
    assert RunRecord.load(remote).diff(monitor.record).equal
    assert len(tf.io.gfile.listdir(remote)) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["s3://b/x", "hdfs://b", "s3a://b"])
def test_a_scheme_that_nothing_serves_is_refused(path):
    for call in (
        SignalMonitor,
        lambda log_dir: hparams.write_session_start(log_dir, {}, {}),
    ):
        with pytest.raises(ValueError, match=r"`log_dir` must be local or .* gs://"):
            call(path)


def test_a_remote_directory_has_one_name_whatever_the_working_directory():
    assert storage.resolved("gs://bucket/logs/") == "gs://bucket/logs"


def test_a_path_that_pathlib_has_broken_is_refused():
    with pytest.raises(ValueError, match=r"`log_dir` must be a string if"):
        SignalMonitor(pathlib.Path("gs://bucket/logs"))


def test_what_writes_files_of_its_own_wants_a_local_disk():
    for call in (
        lambda path: kik.ResumePoint(path),
        lambda path: run_log.RunLog(path, {}, {}, "", False),
    ):
        with pytest.raises(ValueError, match=r"must be on a local disk"):
            call("gs://bucket/x")


class Slow:
    """A storage that answers when its gate is open, and may fail."""

    fails = False

    def __init__(self, path):
        self.written, self.flushes, self.closed = [], 0, False
        self.opened.append(self)

    def write(self, data):
        self.entered.set()
        assert self.gate.wait(60)
        if self.fails:
            raise OSError("the network is gone")
        self.written.append(data)

    def flush(self):
        self.flushes += 1

    def close(self):
        self.closed = True


@pytest.fixture
def slow(monkeypatch):
    class Storage(Slow):
        gate = threading.Event()
        entered = threading.Event()

    Storage.opened = []
    monkeypatch.setattr(tf.io, "TFRecordWriter", Storage)
    yield Storage
    Storage.gate.set()


def test_no_step_waits_for_a_slow_storage(remote, slow):
    writers, record = [], RunRecord()

    def run():
        writers.append(RunWriter(remote))
        for step in range(20):
            written.add_step(writers[0], record, step)

    steps = threading.Thread(target=run, daemon=True)
    steps.start()
    steps.join(timeout=60)
    assert not steps.is_alive()  # while the storage takes nothing
    slow.gate.set()
    writers[0].close()


def test_what_fails_there_is_told(remote, slow):
    writer, record = RunWriter(remote), RunRecord()
    written.add_step(writer, record, 0)
    slow.fails = True
    slow.gate.set()
    with pytest.raises(OSError, match="the network is gone"):
        writer.close()


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("MOST_BYTES", "waiting to be written"),
        ("CLOSE_SECONDS", "could not be completed"),
    ],
)
def test_a_storage_that_is_too_slow_is_given_up(remote, slow, monkeypatch, limit, told):
    monkeypatch.setattr(background, limit, 0)
    writer, record = RunWriter(remote), RunRecord()

    def run():
        for step in range(3):
            written.add_step(writer, record, step)
        writer.close()

    with pytest.raises(OSError, match=f"the storage is too slow: .*{told}"):
        run()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.drop()


def test_what_was_given_up_is_written_no_further(remote, slow, monkeypatch):
    monkeypatch.setattr(background, "MOST_BYTES", 10)
    monkeypatch.setattr(background, "CLOSE_SECONDS", 0.1)
    writer = background.BackgroundWriter(remote)
    writer.write(b"first")
    assert slow.entered.wait(60)
    writer.write(b"next")
    with pytest.raises(OSError, match="waiting to be written"):
        writer.write(b"last")
    with pytest.raises(
        OSError, match="waiting to be written"
    ):  # without waiting for more
        writer.close()
    slow.gate.set()
    writer._thread.join()
    (file,) = slow.opened
    assert file.written == [b"first"]
    assert file.closed


def test_a_failure_is_told_by_the_next_write(remote, slow):
    slow.fails = True
    slow.gate.set()
    writer = background.BackgroundWriter(remote)
    writer.write(b"lost")
    writer._thread.join()
    with pytest.raises(OSError, match="the network is gone"):
        writer.write(b"next")
    (file,) = slow.opened
    assert file.closed


def test_what_was_written_waits_no_more_and_is_flushed(remote, slow, monkeypatch):
    monkeypatch.setattr(background, "MOST_BYTES", 10)
    monkeypatch.setattr(background, "FLUSH_SECONDS", 0)
    slow.gate.set()
    writer = background.BackgroundWriter(remote)
    until = time.monotonic() + 60
    for number in range(5):
        writer.write(b"8 bytes.")
        while writer._bytes and time.monotonic() < until:
            time.sleep(0.001)
        assert slow.opened[0].written == [b"8 bytes."] * (number + 1)
    writer.close()
    assert slow.opened[0].flushes == 5


def test_what_cannot_be_read_there_is_an_os_error(remote):
    with pytest.raises(OSError, match="nothing"):
        storage.read(f"{remote}/nothing")
