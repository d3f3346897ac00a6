"""The rules: what a run that goes wrong at its start looks like.

Each rule is a pure function over a `RunRecord`, declared with all there is to know
about it. "Persistent" means at half of the recorded steps or more; the step that a
finding names is the first of them.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from keras_initkit.diagnosis.depth import (
    Profile,
    activation_of,
    depth_profile,
    is_kernel,
    weight_layers,
)
from keras_initkit.diagnosis.registry import Fault, Threshold, rule
from keras_initkit.recording.record import RunRecord
from keras_initkit_tensorboard.schema import TensorKey

_GLOROT = "Glorot & Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html"
_HE = "He et al., 2015, https://arxiv.org/abs/1502.01852"
_DEBUGGER = (
    "Amazon SageMaker Debugger, built-in rules, "
    "https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html"
)
_AUTOTRAINER = "Zhang et al., 2021, AUTOTRAINER (ICSE)"
_LU = "Lu et al., 2020, https://arxiv.org/abs/1903.06733"
_SYMMETRY = (
    "Goodfellow, Bengio & Courville, 2016, Deep Learning, section 8.4, "
    "https://www.deeplearningbook.org"
)
_RANDOM_START = (
    "Start the kernels from random values whose variance fits the layer: "
    "`he_normal` for ReLU, `glorot_uniform` for tanh and sigmoid."
)
_PERSISTENT = 0.5  # share of the recorded steps
_RELU = ("relu", "relu6")


@rule(
    "NonFinite",
    severity="error",
    needs=(
        "weight/nonfinite_count",
        "activation/nonfinite_count",
        "preactivation/nonfinite_count",
        "backprop/nonfinite_count",
        "gradient/nonfinite_count",
        "update/nonfinite_count",
    ),
    any_of=True,
    reference=_DEBUGGER,
)
def non_finite(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The first tensor, in the order of the computation, that holds NaN or Inf."""
    firsts = []
    # A weight is what a step starts from; then forward, back from the last layer, and
    # the update.
    order = ("weight", "preactivation", "activation", "backprop", "gradient", "update")
    for rank, signal in enumerate(order):
        counts = _statistic(record, signal, "nonfinite_count")
        if counts is None:
            continue
        bad = np.isnan(counts) | (counts > 0)
        if bad.any():
            row = int(np.flatnonzero(bad.any(axis=1))[0])
            columns = np.flatnonzero(bad[row])
            column = columns[-1 if signal in ("backprop", "gradient") else 0]
            firsts.append((_steps(record, signal)[row], rank, signal, row, int(column)))
    if not firsts:
        return
    step, _, signal, row, column = min(firsts)
    series = record.signal(signal)
    if series is None:
        return
    key = series.tensors[column]
    count = series.statistic("nonfinite_count")[row, column]
    yield Fault(
        layer=key.layer,
        step=step,
        measured=count,
        threshold=0,
        message=f"{signal} of {_name(key)} holds {count:.0f} NaN or Inf at step "
        f"{step}.",
        remedy="Lower the learning rate or the scale of the initial weights, clip the "
        "gradients, and check the inputs for NaN.",
    )


@rule(
    "SymmetricUnits",
    severity="error",
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
            "fewest steps to judge by where weights or gradients were not recorded: a "
            "kernel that starts at zero on purpose (an output layer, a residual "
            "branch) is told apart by its gradient, or after one update",
        ),
    },
)
def symmetric_units(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """All units of a layer are identical, and stay so, as with constant kernels."""
    units = _units(record)
    for layer in _layers_in_order(record):
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
            message=f"{width} of {layer!r} are identical at each of {len(counts[0])} "
            "recorded steps: equal weights get equal gradients, so the layer computes "
            "one feature only.",
            remedy=_RANDOM_START,
        )


@rule(
    "NoGradient",
    severity="error",
    needs=("gradient/rms",),
    reference=_DEBUGGER,
)
def no_gradient(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """The gradient of every weight of a layer is exactly 0 at every recorded step."""
    series = record.signal("gradient")
    rms = _statistic(record, "gradient", "rms")
    if series is None or rms is None:
        return
    for layer in dict.fromkeys(key.layer for key in series.tensors):
        columns = [i for i, key in enumerate(series.tensors) if key.layer == layer]
        if (rms[:, columns] == 0).all():
            yield Fault(
                layer=layer,
                step=series.steps[0],
                measured=0,
                threshold=0,
                message=f"the gradient of {layer!r} is exactly 0 at each of "
                f"{len(series)} recorded steps: the layer cannot learn.",
                remedy="Look for zero kernels or dead units behind this layer. "
                + _RANDOM_START,
            )


@rule(
    "DeadRelu",
    severity="error",
    needs=("activation/zero_fraction",),
    reference=_LU,
    thresholds={
        "zero_fraction": Threshold(
            1.0, "share of the outputs", "a ReLU layer whose every output is 0 is dead"
        ),
    },
)
def dead_relu(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A ReLU layer puts out nothing but zeros, persistently."""
    for layer, step, share in _silent(record, limits["zero_fraction"]):
        if activation_of(record, layer) in _RELU:
            yield Fault(
                layer=layer,
                step=step,
                measured=share,
                threshold=limits["zero_fraction"],
                message=f"{share:.0%} of the outputs of ReLU layer {layer!r} are 0 "
                f"from step {step} on: no signal and no gradient passes.",
                remedy="Lower the learning rate, start from `he_normal` with zero "
                "biases, or use a leaky activation.",
            )


@rule(
    "AllZero",
    severity="error",
    needs=("activation/zero_fraction",),
    reference=_DEBUGGER,
    thresholds={
        "zero_fraction": Threshold(
            1.0, "share of the outputs", "a layer whose every output is 0 says nothing"
        ),
    },
)
def all_zero(record: RunRecord, limits: Mapping[str, float]) -> Iterator[Fault]:
    """A layer that owns a kernel, no ReLU, puts out nothing but zeros, persistently."""
    for layer, step, share in _silent(record, limits["zero_fraction"]):
        if activation_of(record, layer) not in _RELU:
            yield Fault(
                layer=layer,
                step=step,
                measured=share,
                threshold=limits["zero_fraction"],
                message=f"{share:.0%} of the outputs of {layer!r} are 0 from step "
                f"{step} on: no signal passes.",
                remedy=_RANDOM_START,
            )


_FALL = Threshold(
    2.0,
    "decades",
    "fitted change of the kernels' gradient rms over the whole depth, as a factor 100",
)


@rule(
    "VanishingGradient",
    severity="warning",
    needs=("gradient/rms",),
    reference=f"{_GLOROT}; {_AUTOTRAINER}",
    thresholds={
        "decades": _FALL,
        "ratio": Threshold(
            1e-3, "1", "gradient rms of one kernel to the median of all kernels"
        ),
        "floor": Threshold(
            1e-7,
            "loss per unit of weight",
            "gradient rms of a kernel at the first recorded step (later, a small "
            "gradient may just mean that training is done)",
        ),
    },
)
def vanishing_gradient(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Gradients fade towards the input, persistently, or are tiny from the start."""
    profiles = _gradient_profiles(record)
    remedy = (
        "Use `he_normal` for ReLU or `glorot_uniform` for tanh, add residual "
        "connections or normalisation, or make the network shallower."
    )
    falls = [(step, p) for step, p in profiles if p.change >= limits["decades"]]
    if profiles and len(falls) >= _PERSISTENT * len(profiles):
        step, p = falls[0]
        yield Fault(
            layer=p.keys[0].layer,
            step=step,
            measured=p.change,
            threshold=limits["decades"],
            message=f"the gradient's rms falls by {p.change:.1f} decades from the last "
            f"to the first weight layer (factor {10**-p.slope:.2g} a layer).",
            remedy=remedy,
        )
    for key, step, ratio in _far_from_median(profiles, lambda r: r < limits["ratio"]):
        yield Fault(
            layer=key.layer,
            step=step,
            measured=ratio,
            threshold=limits["ratio"],
            message=f"the gradient of {_name(key)} is {ratio:.1g} of the median over "
            "all kernels.",
            remedy=remedy,
        )
    for step, p in profiles[:1]:
        tiny = (p.values > 0) & (p.values < limits["floor"])
        if tiny.any():
            at = int(np.flatnonzero(tiny)[0])
            yield Fault(
                layer=p.keys[at].layer,
                step=step,
                measured=p.values[at],
                threshold=limits["floor"],
                message=f"the gradient of {_name(p.keys[at])} has an rms of only "
                f"{p.values[at]:.1g} at step {step} ({int(tiny.sum())} of "
                f"{len(p.keys)} kernels are below {limits['floor']:.0e}).",
                remedy=remedy,
            )


@rule(
    "ExplodingGradient",
    severity="warning",
    needs=("gradient/rms",),
    reference=f"{_GLOROT}; {_AUTOTRAINER}",
    thresholds={
        "decades": _FALL,
        "ratio": Threshold(
            1e3, "1", "gradient rms of one kernel to the median of all kernels"
        ),
    },
)
def exploding_gradient(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Gradients grow towards the input, persistently, or one stands far above all."""
    profiles = _gradient_profiles(record)
    remedy = (
        "Lower the variance of the initial weights (`he_normal`, `glorot_uniform`), "
        "clip the gradients, or add normalisation."
    )
    rises = [(step, p) for step, p in profiles if -p.change >= limits["decades"]]
    if profiles and len(rises) >= _PERSISTENT * len(profiles):
        step, p = rises[0]
        yield Fault(
            layer=p.keys[0].layer,
            step=step,
            measured=-p.change,
            threshold=limits["decades"],
            message=f"the gradient's rms grows by {-p.change:.1f} decades from the "
            f"last to the first weight layer (factor {10**-p.slope:.2g} a layer).",
            remedy=remedy,
        )
    for key, step, ratio in _far_from_median(profiles, lambda r: r > limits["ratio"]):
        yield Fault(
            layer=key.layer,
            step=step,
            measured=ratio,
            threshold=limits["ratio"],
            message=f"the gradient of {_name(key)} is {ratio:.1g} times the median "
            "over all kernels.",
            remedy=remedy,
        )


@rule(
    "PoorWeightInitialization",
    severity="warning",
    needs=("activation/std",),
    reference=f"{_GLOROT}; {_HE}; {_DEBUGGER}",
    thresholds={
        "decades": Threshold(
            1.0,
            "decades",
            "fitted change of the activations' std over the whole depth, up or down: "
            "a factor 10 in std, 100 in variance",
        ),
        "slope": Threshold(
            0.15,
            "decades per weight layer",
            "a slower drift is what width and pooling do to healthy deep models",
        ),
        "steps": Threshold(
            10, "optimizer iterations", "the start of training: later steps are not"
        ),
    },
)
def poor_weight_initialization(
    record: RunRecord, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """The spread of the activations drifts with depth at the start of training."""
    profile = depth_profile(record, "activation", "std")
    step = _steps(record, "activation")[0]
    drifts = abs(profile.change) >= limits["decades"]
    if step >= limits["steps"] or not drifts or abs(profile.slope) < limits["slope"]:
        return
    verb = "grows" if profile.slope > 0 else "shrinks"
    yield Fault(
        layer=profile.keys[-1].layer,
        step=step,
        measured=profile.change,
        threshold=np.copysign(limits["decades"], profile.change),
        message=f"the activations' std {verb} by a factor {10**profile.slope:.2g} a "
        f"layer, {abs(profile.change):.1f} decades in all, before training.",
        remedy=_RANDOM_START,
    )


def _statistic(record: RunRecord, signal: str, statistic: str) -> np.ndarray | None:
    """Returns a statistic `(steps, tensors)`, `None` if it was not recorded."""
    series = record.signal(signal)
    if series is None or not len(series) or statistic not in series.statistics:
        return None
    return series.statistic(statistic)


def _steps(record: RunRecord, signal: str) -> list[int]:
    series = record.signal(signal)
    return [] if series is None else series.steps.tolist()


def _name(key: TensorKey) -> str:
    return repr(key.layer if key.tensor == "output" else f"{key.layer}/{key.tensor}")


def _layers_in_order(record: RunRecord) -> list[str]:
    """Returns the layers to judge: owners of kernels, else all with an activation."""
    owners = weight_layers(record)
    if owners:
        return list(owners)
    series = record.signal("activation")
    return (
        [] if series is None else list(dict.fromkeys(k.layer for k in series.tensors))
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
            values = _statistic(record, signal, "distinct_units")
            if series is None or values is None:
                continue
            keys = enumerate(series.tensors)
            columns = [i for i, k in keys if k.layer == layer and is_kernel(k)]
            if columns:
                steps.append(int(series.steps[0]))
                counts.append(values[:, columns])
        if counts:
            return min(steps), counts
    return 0, []


def _units(record: RunRecord) -> dict[str, int]:
    """Returns `{layer: units}` from the shapes of the kernels in the metadata."""
    units: dict[str, int] = {}
    for layer in record.metadata.get("layers", ()):
        for shape in layer["weights"].values():
            if len(shape) > 1:
                units[layer["path"]] = max(units.get(layer["path"], 1), shape[-1])
    return units


def _silent(record: RunRecord, limit: float) -> Iterator[tuple[str, int, float]]:
    """Yields layer, first step and share of zeros of the persistently silent layers."""
    profile = depth_profile(record, "activation", "zero_fraction")
    shares = _statistic(record, "activation", "zero_fraction")
    if shares is None:
        return
    steps = _steps(record, "activation")
    for key, column in zip(profile.keys, profile.columns, strict=True):
        rows = np.flatnonzero(shares[:, column] >= limit)
        if len(rows) and len(rows) >= _PERSISTENT * len(steps):
            yield key.layer, steps[rows[0]], float(shares[rows[0], column])


def _gradient_profiles(record: RunRecord) -> list[tuple[int, Profile]]:
    """Returns every recorded step with the kernels' gradient rms over depth."""
    values = _statistic(record, "gradient", "rms")
    if values is None:
        return []
    first = depth_profile(record, "gradient", "rms")
    columns = values[:, first.columns].astype(np.float64)
    steps = _steps(record, "gradient")
    return [(s, first._replace(values=v)) for s, v in zip(steps, columns, strict=True)]


def _far_from_median(
    profiles: list[tuple[int, Profile]], is_far: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[TensorKey, int, float]]:
    """Yields the kernels persistently far from the median of all, and since when."""
    if not profiles or len(profiles[0][1].keys) < 3:
        return
    values = np.stack([p.values for _, p in profiles])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = values / np.nanmedian(values, axis=1, keepdims=True)
        far = np.isfinite(ratios) & (values > 0) & is_far(ratios)
    for column, key in enumerate(profiles[0][1].keys):
        rows = np.flatnonzero(far[:, column])
        if len(rows) and len(rows) >= _PERSISTENT * len(profiles):
            yield key, profiles[rows[0]][0], float(ratios[rows[0], column])
