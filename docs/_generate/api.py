"""The API reference: one page for each room, all of its public names on it."""

import inspect
import types
from collections.abc import Mapping

import keras_initkit as kik

PACKAGE = "keras_initkit"


def rooms():
    """Returns `{name: module}` of the public rooms, in the order of the package."""
    named = {name: getattr(kik, name) for name in kik.__all__}
    return {n: v for n, v in named.items() if isinstance(v, types.ModuleType)}


def pages():
    """Returns `{path below docs: text}` of all pages of the API."""
    return {"api/index.md": index()} | {
        f"api/{name}.md": page(name, room) for name, room in rooms().items()
    }


def index():
    """Returns the first page: what lies in the package itself, and the rooms."""
    rows = []
    for name in kik.__all__:
        one = getattr(kik, name)
        if not isinstance(one, types.ModuleType | str):
            room = kik._ROOM_OF[name]
            rows.append(
                f"| {{py:obj}}`kik.{name} <{PACKAGE}.{room}.{name}>` | {summary(one)} |"
            )
    lines = [
        "# API reference",
        "",
        "`import keras_initkit as kik` gives these names; each links to its entry.",
        "`kik.__version__` is the version, a string.",
        "",
        "| name | what it does |",
        "|---|---|",
        *rows,
        "",
        "Each room is a module, `kik.theory` for example.",
        "",
        "| room | what is in it |",
        "|---|---|",
        *(f"| [{name}]({name}.md) | {summary(v)} |" for name, v in rooms().items()),
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *rooms(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def page(name, room):
    """Returns the page of a room."""
    text = inspect.getdoc(room) or ""
    lines = [f"# {name}", "", text, "", "```{eval-rst}"]
    lines += [f".. py:module:: {PACKAGE}.{name}", ""]
    for public in public_names(room):
        lines += [*directive(f"{PACKAGE}.{name}.{public}", getattr(room, public)), ""]
    return "\n".join([*lines, "```"]) + "\n"


def public_names(room):
    """Returns the public names of a room: its `__all__`, a room has one."""
    return [name for name in room.__all__ if name != "__version__"]


def directive(path, one):
    """Returns the lines by which autodoc documents one public object."""
    if isinstance(one, types.ModuleType):
        members = [f".. automodule:: {one.__name__}", "   :members:"]
        called = f"The module ``{one.__name__}``:"
        return members if one.__name__ == path else [*data(path, called), "", *members]
    if inspect.isclass(one):
        return [f".. autoclass:: {path}", "   :members:"]
    if inspect.isroutine(one):
        return [f".. autofunction:: {path}"]
    return data(path, value(one))


def data(path, text):
    """Returns the lines by which a name is documented that is no function or class."""
    module, _, name = path.rpartition(".")
    return [f".. py:data:: {name}", f"   :module: {module}", "", f"   {text}"]


def value(one):
    """Returns what a public object that is no function or class is, in a sentence."""
    if isinstance(one, Mapping):
        return f"A {type(one).__name__}, by {', '.join(f'``{k}``' for k in one)}."
    if isinstance(one, str | int):
        return f"``{one!r}``"
    if isinstance(one, tuple | list | set | frozenset):
        return f"A {type(one).__name__} of {', '.join(f'``{k!r}``' for k in one)}."
    return f"``{one!r}``"


def summary(one):
    """Returns the first sentence of what something says of itself."""
    return (inspect.getdoc(one) or "").partition("\n")[0].replace("|", r"\|")
