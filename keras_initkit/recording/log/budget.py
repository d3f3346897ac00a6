"""An upper bound on what monitoring will write, known beforehand."""

import heapq
from collections.abc import Sequence
from typing import Any

from keras_initkit import schema
from keras_initkit.recording.kinds import KINDS
from keras_initkit.recording.log import stock
from keras_initkit_light.format import packing

# Bytes around an event and what it holds: record framing, step and time, lengths.
_EVENT = 64
# A scalar or histogram beyond its tag and numbers: types, shapes, lengths.
_VALUE = 40
# Most buckets of a stock histogram, of three doubles each: six octaves of four bins on
# either side of the one around 0.
_BUCKETS = 49
# What is set aside for the metrics of `fit`, whose number is not known before.
_METRICS = 2048


def estimate(
    tensors: stock.Tensors,
    sequences: Sequence[schema.TensorKey] = (),
    histograms: bool = True,
    details: Sequence[str] = ("full",),
) -> dict[str, Any]:
    """Returns an upper bound on what a run writes.

    The metadata that is written once (names of layers, descriptions) and whatever makes
    up the first step a second time are not part of it.

    Args:
        tensors: `{signal: keys}`, the rows of the matrices.
        sequences: Those keys of layers whose tensors have time steps.
        histograms: Whether there are histograms.
        details: What is recorded of tensors, of `schema.DETAILS`.

    Returns:
        A JSON-able dict: `"scalar_tags"` and `"histogram_tags"` (in stock dashboards,
        metrics of `fit` apart), `"bytes_per_step"`, `"bytes_per_histogram_step"` and
        `"statistics"`, `{signal: names}` of those shown of each layer.
    """
    detail = next(one for one in schema.DETAILS if one in details)
    histograms = histograms and detail == "full"
    columns = {signal: schema.statistics_of(signal, detail) for signal in tensors}
    statistics = stock.shown_statistics(tensors, columns)
    shown = [
        schema.tag(signal, tensors[signal][row], name)
        for signal, cells in stock.shown_cells(tensors, statistics).items()
        for row, name in cells
    ]
    shown += [
        stock.over_layers_tag(signal, columns[signal], quantile)
        for signal in tensors
        for quantile in stock.QUANTILES
    ]
    drawn = _longest(
        stock.MAX_HISTOGRAMS if histograms else 0,
        [stock.histogram_tag(s, key) for s, keys in tensors.items() for key in keys],
    )
    kinds = {"full": "statistics", "norms": "norms"}
    matrices = [
        _size(signal, kinds[one], keys)
        for one in details
        for signal, keys in tensors.items()
    ]
    matrices += [
        _size(signal, "time", sequences)
        for signal in schema.TIME_SIGNALS
        if sequences and signal in tensors and detail == "full"
    ]
    plain = 4 * _EVENT + _METRICS + sum(matrices) + sum(_bytes(tag, 4) for tag in shown)
    counted = [_size(s, "histogram", keys) for s, keys in tensors.items()]
    counted += [_EVENT, *(_bytes(tag, 24 * _BUCKETS) for tag in drawn)]
    return {
        "scalar_tags": len(shown),
        "histogram_tags": len(drawn),
        "bytes_per_step": plain,
        "bytes_per_histogram_step": plain + (sum(counted) if histograms else 0),
        "statistics": {signal: list(names) for signal, names in statistics.items()},
    }


def sentence(budget: dict[str, Any]) -> str:
    """Returns a budget in words."""
    text = (
        f"at most {budget['scalar_tags']} scalars and {budget['histogram_tags']} "
        f"histograms; {budget['bytes_per_step'] / 1000:.1f} kB per monitored step, "
        f"{budget['bytes_per_histogram_step'] / 1000:.1f} kB with histograms"
    )
    most, fullest = stock.STATISTICS[0]
    shown = {signal: tuple(names) for signal, names in budget["statistics"].items()}
    if all(fullest.get(signal, ()) == names for signal, names in shown.items()):
        return text
    return (
        f"{text}; stock dashboards show only {_listed(shown)}, because more would "
        f"exceed {most:.0f} scalars"
    )


def _listed(shown: dict[str, tuple[str, ...]]) -> str:
    parts = [f"{s} {'/'.join(names)}" for s, names in shown.items() if names]
    return ", ".join(parts) or "what summarizes all layers"


def _longest(n: int, tags: list[str]) -> list[str]:
    """The n tags that take the most bytes."""
    return heapq.nlargest(n, tags, key=lambda tag: len(tag.encode()))


def _bytes(tag: str, content: int) -> int:
    return len(tag.encode()) + content + _VALUE


def _size(signal: str, kind: str, keys: Sequence[schema.TensorKey]) -> int:
    """The bytes of one matrix."""
    columns = KINDS[kind].columns_of(signal)
    # Where rows change, the number of the series makes the tag longer.
    tag = schema.matrix_tag(f"{signal}#999", kind)
    return _bytes(tag, packing.most_bytes(1, len(keys), len(columns)))
