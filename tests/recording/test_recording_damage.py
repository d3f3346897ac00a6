"""Damage to a log: stepped over and told, and a raw error never."""

import contextlib
import os
import pickle
import shutil
import struct
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from keras_initkit import RunRecord
from keras_initkit.recording import Missing, RunDamagedError, RunWriter
from keras_initkit.recording.log import events, frames, places, storage
from keras_initkit_light.format import files
from tests.faults import damage, written

STEPS = range(0, 400, 5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A log of several chunks: its directory, and the bytes of its file."""
    log_dir = tmp_path_factory.mktemp("whole")
    written.write(log_dir, STEPS)
    (run,) = RunRecord.runs(log_dir)
    return log_dir, storage.read(run.files[0])


@pytest.fixture(scope="module")
def damaged(whole, tmp_path_factory):
    """A function that puts bytes in place of the file's and loads what is there."""
    log_dir = tmp_path_factory.mktemp("damaged")
    (run,) = RunRecord.runs(whole[0])
    path = log_dir / os.path.basename(run.files[0])

    def load(data):
        path.write_bytes(data)
        return RunRecord.load(log_dir)

    return load


def test_frames_are_those_of_the_reference(whole):
    found = [*frames.frames(whole[1])]
    assert not [one for one in found if isinstance(one, frames.Gap)]
    assert sum(len(one.content) + 16 for one in found) == len(whole[1])
    for size in (*range(9), 100, 511, 512, 513, 5000, 300_000):
        data = np.random.default_rng(size).bytes(size)
        assert frames.masked_checksum(data) == masked_crc32c(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_frames_and_gaps(data):
    at = 0
    for one in frames.frames(data):
        assert one.offset == at
        at += one.size if isinstance(one, frames.Gap) else len(one.content) + 16
    assert at == len(data)


def test_a_flipped_bit_costs_one_chunk_and_is_told(whole, damaged):
    log_dir, data = whole
    complete = RunRecord.load(log_dir)
    flipped = bytearray(data)
    at = data.index(b"initkit/weight", len(data) // 3)
    flipped[at + 60] ^= 4
    loaded = damaged(bytes(flipped))
    lost = set(STEPS) - set(loaded.signal("weight").steps.tolist())
    assert 0 < len(lost) <= 32
    assert loaded.signal("gradient").steps.tolist() == [*STEPS]
    kept = np.isin(complete.signal("weight").steps, loaded.signal("weight").steps)
    np.testing.assert_array_equal(
        complete.signal("weight").values[kept], loaded.signal("weight").values
    )
    gap, steps = loaded.missing
    assert gap.what.endswith("bytes that are not a complete event")
    assert gap.offset <= at < gap.offset + len(data)
    assert steps.what.startswith(f"{len(lost)} steps or texts of 'initkit/weight' ")


def is_as_written(loaded, complete):
    """Whether all that was loaded is what was written, however much."""
    for name, series in loaded.series.items():
        other = complete.series[name]
        at = np.searchsorted(other.steps, series.steps)
        assert (other.steps[at] == series.steps).all()
        np.testing.assert_array_equal(other.values[at], series.values)
    return loaded.diff(complete).equal and loaded.metadata == complete.metadata


def check_damage(load, data, complete, rng):
    """Checks that what a damaged file misses is told, or that it is refused."""
    changed = damage.draw(data, rng)
    with contextlib.suppress(RunDamagedError):
        loaded = load(changed)
        assert loaded.missing or changed == data
        is_as_written(loaded, complete)


def test_nothing_is_lost_in_silence(whole, damaged):
    complete, rng = RunRecord.load(whole[0]), np.random.default_rng(0)
    for _ in range(150):
        check_damage(damaged, whole[1], complete, rng)


def reframed(content):
    head = struct.pack("<Q", len(content))
    return b"".join(
        [
            head,
            struct.pack("<I", masked_crc32c(head)),
            content,
            struct.pack("<I", frames.masked_checksum(content)),
        ]
    )


def mutated(data, rng):
    """Damages the content of an event of the record, under a valid checksum."""
    found = [*frames.frames(data)]
    ours = [n for n, one in enumerate(found) if b"initkit/" in one.content]
    number = ours[int(rng.integers(len(ours)))]
    content = bytearray(found[number].content)
    for _ in range(int(rng.integers(1, 4))):
        content[int(rng.integers(len(content)))] = int(rng.integers(256))
    contents = [one.content for one in found]
    contents[number] = bytes(content)
    return b"".join(map(reframed, contents))


def test_content_that_is_damaged_under_a_valid_checksum_is_told(whole, damaged):
    complete, rng = RunRecord.load(whole[0]), np.random.default_rng(0)
    for _ in range(100):
        loaded = damaged(mutated(whole[1], rng))
        assert is_as_written(loaded, complete) or loaded.missing


@pytest.mark.parametrize(
    "data",
    [b"no events", bytes(100), np.random.default_rng(0).bytes(5000)],
    ids=["text", "zeros", "noise"],
)
def test_a_file_of_which_nothing_can_be_read_is_named(damaged, data):
    with pytest.raises(RunDamagedError, match="cannot be read at byte 0") as raised:
        damaged(data)
    assert raised.value.offset == 0
    assert pickle.loads(pickle.dumps(raised.value)).path == raised.value.path


def test_missing_says_where():
    assert str(Missing("a", "x", 3)) == "a at byte 3: x"
    assert str(Missing("a", "x")) == "a: x"


def test_a_file_that_is_removed_while_it_is_read_is_told(tmp_path, monkeypatch):
    writer, _ = written.write(tmp_path, range(3))
    written.write(tmp_path, range(3, 6), lambda: writer.identity)
    read = storage.read

    def gone(path, size=-1):
        if ".0002." in path:
            raise FileNotFoundError(path)
        return read(path, size)

    monkeypatch.setattr(storage, "read", gone)
    loaded = RunRecord.load(tmp_path)
    assert loaded.signal("weight").steps.tolist() == [0, 1, 2]
    assert loaded.missing[0].what.startswith("all of it")


def test_a_file_that_is_cut_while_it_is_written_is_followed_by_another(tmp_path):
    writer, record = RunWriter(tmp_path), RunRecord()
    for step in range(6):
        written.add_step(writer, record, step)
    os.truncate(next(tmp_path.glob("*tfevents*")), 300)
    with pytest.warns(UserWarning, match="vanished while"):
        written.add_step(writer, record, 6)
    for step in range(7, 40):
        written.add_step(writer, record, step)
    writer.close()
    loaded = RunRecord.load(tmp_path)
    steps = loaded.signal("weight").steps.tolist()
    assert steps == [*range(steps[0], 40)]
    assert steps[0] <= 6
    assert loaded.missing


def test_a_directory_that_cannot_be_made_again_is_one_error(tmp_path):
    log_dir = tmp_path / "run"
    writer, record = RunWriter(log_dir), RunRecord()
    written.add_step(writer, record, 0)
    shutil.rmtree(log_dir)
    log_dir.write_text("in its place")
    with pytest.raises(FileExistsError):  # and no warning that it is made again
        written.add_step(writer, record, 1)
    writer.drop()


@pytest.fixture
def three_fits(tmp_path):
    """The files of a run of three fits, of ten steps each."""
    for begin in (0, 10, 20):
        written.write(tmp_path, range(begin, begin + 10), lambda: newest(tmp_path))
    return sorted(tmp_path.glob("*tfevents*"))


def newest(log_dir):
    """The run that a directory holds, to be continued; `None` for none."""
    for run in RunRecord.runs(log_dir):
        return places.RunIdentity(run.id, str(log_dir), run.fits)
    return None


def test_joined_files_are_read_as_they_were(three_fits, tmp_path):
    first, second, _ = three_fits
    first.write_bytes(first.read_bytes() + second.read_bytes())
    second.unlink()
    loaded = RunRecord.load(tmp_path)
    assert loaded.missing == []
    assert loaded.signal("weight").steps.tolist() == [*range(30)]


@pytest.mark.parametrize(("number", "told"), [(0, "file 1"), (1, "file 2")])
def test_a_file_that_was_removed_is_missed(three_fits, tmp_path, number, told):
    three_fits[number].unlink()
    loaded = RunRecord.load(tmp_path)
    assert len(loaded.signal("weight")) == 20
    (missing,) = loaded.missing
    assert missing.path == str(tmp_path)
    assert missing.what.startswith(f"{told} of run")


def test_a_fit_that_was_removed_ahead_of_another_is_missed(three_fits, tmp_path):
    run = newest(tmp_path)
    three_fits[2].unlink()
    written.write(tmp_path, range(30, 40), lambda: run)
    (missing,) = RunRecord.load(tmp_path).missing
    assert missing.what.startswith("fit 3 of run")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", [None, files.LOCK])
def test_a_named_pipe_is_waited_for_by_nobody(three_fits, tmp_path, name):
    path = three_fits[1] if name is None else tmp_path / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    loaded = []
    reading = threading.Thread(
        target=lambda: loaded.append(RunRecord.load(tmp_path)), daemon=True
    )
    reading.start()
    reading.join(timeout=60)
    assert len(loaded[0].signal("weight")) == (20 if name is None else 30)
    assert bool(loaded[0].missing) == (name is None)


def test_what_is_of_another_run_is_left_out_and_told(three_fits, tmp_path):
    written.write(tmp_path / "other", range(30, 50))
    (other,) = (tmp_path / "other").glob("*tfevents*")
    last = three_fits[-1]
    size = last.stat().st_size
    last.write_bytes(last.read_bytes() + other.read_bytes())
    loaded = RunRecord.load(tmp_path)
    assert loaded.signal("weight").steps.tolist() == [*range(30)]
    (missing,) = loaded.missing
    assert missing.what.startswith("data of another run")
    assert missing.offset > size


@pytest.mark.parametrize("what", ["directory", "above", "file"])
def test_a_log_that_vanishes_is_made_again_with_one_warning(tmp_path, what):
    log_dir = tmp_path / "a" / "b"
    writer, record = RunWriter(log_dir), RunRecord()
    record.metadata["model"] = "net"
    writer.write_run(0, record.metadata)
    for step in range(6):
        written.add_step(writer, record, step)
    if what == "file":
        next(log_dir.glob("*tfevents*")).unlink()
    else:
        shutil.rmtree(log_dir if what == "directory" else tmp_path / "a")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(6, 40):
            written.add_step(writer, record, step)
        writer.close()
    assert ["vanished while" in str(one.message) for one in caught] == [True]
    loaded = RunRecord.load(log_dir)
    assert not loaded.missing
    assert loaded.metadata == {"model": "net"}
    # What waited to be written is there as well.
    steps = loaded.signal("weight").steps.tolist()
    assert steps == [*range(steps[0], 40)]
    assert steps[0] <= 6
    assert len(RunRecord.runs(log_dir)) == 1


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("fails", ["write", "flush", "close"])
def test_all_is_closed_after_a_failure(tmp_path, monkeypatch, fails):
    class Full:
        def __init__(self, path):
            self.file = open(path, "wb")

        def write(self, data):
            self.act("write")

        def flush(self):
            self.act("flush")

        def act(self, name):
            self.calls = getattr(self, "calls", 0) + 1
            if name == fails and self.calls > 20:
                raise OSError(28, "No space left on device")

        def close(self):
            self.file.close()
            if fails == "close":
                raise OSError(28, "No space left on device")

    before = descriptors()
    monkeypatch.setattr(events.storage, "writer", Full)
    writer = RunWriter(tmp_path)

    def record_all():
        record = RunRecord()
        for step in range(20):
            written.add_step(writer, record, step)
        writer.close()

    with pytest.raises(OSError, match="No space left"):
        record_all()
    writer.drop()
    assert descriptors() == before


def test_a_log_that_vanishes_behind_its_last_step_is_told(tmp_path):
    writer, record = RunWriter(tmp_path / "run"), RunRecord()
    written.add_step(writer, record, 0)
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(UserWarning, match="vanished while"):
        writer.close()
    assert not (tmp_path / "run").exists()
