"""Contracts: what functions that touch what is private give, and of which models."""

import inspect

import keras
import pytest
import tensorflow as tf

k = keras.layers
VERSIONS = f"Keras {keras.__version__}, TensorFlow {tf.__version__}"


class Contracts:
    """The contracts of the functions of a module."""

    def __init__(self, module):
        self._module = module
        self._all = []

    def __call__(self, function, *attributes):
        """Registers a check of a function and names the attributes behind it."""

        def register(check):
            self._all.append((function, attributes, check))
            return check

        return register

    def parametrized(self, test):
        """Has a test run for each contract that is registered by now."""
        names = [function.__name__ for function, *_ in self._all]
        arguments = ("function", "attributes", "check")
        return pytest.mark.parametrize(arguments, self._all, ids=names)(test)

    def missing(self):
        """Returns the functions of the module that have no contract."""
        functions = inspect.getmembers(self._module, inspect.isfunction)
        own = {f for _, f in functions if f.__module__ == self._module.__name__}
        return own - {function for function, *_ in self._all}


def hold(function, attributes, check):
    """Holds a contract; what it is broken by names the attributes."""
    keras.backend.clear_session(free_memory=False)
    try:
        check()
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise AssertionError(
            f"`{function.__name__}` does not give what its docstring says under "
            f"{VERSIONS}. Behind it: {', '.join(attributes)}. {told}"
        ) from error


def functional():
    inputs = keras.Input((3,), name="in")
    x = k.Dense(3, activation="relu", name="first")(inputs)
    return keras.Model(inputs, k.Add(name="sum")([x, inputs]), name="functional")


def sequential():
    return keras.Sequential(
        [keras.Input((3,)), k.Dense(4, name="first"), k.Dense(2, name="second")]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), name="scale")
        self.steps = self.add_weight(shape=(), name="steps", trainable=False)
        self.inner = keras.Sequential([k.Dense(2, name="below")], name="inner")
        self.head = k.Dense(1, name="head")

    def call(self, x):
        self.add_loss(keras.ops.sum(self.scale))
        return self.head(self.inner(x)) * self.scale
