"""What a model computes in evaluation, compared with what it computes in training."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord
from keras_initkit_light.format.schema import TensorKey

# Layers that do in training what they do not in inference, and mean to.
_TRAINING_ONLY = ("Dropout", "Noise")


@rule(
    "InferenceDiffers",
    severity="warning",
    needs=("inference/rms", "activation/rms"),
    reference="Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167",
    thresholds={
        "factor": Threshold(
            3.0,
            "1",
            "how much larger or smaller a layer's outputs (rms) are in an evaluation "
            "than in the training step before it; batches from the same data set "
            "differ by less",
        )
    },
)
def inference_differs(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Outputs of a layer persistently change scale between training and evaluation."""
    steps = np.array(_common.steps_of(record, "inference"))
    for key, ratios in _ratios(record, steps):
        factors = np.exp(np.abs(np.log(ratios)))
        row = _common.persistent(factors > limits["factor"])
        if row is not None:
            yield _fault(record, key, steps[row], ratios[row], limits["factor"])
            return  # those that follow read it


def _ratios(
    record: RunRecord, steps: np.ndarray
) -> Iterator[tuple[TensorKey, np.ndarray]]:
    """Yields of each tensor how its rms in evaluations compares with training's.

    In forward order, float64 `(evaluations,)`; NaN where there is nothing to compare.
    """
    trained = np.array(_common.steps_of(record, "activation"))
    before = np.searchsorted(trained, steps, side="right") - 1
    if (before < 0).any():
        raise NotJudged("holds an evaluation before the first monitored step")
    inference = _common.statistic(record, "inference", "rms")
    training = _common.statistic(record, "activation", "rms")
    if inference is None or training is None:
        return
    places = {key: i for i, key in enumerate(_common.tensors_of(record, "activation"))}
    classes = {
        one["path"]: one.get("class_name", "")
        for one in record.metadata.get("layers", ())
    }
    for column, key in enumerate(_common.tensors_of(record, "inference")):
        meant = any(word in classes.get(key.layer, "") for word in _TRAINING_ONLY)
        if key in places and not meant:
            ratios = inference[:, column] / training[before, places[key]]
            known = np.isfinite(ratios) & (ratios > 0)
            yield key, np.where(known, ratios, np.nan).astype(np.float64)


def _fault(
    record: RunRecord, key: TensorKey, step: int, ratio: float, limit: float
) -> Fault:
    size = f"{ratio:.3g} times" if ratio > 1 else f"1/{1 / ratio:.3g} of"
    seen = (
        f"the outputs of {_common.label(key)} have {size} their training rms in "
        f"evaluations (step {step})"
    )
    if any(one.layer == key.layer for one in _common.tensors_of(record, "state")):
        message = (
            f"{seen}: its moving averages are not those of the batches it trains on."
        )
        remedy = (
            "Let the averages follow training faster, "
            "`keras.layers.BatchNormalization(momentum=0.9)` in each such layer, train "
            "for more steps or on larger batches, and scale validation data like the "
            "training data."
        )
    else:
        message = f"{seen}, and no layer before it differs so much."
        remedy = (
            "Scale validation data like the training data, with one "
            "`keras.layers.Normalization()` in the model."
        )
    factor = max(ratio, 1 / ratio)
    return Fault(key.layer, step, factor, limit, message, remedy)
