"""All that a forward pass can move in a model, kept and put back."""

import collections
import contextlib
import types
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_initkit.structure import keras_private, tensorflow_private

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_CONTAINERS = (list, dict, set, collections.deque)
_MISSING = object()
# Where objects come from that keep their state in variables, or have none to keep.
_LIBRARIES = ("keras", "tensorflow", "numpy", "jax", "torch", "builtins", "weakref")


class State:
    """What a model and all that it holds are at a moment.

    Kept are the values of variables wherever a layer, metric, optimizer or an object of
    one's own holds them (seed generators and counters among them), the losses added,
    and of objects that are not Keras's the attributes that are numbers, texts, arrays,
    tensors, or lists, dicts and sets of these. What only a closure or a module holds
    is out of reach.

    Args:
        model: A Keras model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._values: list[tuple[Any, Any]] = []
        self._attributes: list[tuple[Any, dict[str, Any], int]] = []
        self._contents: list[tuple[Any, Any]] = []
        self._losses = keras_private.added_losses(model)
        for held in _reachable(model):
            if is_variable(held):
                self._values.append((held, _value_of(held)))
            elif isinstance(held, (*_CONTAINERS, np.ndarray)):
                if _is_movable(held):
                    self._contents.append((held, _copy_of(held)))
            elif _has_own_attributes(held):
                names = dict(_own_attributes(held))
                self._attributes.append((held, names, _count_of(held)))

    def restore(self, but: Any = ()) -> None:
        """Puts all back, but for the variables in `but`."""
        for variable, value in self._values:
            if variable not in but:
                variable.assign(value)
        for held, names, count in self._attributes:
            if _count_of(held) == count:  # else it has just made weights of its own
                _restore_attributes(held, names)
        for container, content in self._contents:
            _restore_content(container, content)
        keras_private.set_added_losses(self._model, self._losses)


class Attributes:
    """What Python holds of a model at a moment, values of variables apart.

    That is the attributes of its optimizers and of objects whose classes are not
    Keras's, and the content of lists, dicts and sets of numbers, texts and tensors.

    Args:
        model: A Keras model.

    Attributes:
        variables: The ids of all variables that it holds, wherever.
    """

    def __init__(self, model: Any) -> None:
        held = list(_reachable(model))
        self.variables = {id(one) for one in held if is_variable(one)}
        self._attributes = [(one, dict(vars(one))) for one in held if _is_own(one)]
        self._contents = [
            (one, _copy_of(one))
            for one in held
            if isinstance(one, _CONTAINERS) and _is_movable(one)
        ]

    def changed(self) -> "Changed":
        """Returns those that are others now, as they were."""
        attributes = [
            (vars(one), name, before.get(name, _MISSING))
            for one, before in self._attributes
            for name in {**before, **vars(one)}
            if not _is_kept_by_keras(one, name)
            and vars(one).get(name, _MISSING) is not before.get(name, _MISSING)
        ]
        contents = [
            pair
            for pair in self._contents
            if _is_movable(pair[0]) and not _is_same(*pair)
        ]
        return Changed(attributes, contents)


class Changed(NamedTuple):
    """What Python held before: attributes, and contents of containers."""

    attributes: Sequence[tuple[dict[str, Any], str, Any]] = ()
    contents: Sequence[tuple[Any, Any]] = ()

    @contextlib.contextmanager
    def undone(self) -> Iterator[None]:
        """Has all be as it was, for as long as a `with` lasts."""
        attributes = [(o, n, o.get(n, _MISSING)) for o, n, _ in self.attributes]
        now = Changed(attributes, [(one, _copy_of(one)) for one, _ in self.contents])
        try:
            self._put()
            yield
        finally:
            now._put()

    def _put(self) -> None:
        for owner, name, value in self.attributes:
            if value is _MISSING:
                owner.pop(name, None)
            else:
                owner[name] = value
        for container, content in self.contents:
            _restore_content(container, content)


def _is_own(held: Any) -> bool:
    if is_variable(held) or isinstance(held, (*_CONTAINERS, np.ndarray)):
        return False
    return isinstance(held, keras.optimizers.Optimizer) or not _is_of_a_library(held)


def _is_kept_by_keras(held: Any, name: str) -> bool:
    """Whether an attribute is Keras's own business: on a layer, all but `built`."""
    if name == "built" or not isinstance(held, keras.Layer):
        return False
    return name in keras_private.own_attributes()


def is_variable(held: Any) -> bool:
    """Whether something is a variable of Keras or of TensorFlow."""
    if isinstance(held, keras.Variable):
        return True
    # Without an import of TensorFlow, which other backends may do without.
    return any(
        kind.__name__ in ("BaseResourceVariable", "DistributedVariable")
        and kind.__module__.startswith("tensorflow")
        for kind in type(held).__mro__
    )


def _reachable(model: Any) -> Iterator[Any]:
    """Yields what a model holds: variables, containers and objects, each once."""
    # Objects are held as well as their ids: a temporary one's might be taken again.
    seen: dict[int, Any] = {}
    waiting = [
        model,
        *getattr(model, "variables", ()),
        *getattr(model, "metrics", ()),
    ]
    while waiting:
        held = waiting.pop()
        if id(held) in seen or isinstance(held, _PLAIN):
            continue
        seen[id(held)] = held
        if is_variable(held):
            yield held
        elif isinstance(held, dict):
            yield held
            waiting += list(held.values())
        elif isinstance(held, (*_CONTAINERS, tuple, frozenset)):
            if not isinstance(held, (tuple, frozenset)):
                yield held
            waiting += list(held)
        elif isinstance(held, np.ndarray):
            yield held
        elif _is_worth_a_look(held):
            yield held
            waiting += list(vars(held).values())


def _is_worth_a_look(held: Any) -> bool:
    """Whether an object may hold variables or state of its own."""
    if isinstance(held, (type, types.ModuleType, types.FunctionType, types.MethodType)):
        return False
    if not isinstance(getattr(held, "__dict__", None), dict):
        return False
    return keras_private.is_stateful(held) or not _is_of_a_library(held)


def _is_of_a_library(held: Any) -> bool:
    return type(held).__module__.partition(".")[0] in _LIBRARIES


def _has_own_attributes(held: Any) -> bool:
    """Whether attributes are restored: of objects that are built and not Keras's."""
    return not _is_of_a_library(held) and bool(getattr(held, "built", True))


def _own_attributes(held: Any) -> Iterator[tuple[str, Any]]:
    """Yields the attributes that a `call` may rebind: Keras's own are left out."""
    private = keras_private.own_attributes() if isinstance(held, keras.Layer) else ()
    for name, value in vars(held).items():
        if name not in private and (_is_value(value)):
            yield name, value


def _is_value(value: Any) -> bool:
    """Whether an attribute is a number, text, array, tensor, or a tuple of these."""
    if isinstance(value, tuple):
        return all(map(_is_value, value))
    plain = isinstance(value, (*_PLAIN, np.ndarray))
    return plain or (keras.ops.is_tensor(value) and not is_variable(value))


def _restore_attributes(held: Any, names: dict[str, Any]) -> None:
    # Beside `__setattr__`, by which Keras would track anew what it has tracked.
    now = dict(_own_attributes(held))
    for name in now.keys() - names.keys():
        del vars(held)[name]
    for name, value in names.items():
        vars(held)[name] = value


def _is_movable(container: Any) -> bool:
    """Whether a container's content is put back: not where it holds layers, weights."""
    if isinstance(container, np.ndarray):
        return container.flags.writeable
    held = container.values() if isinstance(container, dict) else container
    return all(_is_value(one) or isinstance(one, _CONTAINERS) for one in held)


def _copy_of(container: Any) -> Any:
    plain = tensorflow_private.untracked(container)
    kinds = (list, dict, set)
    for kind in kinds:
        if isinstance(plain, kind):
            return kind(plain)
    return plain.copy()


def _restore_content(container: Any, content: Any) -> None:
    if not _is_movable(container) or _is_same(container, content):
        return
    # Keras and TensorFlow have kinds of their own, which track what is put in.
    plain = tensorflow_private.untracked(container)
    if isinstance(plain, np.ndarray):
        if plain.shape == content.shape:
            plain[...] = content
    elif isinstance(plain, list):
        list.__setitem__(plain, slice(None), list(content))
    elif isinstance(plain, dict):
        dict.clear(plain)
        dict.update(plain, content)
    elif isinstance(plain, set):
        set.clear(plain)
        set.update(plain, content)
    else:
        plain.clear()
        plain.extend(content)
    tensorflow_private.note_content(container)


def _is_same(container: Any, content: Any) -> bool:
    """Whether a container holds the same objects as it did."""
    if isinstance(container, np.ndarray):
        return bool(np.array_equal(container, content, equal_nan=False))
    if len(container) != len(content):
        return False
    if isinstance(container, set):
        return container == content
    if isinstance(container, dict):
        pairs = zip(container.items(), content.items(), strict=True)
        return all(a == c and b is d for (a, b), (c, d) in pairs)
    return all(a is b for a, b in zip(container, content, strict=True))


def _count_of(held: Any) -> int:
    return len(held.variables) if isinstance(held, keras.Layer) else 0


def _value_of(variable: Any) -> Any:
    """Returns a value that stays as it is when the variable is assigned."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Shares the memory until then.
        value = variable.value if isinstance(variable, keras.Variable) else variable
        return tf.convert_to_tensor(value)
    return np.array(keras.ops.convert_to_numpy(variable.value))
