"""What the kit's initializers share: the seed rule, registration, checks."""

import random
import re
from typing import Any, NoReturn, TypeAlias

import keras

from keras_initkit.structure import keras_private, roles
from keras_initkit.structure.weight import Weight, weight_of

PACKAGE = "keras_initkit"
# Every registered class of the kit, in order of definition.
KIT_CLASSES: list[Any] = []
Seed: TypeAlias = int | keras.random.SeedGenerator | None


def snake_case(name):
    """Returns `name` in snake case: `"FanInUniform"` gives `"fan_in_uniform"`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def register(name=None):
    """Registers an initializer class with Keras, under three names.

    `"keras_initkit>ClassName"` is the name that saved models carry. The
    snake-case name and the class's own go into Keras's table of custom objects too, so
    that `Dense(4, kernel_initializer="delta_orthogonal")` works once the package is
    imported. Entries of other packages are left alone.

    Args:
        name: Snake-case name. Defaults to the class name in snake case.
    """

    def decorate(cls):
        cls = keras.saving.register_keras_serializable(package=PACKAGE)(cls)
        cls.identifier = name or snake_case(cls.__name__)
        KIT_CLASSES.append(cls)
        for alias in (cls.identifier, cls.__name__):
            keras.saving.get_custom_objects().setdefault(alias, cls)
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
            seed = random.randint(1, int(1e9))  # noqa: S311 - of weights, no secret
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


class Structural(keras.Initializer):
    """Base of initializers whose meaning depends on the layer, not just on the shape.

    The same shape is a plain kernel to one layer and holds several matrices for
    another. `fit` says what is right for a weight. Where Keras asks for values while a
    layer of a known kind makes its weights, it is asked first: what would be wrong
    there is refused. Where Keras draws later, after a symbolic build, it does not tell
    the layer, and the shape is read as a plain kernel's.
    """

    def fit(self, weight: Weight) -> keras.Initializer:
        """Returns what is right for a weight: this, or one that is told more.

        Raises:
            ValueError: If it has no meaning for this weight.
        """
        raise NotImplementedError

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a shape that is plain."""
        raise NotImplementedError

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype.

        Raises:
            ValueError: If the layer that asks stores its weight in a way that the shape
                does not tell, or the shape is none of those that are named above.
        """
        shape, dtype = tuple(int(n) for n in shape), resolve_dtype(dtype)
        one = self
        for weight in _asked_for(self):
            one = self.fit(weight)
            if type(one) is not type(self):
                raise ValueError(
                    f"{type(self).__name__}: `shape` must be that of a plain kernel "
                    "(*spatial, in, out); fit the initializer to the layer by "
                    "`kik.initializers.for_layer`, or give it to the built model by "
                    f"`kik.reinitialize`. Received: shape={shape}, {weight.label}, "
                    f"which is {weight.layout.rule}."
                )
        return one.draw(shape, dtype)

    def refuse(self, weight: Weight, rule: str) -> NoReturn:
        """Raises the error that says why this has no meaning for a weight."""
        refuse(self, weight, rule)


def refuse(initializer: Any, weight: Weight, rule: str) -> NoReturn:
    """Raises the error that says why an initializer has no meaning for a weight."""
    raise ValueError(
        f"{type(initializer).__name__}: the weight must be {rule}. "
        f"Received: {weight.label}."
    )


def _asked_for(initializer):
    """Lists the weights that Keras may be making by an initializer right now."""
    layer = keras_private.layer_in_making()
    kind = None if layer is None else roles.kind_of(layer)
    return [
        weight_of(layer, name)
        for name in (kind.roles if kind else ())
        if _holds(roles.initializer_of(layer, name), initializer)
    ]


def _holds(outer, inner):
    """Whether an initializer is another, or hands its shape on to it."""
    while outer is not None and outer is not inner:
        outer = getattr(outer, "base", None) if hasattr(outer, "factor") else None
    return outer is not None


def draw(initializer, shape, dtype):
    """Draws from any initializer, in half precision from those, too, that factorize.

    Keras's `Orthogonal` runs its QR in the dtype asked for, which bfloat16 has not.
    """
    if isinstance(initializer, keras.initializers.Orthogonal):
        values = initializer(shape, dtype=working_dtype(dtype))
        return keras.ops.cast(values, dtype)
    return initializer(shape, dtype=dtype)


def resolve_dtype(dtype):
    """Returns the standard name of a float dtype, `keras.config.floatx()` for None."""
    dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(f"`dtype` must be a float dtype. Received: dtype={dtype!r}.")
    return dtype


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
    return [nth_seed(seed, n) for n in range(count)]


def nth_seed(seed, n):
    """Returns the `n`th of the seeds that `split_seed` makes of one."""
    if isinstance(seed, keras.random.SeedGenerator) or n == 0:
        return seed
    # The golden ratio's multiples are spread evenly over 31 bits.
    return (seed + n * 0x9E3779B1) % 2**31


def working_dtype(dtype):
    """Returns the dtype to compute in: float32, or float64 if that is wanted.

    Factorisations do not exist in half precision, and sums lose digits there.
    """
    return "float64" if dtype == "float64" else "float32"
