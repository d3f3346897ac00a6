"""What theory expects of a real Keras model at its present weights, layer by layer."""

import collections
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from keras_initkit.theory.propagation import Signal, Step, Untreatable, step

# A second moment, or mean and second moment.
Moments = float | tuple[float, float]


@dataclasses.dataclass(frozen=True)
class LayerPrediction:
    """Expected second moments at one call of a layer.

    Attributes:
        layer: Name of the layer.
        preactivation: `E[z²]` before the layer's own activation; `None` for layers
            without weights.
        activation: `E[a²]` of its output.
        mean: `E[a]` of its output.
        backprop: `E[(dL/da)²]`, relative to that at the model's output, or, where that
            has no prediction, at what the layers without a rule take in.
        note: What is approximate; `""` if nothing is.
        kernels: Variables whose scale sets `preactivation`; none for kernels that are
            quantized or have LoRA's part added.
        bias: What the bias adds to `preactivation`.
    """

    layer: str
    preactivation: float | None
    activation: float
    mean: float
    backprop: float
    note: str = ""
    kernels: tuple[Any, ...] = dataclasses.field(default=(), repr=False)
    bias: float = dataclasses.field(default=0.0, repr=False)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What theory expects of a model.

    Attributes:
        layers: One `LayerPrediction` a call, in forward order.
        untreated: `(layer, reason)` for layers without a rule; what depends on them
            is not in `layers`.
    """

    layers: tuple[LayerPrediction, ...]
    untreated: tuple[tuple[str, str], ...]

    def by_call(self) -> dict[tuple[str, int], LayerPrediction]:
        """Returns the predictions by layer and number of its call, from 0."""
        calls: collections.Counter[str] = collections.Counter()
        found = {}
        for row in self.layers:
            found[row.layer, calls[row.layer]] = row
            calls[row.layer] += 1
        return found


def predict(
    model: Any,
    input_moments: Moments | Sequence[Moments | None] = 1.0,
    *,
    training: bool = True,
    output_gradient: float = 1.0,
    target: Callable[[Any], float | None] | None = None,
) -> Prediction:
    """Predicts second moments through a model, forward and backward, in closed form.

    Weights enter by their sums of squares, activations by `moments`; padding and
    strides are counted exactly. The result is the average over models with weights
    of that size: a draw deviates by `O(1 / sqrt(width))`, and by more with depth.

    Exact in that sense for dense and convolutional layers, activations, embeddings,
    normalization (forward), concatenation, dropout. Approximate, and noted: pooling,
    merging of correlated branches, gradients through batch statistics. Without a rule:
    recurrent and attention layers, softmax.

    Args:
        model: A built Sequential or Functional Keras model, nested ones included.
        input_moments: Second moment of the inputs, or `(mean, second_moment)`, of all
            inputs alike; or a list of such, one an input in the order of
            `model.inputs`, with `None` for those of which nothing is known: what
            depends on them is not predicted.
        training: Whether normalization uses batch statistics and dropout drops.
        output_gradient: Second moment of dL/d(output), see `LayerPrediction.backprop`.
        target: Function of a layer: the second moment to which its preactivation is
            taken to be scaled, or `None` for its present one. `preactivation` is then
            what it would be *without* that layer's own scaling, those before it done:
            what signal-preserving initialization needs.

    Returns:
        `Prediction`.

    Raises:
        ValueError: If the model has no graph of layers (subclassed, unbuilt), or
            `input_moments` are no moments or not as many as there are inputs.
    """
    walk = _Walk(training, target)
    signals = _input_signals(input_moments, len(graph_of(model).inputs))
    outputs = walk.forward(model, signals)
    grads: dict[Any, float] = collections.defaultdict(float)
    for key in outputs or walk.ends:
        grads[key] += output_gradient
    walk.backward(grads)
    layers = tuple(
        LayerPrediction(
            record.name,
            record.step.preactivation,
            record.step.output.second_moment,
            record.step.output.mean,
            record.backprop,
            record.step.note,
            record.step.kernels,
            record.step.bias,
        )
        for record in walk.records
        if not record.silent
    )
    return Prediction(layers, tuple(walk.untreated))


def _input_signals(
    moments: Moments | Sequence[Moments | None], count: int
) -> list[Signal | None]:
    """Returns the signal of each input, `None` where nothing is known of it."""
    if not isinstance(moments, list):
        signal = _signal(moments)  # type: ignore[arg-type]
        if signal is None or not signal.second_moment > 0:
            raise _no_moments(moments)
        return [signal] * count
    if len(moments) != count:
        raise ValueError(
            "`input_moments` as a list must have one entry an input. Received "
            f"{len(moments)} for {count} inputs."
        )
    return [_signal(one) for one in moments]


def _signal(moments: Moments | None) -> Signal | None:
    if moments is None:
        return None
    mean, second = moments if isinstance(moments, tuple) else (0.0, moments)
    if not (0 <= second < math.inf and second >= mean**2):
        raise _no_moments(moments)
    return Signal(second, mean)


def _no_moments(received: Any) -> ValueError:
    return ValueError(
        "`input_moments` must be a positive second moment, or (mean, second moment) "
        f"with second moment >= mean², or a list of such. Received: {received!r}."
    )


@dataclasses.dataclass
class _Record:
    """One call of one layer: what went in, what came out, under which keys."""

    name: str
    step: Step
    inputs: list[int]
    output: int
    silent: bool
    backprop: float = math.nan


class _Walk:
    """A pass over a model's graph; tensors are numbered as they appear."""

    def __init__(self, training: bool, target: Callable[[Any], float | None] | None):
        self.training = training
        self.target = target
        self.records: list[_Record] = []
        self.untreated: list[tuple[str, str]] = []
        # Tensors that go into a layer without a rule.
        self.ends: list[int] = []
        self.signals: dict[int, Signal] = {}

    def new(self, signal: Signal) -> int:
        self.signals[len(self.signals)] = signal
        return len(self.signals) - 1

    def forward(self, model: Any, inputs: list[Signal | None]) -> list[int]:
        """Runs a model's graph; returns the numbers of its known output tensors."""
        keys = [None if signal is None else self.new(signal) for signal in inputs]
        return self._run(model, keys)

    def _run(self, model: Any, keys: Sequence[int | None]) -> list[int]:
        graph = graph_of(model)
        pairs = zip(graph.inputs, keys, strict=True)
        known = {id(t): key for t, key in pairs if key is not None}
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                self._visit(node, known)
        return [known[id(t)] for t in graph.outputs if id(t) in known]

    def _visit(self, node: Any, known: dict[int, int]) -> None:
        tensors = list(node.input_tensors)
        if not tensors or any(id(t) not in known for t in tensors):
            return
        layer = node.operation
        keys = [known[id(t)] for t in tensors]
        name = getattr(layer, "path", None) or layer.name
        if hasattr(layer, "_nodes_by_depth") or hasattr(layer, "_functional"):
            inner = self._run(layer, keys)
            known.update(
                {id(t): key for t, key in zip(node.output_tensors, inner, strict=False)}
            )
            return
        try:
            result = step(
                layer,
                [self.signals[key] for key in keys],
                [tuple(t.shape) for t in tensors],
                tuple(node.output_tensors[0].shape),
                self.training,
                self.target(layer) if self.target else None,
            )
        except Untreatable as reason:
            self.untreated.append((name, str(reason)))
            self.ends += keys
            return
        output = self.new(result.output)
        known[id(node.output_tensors[0])] = output
        silent = type(layer).__name__ == "InputLayer"
        self.records.append(_Record(name, result, keys, output, silent))

    def backward(self, grads: dict[int, float]) -> None:
        """Adds up gradients from the outputs back, in place."""
        for record in reversed(self.records):
            record.backprop = grads[record.output]
            for key, factor in zip(record.inputs, record.step.backward, strict=True):
                grads[key] += factor * record.backprop


def graph_of(model: Any) -> Any:
    """Returns the Functional graph of a model, or raises `ValueError`."""
    graph = model if hasattr(model, "_nodes_by_depth") else None
    graph = getattr(model, "_functional", None) or graph
    if graph is None:
        raise ValueError(
            "`model` must be a built Sequential or Functional model, or pass through "
            "one: keras.Model(inputs, model.call(inputs)). "
            f"Received: {type(model).__name__} {model.name!r}."
        )
    return graph
