"""From the values that leave a step to what it showed, signal by signal."""

import dataclasses
import functools
import itertools
import typing

import numpy as np

from keras_initkit import schema, stats


class Seen(typing.NamedTuple):
    """What a monitored step showed of one signal.

    Attributes:
        keys: Tuple of `schema.TensorKey`, the rows, in forward order.
        statistics: Float64 array of shape `(keys, statistics)`.
        histogram: Int32 array of shape `(keys, stats.BINS)`, or `None`.
        time: The keys of sequences and a float64 array of shape
            `(sequences, schema.TIME_STEPS)`, the rms of each time step; `None` where
            there is no sequence.
    """

    keys: tuple
    statistics: np.ndarray
    histogram: np.ndarray | None
    time: tuple | None

    def part(self, layers, histograms):
        """Returns the rows that belong to a set of layers, with histograms or not."""
        rows = [row for row, key in enumerate(self.keys) if key.layer in layers]
        return Seen(
            tuple(self.keys[row] for row in rows),
            self.statistics[rows],
            self.histogram[rows] if histograms and self.histogram is not None else None,
            None if self.time is None else _rows_of(layers, *self.time),
        )

    def then(self, later):
        """Returns the rows of both; what a later part shows again is another call."""
        histogram, time = self.histogram, self.time
        if histogram is not None:
            histogram = np.concatenate([histogram, later.histogram])
        if time is not None and later.time is not None:
            rows = np.concatenate([time[1], later.time[1]])
            time = _numbered(time[0], later.time[0]), rows
        return Seen(
            _numbered(self.keys, later.keys),
            np.concatenate([self.statistics, later.statistics]),
            histogram,
            time or later.time,
        )


def _numbered(keys, later):
    """Returns both tuples of keys, those met again with the number of their call."""
    keys = list(keys)
    for key in later:
        while key in keys:
            key = dataclasses.replace(key, call=key.call + 1)
        keys.append(key)
    return tuple(keys)


def read(layouts, values, counted):
    """Finishes the statistics of a step.

    Args:
        layouts: Tuple of tuples of `collector.Row`s.
        values: Tuple of as many dicts as `stats.reduce` gives them, replicas as first
            axis.
        counted: Whether values were counted for histograms.

    Returns:
        `{signal: Seen}`.
    """
    seen = {}
    for layout, one in zip(layouts, values, strict=True):
        seen.update(_read_pack(layout, one, counted))
    return seen


def _read_pack(layout, values, counted):
    values = {name: np.asarray(value) for name, value in values.items()}
    weights = {row.key: i for i, row in enumerate(layout) if row.signal == "weight"}
    statistics = stats.finalize(
        stats.merge(values["scalars"]),
        np.array([row.counted for row in layout]),
        values["counts"].sum(axis=0) if "counts" in values else np.zeros(0),
        np.array([row.projected for row in layout]),
        values["projections"].sum(axis=0) if "projections" in values else None,
        np.array(
            [weights.get(r.key, -1) if r.signal == "update" else -1 for r in layout]
        ),
    )
    if "time" in values:
        time = stats.rms_by_time(values["time"].sum(axis=0))
    timed = np.cumsum([row.timed for row in layout])
    histogram = values["histogram"].sum(axis=0) if counted else None
    seen = {}
    for signal, group in itertools.groupby(
        range(len(layout)), lambda number: layout[number].signal
    ):
        own = list(group)
        sequences = [number for number in own if layout[number].timed]
        seen[signal] = Seen(
            tuple(layout[number].key for number in own),
            statistics[np.ix_(own, _columns(signal))],
            None if histogram is None else histogram[own],
            (tuple(layout[n].key for n in sequences), time[timed[sequences] - 1])
            if sequences
            else None,
        )
    return seen


@functools.cache
def _columns(signal):
    """The numbers of the statistics that a signal has."""
    return [list(schema.STATISTICS).index(n) for n in schema.statistics_of(signal)]


def _rows_of(layers, keys, time):
    rows = [row for row, key in enumerate(keys) if key.layer in layers]
    return (tuple(keys[row] for row in rows), time[rows]) if rows else None
