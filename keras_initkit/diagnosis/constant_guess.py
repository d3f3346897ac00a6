"""The loss of the best constant guess, where known, and how much of it is left."""

import math
from collections.abc import Mapping
from typing import Any

from keras_initkit.diagnosis.curve import loss_curve
from keras_initkit.recording.record import RunRecord

CATEGORICAL = ("categorical_crossentropy", "sparse_categorical_crossentropy")
BINARY, _SQUARED = "binary_crossentropy", "mean_squared_error"
# Bias of an entropy, in nats, from which on too few labels were seen to tell it.
_UNSURE = 0.15
# Share of the labels from which on a class prevails.
_PREVAILING = 0.8
# No first draw of weights gives half the loss of a constant guess but by rare chance.
_FAR_BELOW = 0.5


def label_entropy(record: RunRecord) -> float | None:
    """Returns the loss that a constant guess attains, `None` if it is not known.

    It is the entropy of the first batch's labels, its bias by the size of a batch taken
    off, where the loss is a cross-entropy and a plain mean over the batch. Where the
    batch is too small to tell, it is the most that it can be, that of even frequencies.
    """
    loss, target = record.metadata.get("loss"), record.metadata.get("target") or {}
    outputs = record.metadata.get("outputs")
    if not loss or not outputs or target.get("entropy") is None:
        return None
    if loss["name"] not in (*CATEGORICAL, BINARY) or not is_plain(record):
        return None
    if loss["name"] != BINARY and labels_each(target) > 1:
        return None  # the shares of one example do not sum to 1
    classes = max(2, outputs[0]["units"] or 2)
    bias = (classes - 1) / (2 * (target["shape"] or [1])[0])
    if loss["name"] == BINARY:
        classes = 2
    if bias > _UNSURE:
        return math.log(classes)
    return float(min(target["entropy"] + bias, math.log(classes)))


def label_entropy_error(record: RunRecord) -> float:
    """Returns the standard error of `label_entropy` where one class prevails, else 0.

    A few labels of the others more or less then change it; even frequencies have the
    most that it can be.
    """
    target = record.metadata.get("target") or {}
    share, count = target.get("most_frequent"), (target.get("shape") or [0])[0]
    if not share or not count or not _PREVAILING <= share < 1:
        return 0.0
    surprise = math.log(share / (1 - share))
    return math.sqrt(share * (1 - share) / count) * abs(surprise)


def constant_loss(record: RunRecord) -> float | None:
    """Returns the loss of the best constant guess, `None` if it is not known.

    The entropy of the labels, or the variance of the targets of a squared error.
    """
    loss, target = record.metadata.get("loss") or {}, record.metadata.get("target")
    if loss.get("name") == _SQUARED and target and target["std"] and is_plain(record):
        return float(target["std"]) ** 2
    return label_entropy(record) or None


def share_left(record: RunRecord) -> float | None:
    """Returns the newest loss divided by that of the best constant guess.

    Including regularization, of which only the first value is known. `None` where one
    of them is unknown, or the loss has diverged.
    """
    constant, curve = constant_loss(record), loss_curve(record)
    if constant is None or not len(curve.losses) or curve.diverged is not None:
        return None
    return curve.end / constant


def learned_at_start(record: RunRecord) -> bool:
    """Whether the first loss is known to be far below that of a constant guess.

    Such a model was trained before: its loss changes little from here on.
    """
    constant, curve = constant_loss(record), loss_curve(record)
    if constant is None or not len(curve.losses):
        return False
    return bool(0 <= curve.start <= _FAR_BELOW * constant)


def is_plain(record: RunRecord) -> bool:
    """Whether the loss is a plain mean over the batch."""
    loss = record.metadata["loss"]
    weighted = loss["weighted"] or record.metadata.get("weighted", True)
    return not weighted and loss["reduction"] == "sum_over_batch_size"


def labels_each(target: Mapping[str, Any] | None) -> float:
    """Returns how many labels an example has, 1 unless others are known.

    Rows of zeros and ones have an entropy; rows of one 1 each, a most frequent class.
    """
    if not target or target.get("entropy") is None or "most_frequent" in target:
        return 1.0
    return float(target["mean"] * target["shape"][-1])
