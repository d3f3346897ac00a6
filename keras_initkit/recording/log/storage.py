"""Where logs are kept: a local disk, or what `tf.io.gfile` serves (`gs://`, `ram://`).

A path with a scheme stays a string as it was given: `pathlib` makes a local directory
`gs:/b` of `gs://b`.
"""

import errno
import os
import pathlib
import re
from typing import Any

from keras_initkit.recording.log.background import BackgroundWriter

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What `pathlib` makes of such a path.
_BROKEN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")


def is_remote(path: str) -> bool:
    """Whether a path is served by `tf.io.gfile`, `file://` included."""
    return _SCHEME.match(path) is not None


def checked(path: Any, name: str) -> str:
    """Returns the path of a directory or file, a string.

    Args:
        path: What a user gave.
        name: Name of the argument, for the error.

    Raises:
        TypeError: If it is no path.
        ValueError: If nothing can be there, nothing here serves its scheme, or it was
            put through `pathlib`.
    """
    text = _text(path, name)
    if _BROKEN.match(text):
        raise ValueError(
            f"`{name}` must be a string if it has a scheme; `pathlib` would drop one "
            f"of its slashes. Received: {name}={text!r}"
        )
    match = _SCHEME.match(text)
    if match is None:
        return text
    served = _gfile().get_registered_schemes()
    if match[1] not in served:
        known = ", ".join(f"{scheme}://" for scheme in sorted(served) if scheme)
        raise ValueError(
            f"`{name}` must be local or reachable by TensorFlow, here {known}. Write "
            "to a local directory and copy it, mount the storage, or import the "
            f"package that registers {match[1]}:// with TensorFlow. Received: "
            f"{name}={text!r}"
        )
    return text


def local(path: Any, name: str) -> pathlib.Path:
    """Returns a path on a local disk.

    Raises:
        TypeError: If it is no path.
        ValueError: If nothing can be there, or it has a scheme.
    """
    text = _text(path, name)
    if is_remote(text) or _BROKEN.match(text):
        raise ValueError(
            f"`{name}` must be on a local disk; copy or mount files from elsewhere. "
            f"Received: {name}={text!r}"
        )
    return pathlib.Path(text)


def _text(path: Any, name: str) -> str:
    """Returns the text of a path."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        way_out = "; `os.fsdecode` converts bytes" if isinstance(text, bytes) else ""
        raise TypeError(
            f"`{name}` must be a string or a path{way_out}. Received: {name}={path!r} "
            f"of type {type(path).__name__}"
        )
    if not text or "\0" in text:
        raise ValueError(
            f"`{name}` must name a directory or file: it must not be empty (the "
            "working directory is '.') or contain a NUL byte. Received: "
            f"{name}={text!r}"
        )
    return text


def _gfile() -> Any:
    import tensorflow as tf  # reading from a local disk does without

    return tf.io.gfile


def join(directory: str, name: str) -> str:
    """Returns the path of what is called `name` in a directory."""
    if is_remote(directory):
        return f"{directory.rstrip('/')}/{name}"
    return os.path.join(directory, name)


def resolved(path: str) -> str:
    """Returns the one name of a directory; its own where it has no other.

    A loop of links, or a working directory that is gone, is found when it is written.
    """
    if is_remote(path):
        return path.rstrip("/")
    try:
        return str(pathlib.Path(path).resolve())
    except (OSError, RuntimeError):
        return path


def make(directory: str) -> None:
    """Makes a directory, and those above it, if need be."""
    if is_remote(directory):
        _gfile().makedirs(directory)
    else:
        os.makedirs(directory, exist_ok=True)


def names(directory: str) -> list[str]:
    """Returns the names of what is in a directory, sorted; none where there is none."""
    if is_remote(directory):
        gfile = _gfile()
        if not gfile.isdir(directory):
            return []
        return sorted({name.strip("/") for name in gfile.listdir(directory)})
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def writer(path: str) -> Any:
    """Opens a new event file; what it gives has `write`, `flush` and `close`."""
    if is_remote(path):
        return BackgroundWriter(path)
    import tensorflow as tf

    return tf.io.TFRecordWriter(path)


def open_at_once(path: str, flags: int) -> int:
    """Opens a local file; a named pipe, too, without waiting for who writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read(path: str, size: int = -1) -> bytes:
    """Returns what is in a file, its first bytes if a size is given.

    Raises:
        OSError: If it cannot be read.
    """
    if not is_remote(path):
        with open(path, "rb", opener=open_at_once) as file:
            return file.read(size)
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as remote:
            content: bytes = remote.read(size)
            return content
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message, path) from error
