"""`Described`: what the rows and columns of a series of matrices are."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_initkit_light.format import schema, sealing

# Kinds of matrices whose rows are tensors.
KINDS = ("statistics", "norms", "histogram", "time", "prediction")
METRICS = "metrics"


class UnknownKindError(ValueError):
    """A kind of matrices, or a signal, that this version does not know."""


@dataclasses.dataclass(frozen=True)
class Described:
    """The description of a series, which the first value of its tag carries.

    Attributes:
        kind: One of `KINDS`, or `METRICS`.
        signal: Name of the signal; `""` for metrics.
        tensors: Labels of the rows, in forward order.
        columns: Names of the columns.
        roles: Role of each row's weight, out of `schema.ROLES`, `""` where it is not
            known; empty for signals of layers.
    """

    kind: str
    signal: str
    tensors: tuple[str, ...]
    columns: tuple[str, ...]
    roles: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of each matrix: rows, columns."""
        return len(self.tensors), len(self.columns)

    def sealed(self) -> bytes:
        """Returns the description as files hold it."""
        return sealing.seal(dataclasses.asdict(self))

    @classmethod
    def unsealed(cls, text: bytes) -> "Described":
        """Returns the description that `text` holds.

        Raises:
            sealing.OtherVersionError: If it is of another data version.
            UnknownKindError: If this version does not know what it describes.
            ValueError: If `text` is no description, or is damaged.
        """
        content = sealing.unseal(text)
        kind, signal = content.get("kind"), content.get("signal")
        if not isinstance(kind, str) or not isinstance(signal, str):
            raise UnknownKindError(f"its kind is {kind!r} and its signal {signal!r}")
        if kind != METRICS and (kind not in KINDS or signal not in schema.ALL_SIGNALS):
            raise UnknownKindError(f"its kind is {kind!r} and its signal {signal!r}")
        tensors = _strings(content, "tensors")
        columns = _strings(content, "columns")
        if kind != METRICS:
            return cls(kind, signal, tensors, columns, _roles(content, len(tensors)))
        if len(tensors) != 1:
            raise ValueError("it says that metrics have several rows")
        return cls(METRICS, "", tensors, columns)


def _strings(content: dict[str, Any], name: str) -> tuple[str, ...]:
    values = content.get(name)
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError(f"its {name} are not a list of strings")
    return tuple(values)


def _roles(content: dict[str, Any], count: int) -> tuple[str, ...]:
    """Returns the roles of rows; those that are none of ours are not known."""
    values: Sequence[Any] = content.get("roles") or ()
    if not isinstance(values, list) or len(values) != count:
        return ()
    return tuple(
        value if isinstance(value, str) and value in schema.ROLES else ""
        for value in values
    )
