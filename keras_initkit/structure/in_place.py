"""Changing a model's weights in place: all of it or nothing of it."""

import contextlib
import dataclasses

import keras
import numpy as np

from keras_initkit.structure import keras_private
from keras_initkit.structure.moving import State


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A layer that was left as it is, and why."""

    layer: str
    reason: str


class Edit:
    """Assigns weights and remembers what they were."""

    def __init__(self):
        self._originals = {}

    def assign(self, variable, value):
        """Assigns a value, and keeps the variable's first one for `undo`."""
        self.remember(variable)
        variable.assign(keras.ops.cast(value, variable.dtype))

    def remember(self, variable):
        """Keeps the value that a variable has now, unless it is kept already."""
        if id(variable) not in self._originals:
            value = np.array(keras.ops.convert_to_numpy(variable.value))
            self._originals[id(variable)] = (variable, value)

    def restore(self, variable):
        """Gives one variable its first value back, if it was changed."""
        if id(variable) in self._originals:
            variable.assign(self._originals[id(variable)][1])

    def undo(self, but=()):
        """Gives variables their first values back, but for those of another edit."""
        for variable, value in self._originals.values():
            if variable not in but:
                variable.assign(value)

    def __contains__(self, variable):
        return id(variable) in self._originals


@contextlib.contextmanager
def assigning():
    """Yields an `Edit`; if the body raises, what it assigned is as it was."""
    edit = Edit()
    try:
        yield edit
    except BaseException:
        edit.undo()
        raise


@contextlib.contextmanager
def editing(model):
    """Yields an `Edit` of a model's weights, as `assigning` does.

    In any case whatever else a forward pass may move is as it was (`moving.State`).
    """
    state = State(model)
    with assigning() as edit:
        try:
            yield edit
        finally:
            state.restore(but=edit)


@contextlib.contextmanager
def unchanged(model):
    """Puts back all that a step in training mode moves, whatever happens."""
    known = {id(v) for metric in model.metrics for v in metric.variables}
    with editing(model):
        try:
            yield
        finally:
            for metric in model.metrics:
                # Losses of several outputs make their metrics when they are first
                # called.
                if any(id(variable) not in known for variable in metric.variables):
                    metric.reset_state()


def forward(model, x):
    """Runs a model eagerly on one batch in inference mode and returns its outputs."""
    if keras_private.takes_training(model):
        return model(x, training=False)
    return model(x)
