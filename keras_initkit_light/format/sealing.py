"""Sealed texts: JSON objects that say their version and tell whether they are whole.

    {"v": 4, "crc32": "5d41402a", "kind": "statistics", ...}

The checksum is that of the bytes behind it, up to the end of the text.
"""

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from keras_initkit_light.format import schema

# What the metadata of a tag says is under it, where that is a sealed text itself.
TEXT = "text"
_HEAD = re.compile(rb'\{"v": (\d{1,9}), "crc32": "([0-9a-f]{8})", ')


class OtherVersionError(ValueError):
    """A text of another data version, which this one does not read.

    Attributes:
        version: The data version.
    """

    def __init__(self, version: int):
        super().__init__(
            f"it has data version {version}; this program reads version "
            f"{schema.DATA_VERSION}"
        )
        self.version = version


def seal(content: Mapping[str, Any], allow_nan: bool = True) -> bytes:
    """Returns the text of an object that has at least one entry.

    Raises:
        ValueError: If a number in it is not finite, and that is not allowed.
    """
    rest = json.dumps(dict(content), allow_nan=allow_nan).encode()[1:]
    head = f'{{"v": {schema.DATA_VERSION}, "crc32": "{zlib.crc32(rest):08x}", '
    return head.encode() + rest


def unseal(text: bytes) -> dict[str, Any]:
    """Returns the object that was sealed.

    Raises:
        OtherVersionError: If it is of another data version.
        ValueError: If `text` is none, or is damaged.
    """
    head = _HEAD.match(text)
    if head is None or int(head[1]) != schema.DATA_VERSION:
        raise _other(text)
    rest = text[head.end() :]
    if zlib.crc32(rest) != int(head[2], 16):
        raise ValueError("its checksum does not match: it is damaged")
    return _parsed(b"{" + rest)


def _other(text: bytes) -> ValueError:
    """What is wrong with a text that is not one of this version."""
    try:
        version: Any = _parsed(text).get("v")
    except ValueError as error:
        return error
    is_one = type(version) is int and 0 < version < 10**9
    if is_one and version != schema.DATA_VERSION:
        return OtherVersionError(version)
    return ValueError("it has neither a data version nor a checksum")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    return content
