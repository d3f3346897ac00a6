"""Where a log lies: names of files and directories, and what a file says of itself.

A run is a directory, as for TensorBoard, with one event file for each `fit` (and one
more where its directory vanished in mid-run). The first run of a log directory lies in
it, further ones in `run-2`, `run-3`... below it. A file name tells the run and the
place of the file in it, so that no clock decides what is newer:

    events.out.tfevents.<seconds>.<run>.<number>.initkit

TensorBoard reads files in the order of their names; the seconds therefore never go back
within a directory, whatever the clock does.
"""

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from keras_initkit_light.format import schema, sealing

_FILE = re.compile(
    rf"events\.out\.tfevents\.(\d{{10}})\.([0-9a-f]{{12}})\.(\d{{4,9}})\.{schema.PLUGIN_NAME}"
)
_ANY_FILE = re.compile(r"events\.out\.tfevents\.(\d{10})\.")
_SUB_RUN = re.compile(r"run-([1-9]\d{0,8})")
# Held by the process that writes to a run, on a local disk.
LOCK = ".initkit.lock"


@dataclasses.dataclass(frozen=True, order=True)
class LogFile:
    """An event file of a run, by its name.

    Attributes:
        number: Its place among the files of its run, from 1.
        run: The run's id, 12 hexadecimal digits.
        name: The name.
    """

    number: int
    run: str
    name: str

    @classmethod
    def of(cls, name: str) -> "LogFile | None":
        """Returns the file of this name, `None` if it is none of a run."""
        match = _FILE.fullmatch(name)
        return None if match is None else cls(int(match[3]), match[2], name)

    @classmethod
    def next(cls, run: str, now: float, names: Iterable[str]) -> "LogFile":
        """Returns the next file of a run in a directory that has files `names`.

        Args:
            run: The run's id.
            now: Seconds since the epoch.
            names: The names of all files there.
        """
        names = list(names)
        files = [file for name in names if (file := cls.of(name)) and file.run == run]
        number = 1 + max((file.number for file in files), default=0)
        times = [int(match[1]) for name in names if (match := _ANY_FILE.match(name))]
        seconds = max([int(now), *(time + 1 for time in times)])
        stem = f"events.out.tfevents.{seconds:010d}"
        return cls(number, run, f"{stem}.{run}.{number:04d}.{schema.PLUGIN_NAME}")


def sub_run(number: int) -> str:
    """Returns the directory of the n-th run below a log directory, from 2."""
    return f"run-{number}"


def sub_run_number(name: str) -> int | None:
    """Returns the number of a sub-run, `None` if the name is that of none."""
    match = _SUB_RUN.fullmatch(name)
    return None if match is None else int(match[1])


@dataclasses.dataclass(frozen=True)
class Opened:
    """What a file says first.

    Attributes:
        run: The run's id.
        file: Number of the file in the run, from 1.
        fit: Number of the `fit` in the run, from 1.
        began: Seconds since the epoch, for people; nothing is decided by it.
    """

    run: str
    file: int
    fit: int
    began: float


@dataclasses.dataclass(frozen=True)
class Closed:
    """What a file says last, unless its process was killed.

    Attributes:
        file: Number of the file in the run.
        counts: `{tag: number}` of the steps of each series in the file, and of the
            texts under each tag.
    """

    file: int
    counts: Mapping[str, int]


def gaps(opened: Iterable[Opened]) -> list[str]:
    """Says which files or fits of a run must have been there, by those that are."""
    marks = list(opened)
    return _gaps("file", {mark.file for mark in marks}) or _gaps(
        "fit", {mark.fit for mark in marks}
    )


def _gaps(what: str, numbers: Collection[int]) -> list[str]:
    """Names what is missing of 1, 2, 3... up to the largest."""
    there = sorted({0, *numbers})
    return [
        f"{what} {one + 1}" if other - one == 2 else f"{what}s {one + 1} to {other - 1}"
        for one, other in itertools.pairwise(there)
        if other - one > 1
    ]


def seal_mark(mark: Opened | Closed) -> bytes:
    """Returns a mark as files hold it, under `schema.FILE_TAG`."""
    state = type(mark).__name__.lower()
    return sealing.seal({"state": state, **dataclasses.asdict(mark)})


def unseal_mark(text: bytes) -> Opened | Closed:
    """Returns the mark that `text` holds.

    Raises:
        ValueError: If it is none.
    """
    content = sealing.unseal(text)
    state, file = content.get("state"), content.get("file")
    if type(file) is int and file > 0:
        if state == "opened" and _is_opened(content):
            run, fit, began = content["run"], content["fit"], content["began"]
            return Opened(run, file, fit, float(began))
        if state == "closed" and _is_closed(content):
            return Closed(file, content["counts"])
    raise ValueError("it says neither that its file was opened nor that it was closed")


def _is_opened(content: Mapping[str, Any]) -> bool:
    fit, began = content.get("fit"), content.get("began")
    return (
        isinstance(content.get("run"), str)
        and type(fit) is int
        and isinstance(began, int | float)
    )


def _is_closed(content: Mapping[str, Any]) -> bool:
    counts = content.get("counts")
    return isinstance(counts, dict) and all(type(n) is int for n in counts.values())
