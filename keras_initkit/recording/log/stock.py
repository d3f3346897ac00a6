"""What TensorBoard's own dashboards get: no more than a person can read.

Scalars a layer, three over all layers (so that a deep model has charts that can be
read), histograms, charts for Custom Scalars, and findings as advice.
"""

import collections
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2

from keras_initkit import schema
from keras_initkit.recording.log import events
from keras_initkit.recording.series import SignalSeries

# Most scalars of one layer: those of weights behind these are in our own tab.
MOST_A_LAYER = 8
# Statistics of each signal, the fullest choice first, each with the most scalars that
# it may make: the first that keeps within its limit is taken.
STATISTICS: tuple[tuple[float, dict[str, tuple[str, ...]]], ...] = (
    (
        600,
        {
            "activation": ("std", "zero_fraction"),
            "preactivation": ("std",),
            "backprop": ("rms",),
            "gradient": ("rms",),
            "weight": ("rms",),
        },
    ),
    (600, {"activation": ("std",), "gradient": ("rms",)}),
    (math.inf, {}),
)
# Most histograms, and the signals that have some: the first that keep within.
MAX_HISTOGRAMS = 300
HISTOGRAMS: tuple[tuple[str, ...], ...] = (
    tuple(schema.ALL_SIGNALS),
    ("activation", "gradient", "weight"),
    ("activation",),
    (),
)
# The statistic of each signal that is told over all layers: these three quantiles of
# its decimal logarithm, because the charts' axes are linear and what is to be seen is
# not.
OVER_LAYERS = {
    "activation": "std",
    "preactivation": "std",
    "backprop": "rms",
    "gradient": "rms",
    "weight": "rms",
    "update": "rms",
    "inference": "std",
    "state": "rms",
}
# What is shown in place of a statistic that is not recorded.
_INSTEAD = {"std": "rms"}
QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}
_SHARES = np.array(list(QUANTILES.values()))
# Zero, and what is smaller, counts as this.
SMALLEST = 1e-20

Tensors = Mapping[str, Sequence[schema.TensorKey]]
Columns = Mapping[str, Sequence[str]]
Roles = Mapping[tuple[str, str], str]


def shown_statistics(tensors: Tensors, columns: Columns) -> dict[str, tuple[str, ...]]:
    """Returns the statistics that are shown of each layer, by signal.

    Args:
        tensors: `{signal: keys}` of what is recorded.
        columns: `{signal: names}` of the statistics that are recorded.
    """
    for most, choice in STATISTICS:
        shown = {
            signal: recorded(choice.get(signal, ()), columns[signal])
            for signal in tensors
        }
        if sum(map(len, shown_cells(tensors, shown).values())) <= most:
            break
    return shown


def recorded(names: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Returns those of some statistics that are recorded, or what stands in for them.

    Args:
        names: Their names.
        columns: Names of those that are recorded.
    """
    there = [one if one in columns else _INSTEAD.get(one, one) for one in names]
    return tuple(dict.fromkeys(one for one in there if one in columns))


def _over_layers(signal: str, columns: Sequence[str]) -> str:
    """Returns the statistic of a signal that is told over all layers."""
    (name,) = recorded([OVER_LAYERS[signal]], columns)
    return name


def shown_cells(
    tensors: Tensors,
    shown: Mapping[str, Sequence[str]],
    roles: Roles = types.MappingProxyType({}),
) -> dict[str, list[tuple[int, str]]]:
    """Returns the numbers that are shown of each layer, `MOST_A_LAYER` at most.

    Args:
        tensors: `{signal: keys}` of what is recorded.
        shown: `{signal: names}` of the statistics that are shown.
        roles: `{(layer, weight): role}`; vectors (biases) are left out.

    Returns:
        `{signal: [(row, statistic)]}`.
    """
    left: collections.defaultdict[str, int]
    left = collections.defaultdict(lambda: MOST_A_LAYER)
    cells: dict[str, list[tuple[int, str]]] = {}
    for signal, keys in tensors.items():
        cells[signal] = []
        for row in kernels(keys, roles):
            names = shown[signal][: left[keys[row].layer]]
            left[keys[row].layer] -= len(names)
            cells[signal] += [(row, name) for name in names]
    return cells


def kernels(keys: Sequence[schema.TensorKey], roles: Roles) -> list[int]:
    """Returns the rows of tensors that are no vectors (biases), as far as is known."""
    return [
        row
        for row, key in enumerate(keys)
        if roles.get((key.layer, key.tensor)) not in schema.VECTORS
    ]


def shown_histograms(
    tensors: Tensors, roles: Roles = types.MappingProxyType({})
) -> dict[str, list[int]]:
    """Returns which rows of which signals have histograms: none of vectors (biases).

    Args:
        tensors: `{signal: keys}` of what is recorded.
        roles: `{(layer, weight): role}`.
    """
    rows = {signal: kernels(keys, roles) for signal, keys in tensors.items()}
    for choice in HISTOGRAMS:
        shown = {signal: rows[signal] for signal in choice if signal in tensors}
        if sum(map(len, shown.values())) <= MAX_HISTOGRAMS:
            break
    return shown


class ScalarBoard:
    """The scalars of the signals of a step.

    Args:
        tensors: `{signal: keys}` of what is recorded.
        shown: `{signal: names}` of the statistics shown of each layer.
        roles: `{(layer, weight): role}`, as a record tells them.
        columns: `{signal: names}` of the statistics that are recorded.
    """

    def __init__(
        self,
        tensors: Tensors,
        shown: Mapping[str, Sequence[str]],
        roles: Roles,
        columns: Columns,
    ):
        self.tensors = {signal: tuple(keys) for signal, keys in tensors.items()}
        descriptions: dict[str, str] = {}
        # Where the numbers of a signal lie: rows and columns of those of each layer,
        # rows and column of what is told over all layers.
        self._cells: dict[str, tuple[list[int], list[int]]] = {}
        self._kernels: dict[str, tuple[list[int], int]] = {}
        cells = shown_cells(self.tensors, shown, roles)
        for signal, keys in self.tensors.items():
            statistics = columns[signal]
            rows = [row for row, _ in cells[signal]]
            places = [statistics.index(name) for _, name in cells[signal]]
            self._cells[signal] = rows, places
            for row, name in cells[signal]:
                text = schema.STATISTICS[name].description
                descriptions[schema.tag(signal, keys[row], name)] = text
            name = _over_layers(signal, statistics)
            self._kernels[signal] = kernels(keys, roles), statistics.index(name)
            for quantile in QUANTILES:
                descriptions[over_layers_tag(signal, statistics, quantile)] = (
                    f"{quantile} over the layers of log10 of the {name}, at least "
                    f"{math.log10(SMALLEST):.0f}; vectors (biases) and non-finite "
                    "values are left out"
                )
        self.scalars = events.Scalars(descriptions)

    def numbers(self, matrices: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the numbers of a step, as `scalars` wants them.

        Args:
            matrices: `{signal: matrix}`, shape `(keys, statistics)`.
        """
        parts = []
        for signal in self.tensors:
            matrix = matrices[signal]
            parts.append(matrix[self._cells[signal]])
            rows, column = self._kernels[signal]
            parts.append(_quantiles(matrix[rows, column]))
        return np.concatenate(parts)


def over_layers_tag(signal: str, columns: Sequence[str], quantile: str) -> str:
    """Returns the tag of a quantile of a signal over all layers.

    Args:
        signal: Name of the signal.
        columns: Names of the statistics that are recorded of it.
        quantile: One of `QUANTILES`.
    """
    return f"over_layers/log10_{signal}_{_over_layers(signal, columns)}/{quantile}"


def _quantiles(values: np.ndarray) -> np.ndarray:
    """The quantiles of log10 of the finite values, NaN where there are none."""
    values = np.sort(values[np.isfinite(values)])
    if not values.size:
        return np.full(len(_SHARES), np.nan)
    # As `np.quantile` does, which takes ten times as long over a few values.
    place = _SHARES * (len(values) - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, len(values) - 1)
    values = np.log10(np.maximum(values, SMALLEST))
    return values[below] + (place - below) * (values[above] - values[below])


def histograms(
    series: SignalSeries,
    rows: Sequence[int],
    counts: np.ndarray,
    known: Callable[[str], bool],
) -> list[summary_pb2.Summary.Value]:
    """Makes the histograms of the newest step of a signal, one a tensor.

    Args:
        series: The statistics of the signal.
        rows: Which of its tensors have one.
        counts: Counts by leading bits, shape `(tensors, bins)`.
        known: Whether the file has the metadata of a tag.
    """
    from keras_initkit import stats  # TensorFlow, which reading does without

    low, high = (series.statistics.index(name) for name in ("min", "max"))
    matrix = series.last()
    values = []
    for row in rows:
        tag = histogram_tag(series.signal, series.tensors[row])
        about = None if known(tag) else "an evenly spaced sample of at most 131,072"
        buckets = stats.buckets(counts[row], matrix[row, low], matrix[row, high])
        values.append(events.histogram(tag, buckets, about))
    return values


def histogram_tag(signal: str, key: schema.TensorKey) -> str:
    """Returns the tag of a tensor's histogram."""
    return f"{signal}/{key.label}"


def charts(
    columns: Columns,
    vectors: Sequence[str],
    shown: Mapping[str, Sequence[str]],
) -> summary_pb2.Summary.Value:
    """Makes the charts of the Custom Scalars dashboard: all layers in one chart.

    The tags are named by patterns, so that the charts of all runs are the same ones:
    the dashboard draws equal charts once, with a curve for each run.

    Args:
        columns: `{signal: names}` of the statistics that are recorded.
        vectors: Names of weights that are left out (biases).
        shown: `{signal: names}` of the statistics that are shown of each layer.
    """
    spread = layout_pb2.Category(title="log10 over all layers: median, 5% to 95%")
    each = layout_pb2.Category(title="every layer", closed=True)
    for signal, statistics in columns.items():
        name = _over_layers(signal, statistics)
        title = f"{signal} {name}"
        low, middle, high = (over_layers_tag(signal, statistics, q) for q in QUANTILES)
        spread.chart.add(title=title).margin.series.add(
            value=middle, lower=low, upper=high
        )
        if name not in shown[signal]:
            continue
        no_vectors = "".join(f"(?!.*:{vector}/)" for vector in vectors)
        pattern = f"^{signal}/{no_vectors}.*/{name}$"
        each.chart.add(title=title).multiline.tag.append(pattern)
    categories = [spread, each] if each.chart else [spread]
    return events.layout(layout_pb2.Layout(category=categories))


def findings_text(findings: Sequence[Mapping[str, Any]]) -> str:
    """Returns findings as advice in Markdown: what is wrong, and what to do about it.

    A paragraph a fault: the layers that have it too, and what follows from it, in a
    line each. What has ceased comes last.

    Args:
        findings: Dicts with the fields of `Finding` and `"cleared"`, consequences
            behind their causes.
    """
    if not findings:
        return "**The rules found no faults.**"
    standing = [one for one in findings if one["cleared"] is None]
    ceased = [one for one in findings if one["cleared"] is not None]
    causes = [one for one in standing if one.get("because_of") is None]
    told = {one["rule"] for one in causes}
    lone = [one for one in standing if one.get("because_of") not in {None, *told}]
    parts = [] if standing else ["**No open faults.**"]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in causes + lone:
        groups.setdefault((one["rule"], one["severity"]), []).append(one)
    for (rule, _), same in groups.items():
        following = [one for one in standing if one.get("because_of") == rule]
        parts.append(_paragraph(same, following))
    if ceased:
        lines = (f"- {_place(one)}, until step {one['cleared']}" for one in ceased)
        parts.append("\n".join(["**No longer:**", "", *lines]))
    return "\n\n".join(parts)


def _paragraph(
    same: Sequence[Mapping[str, Any]], following: Sequence[Mapping[str, Any]]
) -> str:
    """Returns one fault: its first place, the others, and what follows from it."""
    first, *others = same
    lines = [f"### {first['severity']}: {_place(first)}", _escaped(first["message"])]
    if first.get("because_of") is None:
        lines.append(f"**What to do:** {_escaped(first['remedy'])}")
    else:
        lines.append(f"It follows from {_escaped(first['because_of'])}.")
    if others:
        names = dict.fromkeys(one["layer"] or "the model" for one in others)
        lines.append(f"The same applies to {_escaped(', '.join(names))}.")
    if following:
        rules = dict.fromkeys(one["rule"] for one in following)
        lines.append(f"From it follow: {_escaped(', '.join(rules))}.")
    return "\n\n".join(lines)


def _place(finding: Mapping[str, Any]) -> str:
    """Returns rule, layer and first step of a finding."""
    layer = "" if finding["layer"] is None else f" in {_escaped(finding['layer'])}"
    since = "" if finding["step"] is None else f", since step {finding['step']}"
    return f"{_escaped(finding['rule'])}{layer}{since}"


# Characters that would be read as Markdown or HTML.
_SPECIAL = "\\`*_{}[]<>#|"


def _escaped(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in _SPECIAL else c for c in str(text))
    return " ".join(escaped.split())


def json_able(value: Any) -> Any:
    """Returns a value as JSON takes it: `None` for numbers that are not finite."""
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
