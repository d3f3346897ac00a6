"""`ChunkFile`: what waits, when it is written, and what of it can be lost."""

import subprocess
import sys
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import event_pb2

from keras_initkit import RunRecord, schema
from keras_initkit.recording.log import chunks, events, places
from keras_initkit_light.format import packing
from keras_initkit_light.format.described import Described

COLUMNS = schema.statistics_of("weight")
DESCRIBED = Described("statistics", "weight", ("dense:kernel",), COLUMNS)
TAG = schema.matrix_tag("weight")
# Long enough for a file that is not to be written by the clock.
NEVER = 1000.0


def chunk_file(directory):
    return chunks.ChunkFile(events.EventFile(places.Place(str(directory))))


def add(file, *steps, tag=TAG):
    for step in steps:
        file.add(tag, step, np.full((1, len(COLUMNS)), step), lambda: DESCRIBED)


def read(directory):
    """Returns the steps that are on disk by chunk, `{tag: [steps]}`."""
    found = {}
    for path in sorted(directory.glob("*tfevents*")):
        for event in event_file_loader.RawEventFileLoader(str(path)).Load():
            event = event_pb2.Event.FromString(event)
            for value in event.summary.value:
                if value.tag == schema.FILE_TAG:
                    continue
                packed = value.tensor.tensor_content
                chunk = packing.unpack(value.tag, packed, 1, len(COLUMNS))
                assert event.step == chunk.steps[0]
                found.setdefault(value.tag, []).append(list(chunk.steps))
    return found


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "SECONDS", NEVER)
    file = chunk_file(tmp_path)
    yield file
    file.close()


def test_first_step_is_there_at_once_and_under_a_tag_of_its_own(file, tmp_path):
    add(file, 7)
    assert read(tmp_path) == {TAG: [[7]], TAG + schema.FIRST_SUFFIX: [[7]]}


def test_steps_are_written_when_a_chunk_is_full_or_the_file_is_closed(file, tmp_path):
    most = packing.MOST_STEPS
    add(file, *range(most))
    assert read(tmp_path)[TAG] == [[0]]
    add(file, most)
    assert read(tmp_path)[TAG] == [[0], [*range(1, most + 1)]]
    add(file, most + 1)
    add(file, 3, tag="other")
    file.close()
    assert read(tmp_path)[TAG][2:] == [[most + 1]]
    assert read(tmp_path)["other"] == [[3]]


def test_step_that_goes_back_begins_another_chunk(file, tmp_path):
    add(file, 0, 10, 20, 10, 15)
    file.close()
    assert read(tmp_path)[TAG] == [[0], [10, 20], [10, 15]]


def test_flush_writes_what_waits(file, tmp_path):
    add(file, 0, 1, 2)
    file.flush()
    add(file, 3)
    file.close()
    assert read(tmp_path)[TAG] == [[0], [1, 2], [3]]


def test_closed_file_goes_on_in_another_that_can_be_read_alone(file, tmp_path):
    add(file, 0, 1)
    file.close()
    add(file, 2, 3)
    file.close()
    first, second = sorted(tmp_path.glob("*tfevents*"))
    found = read(tmp_path)
    assert found[TAG] == [[0], [1], [2], [3]]
    assert found[TAG + schema.FIRST_SUFFIX] == [[0]]
    first.unlink()
    assert RunRecord.load(tmp_path).signal("weight").steps.tolist() == [2, 3]
    assert second.name > first.name


def test_what_waits_is_written_after_a_while(file, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "SECONDS", 0.05)
    add(file, 0, 1, 2)
    until = time.monotonic() + 30
    while read(tmp_path)[TAG] != [[0], [1, 2]]:
        assert time.monotonic() < until
        time.sleep(0.01)
    add(file, 3)
    file.close()
    assert read(tmp_path)[TAG] == [[0], [1, 2], [3]]


def test_late_failure_is_told_by_the_next_call(file, monkeypatch):
    add(file, 0)
    monkeypatch.setattr(chunks, "SECONDS", 0.01)
    with monkeypatch.context() as full:

        def fail(*_):
            raise OSError("no space left")

        full.setattr(events.EventFile, "write", fail)
        with file._file.lock:  # the timer may not end before it is known
            add(file, 1)
            timer = file._timer
        timer.join()
    with pytest.raises(OSError, match="no space left"):
        add(file, 2)
    file.close()  # what could not be written is not tried again


def test_chunk_that_was_interrupted_is_written_and_none_is_too_long(
    file, tmp_path, monkeypatch
):
    most = packing.MOST_STEPS
    add(file, *range(most))
    with monkeypatch.context() as interrupted:

        def interrupt(*_):
            raise KeyboardInterrupt

        interrupted.setattr(events, "chunk", interrupt)
        with pytest.raises(KeyboardInterrupt):
            add(file, most)
    add(file, most + 1)
    file.close()
    assert read(tmp_path)[TAG] == [[0], [*range(1, most + 1)], [most + 1]]


def test_signal_handler_may_close_what_it_interrupts(file, tmp_path):
    def step(*_):
        file.close()
        return DESCRIBED

    file.add(TAG, 0, np.zeros((1, len(COLUMNS))), step)
    file.close()
    assert read(tmp_path)[TAG] == [[0]]


SCRIPT = """
import sys, time
import numpy as np
from keras_initkit.recording.log import chunks
import test_recording_chunks as tests

file = tests.chunk_file(sys.argv[1])
tests.add(file, *range(9))
print("added", flush=True)
{}
"""


def started(end, log_dir):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(end), str(log_dir)],
        cwd=__file__.rpartition("/")[0],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("end", ["raise SystemExit", "raise KeyboardInterrupt", "1/0"])
def test_nothing_is_lost_when_the_program_ends(end, tmp_path):
    process = started(end, tmp_path)
    process.communicate(timeout=120)
    assert RunRecord.load(tmp_path).signal("weight").steps.tolist() == [*range(9)]
