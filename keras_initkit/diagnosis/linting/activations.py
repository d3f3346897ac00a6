"""Activations inside the model."""

from collections.abc import Iterator, Mapping

import keras

from keras_initkit.diagnosis._rule import Fault, Subject, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.structure.graph import Call, Graph
from keras_initkit.structure.roles import carrier_of

k = keras.layers
_GLOROT = "Glorot & Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html"
_SIGMOIDS = ("sigmoid", "hard_sigmoid")
_SATURATING = ("tanh", "hard_tanh", "softsign")


@rule(
    "UnsuitableHiddenActivation",
    judges="model",
    severity="warning",
    reference=_GLOROT,
    thresholds={
        "sigmoids": Threshold(
            4,
            "layers",
            "sigmoids in a row: their slope is at most 1/4, so four of them shrink the "
            "gradient by more than two decades, which VanishingGradient reports as a "
            "fault",
        )
    },
    spans_depth=True,
)
def unsuitable_hidden_activation(
    subject: Subject, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """Linear layers in a row, or a softmax or chain of sigmoids inside the model."""
    graph = subject.graph
    if graph is None:
        return
    yield from _linear_rows(graph)
    for call in graph.calls:
        if call.activation == "softmax" and _feeds_weights(graph, call):
            yield Fault(
                layer=call.path,
                step=None,
                measured=1,
                threshold=0,
                message=f"{call.path!r} puts a softmax inside the model: its units "
                "compete, and pass on numbers that sum to 1, with small gradients.",
                remedy='Use `activation="relu"` in hidden layers; keep softmax for the '
                "last layer.",
            )
    most = limits["sigmoids"]
    last = _chain(graph, _SIGMOIDS, most)
    if last is not None:
        yield Fault(
            layer=last.path,
            step=None,
            measured=most,
            threshold=most,
            message=f"{last.path!r} is sigmoid number {most:g} in a row: each removes "
            "at least three quarters of the gradient, and its mean of 0.5 saturates "
            "the next.",
            remedy='Use `activation="relu"` with `kernel_initializer="he_normal"`, or '
            '`"tanh"`, in hidden layers; use `kik.initializers.ZeroSum("orthogonal")` '
            "where the sigmoids must stay.",
        )


def _linear_rows(graph: Graph) -> Iterator[Fault]:
    """Layers whose output reaches the next weights by linear functions alone."""
    rows = [call for call in graph.calls if _is_plain(call) and _is_idle(graph, call)]
    if not rows:
        return
    inside = [call for call in graph.calls if not graph.is_output(call)]
    linear = all(call.is_affine for call in inside)
    others = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    yield Fault(
        layer=rows[0].path,
        step=None,
        measured=len(rows),
        threshold=0,
        message=f"no activation follows {rows[0].path!r}{others}: together with the "
        "next layer it is a single linear function"
        + (", and so is the whole model." if linear else "."),
        remedy='Add one, `Dense(units, activation="relu")`, or remove the layer.',
        severity="error" if linear else None,
    )


def _is_idle(graph: Graph, call: Call) -> bool:
    """Whether a layer and the one behind it could be one layer."""
    ways = list(graph.ways(call))
    return bool(ways) and all(
        end is not None
        and _is_plain(end)
        and _is_linear(call, way)
        and not _is_bottleneck(call, end)
        for way, end in ways
    )


def _is_linear(call: Call, way: list[Call]) -> bool:
    # Who leaves out the bias means a projection.
    plain = call.activation is None and getattr(call.layer, "use_bias", True)
    return plain and all(one.is_linear for one in way)


def _is_plain(call: Call) -> bool:
    """A dense layer or a convolution over more than one position."""
    if type(call.layer) is k.Dense:
        return True
    convolutions = (k.Conv1D, k.Conv2D, k.Conv3D)
    if type(call.layer) not in convolutions or call.layer.groups > 1:
        return False
    return all(size > 1 for size in call.layer.kernel_size)


def _is_bottleneck(call: Call, behind: Call) -> bool:
    """Fewer units than on either side: a matrix of low rank, made so on purpose."""
    if type(call.layer) is not k.Dense or not call.layer.built:
        return False
    units = call.layer.units
    after = behind.layer.units if type(behind.layer) is k.Dense else units
    kernel = carrier_of(call.layer)
    return units < kernel.shape[0] and units < after


def _feeds_weights(graph: Graph, call: Call) -> bool:
    ends = [end for _, end in graph.ways(call)]
    return bool(ends) and all(
        # Few shares that many units are mixed from are a code.
        end is not None and end.is_kernel_layer and not _is_bottleneck(call, end)
        for end in ends
    )


def _chain(graph: Graph, names: tuple[str, ...], length: float) -> Call | None:
    """Returns the call that makes a chain of activations so long, `None` for none.

    Another activation, a normalization or a sum ends a chain.
    """
    depth: dict[int, int] = {}
    for call in graph.calls:  # in forward order
        before = max((depth.get(number, 0) for number in call.inputs), default=0)
        if call.activation in names and not graph.is_output(call):
            before += 1
        elif call.activation or call.normalizes or len(call.inputs) > 1:
            before = 0
        if before >= length:
            return call
        depth.update(dict.fromkeys(call.outputs, before))
    return None


@rule(
    "SaturatingStack",
    judges="model",
    severity="info",
    reference=_GLOROT,
    thresholds={
        "layers": Threshold(
            12, "layers", "saturating activations in a row, without normalization"
        )
    },
)
def saturating_stack(subject: Subject, limits: Mapping[str, float]) -> Iterator[Fault]:
    """Many consecutive tanh layers, without normalization or shortcuts."""
    call, most = None, limits["layers"]
    if subject.graph is not None:
        call = _chain(subject.graph, _SATURATING, most)
    if call is not None:
        yield Fault(
            layer=call.path,
            step=None,
            measured=most,
            threshold=most,
            message=f"{call.path!r} is saturating activation number {most:g} in a row: "
            "such a stack learns only if its weights start at the edge of chaos.",
            remedy="Put `keras.layers.BatchNormalization()` in between, add shortcuts, "
            "`keras.layers.add([x, block(x)])`, or start from orthogonal weights, "
            "`kik.reinitialize(model, kik.recommend(model))`.",
        )
