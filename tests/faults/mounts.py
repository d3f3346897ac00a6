"""File systems that fill up or go away under a log: real ones, in memory (tmpfs).

A process that may mount makes the trials, in a namespace of its own: of its mounts the
rest of the machine sees nothing.
"""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np

from keras_initkit.recording import RunDamagedError, RunRecord
from tests.faults import faults
from tests.faults.registry import NotHereError, fault

# Makes a namespace of mounts, and of users where that takes no privilege.
_NAMESPACE = ("unshare", "--mount", "--map-root-user")
TRIALS = {}


def mounting(name, promise, *, full, short):
    """Registers a fault whose trials mount."""

    def register(trials):
        TRIALS[trials.__name__] = trials

        def elsewhere(directory, count, rng):
            yield from in_namespace(trials.__name__, directory, count, rng)

        return fault(name, promise, full=full, short=short)(elsewhere)

    return register


def in_namespace(name, directory, count, rng):
    """Returns what trials give in a process that may mount.

    Raises:
        NotHereError: If none may here.
    """
    if shutil.which(_NAMESPACE[0]) is None:
        raise NotHereError("needs `unshare`")
    mount = (*_NAMESPACE, "mount", "-t", "tmpfs", "none", str(directory))
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHereError(f"no file system may be mounted: {done.stderr.strip()}")
    seed = int(rng.integers(2**31))
    call = f"mounts.print_outcomes({name!r}, {str(directory)!r}, {count}, {seed})"
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, "-c", f"from tests.faults import mounts; {call}"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def print_outcomes(name, directory, count, seed):
    rng = np.random.default_rng(seed)
    print(json.dumps([*TRIALS[name](pathlib.Path(directory), count, rng)]))


@contextlib.contextmanager
def mounted(directory, kilobytes):
    """A file system in memory; at the end nobody must have a file open there."""
    directory.mkdir()
    size = f"size={kilobytes}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", directory], check=True)
    yield
    subprocess.run(["umount", directory], check=True)


@mounting(
    "a file system that is full",
    "as a disk that is full; it can be unmounted, and what is on it read",
    full=30,
    short=1,
)
def full_file_systems(directory, count, rng):
    bare = faults.trained()
    for number in range(count):
        log_dir = directory / str(number)
        with mounted(log_dir, int(rng.integers(4, 60))):
            broken, record = faults.train_on_full(log_dir, bare)
            yield broken or misread(log_dir, record)


def misread(log_dir, record):
    """What does not hold of a log that was cut off."""
    try:
        loaded = RunRecord.load(log_dir)
    except (FileNotFoundError, RunDamagedError):
        return ""  # told
    for signal, series in loaded.series.items():
        begin = slice(len(series))
        if not np.array_equal(
            series.values, record.series[signal].values[begin], equal_nan=True
        ):
            return f"other values of {signal}"
    return "" if loaded.missing else "a log that was cut off looks whole"


@mounting(
    "a file system that is unmounted in mid-run",
    "as a directory that vanishes: one warning, the rest is below where it was mounted",
    full=30,
    short=1,
)
def unmounted(directory, count, rng):
    for number in range(count):
        mount = directory / str(number)
        log_dir = mount / "logs" if rng.integers(2) else mount
        mount.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)

        def go_away(mount=mount):
            subprocess.run(["umount", "--lazy", mount], check=True)

        yield faults.lost_by_vanishing(log_dir, go_away, int(rng.integers(1, 100)))
