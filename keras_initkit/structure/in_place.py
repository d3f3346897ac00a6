"""Changing a model's weights in place: all of it or nothing of it."""

import contextlib
import dataclasses

import keras
import numpy as np

from keras_initkit.structure import keras_private


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

    In any case whatever else a forward pass may move (moving averages, seeds, counters)
    is as it was.
    """
    state = Edit()
    trainable = {id(variable) for variable in model.trainable_variables}
    for variable in model.variables:
        if id(variable) not in trainable:
            state.remember(variable)
    with assigning() as edit:
        try:
            yield edit
        finally:
            state.undo(but=edit)  # a frozen kernel is assigned where it is named


@contextlib.contextmanager
def unchanged(model):
    """Puts back all that a step in training mode moves, whatever happens."""
    kept = {
        id(variable): np.array(variable.numpy())
        for metric in model.metrics
        for variable in metric.variables
    }
    with editing(model):
        try:
            yield
        finally:
            keras_private.clear_losses(model)
            for metric in model.metrics:
                # Losses of several outputs make their metrics when they are first
                # called.
                if any(id(variable) not in kept for variable in metric.variables):
                    metric.reset_state()
                for variable in metric.variables:
                    if id(variable) in kept:
                        variable.assign(kept[id(variable)])


def forward(model, x):
    """Runs a model eagerly on one batch in inference mode and returns its outputs."""
    if keras_private.takes_training(model):
        return model(x, training=False)
    return model(x)
