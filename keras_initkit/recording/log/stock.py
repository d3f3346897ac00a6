"""What TensorBoard's own dashboards get: no more than a person can read.

Scalars a layer, three over all layers (so that a deep model has charts that can be
read), histograms, charts for Custom Scalars, and a table of findings as text.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2

from keras_initkit import schema
from keras_initkit.recording.log import events
from keras_initkit.recording.series import SignalSeries

# Statistics of each signal, the fullest choice first, each with the most scalars that
# it may make: the first that keeps within its limit is taken.
STATISTICS: tuple[tuple[float, dict[str, tuple[str, ...]]], ...] = (
    (
        300,
        {
            "activation": ("std", "mean", "rms", "zero_fraction", "nonfinite_count"),
            "preactivation": ("std",),
            "backprop": ("rms",),
            "gradient": ("rms", "mean", "std", "zero_fraction", "nonfinite_count"),
            "weight": ("rms", "mean", "std", "zero_fraction", "nonfinite_count"),
            "update": ("rms",),
            "inference": ("std",),
            "state": ("rms",),
        },
    ),
    (
        600,
        {
            "activation": ("std", "zero_fraction"),
            "preactivation": ("std",),
            "backprop": ("rms",),
            "gradient": ("rms",),
            "weight": ("rms",),
            "update": ("rms",),
            "inference": ("std",),
            "state": ("rms",),
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
QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}
_SHARES = np.array(list(QUANTILES.values()))
# Zero, and what is smaller, counts as this.
SMALLEST = 1e-20

Tensors = Mapping[str, Sequence[schema.TensorKey]]


def shown_statistics(tensors: Tensors) -> dict[str, tuple[str, ...]]:
    """Returns the statistics that are shown of each layer, by signal.

    Args:
        tensors: `{signal: keys}` of what is recorded.
    """
    for most, choice in STATISTICS:
        shown = {signal: choice.get(signal, ()) for signal in tensors}
        if _count(tensors, shown) <= most:
            break
    return shown


def _count(tensors: Tensors, choice: Mapping[str, tuple[str, ...]]) -> int:
    return sum(len(keys) * len(choice.get(s, ())) for s, keys in tensors.items())


def shown_histograms(tensors: Tensors) -> tuple[str, ...]:
    """Returns the signals of which histograms are shown."""
    for choice in HISTOGRAMS:
        shown = tuple(signal for signal in choice if signal in tensors)
        if sum(len(tensors[signal]) for signal in shown) <= MAX_HISTOGRAMS:
            break
    return shown


class ScalarBoard:
    """The scalars of the signals of a step.

    Args:
        tensors: `{signal: keys}` of what is recorded.
        shown: `{signal: names}` of the statistics shown of each layer.
        roles: `{(layer, weight): role}`, as a record tells them.
    """

    def __init__(
        self,
        tensors: Tensors,
        shown: Mapping[str, Sequence[str]],
        roles: Mapping[tuple[str, str], str],
    ):
        self.tensors = {signal: tuple(keys) for signal, keys in tensors.items()}
        descriptions: dict[str, str] = {}
        # Where the numbers of a signal lie: columns of every row, rows of the kernels.
        self._columns: dict[str, list[int]] = {}
        self._kernels: dict[str, tuple[list[int], int]] = {}
        for signal, keys in self.tensors.items():
            statistics = schema.statistics_of(signal)
            self._columns[signal] = [statistics.index(name) for name in shown[signal]]
            for key in keys:
                for name in shown[signal]:
                    text = schema.STATISTICS[name].description
                    descriptions[schema.tag(signal, key, name)] = text
            name = OVER_LAYERS[signal]
            kernels = [
                row
                for row, key in enumerate(keys)
                if roles.get((key.layer, key.tensor)) not in schema.VECTORS
            ]
            self._kernels[signal] = (kernels, statistics.index(name))
            for quantile in QUANTILES:
                descriptions[over_layers_tag(signal, quantile)] = (
                    f"{quantile} over the layers of log10 of the {name}, at least "
                    f"{math.log10(SMALLEST):.0f}; vectors (biases) and values that "
                    "are not finite are left out"
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
            parts.append(matrix[:, self._columns[signal]].ravel())
            rows, column = self._kernels[signal]
            parts.append(_quantiles(matrix[rows, column]))
        return np.concatenate(parts)


def over_layers_tag(signal: str, quantile: str) -> str:
    """Returns the tag of a quantile of a signal over all layers."""
    return f"over_layers/log10_{signal}_{OVER_LAYERS[signal]}/{quantile}"


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
    series: SignalSeries, counts: np.ndarray, known: Callable[[str], bool]
) -> list[summary_pb2.Summary.Value]:
    """Makes the histograms of the newest step of a signal, one a tensor.

    Args:
        series: The statistics of the signal.
        counts: Counts by leading bits, shape `(tensors, bins)`.
        known: Whether the file has the metadata of a tag.
    """
    from keras_initkit import stats  # TensorFlow, which reading does without

    low, high = (series.statistics.index(name) for name in ("min", "max"))
    values = []
    for key, row, count in zip(series.tensors, series.last(), counts, strict=True):
        tag = histogram_tag(series.signal, key)
        about = None if known(tag) else "an evenly spaced sample of at most 131,072"
        buckets = stats.buckets(count, row[low], row[high])
        values.append(events.histogram(tag, buckets, about))
    return values


def histogram_tag(signal: str, key: schema.TensorKey) -> str:
    """Returns the tag of a tensor's histogram."""
    return f"{signal}/{key.label}"


def charts(signals: Sequence[str], vectors: Sequence[str]) -> summary_pb2.Summary.Value:
    """Makes the charts of the Custom Scalars dashboard: all layers in one chart.

    The tags are named by patterns, so that the charts of all runs are the same ones:
    the dashboard draws equal charts once, with a curve for each run.

    Args:
        signals: Names of the signals.
        vectors: Names of weights that are left out (biases).
    """
    spread = layout_pb2.Category(title="log10 over all layers: median, 5% to 95%")
    each = layout_pb2.Category(title="every layer", closed=True)
    for signal in signals:
        title = f"{signal} {OVER_LAYERS[signal]}"
        low, middle, high = (over_layers_tag(signal, name) for name in QUANTILES)
        spread.chart.add(title=title).margin.series.add(
            value=middle, lower=low, upper=high
        )
        no_vectors = "".join(f"(?!.*:{name}/)" for name in vectors)
        pattern = f"^{signal}/{no_vectors}.*/{OVER_LAYERS[signal]}$"
        each.chart.add(title=title).multiline.tag.append(pattern)
    return events.layout(layout_pb2.Layout(category=[spread, each]))


def findings_table(findings: Sequence[Mapping[str, Any]]) -> str:
    """Returns findings as a Markdown table.

    Args:
        findings: Dicts with the fields of `Finding` and `"cleared"`, consequences
            behind their causes.
    """
    if not findings:
        return "Nothing found."
    lines = [
        "| severity | rule | layer | steps | what | remedy |",
        "|---|---|---|---|---|---|",
    ]
    for one in findings:
        until = "now" if one["cleared"] is None else one["cleared"]
        steps = "" if one["step"] is None else f"{one['step']} to {until}"
        layer = "the model" if one["layer"] is None else one["layer"]
        cells = (one["severity"], one["rule"], layer, steps)
        cause = one.get("because_of")
        remedy = one["remedy"] if cause is None else f"follows from {cause}"
        texts = (*cells, one["message"], remedy)
        lines.append("| " + " | ".join(map(_cell, texts)) + " |")
    return "\n".join(lines)


# Characters that would end a cell, or be read as Markdown or HTML.
_SPECIAL = "\\`*_{}[]<>#|"


def _cell(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in _SPECIAL else c for c in str(text))
    return " ".join(escaped.split())


def json_able(value: Any) -> Any:
    """Returns a value as JSON takes it: `None` for numbers that are not finite."""
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
