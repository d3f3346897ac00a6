"""Units that are copies of each other."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord

_SYMMETRY = (
    "Goodfellow, Bengio & Courville, 2016, Deep Learning, section 8.4, "
    "https://www.deeplearningbook.org"
)


@rule(
    "SymmetricUnits",
    severity="error",
    by_signs=True,
    needs=(
        "weight/distinct_units",
        "gradient/distinct_units",
        "activation/distinct_units",
    ),
    any_of=True,
    reference=_SYMMETRY,
    thresholds={
        "steps": Threshold(
            2,
            "recorded steps",
            "fewest steps needed to judge where weights or gradients were not "
            "recorded: a kernel that starts at zero on purpose (an output layer, a "
            "residual branch) is recognized by its gradient, or after one update",
        ),
    },
    follows_steps_of=(*_common.STEPS, "OverRegularization"),
)
def symmetric_units(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """All units of a layer are and stay identical, as with constant kernels."""
    units = _common.units_of(record)
    for layer in _common.layers_in_order(record):
        if units.get(layer) == 1:
            continue
        first, counts = _unit_counts(record, layer)
        if not counts or (len(counts) < 2 and len(counts[0]) < limits["steps"]):
            continue
        if not all((c == 1).all() for c in counts):
            continue
        width = f"all {units[layer]} units" if layer in units else "all units"
        yield Fault(
            layer=layer,
            step=first,
            measured=1,
            threshold=1,
            message=f"{width} of {layer!r} are identical "
            f"{_common.at_each(len(counts[0]))}: equal weights get equal gradients, "
            "so the layer computes only one feature.",
            remedy=_common.RANDOM_START,
        )


def _unit_counts(record: RunRecord, layer: str) -> tuple[int, list[np.ndarray]]:
    """Returns the first step and the counts of a layer's different units.

    They are counted in its kernels and their gradients; in its outputs where neither
    was recorded.
    """
    for signals in (("weight", "gradient"), ("activation",)):
        steps: list[int] = []
        counts = []
        for signal in signals:
            series = record.signal(signal)
            values = _common.statistic(record, signal, "distinct_units")
            if series is None or values is None:
                continue
            of_weights = signal != "activation"
            among = (
                _common.kernel_columns(record, signal)
                if of_weights
                else range(len(series.tensors))
            )
            columns = [c for c in among if series.tensors[c].layer == layer]
            if columns:
                steps.append(int(series.steps[0]))
                counts.append(values[:, columns])
        if counts:
            return min(steps), counts
    return 0, []
