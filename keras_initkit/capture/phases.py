"""What a session watches of a model: the steps that train it, or those that test it."""

import dataclasses
import types
import typing
from collections.abc import Mapping

import keras

from keras_initkit.structure.layers import state_names, weight_names


@dataclasses.dataclass(frozen=True)
class Phase:
    """The kind of step that Keras runs over data.

    Attributes:
        name: `"train"` or `"test"`, as in Keras's names of functions and steps.
        signals: What signals of taps are called where that is not their own name.
        weights: Function of a model and a `Selection` that names the weights which
            are watched.
    """

    name: str
    signals: Mapping[str, str]
    weights: typing.Callable

    @property
    def function(self):
        """The attribute of a model that holds the function of an iterator."""
        return f"{self.name}_function"

    @property
    def step(self):
        """The method of a model that is a step on a batch."""
        return f"{self.name}_step"

    def function_of(self, model):
        """Returns a model's function, `None` where it has none yet."""
        return getattr(model, self.function)

    def put(self, model, function):
        """Gives a model another function."""
        setattr(model, self.function, function)

    def make(self, model, force=False):
        """Has Keras make a model's function, unless there is one."""
        getattr(model, f"make_{self.function}")(force=force)

    def optimizers_of(self, model):
        """Lists the optimizers that a step may use: attributes of the model."""
        if self is not TRAIN:
            return []
        held = vars(model).values()
        own = [one for one in held if isinstance(one, keras.optimizers.Optimizer)]
        several = [one for one in [model.optimizer, *own] if one is not None]
        return list({id(one): one for one in several}.values())


TRAIN = Phase("train", types.MappingProxyType({}), weight_names)
TEST = Phase("test", types.MappingProxyType({"activation": "inference"}), state_names)
