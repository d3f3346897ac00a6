"""Whether the loss asks for what the metrics measure."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord

# Metrics of Keras by what their names end in: the larger the better, or the worse.
_HITS = ("accuracy", "acc")
_ERRORS = (
    *("mae", "mse", "mean_absolute_error", "mean_squared_error"),
    "root_mean_squared_error",
)


@rule(
    "LossSign",
    severity="error",
    needs=("scalars/loss",),
    reference=_common.RECIPE,
    thresholds={
        "fall": Threshold(
            0.5, "1", "fall of a loss below 0, divided by its first value"
        ),
        "chance": Threshold(
            1.25,
            "accuracy of a guess among all classes",
            "the accuracy in the newest quarter of the steps",
        ),
        "error": Threshold(
            1.5,
            "1",
            "an error in the newest quarter of the steps divided by that in the first",
        ),
        "steps": Threshold(50, "optimizer iterations", "fewest needed to judge"),
    },
)
def loss_sign(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A custom loss falls below 0 while the metrics get worse or stay at chance."""
    if record.metadata.get("loss"):
        return  # one of Keras's, whose sign is right
    curve = _common.curve_over(record, limits["steps"])
    if not curve.end < min(0.0, curve.start - limits["fall"] * abs(curve.start)):
        return
    classes = _classes(record)
    for name, (_, numbers) in record.scalars.items():
        early, late = _ends(numbers)
        if name.endswith(_HITS) and classes:
            measured, limit = late * classes, limits["chance"]
            bad, what = (
                measured <= limit,
                f"{name!r} is {late:.3g}, no better than a guess",
            )
        elif name.endswith(_ERRORS) and early > 0:
            measured, limit = late / early, limits["error"]
            bad, what = (
                measured >= limit,
                f"{name!r} went from {early:.3g} to {late:.3g}",
            )
        else:
            continue
        if not bad:
            continue
        yield Fault(
            layer=None,
            step=curve.steps[0],
            measured=measured,
            threshold=limit,
            message=f"the loss went from {curve.start:.3g} to {curve.end:.3g}, and "
            f"{what}: it asks for the opposite of what the metric measures.",
            remedy="Flip the sign of the loss, `-keras.ops.mean(...)`: quantities that "
            "should grow, such as a likelihood, enter a loss with a minus sign; those "
            "that should shrink, such as an error, without.",
        )
        return
    if not classes and any(name.endswith(_HITS) for name in record.scalars):
        raise NotJudged("does not say how many classes there are")


def _classes(record: RunRecord) -> int | None:
    """Returns how many classes there are, `None` where it is not known."""
    outputs = record.metadata.get("outputs") or [{}]
    units = outputs[0].get("units")
    return None if not units or len(outputs) > 1 else max(2, units)


def _ends(numbers: Sequence[float]) -> tuple[float, float]:
    """Returns the medians of the first and the newest quarter of a scalar."""
    few = max(1, len(numbers) // 4)
    return float(np.median(numbers[:few])), float(np.median(numbers[-few:]))
