"""From the values that leave a step to what it showed, signal by signal."""

import dataclasses
import threading
import typing

import numpy as np

from keras_initkit import schema, stats


class StepStatistics(typing.NamedTuple):
    """What a monitored step showed of one signal.

    Attributes:
        keys: Tuple of `schema.TensorKey`, the rows, in forward order.
        columns: Tuple of names of statistics.
        statistics: Float64 array of shape `(keys, columns)`.
        histogram: Int32 array of shape `(keys, stats.BINS)`, or `None`.
        time: The keys of sequences and a float64 array of shape
            `(sequences, schema.TIME_STEPS)`, the rms of each time step; `None` where
            there is no sequence.
    """

    keys: tuple
    columns: tuple
    statistics: np.ndarray
    histogram: np.ndarray | None
    time: tuple | None

    @property
    def shares(self):
        """The histogram as shares of the values by octave, or `None`."""
        return None if self.histogram is None else stats.magnitudes(self.histogram)

    def part(self, layers, histograms, columns):
        """Returns what of a step belongs to some.

        Args:
            layers: Set of names of layers, whose rows they are.
            histograms: Whether they have histograms.
            columns: Names of their statistics; fewer than all, and there is no profile
                over time.
        """
        rows = [row for row, key in enumerate(self.keys) if key.layer in layers]
        cut = np.ix_(rows, [self.columns.index(name) for name in columns])
        whole = columns == self.columns
        return StepStatistics(
            tuple(self.keys[row] for row in rows),
            columns,
            self.statistics[cut],
            self.histogram[rows] if histograms and self.histogram is not None else None,
            _rows_of(layers, *self.time) if self.time is not None and whole else None,
        )

    def then(self, later):
        """Returns the rows of both; what a later part shows again is another call."""
        histogram, time = self.histogram, self.time
        if histogram is not None:
            histogram = np.concatenate([histogram, later.histogram])
        if time is not None and later.time is not None:
            rows = np.concatenate([time[1], later.time[1]])
            time = _numbered(time[0], later.time[0]), rows
        return StepStatistics(
            _numbered(self.keys, later.keys),
            self.columns,
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


class Reader:
    """Finishes the statistics of the steps of one trace.

    Args:
        layouts: Tuple of tuples of `rows.Row`s: what the rows stand for of each of
            the dicts of values that leave a step.
    """

    def __init__(self, layouts):
        self.layouts = layouts
        rows = [row for layout in layouts for row in layout]
        self._initials = [row.initial for row in rows]
        weights = {row.key: i for i, row in enumerate(rows) if row.signal == "weight"}
        self._layout = stats.Layout(
            has_units=np.array([row.has_units for row in rows]),
            counted=np.array([row.counted for row in rows]),
            projected=np.array([row.projected for row in rows]),
            compared=np.array([initial is not None for initial in self._initials]),
            initial_norm=np.full(len(rows), np.nan),
            weights=np.array(
                [weights.get(r.key, -1) if r.signal == "update" else -1 for r in rows]
            ),
        )
        numbers: dict = {}
        for number, row in enumerate(rows):
            numbers.setdefault(row.signal, []).append(number)
        self._places = {
            signal: _Place.of(rows, own, signal) for signal, own in numbers.items()
        }

    def read(self, values, counted):
        """Finishes the statistics of a step.

        Args:
            values: Tuple of as many dicts as `stats.reduce` gives them, replicas as
                first axis.
            counted: Whether values were counted for histograms.

        Returns:
            `{signal: StepStatistics}`.
        """
        if not values:
            return {}  # a function that only has replicas run another
        values = [
            {name: np.asarray(value) for name, value in one.items()} for one in values
        ]
        # They may have been renewed since.
        norms = [None if one is None else one.norm for one in self._initials]
        statistics = stats.finalize(
            np.concatenate([stats.merge(one["scalars"]) for one in values]),
            self._layout._replace(initial_norm=np.array(norms, np.float64)),
            counts=_summed("counts", values, axis=0),
            projections=_summed("projections", values, axis=1),
            moved=_summed("moved", values, axis=0),
        )
        histogram = _summed("histogram", values, axis=0) if counted else None
        time = _summed("time", values, axis=0)
        if time is not None:
            time = stats.rms_by_time(time)
        return {
            signal: StepStatistics(
                place.keys,
                place.columns,
                statistics[place.cut],
                None if histogram is None else histogram[place.rows],
                (place.timed, time[place.times]) if place.timed else None,
            )
            for signal, place in self._places.items()
        }


class Readers:
    """The readers of all layouts that the traces of a step have had, by number."""

    def __init__(self):
        self._readers: list = []
        self._lock = threading.Lock()

    def number_of(self, layout):
        """Returns the number by which the host knows the layout of a trace's values."""
        with self._lock:
            layouts = [reader.layouts for reader in self._readers]
            if layout not in layouts:
                self._readers.append(Reader(layout))
                layouts.append(layout)
            return str(layouts.index(layout))

    def read(self, number, values, counted):
        """Finishes the statistics of a step, as `Reader.read` does."""
        return self._readers[int(number)].read(values, counted)


class _Place(typing.NamedTuple):
    """Where among all rows those of a signal lie, and its statistics."""

    keys: tuple
    columns: tuple
    rows: list
    cut: tuple
    timed: tuple
    times: list

    @classmethod
    def of(cls, rows, own, signal):
        names = schema.statistics_of(signal)
        columns = [list(schema.STATISTICS).index(name) for name in names]
        timed = [number for number in own if rows[number].timed]
        return cls(
            tuple(rows[number].key for number in own),
            names,
            own,
            np.ix_(own, columns),
            tuple(rows[number].key for number in timed),
            [sum(row.timed for row in rows[:number]) for number in timed],
        )


def _summed(name, values, axis):
    """Adds up what replicas counted, and joins that of all dicts that have it.

    `None` where none has.
    """
    parts = [one[name].sum(axis=0) for one in values if name in one]
    return np.concatenate(parts, axis=axis) if parts else None


def _rows_of(layers, keys, time):
    rows = [row for row, key in enumerate(keys) if key.layer in layers]
    return (tuple(keys[row] for row in rows), time[rows]) if rows else None
