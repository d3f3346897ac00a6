"""Files that are there whole, or as they were before."""

import os

import pytest

from keras_initkit.experiments import run_log
from keras_initkit_light.format import whole


class Killed(BaseException):
    """Stands for the end of a process."""


def test_a_file_is_replaced_when_it_is_complete(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with whole.replacing(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
        assert whole.unfinished(tmp_path) == [partial]
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_fails_stays_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def write():
        with whole.replacing(path) as partial:
            partial.write_text("aft")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_a_run_that_dies_while_it_says_what_it_is_can_be_run_again(
    tmp_path, monkeypatch
):
    """`run.json` tells whose the directory is: half of it is another program's."""

    def killed(*_):
        raise Killed

    def start():
        run_log.RunLog(tmp_path / "run", {"seed": 0}, {}, "test", False).start()

    with monkeypatch.context() as dying:
        dying.setattr(os, "fsync", killed)
        with pytest.raises(Killed):
            start()
    start()
    assert (tmp_path / "run" / "run.json").read_text().endswith("}\n")
