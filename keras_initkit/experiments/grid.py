"""What is compared: initializers by their labels, points of a grid, seeds."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_initkit import initializers as initializers_room
from keras_initkit.arguments import check_count, is_integer, naming
from keras_initkit.experiments.starts import STARTS

# Arguments of `build_model` that are no axes of a grid.
_TAKEN = ("initializer", "seed")

_MOST_SEED = 2**32 - 1  # that Keras takes


class Point(NamedTuple):
    """One point of a grid.

    Attributes:
        shown: `{argument: value}` as JSON and file names take it.
        options: `{argument: value}` as the model is built with.
    """

    shown: dict[str, Any]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name: `"depth=5,learning_rate=0.01"`, empty without a grid."""
        return point_name(self.shown)


def point_name(shown: Mapping[str, Any]) -> str:
    """Returns the name of a point of a grid."""
    return ",".join(f"{name}={value}" for name, value in shown.items())


def row_name(initializer: str, shown: Mapping[str, Any]) -> str:
    """Returns the name of an initializer at a point of a grid."""
    return " ".join(part for part in (initializer, point_name(shown)) if part)


def points(grid: Mapping[str, Any] | None) -> list[Point]:
    """Returns all points of a grid; one without arguments where there is no grid.

    Args:
        grid: `{argument: values}`, each a sequence, or `{label: value}`.

    Raises:
        ValueError: If it is no such mapping, an axis is empty or holds a value twice,
            or an argument is taken.
    """
    if grid is None:
        return [Point({}, {})]
    if not isinstance(grid, Mapping) or not grid:
        raise ValueError(
            "`grid` must be a dict of arguments of `build_model` and their values, as "
            f'{{"depth": [5, 30]}}. Received: grid={grid!r}'
        )
    axes = [_axis(name, values) for name, values in grid.items()]
    return [
        Point(
            {name: label for name, (label, _) in zip(grid, values, strict=True)},
            {name: value for name, (_, value) in zip(grid, values, strict=True)},
        )
        for values in itertools.product(*axes)
    ]


def axes(points: Sequence[Point]) -> dict[str, tuple[Any, ...]]:
    """Returns `{argument: values}` of points, as JSON takes them."""
    # By their labels: 1, 1.0 and True are equal, and three values.
    return {
        name: tuple({str(p.shown[name]): p.shown[name] for p in points}.values())
        for name in points[0].shown
    }


def _axis(name: Any, values: Any) -> list[tuple[Any, Any]]:
    """Returns the labels and values of an axis."""
    if not isinstance(name, str) or name in _TAKEN:
        raise ValueError(
            "`grid` must name arguments of `build_model` other than `initializer` and "
            f"`seed`. Received: {name!r}"
        )
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(values, Mapping):
        pairs = list(values.items())
    elif isinstance(values, Sequence) and not isinstance(values, str):
        pairs = [(_shown(value), value) for value in values]
    else:
        raise ValueError(
            "`grid` must hold a list of values for each argument, or a dict "
            f"`{{label: value}}`. Received: {name!r}: {values!r}"
        )
    labels = [str(label) for label, _ in pairs]
    if not pairs or len(set(labels)) < len(labels):
        raise ValueError(
            "`grid` must hold at least one value for each argument, without "
            "repetition; values that look alike need labels, `{label: value}`. "
            f"Received: {name!r}: {labels}"
        )
    for label in labels:
        if not names_a_directory(f"{name}={label}"):
            raise ValueError(
                "`grid` must have names and values that can name a directory; give "
                f"labels, `{{label: value}}`. Received: {name!r}: {label!r}"
            )
    return pairs


def _shown(value: Any) -> Any:
    """Returns a value as JSON takes it, or the label that stands for it."""
    if value is None:
        return "None"  # dashboards have no such value
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    try:
        return json.loads(json.dumps(value.item()))  # a number of numpy's
    except (AttributeError, TypeError, ValueError):
        return label_of(value)


def label_of(value: Any) -> str:
    """Returns what something is called in results and file names."""
    if isinstance(value, str):
        return value
    return getattr(value, "__name__", type(value).__name__)


def labelled(initializers: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{label: identifier}`, each identifier checked.

    Raises:
        ValueError: If one is unknown or None, a label comes twice or cannot name a
            directory, or there is none.
    """
    if isinstance(initializers, (str, keras.Initializer)):
        initializers = [initializers]
    if isinstance(initializers, Mapping):
        pairs = list(initializers.items())
    else:
        with naming("initializers", initializers, "be a list or a dict of them"):
            pairs = [(label_of(value), value) for value in initializers]
    labels = [label for label, _ in pairs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice or not pairs:
        raise ValueError(
            "`initializers` must hold at least one, each with a unique label (use a "
            f"dict `{{label: initializer}}`). Received: {labels}"
        )
    for label, value in pairs:
        if not isinstance(label, str) or not names_a_directory(label):
            raise ValueError(
                "`initializers` must have labels that can name a directory. "
                f"Received: {label!r}"
            )
        if isinstance(value, str) and value in STARTS:
            continue
        rule = f"hold what `initializers.get` takes, or one of {tuple(STARTS)}"
        with naming("initializers", value, rule):
            known = initializers_room.get(value)
        if known is None:
            raise ValueError(
                f"`initializers` must not hold None. Received: {label!r}: None"
            )
    return dict(pairs)


def names_a_directory(label: str) -> bool:
    """Whether a label can name a directory."""
    return label not in ("", ".", "..") and not set(label) & set("/\\\0")


def seed_list(seeds: Any) -> tuple[int, ...]:
    """Returns the seeds that a number of them, or a list, stands for.

    Raises:
        ValueError: If it is neither a positive number nor different integers.
    """
    with naming("seeds", seeds, "be a positive number or distinct integers"):
        found = tuple(range(seeds) if is_integer(seeds) else seeds)
        for seed in found:
            check_count("seeds", seed, minimum=0)
            if seed > _MOST_SEED:
                raise ValueError(f"`seeds` must be below 2**32. Received: {seed}")
    found = tuple(map(int, found))
    if not found or len(set(found)) < len(found):
        raise ValueError(
            "`seeds` must be a positive number or distinct integers. Received: "
            f"seeds={seeds!r}"
        )
    return found
