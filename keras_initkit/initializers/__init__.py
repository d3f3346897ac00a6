"""Initializers: Keras's own and the kit's, by name, with a catalogue."""

from keras_initkit.initializers._catalog import Entry as Entry
from keras_initkit.initializers._catalog import catalog as catalog
from keras_initkit.initializers._registry import get as get
from keras_initkit.initializers._registry import seeded as seeded
from keras_initkit.initializers.variance import FanInUniform as FanInUniform

__all__ = ["get", "catalog", "seeded", "Entry", "FanInUniform"]
