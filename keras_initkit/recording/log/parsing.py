"""What is ours in an event."""

from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2

from keras_initkit import schema

# An event without these bytes holds nothing of a record.
OURS = f"{schema.PLUGIN_NAME}/".encode()


def values_of(content: bytes) -> list[Any]:
    """Returns the values of ours in an event.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        event = event_pb2.Event.FromString(content)
    except DecodeError as error:
        raise ValueError("an event that cannot be read") from error
    values = event.summary.value
    return [value for value in values if value.tag.startswith(OURS.decode())]


def text_of(value: Any) -> bytes:
    """Returns the one text that a value holds.

    Raises:
        ValueError: If it holds none.
    """
    if len(value.tensor.string_val) != 1:
        raise ValueError("it holds no text")
    text: bytes = value.tensor.string_val[0]
    return text
