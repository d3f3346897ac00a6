"""Configurations without the numbers that Keras gives to names.

The second `Dense` of a process is called `dense_1` whatever the model: such names say
when a model was built, not what it is.
"""

import re
from collections.abc import Iterator
from typing import Any

# Where a configuration refers to layers by their names.
_REFERENCES = ("keras_history", "input_layers", "output_layers", "inbound_nodes")


def without_numbers(config: Any) -> Any:
    """Returns a configuration in which such names are numbered from 0.

    Example:
    >>> without_numbers({"class_name": "Dense", "config": {"name": "dense_7"}})
    {'class_name': 'Dense', 'config': {'name': 'dense#0'}}
    """
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for kind, name in _named(config):
        stem = _snake(kind)
        if name not in names and re.fullmatch(rf"{re.escape(stem)}(_\d+)?", name):
            names[name] = f"{stem}#{counts.get(stem, 0)}"
            counts[stem] = counts.get(stem, 0) + 1
    return _renamed(config, names)


def _named(config: Any) -> Iterator[tuple[str, str]]:
    """Yields class and name of each object in a configuration."""
    if isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        if (
            isinstance(kind, str)
            and isinstance(inner, dict)
            and (isinstance(inner.get("name"), str))
        ):
            yield kind, inner["name"]
        for value in config.values():
            yield from _named(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _named(value)


def _renamed(config: Any, names: dict[str, str], refers: bool = False) -> Any:
    if isinstance(config, dict):
        return {
            key: names.get(value, value)
            if key == "name" and isinstance(value, str)
            else _renamed(value, names, key in _REFERENCES)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return [
            names.get(value, value)
            if refers and isinstance(value, str)
            else _renamed(value, names, refers)
            for value in config
        ]
    return config


def _snake(name: str) -> str:
    """Returns the name that Keras makes of that of a class."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
