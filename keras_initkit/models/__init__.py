"""Reference models whose initializers are arguments, compiled and ready to train."""

from keras_initkit.models._registry import (
    NAMES,
    build,
    default_for,
    options_of,
    spec_of,
)
from keras_initkit.models._spec import ModelSpec

__all__ = ["build", "default_for", "spec_of", "options_of", "ModelSpec", "NAMES"]
