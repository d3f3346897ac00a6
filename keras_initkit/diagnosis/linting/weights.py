"""The current weights: copies, constants, variances, biases."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.diagnosis._rule import Fault, Subject, Threshold
from keras_initkit.diagnosis.linting.kernels import (
    all_kernels,
    array,
    first_calls,
    matrix,
    scaled_variance,
)
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.diagnosis.sampling import moment_range
from keras_initkit.report.numbers import short
from keras_initkit.structure import roles
from keras_initkit.structure.fans import compute_fans, fan_of_mode, layout_of
from keras_initkit.structure.graph import Call, Graph
from keras_initkit.structure.keras_private import layers_below
from keras_initkit.structure.roles import gates_of

_SYMMETRY = (
    "Goodfellow, Bengio & Courville, 2016, Deep Learning, section 8.4, "
    "https://www.deeplearningbook.org"
)
_SHARED = "Keras 3, keras.initializers: a seeded initializer repeats its values"
_FANS = "https://github.com/keras-team/keras/issues/11773"
_SELU = "Klambauer et al., 2017, https://arxiv.org/abs/1706.02515"


@rule("SymmetricUnits", judges="model", severity="error", reference=_SYMMETRY)
def symmetric_units(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """All entries of a hidden kernel are equal, so its units are identical copies."""
    for path, layer in subject.layers:
        kernels = _making_units(layer)
        units = kernels[-1].shape[-1] // gates_of(layer) if kernels else 0
        if units < 2 or any((one != one.flat[0]).any() for one in kernels):
            continue
        # A last layer, or the last of a residual branch, may start at zero.
        zero = not any(one.any() for one in kernels)
        if zero and _ends_branch(subject.graph, layer):
            continue
        yield Fault(
            layer=path,
            step=None,
            measured=1,
            threshold=1,
            message=f"all weights of {path!r} are {kernels[-1].flat[0]:g}: its {units} "
            "units are copies of each other and stay that way.",
            remedy=_common.RANDOM_START,
        )


def _making_units(layer: Any) -> list[np.ndarray]:
    """Returns the kernels that tell a layer's units apart, if one of them does.

    All of a recurrent layer's, whose sum a unit takes; of a product, as in a separable
    convolution, the last, whose columns the units are.
    """
    names = roles.names_of(layer, "kernel", "recurrent_kernel")
    if not roles.names_of(layer, "recurrent_kernel"):
        names = names[-1:]
    kernels = [one for name in names if (one := array(layer, name)) is not None]
    return kernels if len(kernels) == len(names) else []


@rule("EqualWeights", judges="model", severity="warning", reference=_SHARED)
def equal_weights(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Two layers start from exactly the same random values."""
    groups: dict[tuple[Any, bytes], list[tuple[str, str, Any]]] = {}
    for path, layer, name, given in all_kernels(subject):
        kernel = array(layer, name)
        if kernel is None or kernel.size < 2 or (kernel == kernel.flat[0]).all():
            continue
        if isinstance(given, keras.initializers.Identity):
            continue
        digest = kernel.shape, hashlib.blake2b(kernel.data).digest()
        groups.setdefault(digest, []).append((path, name, given))
    for group in groups.values():
        group = _drawn_alike(group)
        if len(group) < 2:
            continue
        (first, name, given), (path, _, its) = group[:2]
        why = (
            "they share one initializer object, which repeats its values"
            if its is given
            else "their initializers have the same seed"
        )
        more = f" (and of {len(group) - 2} more)" if len(group) > 2 else ""
        yield Fault(
            layer=path,
            step=None,
            measured=len(group),
            threshold=1,
            message=f"the {name} of {path!r}{more} is bit-identical to that of "
            f"{first!r}: {why}.",
            remedy="Give each layer its own initializer, by name "
            '(`kernel_initializer="he_normal"`) or `kik.initializers.seeded`; or '
            "redraw them, `kik.reinitialize(model, kik.recommend(model), seed=0)`.",
        )


def _drawn_alike(group: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    """Returns those of equal weights whose initializer draws the values of the first.

    Weights that were set, as those of a target network or of a moving average, are
    equal on purpose.
    """
    _, _, first = group[0]
    seed = getattr(first, "seed", None)
    return [
        one
        for one in group
        if one[2] is first
        or (seed is not None and getattr(one[2], "seed", None) == seed)
    ]


@rule(
    "InitializerMismatch",
    judges="model",
    severity="warning",
    reference=_SELU,
    thresholds={
        "factor": Threshold(
            1.6, "1", "variance times fan-in of a SELU layer's kernel, or its inverse"
        )
    },
)
def initializer_mismatch(
    subject: Subject, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """SELU layers whose weights lack the variance that self-normalization needs."""
    most = limits["factor"]
    for path, layer in subject.layers:
        if getattr(getattr(layer, "activation", None), "__name__", None) != "selu":
            continue
        kernel = matrix(layer)
        if kernel is None:
            continue
        scaled = scaled_variance(kernel, layer)
        low, high = moment_range(scaled, kernel.size)
        if low > most or high < 1 / most:
            yield Fault(
                layer=path,
                step=None,
                measured=scaled,
                threshold=most if scaled > 1 else 1 / most,
                message=f"the variance of the weights of {path!r} times its fan-in is "
                f"{short(scaled)}; SELU keeps mean 0 and std 1 only at 1.",
                remedy='Use `kernel_initializer="lecun_normal"` with '
                '`activation="selu"`, and `keras.layers.AlphaDropout` for dropout.',
            )


@rule(
    "FanDefect",
    judges="model",
    severity="info",
    reference=_FANS,
    thresholds={
        "factor": Threshold(
            1.6, "1", "variance of a kernel over the intended one, or its inverse"
        )
    },
)
def fan_defect(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Keras misreads the fans of depthwise, transposed, grouped or fused kernels."""
    most = limits["factor"]
    calls = {} if subject.graph is None else first_calls(subject.graph)
    found: dict[str, list[tuple[str, str, float]]] = {}
    for path, layer, name, given in all_kernels(subject):
        call = calls.get(id(layer))
        if call is not None and _is_normalized(subject.graph, call):
            continue
        kernel = array(layer, name)
        factor = None if kernel is None else _fan_factor(layer, name, given, kernel)
        if factor is not None and not 1 / most < factor < most:
            kind = type(layer).__name__
            found.setdefault(f"{kind}/{name}", []).append((path, name, factor))
    for kind, places in found.items():
        path, name, factor = places[0]
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        yield Fault(
            layer=path,
            step=None,
            measured=factor,
            threshold=most if factor > 1 else 1 / most,
            message=f"the {name} of {path!r}{more} has {short(factor)} times the "
            "variance that its initializer intends: Keras derives the fans of "
            f"{kind.partition('/')[0]} kernels from a shape that does not reveal them.",
            remedy="Use `kik.initializers.for_layer(layer, initializer, "
            f'"{name}")`, or `kik.reinitialize(model, kik.recommend(model))`.',
        )


@rule(
    "DeadBias",
    judges="model",
    severity="warning",
    reference=_common.LU,
    thresholds={
        "share": Threshold(
            0.5, "1", "share of a layer's biases that are this negative"
        ),
        "stds": Threshold(
            3.0,
            "std",
            "how far below 0, in standard deviations of the ReLU's input for inputs of "
            "rms 1: at three, 1 in 740 values stays above 0",
        ),
    },
)
def dead_bias(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Biases so negative that most ReLU units of a layer almost never fire."""
    for path, layer in subject.layers:
        kernel, bias = matrix(layer), array(layer, "bias")
        if kernel is None or bias is None:
            continue
        if not _is_relu(subject.graph, layer):
            continue
        scaled = scaled_variance(kernel, layer)
        std = math.sqrt(moment_range(scaled, kernel.size).high)
        share = float(np.mean(bias < -limits["stds"] * std))
        if std > 0 and share > limits["share"]:
            yield Fault(
                layer=path,
                step=None,
                measured=share,
                threshold=limits["share"],
                message=f"{share:.0%} of the biases of {path!r} lie more than "
                f"{limits['stds']:g} standard deviations of the ReLU's input "
                f"({short(std)} for inputs of rms 1) below 0: these units are dead "
                "from the start.",
                remedy='Use `bias_initializer="zeros"`.',
            )


def _fan_factor(layer: Any, name: str, given: Any, kernel: np.ndarray) -> float | None:
    """Returns a kernel's variance to that with its true fans, `None` if it has none.

    Of a kernel that is as Keras draws it, not of one that was drawn anew or trained.
    """
    layout = layout_of(layer, name)
    if layout.rule in ("plain", "embedding", "tied", "axes"):
        return None
    if type(given).__module__.partition(".")[0] != "keras":
        return None  # ours know their fans
    if isinstance(given, keras.initializers.Orthogonal):
        _, one = layout.matrices(kernel.shape)
        shapes = kernel.shape, one
        drawn, meant = (1 / max(math.prod(s[:-1]), s[-1]) for s in shapes)
    elif isinstance(given, keras.initializers.VarianceScaling):
        fans = compute_fans(kernel.shape), layout.fans(kernel.shape)
        drawn, meant = (1 / fan_of_mode(given.mode, *pair) for pair in fans)
    else:
        return None
    scale = given.gain**2 if hasattr(given, "gain") else given.scale
    low, high = moment_range(float(kernel.var()), kernel.size)
    return drawn / meant if low <= scale * drawn <= high else None


def _is_normalized(graph: Graph | None, call: Call) -> bool:
    """Whether a normalization follows ahead of the next weights, on all ways."""
    ways = [] if graph is None else list(graph.ways(call))
    return bool(ways) and all(any(c.normalizes for c in way) for way, _ in ways)


def _ends_branch(graph: Graph | None, layer: Any) -> bool:
    """Whether a layer is the last one, or the last ahead of a sum; unknown counts."""
    if graph is None:
        return True
    call = _call_of(graph, layer)
    ends = [] if call is None else [end for _, end in graph.ways(call)]
    return not any(end is not None and end.is_kernel_layer for end in ends)


def _call_of(graph: Graph, layer: Any) -> Call | None:
    """Returns the first call of a layer, or of the layer around it."""
    calls = first_calls(graph)
    if id(layer) in calls:
        return calls[id(layer)]
    around = (call for call in calls.values() if layer in layers_below(call.layer))
    return next(around, None)


def _is_relu(graph: Graph | None, layer: Any) -> bool:
    call = None if graph is None else first_calls(graph).get(id(layer))
    if graph is None or call is None:
        name = getattr(getattr(layer, "activation", None), "__name__", None)
        return name in _common.RELU
    if call.activation is not None:
        return call.activation in _common.RELU
    following = [way[0].activation for way, _ in graph.ways(call) if way]
    return bool(following) and all(name in _common.RELU for name in following)
