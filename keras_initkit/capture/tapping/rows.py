"""Rows: what the values stand for that tensors of a step are reduced to."""

import dataclasses
import typing

from keras_initkit import schema
from keras_initkit.capture.tapping.initial import Initial

# What a row has one entry of, whatever its tensor is.
_ONE_EACH = {"scalars", "histogram"}


class Row(typing.NamedTuple):
    """What a row of the reduced values stands for.

    Attributes:
        signal: Name of the signal.
        key: `schema.TensorKey` of the tensor.
        counted: How many of the counts are its own.
        projected: How many columns of the projections are its own.
        timed: How many of the matrices over time are its own, 0 or 1.
        has_units: Whether the last axis of the tensor is one of several.
        initial: `initial.Initial`, what the tensor was at first and is compared with;
            `None` for nothing.
    """

    signal: str
    key: schema.TensorKey
    counted: int
    projected: int
    timed: int
    has_units: bool
    initial: Initial | None

    def named(self, names):
        """Returns the row under another name of its layer, where there is one."""
        name = names.get(self.key.layer)
        if name is None:
            return self
        return self._replace(key=dataclasses.replace(self.key, layer=name))


def row_of(signal, key, shape, reduction, initial):
    """Returns the row of a tensor of a shape, reduced so."""
    units = shape[-1] if shape.rank else 1
    return Row(
        signal,
        key,
        counted=0 if reduction.counted_above is None else units,
        projected=units if reduction.projected_rows else 0,
        timed=int(reduction.timed),
        has_units=(shape.rank or 0) > 1,
        initial=initial,
    )


def split(values, rows):
    """Yields what was reduced of each of the tensors that rows stand for."""
    values = {name: value.numpy() for name, value in values.items()}
    counted = projected = timed = moved = 0
    for number, row in enumerate(rows):
        part = {name: values[name][number][None] for name in _ONE_EACH & values.keys()}
        if row.counted:
            part["counts"] = values["counts"][counted : counted + row.counted]
        if row.projected:
            columns = slice(projected, projected + row.projected)
            part["projections"] = values["projections"][:, columns]
        if row.timed:
            part["time"] = values["time"][timed : timed + 1]
        if row.initial is not None:
            part["moved"] = values["moved"][moved : moved + 1]
        counted, projected = counted + row.counted, projected + row.projected
        timed += row.timed
        moved += row.initial is not None
        yield part
