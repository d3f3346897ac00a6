"""`Lock`: who writes to a directory of a local disk.

The operating system holds it (`flock`) and gives it up when its process ends, however
that ends: a lock file that a killed process has left is held by nobody. What stands in
the file (process, host, start) is for people. Where there are no such locks, as on
Windows and some network disks, nothing is locked.
"""

import contextlib
import datetime
import json
import os
import socket
import time

from keras_initkit.recording.log import storage
from keras_initkit_light.format import files

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Who looks whether a lock is held has it for that moment.
_TRIES, _PAUSE = 5, 0.01


class Lock:
    """A directory that this process writes to, until `release`.

    Args:
        directory: A local directory that exists.

    Raises:
        BlockingIOError: If another writer has it.
    """

    def __init__(self, directory: str):
        self._path = os.path.join(directory, files.LOCK)
        self._process = os.getpid()
        self._file = _locked(self._path)
        if self._file is not None:
            os.truncate(self._file, 0)
            os.write(self._file, json.dumps(_who()).encode())

    def release(self) -> None:
        """Gives the directory up; in a forked process, leaves it to the first."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            if self._process == os.getpid() and _is_at(self._file, self._path):
                os.unlink(self._path)
        os.close(self._file)
        self._file = None


def holder(directory: str) -> str | None:
    """Returns who writes to a local directory, for people; `None` for nobody."""
    if fcntl is None:
        return None
    try:
        path = os.path.join(directory, files.LOCK)
        file = storage.open_at_once(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner_in(os.read(file, 10_000))
    except OSError:
        return None
    finally:
        os.close(file)
    return None


def _locked(path: str) -> int | None:
    """Returns the open lock file, `None` where files cannot be locked."""
    if fcntl is None:
        return None
    for tries_left in reversed(range(_TRIES)):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
            os.close(file)  # whoever had it has just removed it
        except BlockingIOError:
            os.close(file)
            if not tries_left:
                raise
            time.sleep(_PAUSE)
        except OSError:
            os.close(file)
            return None
    raise BlockingIOError(f"{path} changes hands")


def _is_at(file: int, path: str) -> bool:
    """Whether an open file is the one of that path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _who() -> dict[str, object]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}


def _owner_in(text: bytes) -> str:
    """Says who holds a lock, as far as its file can be read."""
    try:
        content = json.loads(text)
        since = datetime.datetime.fromtimestamp(content["since"])
        who = f"process {content['pid']:d} on {content['host']!s}"
        return f"{who} since {since:%Y-%m-%d %H:%M:%S}"
    except (ArithmeticError, KeyError, OSError, TypeError, ValueError, RecursionError):
        return "another process"
