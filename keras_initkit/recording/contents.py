"""`Contents`: all that a record holds, how it comes in, and which series it goes to."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.damage import Missing
from keras_initkit.recording.kinds import KINDS
from keras_initkit.recording.series import SignalSeries
from keras_initkit.recording.thinning import Thinning


@dataclasses.dataclass
class Contents:
    """What a record holds; `RunRecord` describes it, and shows it."""

    series: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    norms: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    histograms: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    time_steps: dict[str, SignalSeries] = dataclasses.field(default_factory=dict)
    scalars: dict[str, tuple[list[int], list[float]]] = dataclasses.field(
        default_factory=dict
    )
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    findings: list[dict[str, Any]] | None = None
    thins: bool = True
    missing: list[Missing] = dataclasses.field(default_factory=list)
    _thinning: dict[str, Thinning] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _newest_step: int | None = dataclasses.field(
        default=None, init=False, repr=False, compare=False
    )
    _restarts: int = dataclasses.field(default=0, init=False, repr=False, compare=False)

    def signal(self, name: str) -> SignalSeries | None:
        """Returns the latest series of a signal, `None` where it was not recorded.

        Where all statistics are recorded at some steps and norms at more, that of all
        statistics, if there is one; `norms` has the other.
        """
        schema.check_signals((name,))
        for store in (self.series, self.norms):
            if names := names_in(store, name):
                return store[names[-1]]
        return None

    @property
    def of_norms(self) -> "Contents | None":
        """What there is without all statistics: norms of all steps, metrics and facts.

        `None` where norms were not recorded beside them.
        """
        if not self.norms:
            return None
        return type(self)(
            series=self.norms,
            scalars=self.scalars,
            metadata=self.metadata,
            thins=self.thins,
        )

    def roles(self) -> dict[tuple[str, str], str]:
        """Returns `{(layer, weight): role}`, roles as in `schema.ROLES`.

        Empty where the record does not tell, as before the first monitored step.
        """
        return {
            (layer["path"], weight): role
            for layer in self.metadata.get("layers", ())
            for weight, role in layer.get("roles", {}).items()
        }

    def latest(self, signal: str) -> tuple[str, SignalSeries]:
        """Returns the name and the series that a signal now goes to.

        Raises:
            KeyError: If the signal was not recorded.
        """
        names = names_in(self.series, signal)
        if not names:
            raise KeyError(
                f"`signal` must have been recorded, as {tuple(self.series)} were. "
                f"Received: signal={signal!r}"
            )
        return names[-1], self.series[names[-1]]

    def most_of(self, signal: str, statistic: str) -> SignalSeries:
        """Returns the series of a signal that has a statistic at the most steps.

        Raises:
            KeyError: If the signal was not recorded.
        """
        names = names_in(self.norms, signal)
        has_no_other = not names_in(self.series, signal)
        if names and (has_no_other or statistic in self.norms[names[-1]].statistics):
            return self.norms[names[-1]]
        return self.latest(signal)[1]

    def signals(self) -> list[str]:
        """Returns the names of the signals that were recorded."""
        stores = (self.series, self.norms)
        return [
            name
            for name in schema.ALL_SIGNALS
            if any(names_in(store, name) for store in stores)
        ]

    def new_series(
        self,
        kind: str,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        columns: tuple[str, ...] | None = None,
    ) -> SignalSeries:
        """Returns an empty series that is bounded as this record is.

        Args:
            kind: One of `kinds.KINDS`.
            signal: Name of the signal.
            tensors: The rows.
            columns: The columns; by default those of the kind.
        """
        known = KINDS[kind]
        most = known.max_steps if self.thins else None
        return SignalSeries(signal, tensors, columns or known.columns_of(signal), most)

    def store(self, kind: str) -> dict[str, SignalSeries]:
        """Returns the series of a kind, by their names."""
        found: dict[str, SignalSeries] = getattr(self, KINDS[kind].store)
        return found

    def add(
        self,
        signal: str,
        tensors: tuple[schema.TensorKey, ...],
        step: int,
        values: np.ndarray,
        columns: tuple[str, ...] | None = None,
    ) -> str:
        """Adds one matrix and returns the name of the series it went to.

        That is the signal's latest, unless its rows, its columns or its steps do not go
        on from it.
        """
        columns = columns or schema.statistics_of(signal)
        name = _name_for(self.series, signal, tensors, step, columns)
        if name not in self.series:
            self.series[name] = self.new_series("statistics", signal, tensors, columns)
        self.series[name].append(step, values)
        return name

    def begin_anew(self) -> None:
        """Has what is added from now on go to new series: that of another model."""
        for store in (self.series, self.norms, self.time_steps):
            for series in store.values():
                series.close()

    def add_histogram(self, signal: str, step: int, values: np.ndarray) -> None:
        """Adds one matrix of shares by octave beside the signal's newest matrix."""
        name, series = self.latest(signal)
        if name not in self.histograms:
            new = self.new_series("histogram", signal, series.tensors)
            self.histograms[name] = new
        self.histograms[name].append(step, values)

    def add_time_steps(
        self,
        signal: str,
        step: int,
        tensors: tuple[schema.TensorKey, ...],
        values: np.ndarray,
    ) -> str:
        """Adds one matrix of rms over time and returns the name of its series.

        Args:
            signal: Name of the signal.
            step: Optimizer iteration.
            tensors: The rows: those tensors of the signal that have time steps.
            values: Float array of shape `(tensors, schema.TIME_STEPS)`, NaN behind
                the end of shorter sequences.
        """
        columns = schema.TIME_COLUMNS
        name = _name_for(self.time_steps, signal, tensors, step, columns)
        if name not in self.time_steps:
            self.time_steps[name] = self.new_series("time", signal, tensors)
        self.time_steps[name].append(step, values)
        return name

    def add_step(self, step: int, seen: Mapping[str, Any]) -> None:
        """Adds what a step showed.

        Args:
            step: Optimizer iteration.
            seen: `{signal: what was seen of it}`, each with `keys`, `columns`,
                `statistics`, `shares` (by octave, or `None`) and `time` (keys and rms,
                or `None`).
        """
        for signal, one in seen.items():
            self.add(signal, one.keys, step, one.statistics, one.columns)
            if one.shares is not None:
                self.add_histogram(signal, step, one.shares)
            if one.time is not None:
                self.add_time_steps(signal, step, *one.time)

    def add_norms(self, step: int, seen: Mapping[str, Any]) -> None:
        """Adds the norms of what a step showed, in full detail or not.

        Args:
            step: Optimizer iteration.
            seen: `{signal: what was seen of it}`, each with `keys`, `columns` and
                `statistics`.
        """
        for signal, one in seen.items():
            names = schema.statistics_of(signal, "norms")
            columns = [one.columns.index(name) for name in names]
            name = _name_for(self.norms, signal, one.keys, step, names)
            if name not in self.norms:
                self.norms[name] = self.new_series("norms", signal, one.keys)
            self.norms[name].append(step, one.statistics[:, columns])

    def add_scalars(self, step: int, values: dict[str, float]) -> int:
        """Adds the metrics of a step; returns how often steps have gone back so far."""
        if self._newest_step is not None and step < self._newest_step:
            self._restarts += 1
        self._newest_step = step
        most = KINDS["statistics"].max_steps if self.thins else None
        for name, value in values.items():
            steps, series = self.scalars.setdefault(name, ([], []))
            steps.append(int(step))
            series.append(float(value))
            kept = self._thinning.setdefault(name, Thinning(most)).add()
            if kept is not None:
                steps[:] = [steps[position] for position in kept]
                series[:] = [series[position] for position in kept]
        return self._restarts

    @property
    def is_filled(self) -> bool:
        """Whether anything was recorded."""
        return bool(self.series or self.scalars or self.metadata)


def names_in(store: dict[str, SignalSeries], signal: str) -> list[str]:
    """Returns the names of the series of a signal, the latest last."""
    return [name for name, series in store.items() if series.signal == signal]


def _name_for(
    store: dict[str, SignalSeries],
    signal: str,
    tensors: tuple[schema.TensorKey, ...],
    step: int,
    columns: tuple[str, ...],
) -> str:
    """The name of the series that a matrix belongs to, an unused one if to none."""
    names = names_in(store, signal)
    if names and store[names[-1]].continued_by(tensors, columns, step):
        return names[-1]
    return f"{signal}#{len(names)}" if names else signal
