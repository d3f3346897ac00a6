"""Which run is which: identities, directories, locks, and two writers at once."""

import logging
import multiprocessing
import os
import shutil
import threading
import time
import warnings

import pytest

from keras_initkit import RunRecord
from keras_initkit.recording import RunShare, RunWriter
from keras_initkit.recording.log import locks, places
from tests.faults import written


def steps_of(log_dir, **options):
    return RunRecord.load(log_dir, **options).signal("weight").steps.tolist()


@pytest.mark.parametrize("hours", [0, 1, -1])
def test_a_new_run_hides_none_whatever_the_clock_says(tmp_path, monkeypatch, hours):
    written.write(tmp_path, range(5))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + hours * 3600)
    written.write(tmp_path, range(3))
    first, second = RunRecord.runs(tmp_path)
    assert (first.log_dir, second.log_dir) == (str(tmp_path), str(tmp_path / "run-2"))
    assert steps_of(tmp_path) == [0, 1, 2]  # the newest
    assert steps_of(tmp_path, run=first) == [0, 1, 2, 3, 4]
    assert steps_of(tmp_path, run=second.id) == [0, 1, 2]
    assert steps_of(second.log_dir) == [0, 1, 2]


def test_a_new_run_is_behind_all_others_where_one_was_removed(tmp_path):
    for length in (4, 3, 2):
        written.write(tmp_path, range(length))
    shutil.rmtree(tmp_path / "run-2")
    written.write(tmp_path, range(1))
    assert steps_of(tmp_path) == [0]
    assert RunRecord.runs(tmp_path)[-1].log_dir == str(tmp_path / "run-4")


@pytest.mark.parametrize("hours", [1, -1])
def test_files_of_a_run_follow_each_other_whatever_the_clock_says(
    tmp_path, monkeypatch, hours
):
    writer, _ = written.write(tmp_path, range(5))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + hours * 3600)
    written.write(tmp_path, range(3, 7), lambda: writer.identity)
    (run,) = RunRecord.runs(tmp_path)
    assert [*run.files] == sorted(run.files)  # the order that TensorBoard reads them in
    assert run.fits == 2
    assert steps_of(tmp_path) == [*range(7)]


def test_an_unknown_run_is_refused_with_those_that_are_there(tmp_path):
    written.write(tmp_path, range(2))
    (run,) = RunRecord.runs(tmp_path)
    with pytest.raises(ValueError, match=rf"`run` must be .*{run.id}.*run='x'"):
        RunRecord.load(tmp_path, run="x")


def test_where_a_new_run_goes_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "keras_initkit"):
        written.write(tmp_path, range(2))
        assert not caplog.records
        written.write(tmp_path, range(2))
    (record,) = caplog.records
    assert record.getMessage().endswith(f"this one goes to {tmp_path / 'run-2'}")


def test_a_second_writer_takes_a_directory_of_its_own_with_a_warning(tmp_path):
    first, record = RunWriter(tmp_path), RunRecord()
    written.add_step(first, record, 0)
    told = rf"process {os.getpid()} on .* is also writing to"
    with pytest.warns(UserWarning, match=told):
        written.write(tmp_path, range(3))
    written.add_step(first, record, 1)
    first.close()
    assert [r.log_dir for r in RunRecord.runs(tmp_path)] == [
        str(tmp_path),
        str(tmp_path / "run-2"),
    ]
    assert steps_of(tmp_path, run=RunRecord.runs(tmp_path)[0]) == [0, 1]
    assert not [name for name in os.listdir(tmp_path) if "lock" in name]


def test_a_lock_that_a_dead_process_left_is_held_by_nobody(tmp_path):
    (tmp_path / ".initkit.lock").write_text('{"pid": 1, "host": "x", "since": 0}')
    assert locks.holder(str(tmp_path)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written.write(tmp_path, range(2))
    assert steps_of(tmp_path) == [0, 1]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "[" * 100_000])
def test_a_lock_file_that_says_nothing_still_locks(tmp_path, text):
    lock = locks.Lock(str(tmp_path))
    (tmp_path / ".initkit.lock").write_text(text)
    assert locks.holder(str(tmp_path)) == "another process"
    lock.release()
    assert locks.holder(str(tmp_path)) is None


def test_a_run_cannot_be_continued_while_it_is_written(tmp_path):
    first = RunWriter(tmp_path)
    written.add_step(first, RunRecord(), 0)
    with pytest.warns(UserWarning, match="is also writing to `log_dir`"):
        second, _ = written.write(tmp_path, range(2), lambda: first.identity)
    assert second.identity.run != first.identity.run
    first.close()
    assert len(RunRecord.runs(tmp_path)) == 2


class Fit:
    """Stands for a training, by its history."""


def test_fits_in_threads_do_not_share_a_run(tmp_path):
    one = RunShare(tmp_path, Fit(), ("weight",), fit := Fit())
    written.add_step(one.writer, RunRecord(), 0)
    told = []

    def train():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            other = RunShare(tmp_path, Fit(), ("weight",), fit)
            written.add_step(other.writer, RunRecord(), 0)
            other.close()
        told.extend(str(one.message) for one in caught)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    written.add_step(one.writer, RunRecord(), 1)
    one.close()
    assert len(told) == 1
    runs = RunRecord.runs(tmp_path)
    assert [steps_of(tmp_path, run=run) for run in runs] == [[0, 1], [0]]


def test_a_run_that_an_ended_thread_left_open_is_closed(tmp_path):
    left = []

    def train():
        left.append(RunShare(tmp_path, Fit(), ("weight",), Fit()))
        written.add_step(left[0].writer, RunRecord(), 0)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    share = RunShare(tmp_path, fit := Fit(), ("weight",), fit)
    written.add_step(share.writer, RunRecord(), 0)  # and no warning of another writer
    share.close()
    first, _ = RunRecord.runs(tmp_path)
    assert RunRecord.load(tmp_path, run=first).missing == []


def write_from_a_process(log_dir, start):
    start.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written.write(log_dir, range(20))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_as_many_processes_are_as_many_runs(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    arguments = (str(tmp_path), start)
    processes = [
        context.Process(target=write_from_a_process, args=arguments) for _ in range(8)
    ]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    runs = RunRecord.runs(tmp_path)
    assert len({run.id for run in runs}) == len(runs) == 8
    for run in runs:
        loaded = RunRecord.load(tmp_path, run=run)
        assert not loaded.missing
        assert loaded.signal("weight").steps.tolist() == [*range(20)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_a_forked_process_leaves_the_log_alone(tmp_path):
    writer, record = RunWriter(tmp_path), RunRecord()
    for step in range(3):
        written.add_step(writer, record, step)
    writer.flush()  # or a timer may write in between
    (file,) = tmp_path.glob("*tfevents*")
    size = file.stat().st_size
    child = os.fork()
    if not child:
        try:
            writer.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert file.stat().st_size == size
    assert locks.holder(str(tmp_path))
    written.add_step(writer, record, 3)
    writer.close()
    loaded = RunRecord.load(tmp_path)
    assert not loaded.missing
    assert loaded.diff(record).equal
    assert len(RunRecord.runs(tmp_path)) == 1


def test_a_log_that_is_being_written_misses_nothing(tmp_path):
    writer, record = RunWriter(tmp_path), RunRecord()
    written.add_step(writer, record, 0)
    assert not RunRecord.load(tmp_path).missing
    (path,) = tmp_path.glob("*tfevents*")
    with path.open("ab") as file:
        file.write(bytes(20))  # of an event that is on its way
    assert not RunRecord.load(tmp_path).missing
    writer.drop()  # as a killed process leaves it
    torn, missing = RunRecord.load(tmp_path).missing
    assert torn.what == "20 bytes that are not a complete event"
    assert "it was not closed" in missing.what


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        {"run": "x", "directory": "y", "fit": 1},
        {"run": "0" * 12, "directory": 3, "fit": 1},
        {"run": "0" * 12, "directory": "y", "fit": True},
    ],
)
def test_what_is_no_identity_is_refused(fields):
    with pytest.raises(ValueError, match="no identity of a run"):
        places.RunIdentity.of(fields)
