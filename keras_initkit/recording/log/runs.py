"""Which runs a log directory holds."""

import collections
import dataclasses

from keras_initkit.recording.log import storage
from keras_initkit.recording.log.frames import Gap, frames
from keras_initkit.recording.log.parsing import OURS, text_of, values_of
from keras_initkit_light.format import files

# Bytes of a file that hold what it says first.
_HEAD = 4096


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """A run on disk.

    Attributes:
        id: Its random id, 12 hexadecimal digits.
        log_dir: The directory it lies in: the log directory, or a `run-<n>` below it.
        files: Paths of its event files, in order.
        fits: How many `fit`s it is made of; `None` where that cannot be read.
        began: Seconds since the epoch when it began; `None` where that cannot be read.
    """

    id: str
    log_dir: str
    files: tuple[str, ...]
    fits: int | None
    began: float | None


def list_runs(log_dir: str) -> list[RunInfo]:
    """Returns the runs in a log directory and below it, the newest last."""
    there = storage.names(log_dir)
    numbers = [n for name in there if (n := files.sub_run_number(name)) is not None]
    found = _runs_in(log_dir, there)
    for number in sorted(numbers):
        directory = storage.join(log_dir, files.sub_run(number))
        found += _runs_in(directory, storage.names(directory))
    return found


def _runs_in(directory: str, names: list[str]) -> list[RunInfo]:
    """Returns the runs in one directory: one, unless directories were merged."""
    runs = collections.defaultdict(list)
    for name in names:  # in the order of their beginning
        file = files.LogFile.of(name)
        if file is not None:
            runs[file.run].append(file)
    return [_info(run, directory, sorted(each)) for run, each in runs.items()]


def _info(run: str, directory: str, of_run: list[files.LogFile]) -> RunInfo:
    paths = [storage.join(directory, file.name) for file in of_run]
    opened = [mark for path in paths if (mark := _opened(path)) is not None]
    return RunInfo(
        id=run,
        log_dir=directory,
        files=tuple(paths),
        fits=max((mark.fit for mark in opened), default=None),
        began=opened[0].began if opened else None,
    )


def _opened(path: str) -> files.Opened | None:
    """What a file says first, `None` where that cannot be read."""
    try:
        head = storage.read(path, _HEAD)
    except OSError:
        return None
    for item in frames(head):
        if not isinstance(item, Gap) and OURS in item.content:
            try:
                for value in values_of(item.content):
                    mark = files.unseal_mark(text_of(value))
                    return mark if isinstance(mark, files.Opened) else None
            except ValueError:
                continue
    return None
