"""Identifiers: from a name, config, class or instance to an initializer."""

import difflib
import functools
import hashlib
import inspect
from typing import Any

import keras

from keras_initkit.initializers._base import KIT_CLASSES, PACKAGE

# Short names, and those of an introductory slide deck for what they really are there.
ALIASES = {
    "zero": ("zeros", {}),
    "random": ("random_uniform", {"minval": -1.0, "maxval": 1.0}),
    "xavier": ("glorot_uniform", {}),
    "he": ("he_normal", {}),
    "slide_xavier": ("fan_in_uniform", {"scale": 1.0}),
    "slide_he": ("fan_in_uniform", {"scale": 2.0}),
}


def get(identifier: Any) -> Any:
    """Returns an initializer for any Keras or kit identifier.

    Names registered with Keras, or in a `custom_object_scope`, take precedence; then
    names of the kit (`"delta_orthogonal"`, `"DeltaOrthogonal"`,
    `"keras_initkit>DeltaOrthogonal"`) and the aliases of `catalog()`. Everything else
    is Keras's: its names, a config, a class, an instance, any callable `(shape,
    dtype=None)`, an array, or `None` (which stays `None`).

    Args:
        identifier: What names or is the initializer.

    Returns:
        A new instance for a name, config or class; an instance or callable
        itself otherwise.

    Raises:
        ValueError: If the identifier is unknown, or its class needs arguments.

    Example:
    >>> import keras_initkit as kik
    >>> type(kik.initializers.get("he")).__name__
    'HeNormal'
    """
    try:
        if isinstance(identifier, str):
            other = keras.saving.get_registered_object(identifier)
            build = _builders().get(identifier.removeprefix(f"{PACKAGE}>"))
            if build is not None and other in (None, *KIT_CLASSES):
                return build()
        return keras.initializers.get(identifier)
    except TypeError as error:
        raise ValueError(
            "`identifier` must name an initializer that needs no arguments; pass an "
            f"instance or a config instead. Received: identifier={identifier!r} "
            f"({error})."
        ) from error
    except ValueError as error:
        if isinstance(identifier, str) and identifier not in _choices():
            raise ValueError(_unknown(identifier)) from error
        raise ValueError(
            "`identifier` must name an initializer or be one, its config, its class or "
            f"a function. Received: identifier={identifier!r} ({error})."
        ) from error


def get_base(identifier: Any) -> Any:
    """Returns the initializer that another one wraps.

    Raises:
        ValueError: As `get`, or if there is none.
    """
    base = get(identifier)
    if base is None:
        raise ValueError(
            "`base` must be an initializer or name one. Received: base=None."
        )
    return base


def seeded(identifier: Any, seed: int | None, path: str) -> Any:
    """Returns a new initializer with its own seed, derived from `seed`.

    Two layers that share one unseeded instance start from identical weights in
    Keras 3 whenever their shapes agree. Built through this function, each layer
    gets its own instance and its own seed, the same in every process.

    Args:
        identifier: Anything `get` takes.
        seed: Integer, or `None` for an unseeded instance. Either replaces the seed
            that `identifier` carries.
        path: String that identifies this weight, such as its layer's path.

    Returns:
        A new `keras.Initializer`. One that takes no seed is copied, a plain function
        returned as it is. Initializers inside an initializer are seeded as well.

    Raises:
        ValueError: As `get`, or if `seed` is neither an integer nor `None`.

    Example:
    >>> import keras_initkit as kik
    >>> kik.initializers.seeded("he_normal", 0, "dense_1/kernel").seed
    2113775746
    """
    if seed is not None and not isinstance(seed, int):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}.")
    initializer = get(identifier)
    if not isinstance(initializer, keras.Initializer):
        return initializer
    config = initializer.get_config()
    for key in config:
        inner = getattr(initializer, key, None)
        if key == "seed":
            config[key] = None if seed is None else derive_seed(seed, path)
        elif isinstance(inner, keras.Initializer):
            config[key] = seeded(inner, seed, f"{path}:{key}")
    return type(initializer).from_config(config)


def derive_seed(seed, path):
    """Derives a 31-bit seed from an integer and a path, the same in every process."""
    named = f"{seed}:{path}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(named).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _builders():
    """Maps every name of Keras and the kit to what builds its initializer."""
    table: dict[str, Any] = {
        name: obj
        for name, obj in vars(keras.initializers).items()
        if inspect.isclass(obj) and issubclass(obj, keras.Initializer)
    }
    for cls in KIT_CLASSES:
        table[cls.__name__] = table[cls.identifier] = cls
    for alias, (name, arguments) in ALIASES.items():
        table[alias] = functools.partial(table[name], **arguments)
    return table


def _choices():
    return sorted(n for n in _builders() if n == n.lower() and n != "initializer")


def _unknown(identifier):
    choices = _choices()
    near = difflib.get_close_matches(identifier.lower(), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"`identifier` must name a Keras or kit initializer.{hint} "
        f"Use one of {tuple(choices)}. Received: identifier={identifier!r}."
    )
