"""Changing a model's weights in place: all of it or nothing of it."""

import contextlib
import dataclasses
import re

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


def reason_of(error):
    """Says in one line what was raised: `raised ValueError (no such axis)`."""
    text = re.sub(r"\x1b\[\d*m|\{\{function_node .*?\}\} ?", "", str(error))
    lines = [line.strip().rstrip(".:") for line in text.split("\n")]
    # Keras puts the call ahead of what is wrong with it.
    lines = [one for one in lines if one and not one.startswith("Exception encounter")]
    return f"raised {type(error).__name__}" + (f" ({lines[0]})" if lines else "")
