"""What an object is made of, as a digest: values, code, and what code closes over.

Code is told by its instructions, constants and names, so that comments and the place
in a file do not count. What comes with an installed package is told by its name, and
the package by its version.
"""

import functools
import hashlib
import os
import sys
import sysconfig
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_initkit.experiments.store.names import without_numbers

_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes, range)
_OF_KERAS = (
    keras.Layer,
    keras.Initializer,
    keras.Optimizer,
    keras.Loss,
    keras.Metric,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.optimizers.schedules.LearningRateSchedule,
)
# What classes hold that says nothing of what they do.
_NO_CODE = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__qualname__",
    "__annotations__",
    "__firstlineno__",
    "__static_attributes__",
}
_PACKAGE = __name__.partition(".")[0]


class Fingerprint(NamedTuple):
    """What objects are made of.

    Attributes:
        digest: Hexadecimal digest.
        packages: `{installed package: version}` of those that they use.
        unseen: What could not be looked into, in words.
    """

    digest: str
    packages: dict[str, str]
    unseen: tuple[str, ...]


def fingerprint(*objects: Any) -> Fingerprint:
    """Returns the fingerprint of objects: the same in every process."""
    walk = _Walk()
    for one in objects:
        walk.add(one)
    packages = dict(sorted(walk.packages.items()))
    return Fingerprint(walk.hash.hexdigest(), packages, tuple(walk.unseen))


class _Walk:
    """Goes through objects depth first, and hashes what it meets."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self.packages: dict[str, str] = {}
        self.unseen: list[str] = []
        self._numbers: dict[int, int] = {}  # of code and of what is being walked
        self._kept: list[Any] = []  # so that no other object gets its id

    def put(self, *words: Any) -> None:
        for word in words:
            if not isinstance(word, bytes):
                word = str(word).encode("utf-8", "surrogatepass")
            self.hash.update(len(word).to_bytes(8, "little") + word)

    def add(self, one: Any) -> None:
        if isinstance(one, _PLAIN):
            self.put(type(one).__name__, repr(one))
            return
        if id(one) in self._numbers:
            self.put("again", self._numbers[id(one)])
            return
        self._numbers[id(one)] = len(self._kept)
        self._kept.append(one)
        self._add_new(one)
        if not isinstance(one, types.FunctionType | type | types.ModuleType):
            # Whether equal values are one object says nothing.
            del self._numbers[id(one)]

    def _add_new(self, one: Any) -> None:
        if isinstance(one, list | tuple):
            self._each(type(one).__name__, one)
        elif isinstance(one, dict):
            self._each("dict", [part for item in one.items() for part in item])
        elif isinstance(one, set | frozenset):
            digests = sorted(fingerprint(part).digest for part in one)
            self._each("set", digests)
        elif isinstance(one, types.CodeType):
            self._code(one)
        elif isinstance(one, types.ModuleType):
            self._module(one)
        elif isinstance(one, type):
            self._class(one)
        elif isinstance(one, types.FunctionType):
            self._function(one)
        elif isinstance(one, types.BuiltinFunctionType):
            self.put("builtin", one.__qualname__)
            self.add(one.__self__)
        elif isinstance(one, types.MethodType):
            self._each("method", [one.__self__, one.__func__])
        elif isinstance(one, staticmethod | classmethod):
            self._each(type(one).__name__, [one.__func__])
        elif isinstance(one, property):
            self._each("property", [one.fget, one.fset, one.fdel])
        elif isinstance(one, functools.partial):
            self._each("partial", [one.func, one.args, one.keywords])
        elif hasattr(one, "__wrapped__"):
            self._each("wrapper", [one.__wrapped__])
        elif isinstance(one, np.ndarray | np.generic) or keras.ops.is_tensor(one):
            self._array(one)
        elif isinstance(one, keras.Variable):
            self._array(one.numpy())
        elif isinstance(one, _OF_KERAS):
            self._of_keras(one)
        else:
            self._object(one)

    def _each(self, kind: str, parts: Any) -> None:
        self.put(kind, len(parts))
        for part in parts:
            self.add(part)

    def _array(self, array: Any) -> None:
        array = np.asarray(array)
        if array.dtype.hasobject:
            self._each("objects", [array.shape, array.ravel().tolist()])
            return
        self.put("array", array.dtype.str, array.shape)
        self.hash.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _code(self, code: types.CodeType) -> None:
        self.put("code", code.co_code, code.co_flags, code.co_argcount)
        self.put(code.co_kwonlyargcount, code.co_posonlyargcount)
        self._each("names", [code.co_names, code.co_varnames, code.co_freevars])
        # The first constant of a function may be what documents it.
        self._each("constants", [c for c in code.co_consts if not _is_text(c, code)])

    def _function(self, function: types.FunctionType) -> None:
        if not _is_own(function.__module__):
            self._installed(function)
            return
        self.put("function")
        self._code(function.__code__)
        self._each("defaults", [function.__defaults__, function.__kwdefaults__])
        names = zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        )
        for name, cell in names:
            self.put(name)
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not assigned yet
                self.put("empty")
        for name in sorted(set(_names_in(function.__code__))):
            if name in function.__globals__:
                self.put(name)
                self.add(function.__globals__[name])

    def _class(self, one: type) -> None:
        if not _is_own(one.__module__):
            self._installed(one)
            return
        parts = {n: v for n, v in sorted(vars(one).items()) if n not in _NO_CODE}
        self._each("class", [one.__bases__, parts])

    def _module(self, module: types.ModuleType) -> None:
        name = module.__name__
        if not _is_own(name):
            self._installed(module)
            return
        self.put("module", name)
        file = getattr(module, "__file__", None)
        if file is None or not os.path.isfile(file):
            self.unseen.append(f"the module {name}, which has no file")
            return
        with open(file, "rb") as source:
            self.put(source.read())
        for value in list(vars(module).values()):
            other = value if isinstance(value, types.ModuleType) else None
            if other is None:
                other = sys.modules.get(getattr(value, "__module__", None) or "")
            if other is not None and _is_own(other.__name__):
                self.add(other)

    def _installed(self, one: Any) -> None:
        module = str(getattr(one, "__module__", None) or one.__name__)
        package = module.partition(".")[0]
        self.put("installed", module, getattr(one, "__qualname__", ""))
        if package not in sys.stdlib_module_names:
            found = getattr(sys.modules.get(package), "__version__", None)
            self.packages[package] = str(found or "of an unknown version")

    def _of_keras(self, one: Any) -> None:
        self.add(type(one))
        try:
            self.add(without_numbers(one.get_config()))
        except Exception:  # whatever a class of the user's own raises
            self.unseen.append(f"the configuration of {type(one).__name__}")
        for variable in getattr(one, "variables", ()):
            self.add(variable)

    def _object(self, one: Any) -> None:
        try:
            reduced = one.__reduce_ex__(2)
        except Exception:  # what cannot be pickled raises what it likes
            self.add(type(one))
            self.unseen.append(f"an object of type {type(one).__name__}")
            return
        if isinstance(reduced, str):
            self.put("global", reduced)
            return
        parts = list(reduced[:3]) + [
            None if more is None else list(more) for more in reduced[3:5]
        ]
        self._each("object", parts)


def _is_text(constant: Any, code: types.CodeType) -> bool:
    """Whether a constant is the text that documents a function."""
    is_first = bool(code.co_consts) and constant is code.co_consts[0]
    return is_first and isinstance(constant, str)


def _names_in(code: types.CodeType) -> Iterator[str]:
    """Yields the global names that code and what is defined in it may use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


@functools.cache
def _installed_places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(os.path.realpath(paths[name]) + os.sep for name in names)


def _is_own(module: str | None) -> bool:
    """Whether a module is the user's own: neither built in nor installed."""
    if not module or module == "__main__":
        return True
    if module.partition(".")[0] in (_PACKAGE, f"{_PACKAGE}_light"):
        return False
    found = sys.modules.get(module)
    if found is None:
        return module.partition(".")[0] not in sys.stdlib_module_names
    file = getattr(found, "__file__", None)
    if file is None:  # built in, or a name space that holds no code
        return module not in sys.builtin_module_names and module not in (
            sys.stdlib_module_names
        )
    path = os.path.realpath(file)
    return not (path.startswith(_installed_places()) or "site-packages" in path)
