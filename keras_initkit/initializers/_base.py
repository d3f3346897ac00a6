"""What the kit's initializers share: the seed rule, registration, shape checks."""

import random
import re
from typing import Any, TypeAlias

import keras

PACKAGE = "keras_initkit"
# Every registered class of the kit, in order of definition.
KIT_CLASSES: list[Any] = []
Seed: TypeAlias = int | keras.random.SeedGenerator | None


def snake_case(name):
    """Returns `name` in snake case: `"FanInUniform"` gives `"fan_in_uniform"`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def register(name=None):
    """Registers an initializer class with Keras, under two names.

    `"keras_initkit>ClassName"` is the name that saved models carry. The
    snake-case name goes into Keras's table of custom objects too, so that
    `Dense(4, kernel_initializer="delta_orthogonal")` works once the package is
    imported. An entry that another package put there is left alone.

    Args:
        name: Snake-case name. Defaults to the class name in snake case.
    """

    def decorate(cls):
        cls = keras.saving.register_keras_serializable(package=PACKAGE)(cls)
        cls.identifier = name or snake_case(cls.__name__)
        KIT_CLASSES.append(cls)
        keras.saving.get_custom_objects().setdefault(cls.identifier, cls)
        return cls

    return decorate


class SeededInitializer(keras.Initializer):
    """Base of the random initializers: Keras's seed rule, nothing else.

    An integer seed and `None` (one seed drawn at construction, from Python's
    generator, as Keras does, so that `keras.utils.set_random_seed` governs it)
    give the same values at every call; a `keras.random.SeedGenerator` gives new
    values at every call.

    Args:
        seed: Integer, `None` or `keras.random.SeedGenerator`.
    """

    def __init__(self, seed: Seed = None) -> None:
        self._init_seed = seed
        if seed is None:
            seed = random.randint(1, int(1e9))
        elif isinstance(seed, dict):
            seed = keras.saving.deserialize_keras_object(seed)
        elif not isinstance(seed, (int, keras.random.SeedGenerator)):
            raise ValueError(
                "`seed` must be an integer, None or a keras.random.SeedGenerator. "
                f"Received: seed={seed!r}."
            )
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration: the seed as it was given."""
        return {"seed": keras.saving.serialize_keras_object(self._init_seed)}


def resolve_dtype(dtype):
    """Returns the standard name of a float dtype, `keras.config.floatx()` for None."""
    dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(f"`dtype` must be a float dtype. Received: dtype={dtype!r}.")
    return dtype


def check_positive(name, value):
    """Raises `ValueError` unless the number `value` is above 0."""
    if not value > 0:
        raise ValueError(f"`{name}` must be positive. Received: {name}={value!r}.")


def check_choice(name, value, choices):
    """Raises `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be known. Use one of {tuple(sorted(choices))}. "
            f"Received: {name}={value!r}."
        )


def check_rank(cls, shape, minimum, maximum=None, layout=""):
    """Returns `shape` as a tuple of ints, or raises if its rank is out of range."""
    shape = tuple(int(n) for n in shape)
    maximum = maximum or len(shape)
    if minimum <= len(shape) <= maximum:
        return shape
    if minimum == maximum:
        rule = f"rank {minimum}"
    elif maximum == len(shape):
        rule = f"rank {minimum} or more"
    else:
        rule = f"rank {minimum} to {maximum}"
    layout = f" {layout}" if layout else ""
    raise ValueError(
        f"{cls.__name__}: `shape` must have {rule}{layout}. Received: shape={shape}."
    )


def check_multiple(cls, shape, name, value):
    """Raises `ValueError` unless the last axis of `shape` is a multiple of `value`."""
    if shape[-1] % value:
        raise ValueError(
            f"{cls.__name__}: `shape` must end in a multiple of {name}={value}. "
            f"Received: shape={shape}."
        )


def split_seed(seed, count):
    """Returns `count` seeds for independent draws within one call.

    Integers give integers, the first of them `seed` itself; a
    `keras.random.SeedGenerator` is returned `count` times, since it moves on.
    """
    if isinstance(seed, keras.random.SeedGenerator):
        return [seed] * count
    # The golden ratio's multiples are spread evenly over 31 bits.
    return [(seed + n * 0x9E3779B1) % 2**31 if n else seed for n in range(count)]


def working_dtype(dtype):
    """Returns the dtype to compute in: float32, or float64 if that is wanted.

    Factorisations do not exist in half precision, and sums lose digits there.
    """
    return "float64" if dtype == "float64" else "float32"
