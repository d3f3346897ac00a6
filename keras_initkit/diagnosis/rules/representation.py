"""How layers represent different inputs: along fewer directions, or all the same."""

from collections.abc import Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis._rule import Fault, NotJudged, Threshold
from keras_initkit.diagnosis.depth import depth_profile, tables_of
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.recording.record import RunRecord

_SCHOENHOLZ = "Schoenholz et al., 2017, https://arxiv.org/abs/1611.01232"
_DANESHMAND = "Daneshmand et al., 2020, https://arxiv.org/abs/2003.01652"


@rule(
    "RankCollapse",
    severity="warning",
    by_signs=True,
    needs=("activation/effective_rank",),
    reference=_DANESHMAND,
    thresholds={
        "rank": Threshold(
            1.2,
            "directions",
            "effective rank of a hidden layer's outputs at the start; 1 is a line",
        ),
        "before": Threshold(
            3.0,
            "directions",
            "effective rank of an earlier layer, showing that it fell",
        ),
        "steps": Threshold(
            10,
            "optimizer iterations",
            "the start of training: a trained classifier of two classes needs only one "
            "direction",
        ),
    },
    follows_from=(*_common.DATA, *_common.WEIGHTS, "UnsuitableHiddenActivation"),
    spans_depth=True,
)
def rank_collapse(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Depth collapses the outputs onto one line before training."""
    step = _common.steps_of(record, "activation")[0]
    if step >= limits["steps"]:
        raise NotJudged("does not hold the start of training")
    profile = depth_profile(record, "activation", "effective_rank")
    outputs = _common.output_layers(record)
    for net in profile.without(_of_one_unit(record)).by_net():
        ranks = np.where(np.isfinite(net.values), net.values, 0.0)
        for place, (key, rank) in enumerate(zip(net.keys, net.values, strict=True)):
            before = ranks[: place + 1].max()
            # A bottleneck beside the way folds nothing.
            behind = ranks[net.depths > net.depths[place]].max(initial=0.0)
            if not max(rank, behind) < limits["rank"] or before < limits["before"]:
                continue
            if key.layer in outputs:
                continue
            yield Fault(
                layer=key.layer,
                step=step,
                measured=rank,
                threshold=limits["rank"],
                message=f"the outputs of {key.layer!r} vary along {rank:.2f} "
                "directions (effective rank), those of an earlier layer along "
                f"{before:.1f}: depth makes all inputs look alike before training.",
                remedy="Use orthogonal kernels at the edge of chaos, "
                '`kernel_initializer=kik.initializers.get("orthogonal")`, residual '
                "connections, `keras.layers.add([x, block(x)])`, or normalization.",
            )
            return  # all that follow are the same


def _of_one_unit(record: RunRecord) -> set[str]:
    """Layers that put out one unit, which has one direction."""
    units = _common.statistic(record, "activation", "distinct_units")
    keys = _common.tensors_of(record, "activation")
    if units is not None:
        return {key.layer for key, n in zip(keys, units[0], strict=True) if n <= 1}
    return {layer for layer, n in _common.units_of(record).items() if n <= 1}


@rule(
    "RepresentationCollapse",
    severity="warning",
    by_signs=True,
    needs=("activation/effective_rank", "activation/rms", "facts/input"),
    reference=_SCHOENHOLZ,
    follows_from=(
        *_common.DATA,
        *_common.WEIGHTS,
        "UnsuitableHiddenActivation",
        "RankCollapse",
        "DeadRelu",
        "SaturatedActivation",
    ),
    follows_steps_of=_common.STEPS,
)
def representation_collapse(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """A hidden layer persistently gives exactly the same output for every input."""
    # A table gives what it is asked for: segments that are all the first are no fault.
    others = _common.output_layers(record) | tables_of(record)
    hidden = set(_common.layers_in_order(record)) - others
    for layer, step in _alike(record, hidden):
        if _begins_at_zero(record, layer):
            continue
        yield Fault(
            layer=layer,
            step=step,
            measured=0,
            threshold=0,
            message=f"the output of {layer!r} is bit-identical for all examples from "
            f"step {step} on: the layers after it cannot tell them apart.",
            remedy="Scale the inputs to mean 0 and std 1, start with zero biases and "
            '`kernel_initializer="he_normal"` (ReLU) or `"glorot_uniform"` (tanh), '
            "replace deep sigmoids with tanh or ReLU, or normalize, "
            "`keras.layers.BatchNormalization()`.",
        )
        return  # all that follow are the same


@rule(
    "ConstantOutput",
    severity="error",
    needs=("activation/effective_rank", "activation/rms", "facts/input"),
    reference=_common.RECIPE,
    follows_from=(
        *_common.STRUCTURE,
        *_common.DATA,
        *_common.WEIGHTS,
        "DeadRelu",
        "AllZero",
        "SaturatedActivation",
        "RankCollapse",
        "RepresentationCollapse",
    ),
    follows_steps_of=(*_common.STEPS, "OverRegularization"),
)
def constant_output(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The model persistently predicts exactly the same for every input."""
    for layer, step in _alike(record, _common.output_layers(record)):
        if _begins_at_zero(record, layer):
            continue
        yield Fault(
            layer=layer,
            step=step,
            measured=0,
            threshold=0,
            message=f"the predictions ({layer!r}) are bit-identical for all examples "
            f"from step {step} on: the model ignores its inputs.",
            remedy="Look at the findings for the hidden layers first; if there are "
            "none, scale the inputs to mean 0 and std 1 and lower the learning rate, "
            "`model.optimizer.learning_rate = 1e-4`.",
        )


def _begins_at_zero(record: RunRecord, layer: str) -> bool:
    """Whether a layer's kernel is zero in all that was recorded, and gets a gradient.

    So begin last layers, gates and offsets that start at zero on purpose: their first
    step changes that.
    """
    weights = _common.statistic(record, "weight", "rms")
    gradients = _common.statistic(record, "gradient", "rms")
    if weights is None or gradients is None:
        return False
    of_kernels = _common.kernel_columns(record, "weight")
    kernels = [
        (column, key)
        for column, key in _common.columns_of(record, "weight", {layer})
        if column in of_kernels
    ]
    columns = {key: n for n, key in _common.columns_of(record, "gradient", {layer})}
    return bool(kernels) and all(
        key in columns
        and (weights[:, column] == 0).all()
        and (gradients[:, columns[key]] > 0).all()
        for column, key in kernels
    )


def _alike(record: RunRecord, layers: set[str]) -> Iterator[tuple[str, int]]:
    """Yields layer and first step of those whose rows are all equal, but not zero.

    Equal rows have no effective rank. Neither has a tensor without units, which has no
    distinct ones either.
    """
    inputs = record.metadata["input"]
    if inputs and all(one.get("alike") for one in inputs):
        raise NotJudged("has identical inputs, so identical outputs are expected")
    sizes = [one["shape"][0] for one in inputs if one["shape"]]
    if min(sizes, default=1) < 2:
        raise NotJudged("has batches of one example, or does not give their size")
    rank = _common.statistic(record, "activation", "effective_rank")
    rms = _common.statistic(record, "activation", "rms")
    units = _common.statistic(record, "activation", "distinct_units")
    if rank is None or rms is None or units is None:
        raise NotJudged("does not hold activation/distinct_units")
    alike = np.isnan(rank) & np.isfinite(units) & np.isfinite(rms) & (rms > 0)
    steps = _common.steps_of(record, "activation")
    sound = _common.sound_steps(record, "activation")
    for column, key in _common.columns_of(record, "activation", layers):
        row = _common.persistent(alike[:, column] & sound)
        if row is not None:
            yield key.layer, steps[row]
