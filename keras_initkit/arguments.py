"""Checks of arguments: errors name the argument, the rule and the value."""

import contextlib
import difflib
import inspect
import math
import numbers
import operator
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np


def check_finite(name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is a finite number."""
    if not _is_finite(value):
        raise ValueError(
            f"`{name}` must be a finite number. Received: {name}={value!r}."
        )


def check_positive(name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is a finite number above 0."""
    if not (_is_finite(value) and value > 0):
        raise ValueError(
            f"`{name}` must be a finite number above 0. Received: {name}={value!r}."
        )


def check_count(name: str, value: Any, minimum: int = 1) -> None:
    """Raises `ValueError` unless `value` is an integer of at least `minimum`."""
    if not (is_integer(value) and operator.index(value) >= minimum):
        raise ValueError(
            f"`{name}` must be an integer of at least {minimum}. "
            f"Received: {name}={value!r}."
        )


def check_seed(name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is an integer or `None`."""
    if value is not None and not is_integer(value):
        raise ValueError(
            f"`{name}` must be an integer or None. Received: {name}={value!r}."
        )


def check_bool(name: str, value: Any) -> None:
    """Raises `TypeError` unless `value` is a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(
            f"`{name}` must be True or False. "
            f"Received: {name}={value!r} of type {type(value).__name__}"
        )


def check_function(name: str, value: Any, of: str, count: int = 1) -> None:
    """Raises `TypeError` unless `value` is a function of `count` things, named `of`."""
    if not callable(value):
        raise TypeError(
            f"`{name}` must be a function of {of}. "
            f"Received: {name}={reprlib.repr(value)} of type {type(value).__name__}."
        )
    if not takes(value, count):
        raise TypeError(
            f"`{name}` must be a function of {of}. Received: {name}="
            f"{reprlib.repr(value)}, which takes {inspect.signature(value)}."
        )


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many values, as far as it tells."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some that are built in
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def check_examples(name: str, value: Any) -> None:
    """Raises `TypeError` unless `value` is arrays with examples on their first axis.

    One array, tensor or list of numbers, or a nest of these in lists, tuples and dicts
    by name, as Keras takes them.
    """
    if not _holds_examples(value):
        raise TypeError(
            f"`{name}` must be an array, or a list, tuple or dict of arrays, with the "
            f"examples on the first axis. Received: {name}={reprlib.repr(value)} of "
            f"type {type(value).__name__}."
        )


@contextlib.contextmanager
def naming(name: str, value: Any, rule: str) -> Iterator[None]:
    """Has what others raise about an argument name it: Keras, or the user's model.

    Args:
        name: The argument.
        value: What it was given.
        rule: What it must be, behind "must".

    Raises:
        ValueError: In place of a `TypeError` or `ValueError` that does not name it.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if f"`{name}`" in str(error):
            raise
        raise ValueError(
            f"`{name}` must {rule}. Received: {name}={reprlib.repr(value)} ({error})"
        ) from error


def did_you_mean(name: Any, names: Iterable[str]) -> str:
    """Returns a question that names the likeliest of several names, or `""`."""
    near = difflib.get_close_matches(str(name), names, 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number by its type, and no bool."""
    if isinstance(value, bool):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _holds_examples(value: Any) -> bool:
    if isinstance(value, Mapping):
        named = all(isinstance(name, str) for name in value)
        return bool(value) and named and all(map(_holds_examples, value.values()))
    if isinstance(value, list | tuple):
        if not value:
            return False
        if any(isinstance(one, Mapping) or hasattr(one, "shape") for one in value):
            return all(map(_holds_examples, value))
        try:
            value = np.asarray(value)
        except ValueError:  # lists of several lengths
            return False
    shape = getattr(value, "shape", None)
    if isinstance(value, type) or shape is None or not hasattr(value, "dtype"):
        return False
    return len(shape) > 0 and getattr(value.dtype, "kind", "") != "O"
