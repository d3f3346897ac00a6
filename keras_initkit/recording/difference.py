"""Where two runs diverge: the first number that differs, and what only one holds."""

import dataclasses
import math
import numbers
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.contents import Contents
from keras_initkit.recording.kinds import KINDS
from keras_initkit.recording.series import SignalSeries
from keras_initkit.structure.layers import unnumbered

_METRICS = "metrics"
# In which order the parts of a train step come about.
_PHASES = {
    "weight": 0,
    "preactivation": 1,
    "activation": 1,
    _METRICS: 2,
    "backprop": 3,
    "gradient": 4,
    "update": 5,
}
_BACKWARD = ("backprop", "gradient")
# Statistics that may be near 0 where the tensor is not: read against its rms.
_CANCELLING = ("mean", "std", "min", "max")
_SHARES = {
    s.name for s in schema.STATISTICS.values() if (s.unit, s.maximum) == ("1", 1)
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One number in which two records differ.

    Attributes:
        step: Optimizer iteration.
        signal: Name of the signal, or `"metrics"`.
        layer: Path of the layer, as this record names it; `None` of a metric.
        tensor: Name of the tensor, as in `schema.TensorKey`; `None` of a metric.
        call: Which call of the layer; `None` of a metric.
        statistic: Name of the statistic or metric; of a histogram its octave, of a
            tensor over time the time step.
        kind: `"statistics"`, `"histogram"`, `"time"` or `"metrics"`.
        value: The number in this record.
        other: The number in the other.
        absolute: Their absolute difference; infinite if one is NaN or infinite.
        relative: `absolute` over the larger magnitude of the two; of `mean`, `std`,
            `min` and `max` over the tensor's rms where that is larger; shares
            (`zero_fraction` and the like, histograms) are relative as they are.
    """

    step: int
    signal: str
    layer: str | None
    tensor: str | None
    call: int | None
    statistic: str
    kind: str
    value: float
    other: float
    absolute: float
    relative: float

    def __str__(self) -> str:
        place = f" of {self.signal}"
        if self.layer is not None:
            key = schema.TensorKey(self.layer, self.tensor or "output", self.call or 0)
            place += f" {key.label}"
        kind = "" if self.kind in ("statistics", _METRICS) else f" ({self.kind})"
        return (
            f"step {self.step}: {self.statistic}{kind}{place} is {self.value:.9g} here "
            f"and {self.other:.9g} there (difference {self.absolute:.3g}, relative "
            f"{self.relative:.3g})"
        )


@dataclasses.dataclass(frozen=True)
class OneSided:
    """What only one of two records holds.

    Attributes:
        signals: Names of signals.
        metrics: Names of metrics.
        tensors: `{signal: labels}` of tensors at steps that both hold.
        statistics: `{signal: names}` of statistics.
        steps: `{signal: steps}` of monitored steps.
    """

    signals: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tensors: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    statistics: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    steps: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(self))

    def lines(self) -> list[str]:
        """Returns what is held, a line each."""
        lines = []
        for name in ("signals", "metrics"):
            if getattr(self, name):
                lines.append(f"{name}: {', '.join(getattr(self, name))}")
        for name in ("tensors", "statistics"):
            for signal, labels in getattr(self, name).items():
                lines.append(f"{name} of {signal}: {_shortened(labels)}")
        alike: dict[tuple[int, ...], list[str]] = {}
        for signal, steps in self.steps.items():
            alike.setdefault(steps, []).append(signal)
        for steps, signals in alike.items():
            lines.append(f"steps of {', '.join(signals)}: {_shortened(steps)}")
        return lines


@dataclasses.dataclass(frozen=True)
class DifferenceResult:
    """Where two records diverge, and how they drift apart. Prints as a summary.

    Attributes:
        first: The first `Difference`, in the order of time and of a train step; `None`
            if everything that both hold is equal (within `tolerance`).
        only_self: `OneSided` of what only the first record holds.
        only_other: `OneSided` of what only the other holds.
        growth: `{signal: (steps, largest relative difference at each)}` over the steps
            that both hold, int64 and float64 arrays; metrics under `"metrics"`.
        tolerance: The relative difference that was allowed.
        by_place: Signals whose tensors were matched by position, because Keras numbered
            the layers' names differently (`dense`, `dense_3`).
    """

    first: Difference | None
    only_self: OneSided
    only_other: OneSided
    growth: Mapping[str, tuple[np.ndarray, np.ndarray]]
    tolerance: float
    by_place: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether both records hold the same entries with the same values."""
        return self.first is None and not self.only_self and not self.only_other

    def to_dict(self) -> dict[str, Any]:
        """Returns the result JSON-able, with words for NaN and infinite numbers."""
        content = {
            "equal": self.equal,
            "tolerance": self.tolerance,
            "first": None if self.first is None else dataclasses.asdict(self.first),
            "only_self": dataclasses.asdict(self.only_self),
            "only_other": dataclasses.asdict(self.only_other),
            "growth": {
                signal: {"steps": steps.tolist(), "relative": relative.tolist()}
                for signal, (steps, relative) in self.growth.items()
            },
            "by_place": self.by_place,
        }
        return _json_able(content)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots the largest relative difference of each signal over the steps.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "`plot()` needs matplotlib: pip install 'keras-initkit[plot]'"
            ) from error
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for signal, (steps, relative) in self.growth.items():
            shown = np.where((relative > 0) & np.isfinite(relative), relative, np.nan)
            axes.plot(steps, shown, marker=".", label=signal)
        axes.set(xlabel="step", ylabel="largest relative difference", yscale="log")
        if self.growth:
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure

    def __str__(self) -> str:
        within = f" within {self.tolerance:g}" if self.tolerance else ""
        common = max((len(steps) for steps, _ in self.growth.values()), default=0)
        if not common:
            lines = ["the records have no step in common"]
        elif self.first is None:
            what = (
                "the records are equal"
                if self.equal
                else ("everything that both hold is equal")
            )
            lines = [f"{what}{within}, over {common} steps"]
        else:
            lines = [
                (f"the records diverge{within and f' (not{within})'} at {self.first}")
            ]
            for signal, (steps, relative) in self.growth.items():
                worst = int(np.argmax(relative))
                lines.append(
                    f"  {signal}: relative difference {relative[0]:.3g} at step "
                    f"{steps[0]}, {relative[-1]:.3g} at step {steps[-1]}, largest "
                    f"{relative[worst]:.3g} at step {steps[worst]}"
                )
        for where, held in (("here", self.only_self), ("there", self.only_other)):
            lines += [f"only {where}: {line}" for line in held.lines()]
        if self.by_place:
            lines.append(f"matched by position, not name: {', '.join(self.by_place)}")
        return "\n".join(lines)

    __repr__ = __str__


def difference(
    record: Contents, other: Contents, tolerance: float = 0.0
) -> DifferenceResult:
    """Tells where two records part; see `RunRecord.diff`."""
    is_number = isinstance(tolerance, numbers.Real) and not isinstance(tolerance, bool)
    if not is_number or not 0 <= tolerance < math.inf:
        raise ValueError(
            "`tolerance` must be a relative difference, 0 or positive. Received: "
            f"tolerance={tolerance!r}"
        )
    pairs = [*_pairs(record, other), *_metrics(record, other)]
    partings = [found for pair in pairs if (found := pair.parting(tolerance))]
    first = min(partings, key=lambda found: found[0])[1] if partings else None
    return DifferenceResult(
        first=first,
        only_self=_one_sided(record, other),
        only_other=_one_sided(other, record),
        growth=_growth(pairs),
        tolerance=float(tolerance),
        by_place=tuple(dict.fromkeys(p.signal for p in pairs if p.by_place)),
    )


class _Time(NamedTuple):
    """A monitored step; the second of its number comes where steps begin anew."""

    occurrence: int
    step: int


@dataclasses.dataclass(frozen=True)
class _Pair:
    """What two series have in common, aligned: arrays of `(steps, tensors, columns)`.

    `ranks` tell the order of the tensors within a step.
    """

    kind: str
    signal: str
    times: tuple[_Time, ...]
    keys: tuple[schema.TensorKey | None, ...]
    ranks: tuple[tuple, ...]
    columns: tuple[str, ...]
    one: np.ndarray
    two: np.ndarray
    by_place: bool = False

    @property
    def absolute(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            distance = np.abs(self.one - self.two)
        same = (self.one == self.two) | (np.isnan(self.one) & np.isnan(self.two))
        return np.where(same, 0.0, np.where(np.isfinite(distance), distance, np.inf))

    @property
    def relative(self) -> np.ndarray:
        absolute = self.absolute
        scale = np.fmax(np.abs(self.one), np.abs(self.two))
        if "rms" in self.columns:
            rms = scale[..., self.columns.index("rms")]
            for name in set(self.columns) & set(_CANCELLING):
                column = self.columns.index(name)
                scale[..., column] = np.fmax(scale[..., column], rms)
        if self.kind == "histogram":
            scale[:] = 1.0
        for name in _SHARES.intersection(self.columns):
            scale[..., self.columns.index(name)] = 1.0
        finite = np.isfinite(absolute) & np.isfinite(scale) & (scale > 0)
        ratio = np.divide(absolute, scale, out=absolute.copy(), where=finite)
        return np.where(absolute == 0, 0.0, ratio)

    def parting(self, tolerance: float) -> tuple[tuple, Difference] | None:
        """Returns the first difference behind what it is sorted by."""
        relative = self.relative
        apart = relative > tolerance
        at = np.flatnonzero(apart.any(axis=(1, 2)))
        if not at.size:
            return None
        first = min(at, key=lambda position: self.times[position])
        rows = np.flatnonzero(apart[first].any(axis=1))
        row = min(rows, key=lambda position: self.ranks[position])
        column = int(np.flatnonzero(apart[first, row])[0])
        key = self.keys[row]
        place = first, row, column
        found = Difference(
            step=self.times[first].step,
            signal=self.signal,
            layer=None if key is None else key.layer,
            tensor=None if key is None else key.tensor,
            call=None if key is None else key.call,
            statistic=self.columns[column],
            kind=self.kind,
            value=float(self.one[place]),
            other=float(self.two[place]),
            absolute=float(self.absolute[place]),
            relative=float(relative[place]),
        )
        kinds = (*KINDS, _METRICS)
        return (self.times[first], self.ranks[row], kinds.index(self.kind)), found


def _pairs(record: Contents, other: Contents) -> Iterator[_Pair]:
    """Yields what the matrices of two records have in common."""
    order = _forward_order(record)
    for kind in KINDS:
        ones, twos = record.store(kind), other.store(kind)
        if kind == "norms" and (ones or twos):
            # What one has apart, the other may have among all its statistics.
            ones, twos = ones or record.series, twos or other.series
        for signal in _signals_of(ones):
            held = _at_times(twos, signal)
            together: dict[tuple[str, str], list[tuple[_Time, int, int]]] = {}
            for time, (name, position) in _at_times(ones, signal).items():
                if time in held:
                    theirs, place = held[time]
                    together.setdefault((name, theirs), []).append(
                        (time, position, place)
                    )
            for (name, theirs), times in together.items():
                yield _aligned(kind, ones[name], twos[theirs], times, order)


def _aligned(
    kind: str,
    one: SignalSeries,
    two: SignalSeries,
    times: list[tuple[_Time, int, int]],
    order: Mapping[tuple[str, int], int],
) -> _Pair:
    rows, by_place = _matched(one.tensors, two.tensors)
    columns = [name for name in one.statistics if name in two.statistics]
    keys = [one.tensors[ours] for ours, _ in rows]
    ranks = [_rank(one.signal, one.tensors[at], at, order) for at, _ in rows]

    def values(series: SignalSeries, steps: list[int], places: list[int]) -> np.ndarray:
        wanted = [series.statistics.index(name) for name in columns]
        at = (np.array(part, np.int64) for part in (steps, places, wanted))
        return series.values[np.ix_(*at)].astype(np.float64)

    return _Pair(
        kind,
        one.signal,
        tuple(time for time, _, _ in times),
        tuple(keys),
        tuple(ranks),
        tuple(columns),
        values(one, [at for _, at, _ in times], [row for row, _ in rows]),
        values(two, [at for _, _, at in times], [row for _, row in rows]),
        by_place,
    )


def _metrics(record: Contents, other: Contents) -> Iterator[_Pair]:
    """Yields what the metrics of two records have in common, one by one."""
    for name in _metric_names(record):
        if name not in other.scalars:
            continue
        one, two = (_numbered(r.scalars[name][0]) for r in (record, other))
        times = [time for time in one if time in two]
        # Event files hold float32.
        values = [
            np.array([r.scalars[name][1][at[time]] for time in times], np.float32)
            for r, at in ((record, one), (other, two))
        ]
        here, there = (v.astype(np.float64).reshape(-1, 1, 1) for v in values)
        rank = (_PHASES[_METRICS], 0)
        yield _Pair(
            _METRICS, _METRICS, tuple(times), (None,), (rank,), (name,), here, there
        )


def _metric_names(record: Contents) -> list[str]:
    """Metrics that the training makes: what a monitor costs is none of them."""
    return [name for name in record.scalars if name != schema.OVERHEAD]


def _signals_of(store: Mapping[str, SignalSeries]) -> list[str]:
    return list(dict.fromkeys(series.signal for series in store.values()))


def _at_times(
    store: Mapping[str, SignalSeries], signal: str
) -> dict[_Time, tuple[str, int]]:
    """Returns in which series, and where in it, each step of a signal stands."""
    places = [
        (step, (name, position))
        for name, series in store.items()
        if series.signal == signal
        for position, step in enumerate(series.steps.tolist())
    ]
    times = _numbered([step for step, _ in places])
    return {time: places[position][1] for time, position in times.items()}


def _numbered(steps: Sequence[int]) -> dict[_Time, int]:
    """Tells steps of the same number apart; returns where each stands."""
    seen: dict[int, int] = {}
    times = {}
    for position, step in enumerate(steps):
        times[_Time(seen.get(step, 0), step)] = position
        seen[step] = seen.get(step, 0) + 1
    return times


def _forward_order(record: Contents) -> dict[tuple[str, int], int]:
    """Returns where in the forward pass the calls of layers stand, as far as known."""
    order: dict[tuple[str, int], int] = {}
    for series in record.series.values():
        if series.signal == "activation":
            for place, key in enumerate(series.tensors):
                order.setdefault((key.layer, key.call), place)
    return order


def _rank(
    signal: str,
    key: schema.TensorKey,
    row: int,
    order: Mapping[tuple[str, int], int],
) -> tuple:
    """What a tensor is sorted by within a step."""
    if signal in _BACKWARD:
        return _PHASES[signal], -row
    if signal in ("preactivation", "activation"):
        place = order.get((key.layer, key.call), row)
        return _PHASES[signal], place, signal == "activation", row
    return _PHASES.get(signal, len(_PHASES)), row


def _matched(
    ones: tuple[schema.TensorKey, ...], twos: tuple[schema.TensorKey, ...]
) -> tuple[list[tuple[int, int]], bool]:
    """Returns pairs of rows of the same tensor, and whether place told which."""
    if set(ones) != set(twos) and list(map(_unnumbered, ones)) == list(
        map(_unnumbered, twos)
    ):
        return [(row, row) for row in range(len(ones))], True
    places = {key: row for row, key in enumerate(twos)}
    return [(row, places[k]) for row, k in enumerate(ones) if k in places], False


def _unnumbered(key: schema.TensorKey) -> schema.TensorKey:
    """The key without the numbers that Keras puts behind names."""
    return dataclasses.replace(key, layer=unnumbered(key.layer))


def _one_sided(record: Contents, other: Contents) -> OneSided:
    """Returns what one record holds and another does not."""
    there = _signals_of(other.series)
    tensors, statistics, steps = {}, {}, {}
    for signal in _signals_of(record.series):
        if signal not in there:
            continue
        ours, theirs = (_at_times(r.series, signal) for r in (record, other))
        lone = [time.step for time in ours if time not in theirs]
        if lone:
            steps[signal] = tuple(lone)
        keys: dict[str, None] = {}
        names: dict[str, None] = {}
        for pair in dict.fromkeys(
            (ours[time][0], theirs[time][0]) for time in ours if time in theirs
        ):
            one, two = record.series[pair[0]], other.series[pair[1]]
            rows = {row for row, _ in _matched(one.tensors, two.tensors)[0]}
            lost = [k for row, k in enumerate(one.tensors) if row not in rows]
            keys |= dict.fromkeys(key.label for key in lost)
            names |= dict.fromkeys(n for n in one.statistics if n not in two.statistics)
        if keys:
            tensors[signal] = tuple(keys)
        if names:
            statistics[signal] = tuple(names)
    metrics = [name for name in _metric_names(record) if name not in other.scalars]
    signals = [name for name in _signals_of(record.series) if name not in there]
    return OneSided(tuple(signals), tuple(metrics), tensors, statistics, steps)


def _growth(pairs: Sequence[_Pair]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the largest relative difference of each signal at each common step."""
    worst: dict[str, dict[_Time, float]] = {}
    for pair in pairs:
        if pair.kind not in ("statistics", _METRICS) or not pair.times:
            continue
        found = worst.setdefault(pair.signal, {})
        largest = pair.relative.max(axis=(1, 2), initial=0.0)
        for time, value in zip(pair.times, largest.tolist(), strict=True):
            found[time] = max(value, found.get(time, 0.0))
    return {
        signal: (
            np.array([time.step for time in sorted(found)], np.int64),
            np.array([found[time] for time in sorted(found)], np.float64),
        )
        for signal, found in worst.items()
    }


def _shortened(items: Sequence[Any], most: int = 8) -> str:
    """Names the first of many, the last, and how many there are."""
    if len(items) <= most:
        return ", ".join(map(str, items))
    named = ", ".join(map(str, items[: most - 1]))
    return f"{named}, ..., {items[-1]} ({len(items)} in all)"


def _json_able(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _json_able(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_json_able(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        if math.isnan(content):
            return "NaN"
        return "Infinity" if content > 0 else "-Infinity"
    return content
