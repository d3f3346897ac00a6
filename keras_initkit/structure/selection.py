"""`Selection`: the layers that a user named, in whichever way."""

import fnmatch
import re

import keras

from keras_initkit.arguments import naming, takes
from keras_initkit.structure import keras_private


class Selection:
    """Some layers of a model.

    A layer is named by one of
    - its name or path, or a shell pattern of either (`"block1/*"`);
    - a compiled regular expression that is found somewhere in its path;
    - its class, or a class that it derives from;
    - a function that takes a layer and returns whether it is meant;
    - the layer itself.

    Naming a layer names those inside it, too (the cell of a recurrent layer, the layers
    of a nested model).

    Args:
        layers: One of these or a list of them; all layers by default.
        exclude: What is not meant in spite of `layers`; nothing by default.

    Raises:
        TypeError: If `layers` or `exclude` is none of these.
    """

    def __init__(self, layers=None, exclude=None):
        self.all = layers is None
        self._layers = listed("layers", layers)
        self._exclude = listed("exclude", exclude)

    def of(self, named):
        """Returns those of all layers of a model that are meant.

        Args:
            named: List of `(name, layer)`.

        Raises:
            ValueError: If something named is not there, or nothing is left.
        """
        excluded = matched("exclude", self._exclude, named)
        wanted = matched("layers", self._layers, named)
        chosen = [
            (name, layer)
            for name, layer in named
            if (self.all or id(layer) in wanted) and id(layer) not in excluded
        ]
        if named and not chosen:
            raise ValueError(
                "`layers` and `exclude` must leave at least one of the layers "
                f"{[name for name, _ in named]}. "
                f"Received: layers={self._layers if not self.all else None}, "
                f"exclude={self._exclude}"
            )
        return chosen


def listed(argument, selectors):
    """Returns selectors as a list, each of a kind that `Selection` takes.

    Raises:
        TypeError: If one is of another kind; `argument` is what the user calls them.
    """
    if selectors is None:
        return []
    several = isinstance(selectors, list | tuple | set | frozenset)
    selectors = list(selectors) if several else [selectors]
    for selector in selectors:
        if not _is_selector(selector):
            raise TypeError(
                f"`{argument}` must be a name, shell pattern, compiled regular "
                "expression, layer class, function of a layer, layer, or a list of "
                f"these. Received: {selector!r}"
            )
    return selectors


def _is_selector(selector):
    if isinstance(selector, str | re.Pattern | type | keras.Layer):
        return True
    return callable(selector) and takes(selector, 1)


def meant_by(selector, named):
    """Returns the ids of the layers that a selector names, and of those inside them.

    Args:
        selector: One of what `Selection` takes.
        named: List of `(name, layer)`, all layers of a model.
    """
    hits = [layer for name, layer in named if _matches(selector, name, layer)]
    return {
        id(part)
        for layer in hits
        for part in keras_private.layers_below(layer, include_self=True)
    }


def matched(argument, selectors, named):
    """Returns the ids of all layers that selectors name, and of those inside them.

    Raises:
        TypeError: If one is of a kind that `Selection` does not take.
        ValueError: If one names nothing; `argument` is what the user calls them.
    """
    ids: set = set()
    for selector in listed(argument, selectors):
        with naming(argument, selector, "choose layers"):
            meant = meant_by(selector, named)
        if not meant:
            raise ValueError(
                f"`{argument}` must name layers of the model or match some. Received: "
                f"{selector!r}, which matches none of {[name for name, _ in named]}."
            )
        ids |= meant
    return ids


def _matches(selector, name, layer):
    if isinstance(selector, str):
        return selector in (name, layer.name) or any(
            fnmatch.fnmatchcase(candidate, selector) for candidate in (name, layer.name)
        )
    if isinstance(selector, re.Pattern):
        return selector.search(name) is not None
    if isinstance(selector, type):
        return isinstance(layer, selector)
    if isinstance(selector, keras.Layer):
        return layer is selector
    return bool(selector(layer))
