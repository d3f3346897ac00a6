"""What theory predicts for the current weights: signals that fade or grow."""

import collections
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from keras_initkit import theory
from keras_initkit.diagnosis._rule import Fault, Subject, Threshold
from keras_initkit.diagnosis.registry import rule
from keras_initkit.diagnosis.rules import _common
from keras_initkit.structure.graph import Graph


@rule(
    "PoorWeightInitialization",
    judges="model",
    severity="warning",
    reference=_common.HE,
    thresholds={
        "decades": Threshold(
            3.0, "decades", "change of signals or gradients over a chain of layers"
        )
    },
    spans_depth=True,
)
def poor_weight_initialization(
    subject: Subject, limits: Mapping[str, float]
) -> Iterator[Fault]:
    """In theory, signals or gradients fade or grow a thousandfold with depth."""
    if subject.graph is None:
        return
    most = limits["decades"]
    drifts = list(_drifts(subject.graph, _predicted(subject)))
    forward = max(drifts, key=lambda one: abs(one.forward), default=None)
    backward = max(drifts, key=lambda one: abs(one.backward), default=None)
    if forward is not None and abs(forward.forward) >= most:
        yield _drifted(forward, forward.last, "the signal", forward.forward, most)
    elif backward is not None and abs(backward.backward) >= most:
        what = "the gradient on its way back"
        yield _drifted(backward, backward.first, what, backward.backward, most)


def _drifted(
    drift: "_Drift", layer: str, what: str, decades: float, most: float
) -> Fault:
    return Fault(
        layer=layer,
        step=None,
        measured=decades,
        threshold=math.copysign(most, decades),
        message=f"with these weights, {what} {'grows' if decades > 0 else 'shrinks'} "
        f"by {abs(decades):.1f} decades over {drift.layers} layers (mean-field theory, "
        "inputs of rms 1).",
        remedy="Fit the variance to each layer: `kik.reinitialize(model, "
        'kik.recommend(model))`, or by hand `kernel_initializer="he_normal"` for '
        'ReLU, `"glorot_uniform"` for tanh.',
    )


class _Drift(NamedTuple):
    """How signals change along a chain of weight layers, in decades of their rms.

    Attributes:
        first: The first layer of the chain.
        last: Its last layer ahead of the one that gets the signal.
        layers: How many layers it has.
        forward: From the output of the first to the input of the next.
        backward: From the input of a model's last layer to the output of the first,
            each summed over positions.
    """

    first: str
    last: str
    layers: int
    forward: float
    backward: float


class _Chain(NamedTuple):
    """A way along the graph, from the first weight layer on it."""

    first: str
    last: str
    layers: int
    moment: float
    gradient: float


def _drifts(
    graph: Graph, predicted: tuple[theory.LayerPrediction, ...]
) -> Iterator[_Drift]:
    """Yields the drift up to each weight layer with three or more ahead of it.

    What goes into a layer counts, not what it makes: the last layers of a model and of
    residual branches may be small on purpose. Of ways that meet, the one of most layers
    counts.
    """
    rows = {(row.layer, row.call): row for row in predicted}
    calls: collections.Counter[str] = collections.Counter()
    chains: dict[int, _Chain] = {}
    moments: dict[int | None, float] = {}
    gradients: dict[int | None, float] = {}
    deeper = _ahead_of_weights(graph)
    for call in graph.calls:
        row = rows.get((call.path, calls[call.path]))
        calls[call.path] += 1
        ways = [(chains[n].layers, n) for n in call.inputs if n in chains]
        number = max(ways)[1] if ways else None
        chain = None if number is None else chains[number]
        # A kernel's gradient adds up over the positions at which it is used.
        positions = math.prod(n or 1 for n in call.shape[:-1])
        gradient = math.nan if row is None else row.backprop * positions
        if call.is_kernel_layer and chain is not None and chain.layers >= 3:
            yield _Drift(
                *chain[:3],
                _decades(chain.moment, moments.get(number, math.nan)),
                _decades(gradients.get(number, math.nan), chain.gradient)
                if deeper.isdisjoint(call.outputs)
                else 0.0,
            )
        if call.is_kernel_layer and row is not None:
            first = chain or _Chain(call.path, "", 0, row.activation, gradient)
            chain = first._replace(last=call.path, layers=first.layers + 1)
        for output in call.outputs:
            if chain is not None:
                chains[output] = chain
            if row is not None:
                moments[output], gradients[output] = row.activation, gradient


def _ahead_of_weights(graph: Graph) -> set[int]:
    """Numbers of the tensors from which a way leads to a weight layer."""
    found: set[int] = set()
    for call in reversed(graph.calls):
        if call.is_kernel_layer or not found.isdisjoint(call.outputs):
            found.update(call.inputs)
    return found


def _decades(before: float, after: float) -> float:
    """Change of the rms between two second moments; 0 where one is not known or 0."""
    return math.log10(after / before) / 2 if before > 0 and after > 0 else 0.0


def _predicted(subject: Subject) -> tuple[theory.LayerPrediction, ...]:
    """Returns theory's predictions, as far as there are any."""
    if subject.graph is None:
        return ()
    try:
        return theory.predict(subject.model, rough=True).layers
    except (ValueError, AttributeError):
        return ()
