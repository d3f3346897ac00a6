"""Signals against depth: profiles over the weight layers, and their slope.

Depth counts the layers that own a kernel (dense, convolutional, recurrent, embedding)
on the longest path from the inputs, from 0; parallel layers have the same depth, and
those that only reshape, pool or normalize do not add to it. Where no graph gives the
paths (layers that a subclassed model calls), the order of the layers is used instead.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import CARRIERS, TensorKey

# Their outputs are probabilities, on a scale that no initializer sets.
_PROBABILITIES = ("softmax", "sigmoid", "log_softmax")


class Profile(NamedTuple):
    """A statistic over depth at one step.

    Attributes:
        keys: `schema.TensorKey`s in forward order.
        depths: Depth of each key's weight layer, int64 of shape `(tensors,)`.
        columns: Where each key stands in its series, int64 of shape `(tensors,)`.
        values: float64 of shape `(tensors,)`.
        nets: Which of a model's separate networks each key is in, int64 of shape
            `(tensors,)`; depths in different networks are unrelated.
    """

    keys: tuple[TensorKey, ...]
    depths: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    nets: np.ndarray

    def without(self, layers: set[str]) -> "Profile":
        """Returns the profile without some layers."""
        return self._of([key.layer not in layers for key in self.keys])

    def by_net(self) -> "list[Profile]":
        """Returns the profile of each network, by depth."""
        return [self._of(self.nets == net) for net in np.unique(self.nets)]

    def _of(self, wanted: Sequence[bool] | np.ndarray) -> "Profile":
        left = np.flatnonzero(np.asarray(wanted, bool))
        left = left[np.argsort(self.depths[left], kind="stable")]
        keys = tuple(self.keys[i] for i in left)
        arrays = (self.depths, self.columns, self.values, self.nets)
        return Profile(keys, *(array[left] for array in arrays))

    def alike(self, sign: float) -> "Profile":
        """Returns the profile with one layer per depth, the least suspicious one.

        A signal that fades or grows with depth does so in all layers at a depth; a
        gate, a query or a side tower may be small or large on its own.

        Args:
            sign: 1 for a rise with depth: the largest of the shallower half and the
                smallest of the deeper half; -1 for a fall, the other way round.
        """
        kept = _one_a_depth(self.depths, self.values[None], sign)
        mask = np.zeros(len(self.keys), bool)
        mask[kept] = True
        return self._of(mask)

    @property
    def slope(self) -> float:
        """`depth_slope` of the profile."""
        return depth_slope(self.depths, self.values)

    @property
    def change(self) -> float:
        """Fitted change from the first to the last weight layer, in decades."""
        if not len(self.depths):
            return float("nan")
        return self.slope * float(self.depths.max() - self.depths.min())


def changes(profiles: Sequence[Profile], sign: float) -> np.ndarray:
    """Returns `profile.alike(sign).change` of each of several, all at once.

    Args:
        profiles: Those of one series at several steps.
        sign: As in `Profile.alike`.

    Returns:
        Float64 array of shape `(profiles,)`.
    """
    depths = profiles[0].depths
    if not len(depths):
        return np.full(len(profiles), np.nan)
    values = np.stack([profile.values for profile in profiles])
    kept = _one_a_depth(depths, values, sign)
    values = np.take_along_axis(values, kept, axis=1)
    usable = np.isfinite(values) & (values > 0)
    x = np.unique(depths)
    span = float(x[-1] - x[0])
    logs = np.log10(values, where=usable, out=np.zeros_like(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (usable * x).sum(axis=1) / usable.sum(axis=1)
        apart = np.where(usable, x - middle[:, None], 0.0)
        slopes = (apart * logs).sum(axis=1) / (apart * apart).sum(axis=1)
    return np.where(usable.sum(axis=1) < 2, np.nan, slopes * span)


def _one_a_depth(depths: np.ndarray, values: np.ndarray, sign: float) -> np.ndarray:
    """Returns which tensors `Profile.alike` keeps, int64 of shape `(steps, depths)`.

    Args:
        depths: As in `Profile`.
        values: Float array of shape `(steps, tensors)`.
        sign: As in `Profile.alike`.
    """
    kept = []
    levels = np.unique(depths)
    for depth in levels:
        here = np.flatnonzero(depths == depth)
        large = (2 * depth < levels[0] + levels[-1]) == (sign > 0)
        there = np.where(
            values[:, here] > 0, values[:, here], -np.inf if large else np.inf
        )
        kept.append(here[there.argmax(axis=1) if large else there.argmin(axis=1)])
    return np.stack(kept, axis=1) if kept else np.zeros((len(values), 0), np.int64)


def kernel_columns(record: RunRecord, signal: str) -> list[int]:
    """Returns the columns, in a signal of weights, of those that carry the signal on.

    These are kernels and embeddings. A weight whose role is not recorded is not among
    them.
    """
    series = record.signal(signal)
    keys = () if series is None else series.tensors
    kernels = kernels_of(record)
    return [column for column, key in enumerate(keys) if weight_of(key) in kernels]


def kernels_of(
    record: RunRecord, roles: Sequence[str] = CARRIERS
) -> set[tuple[str, str]]:
    """Returns layer and name of each weight that carries the signal on."""
    return {weight for weight, role in record.roles().items() if role in roles}


def tables_of(record: RunRecord) -> set[str]:
    """Returns the layers that look up rows of a table, as embeddings do.

    A row has its own scale, gets a gradient only from the examples that look it up, and
    has no fan-in: it says nothing about how signals change with depth.
    """
    return {layer for layer, _ in kernels_of(record, ("table",))}


# Decades by which a gradient grows on its way back through a batch normalization and
# a ReLU, half of log10(π / (π - 1)): a factor 1.21, the most of usual activations
# (Yang et al., 2019, https://arxiv.org/abs/1902.08129).
_BATCH_NORM = 0.5 * math.log10(math.pi / (math.pi - 1))


def grown_by_normalization(record: RunRecord, profile: Profile) -> float:
    """Returns the decades of backward growth that batch normalization explains.

    Such growth does not hinder learning: the scale of a kernel before it is irrelevant.
    """
    layers = record.metadata.get("layers", ())
    count = sum(layer["class_name"] == "BatchNormalization" for layer in layers)
    return _BATCH_NORM * min(count, max(0, len(set(profile.depths)) - 1))


def weight_of(key: TensorKey) -> tuple[str, str]:
    """Returns layer and name of the weight that a tensor belongs to."""
    return key.layer, key.tensor


def depth_slope(depths: np.ndarray, values: np.ndarray) -> float:
    """Computes the least-squares slope of `log10(values)` over depth.

    Args:
        depths: Positions, shape `(tensors,)`, in weight layers.
        values: Non-negative values of the same shape. Those that are zero or not
            finite have no logarithm and are left out.

    Returns:
        Decades per layer: 0 means that the signal keeps its size, -0.3 that every layer
        halves it. NaN for fewer than two usable depths.

    Example:
    >>> depth_slope(np.array([0, 1, 2]), np.array([1.0, 0.1, 0.01])).__round__(6)
    -1.0
    """
    values = np.asarray(values, np.float64)
    usable = np.isfinite(values) & (values > 0)
    x = np.asarray(depths, np.float64)[usable]
    if len(np.unique(x)) < 2:
        return float("nan")
    x = x - x.mean()
    return float(x @ np.log10(values[usable]) / (x @ x))


def weight_layers(record: RunRecord) -> tuple[str, ...]:
    """Returns the paths of the weights' owners that have a kernel, in forward order."""
    series = record.signal("gradient")
    if series is None:
        series = record.signal("weight")
    kernels = kernels_of(record)
    keys = () if series is None else series.tensors
    recorded = [key.layer for key in keys if weight_of(key) in kernels]
    described = [weight[0] for weight in record.roles() if weight in kernels]
    return tuple(dict.fromkeys(recorded or described))


def on_branches(record: RunRecord) -> set[str]:
    """Returns the layers that are known to lie on residual branches.

    A signal bypasses them: they may start small, and say nothing about how it changes
    with depth.
    """
    return {
        entry["path"]
        for entry in record.metadata.get("layers", ())
        if (entry.get("place") or {}).get("branch")
    }


def trained_before(record: RunRecord) -> set[str]:
    """Returns the layers known to have been trained before the first step.

    Their own initializer makes an offset or scale constant, but it is not.
    """
    series = record.signal("weight")
    if series is None or not len(series) or "rms" not in series.statistics:
        return set()
    started = {
        (entry["path"], name): number
        for entry in record.metadata.get("layers", ())
        for name, number in entry.get("constant", {}).items()
    }
    first = zip(series.tensors, series.statistic("rms")[0].tolist(), strict=True)
    return {
        key.layer
        for key, rms in first
        if weight_of(key) in started
        and math.isfinite(rms)
        and not math.isclose(rms, abs(started[weight_of(key)]), rel_tol=1e-5)
    }


def activation_of(record: RunRecord, layer: str) -> str | None:
    """Returns the name of a layer's activation function, `None` if it is unknown."""
    for entry in record.metadata.get("layers", ()):
        if entry["path"] == layer:
            return entry.get("activation")
    return None


def depth_profile(
    record: RunRecord, signal: str, statistic: str, *, step: int | None = None
) -> Profile:
    """Returns a statistic over the weight layers of a model at one step.

    For signals of weights: the kernels. For signals of layers: the outputs of the
    layers that own a kernel (of the whole recurrent layer, whose cell owns it), except
    probabilities (softmax and sigmoid in the last layer), whose scale carries no
    information. Where a record does not say which layers own kernels, all of them
    count.

    Args:
        record: The run.
        signal: Name of a signal.
        statistic: Name of a statistic.
        step: A monitored optimizer iteration; the first by default.

    Returns:
        A `Profile`, empty if this was not recorded.
    """
    series = record.signal(signal)
    none = np.zeros(0, np.int64)
    empty = Profile((), none, none, np.zeros(0), none)
    if series is None or not len(series) or statistic not in series.statistics:
        return empty
    rows = np.flatnonzero(series.steps == (series.steps[0] if step is None else step))
    if not rows.size:
        return empty
    owners = _owners_of(record, signal, series.tensors)
    columns = np.array([i for i, one in enumerate(owners) if one is not None], np.int64)
    places = _places(record)
    found = [places[owner] for owner in owners if owner is not None]
    values = series.statistic(statistic)[rows[-1]].astype(np.float64)
    return Profile(
        keys=tuple(series.tensors[i] for i in columns),
        depths=np.array([depth for _, depth in found], np.int64),
        columns=columns,
        values=values[columns],
        nets=np.array([net for net, _ in found], np.int64),
    )


def _places(record: RunRecord) -> dict[str, tuple[int, int]]:
    """Returns network and depth of each weight layer.

    Those that no graph tells the place of are a network of their own, in order.
    """
    told = {
        entry["path"]: (entry["place"]["net"], entry["place"]["depth"])
        for entry in record.metadata.get("layers", ())
        if entry.get("place")
    }
    owners = weight_layers(record)
    if not owners:
        layers = [k.layer for s in record.series.values() for k in s.tensors]
        owners = tuple(dict.fromkeys(layers))
    others = [owner for owner in owners if owner not in told]
    return {**{owner: (-1, i) for i, owner in enumerate(others)}, **told}


def _owners_of(
    record: RunRecord, signal: str, tensors: tuple[TensorKey, ...]
) -> list[str | None]:
    """Returns the weight layer that each tensor is of, `None` for those of none."""
    owners = weight_layers(record)
    if signal in ("gradient", "weight", "update"):
        kernels = kernels_of(record)
        return [key.layer if weight_of(key) in kernels else None for key in tensors]
    if not owners:
        return [key.layer for key in tensors]
    layers = {key.layer for key in tensors}
    # The innermost recorded layer around an owner: the LSTM around its cell, the
    # dense layer itself, but not the nested model around both.
    around: dict[str, str] = {}
    for owner in owners:
        holders = [p for p in layers if owner == p or owner.startswith(f"{p}/")]
        if holders:
            around[max(holders, key=len)] = owner
    ends = {entry["layer"] for entry in record.metadata.get("outputs") or ()}
    ends.update(list(around)[-1:])
    for layer in ends & set(around):
        if activation_of(record, layer) in _PROBABILITIES:
            del around[layer]
    return [around.get(key.layer) for key in tensors]
