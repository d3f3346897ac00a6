"""What layers make of different inputs: fewer directions, or one and the same."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis.depth import depth_profile
from keras_initkit.diagnosis.registry import Fault, NotJudged, Threshold, rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord

_SCHOENHOLZ = "Schoenholz et al., 2017, https://arxiv.org/abs/1611.01232"
_DANESHMAND = "Daneshmand et al., 2020, https://arxiv.org/abs/2003.01652"


@rule(
    "RankCollapse",
    severity="warning",
    needs=("activation/effective_rank",),
    reference=_DANESHMAND,
    thresholds={
        "rank": Threshold(
            1.2,
            "directions",
            "effective rank of a hidden layer's outputs at the start; 1 is a line",
        ),
        "before": Threshold(
            3.0, "directions", "effective rank of an earlier layer, so that it fell"
        ),
        "steps": Threshold(
            10,
            "optimizer iterations",
            "the start of training: a trained classifier of two classes needs one "
            "direction only",
        ),
    },
)
def rank_collapse(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Depth folds the outputs onto one line before training."""
    step = _common.steps_of(record, "activation")[0]
    if step >= limits["steps"]:
        raise NotJudged("does not hold the start of training")
    profile = depth_profile(record, "activation", "effective_rank")
    units = _common.units_of(record)
    outputs = _common.output_layers(record)
    before = 0.0
    for key, rank in zip(profile.keys, profile.values, strict=True):
        wide = units.get(key.layer, 2) > 1 and key.layer not in outputs
        if wide and rank < limits["rank"] and before >= limits["before"]:
            yield Fault(
                layer=key.layer,
                step=step,
                measured=rank,
                threshold=limits["rank"],
                message=f"the outputs of {key.layer!r} vary along {rank:.2f} "
                f"directions (effective rank), those of an earlier layer along "
                f"{before:.1f}: depth has made all inputs alike, before training.",
                remedy="Use orthogonal kernels on the edge of chaos, "
                '`kernel_initializer=kik.initializers.get("orthogonal")`, residual '
                "connections, `keras.layers.add([x, block(x)])`, or normalisation.",
            )
            return  # all that follow are the same
        if np.isfinite(rank):
            before = max(before, float(rank))


@rule(
    "RepresentationCollapse",
    severity="warning",
    needs=("activation/variation",),
    reference=_SCHOENHOLZ,
    thresholds={
        "variation": Threshold(
            0.01,
            "share of the rms",
            "what of a hidden layer's output differs between examples",
        ),
    },
)
def representation_collapse(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """A hidden layer gives nearly the same output for every input, persistently."""
    profile = depth_profile(record, "activation", "variation")
    outputs = _common.output_layers(record)
    hidden = {key.layer for key in profile.keys} - outputs
    for layer, step, share in _alike(record, hidden, limits["variation"]):
        yield Fault(
            layer=layer,
            step=step,
            measured=share,
            threshold=limits["variation"],
            message=f"only {share:.1g} of the output of {layer!r} differs between "
            f"examples, from step {step} on: the layers behind it cannot tell them "
            "apart.",
            remedy="Scale the inputs to mean 0 and std 1, start with zero biases and "
            '`kernel_initializer="he_normal"` (ReLU) or `"glorot_uniform"` (tanh), '
            "replace deep sigmoids by tanh or ReLU, or normalise, "
            "`keras.layers.BatchNormalization()`.",
        )
        return  # all that follow are the same


@rule(
    "ConstantOutput",
    severity="error",
    needs=("activation/variation",),
    reference=_common.RECIPE,
    thresholds={
        "variation": Threshold(
            1e-3, "share of the rms", "what of the prediction differs between examples"
        ),
    },
)
def constant_output(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The model predicts the same for every input, persistently."""
    target = record.metadata.get("target") or {}
    if target.get("rms") and target["std"] < 10 * limits["variation"] * target["rms"]:
        raise NotJudged("has targets that hardly differ")
    outputs = _common.output_layers(record)
    for layer, step, share in _alike(record, outputs, limits["variation"]):
        yield Fault(
            layer=layer,
            step=step,
            measured=share,
            threshold=limits["variation"],
            message=f"the predictions ({layer!r}) differ between examples by only "
            f"{share:.1g} of their size, from step {step} on: the model ignores its "
            "inputs.",
            remedy="Look at the findings of the hidden layers first; without any, "
            "scale the inputs to mean 0 and std 1 and lower the learning rate, "
            "`model.optimizer.learning_rate = 1e-4`.",
        )


def _alike(
    record: RunRecord, layers: set[str], limit: float
) -> Iterator[tuple[str, int, float]]:
    """Yields layer, first step and variation of those that vary too little."""
    variation = _common.statistic(record, "activation", "variation")
    if variation is None:
        return
    steps = _common.steps_of(record, "activation")
    for column, key in _common.columns_of(record, "activation", layers):
        row = _common.persistent(variation[:, column] < limit)
        if row is not None:
            yield key.layer, steps[row], float(variation[row, column])
