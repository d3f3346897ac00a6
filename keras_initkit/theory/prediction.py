"""What theory expects of a real Keras model at its present weights, layer by layer."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from keras_initkit.structure import keras_private
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.needs import check_model
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
        repeated: 0 for what is called once. A layer inside a `TimeDistributed` is
            called once a step, each time with the same moments; then it is the number
            of that wrapper's call, from 1.
    """

    layer: str
    preactivation: float | None
    activation: float
    mean: float
    backprop: float
    note: str = ""
    kernels: tuple[Any, ...] = dataclasses.field(default=(), repr=False)
    bias: float = dataclasses.field(default=0.0, repr=False)
    repeated: int = 0


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

    def of_calls(
        self, calls: Iterable[tuple[str, int]]
    ) -> list[LayerPrediction | None]:
        """Returns the prediction of each `(layer, number of its call, from 0)`.

        `None` where there is none. All steps of a `TimeDistributed` have that of the
        first; a layer inside of several ones has none.
        """
        rows: dict[str, list[LayerPrediction]] = collections.defaultdict(list)
        for row in self.layers:
            rows[row.layer].append(row)
        return [_row_of_call(rows.get(layer, []), call) for layer, call in calls]

    def by_call(self) -> dict[tuple[str, int], LayerPrediction]:
        """Returns the predictions by layer and number of its call, from 0."""
        calls: collections.Counter[str] = collections.Counter()
        found = {}
        for row in self.layers:
            found[row.layer, calls[row.layer]] = row
            calls[row.layer] += 1
        return found


def _row_of_call(rows: list[LayerPrediction], call: int) -> LayerPrediction | None:
    wrappers = {row.repeated for row in rows}
    if wrappers == {0}:
        return rows[call] if call < len(rows) else None
    return rows[call % len(rows)] if len(wrappers) == 1 else None


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
    normalization (forward), concatenation, dropout, and for these in `TimeDistributed`.
    Approximate, and noted: pooling, merging of correlated branches, gradients through
    batch statistics. Without a rule: recurrent and attention layers, softmax.

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
    check_model("predict", model)
    names = {id(layer): name for name, layer in named_layers(model)}
    walk = _Walk(names, training, target)
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
            record.repeated,
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
    repeated: int
    backprop: float = math.nan


class _Walk:
    """A pass over a model's graph; tensors are numbered as they appear."""

    def __init__(
        self,
        names: dict[int, str],
        training: bool,
        target: Callable[[Any], float | None] | None,
    ):
        self.names = names
        self.training = training
        self.target = target
        self.records: list[_Record] = []
        self.untreated: list[tuple[str, str]] = []
        # Tensors that go into a layer without a rule.
        self.ends: list[int] = []
        self.signals: dict[int, Signal] = {}
        # Calls of `TimeDistributed` so far, and the one that the walk is inside of.
        self.wrappers = 0
        self.inside = 0

    def new(self, signal: Signal) -> int:
        self.signals[len(self.signals)] = signal
        return len(self.signals) - 1

    def forward(self, model: Any, inputs: list[Signal | None]) -> list[int]:
        """Runs a model's graph; returns the numbers of its known output tensors."""
        keys = [None if signal is None else self.new(signal) for signal in inputs]
        return [key for key in self._run(model, keys) if key is not None]

    def _run(self, model: Any, keys: Sequence[int | None]) -> list[int | None]:
        graph = graph_of(model)
        pairs = zip(graph.inputs, keys, strict=True)
        known = {id(t): key for t, key in pairs if key is not None}
        for node in keras_private.nodes_in_order(graph):
            self._visit(node, known)
        return [known.get(id(t)) for t in graph.outputs]

    def _visit(self, node: Any, known: dict[int, int]) -> None:
        tensors = list(node.input_tensors)
        if not tensors or any(id(t) not in known for t in tensors):
            return
        layer = node.operation
        keys = [known[id(t)] for t in tensors]
        if _is_graph(layer):
            pairs = zip(node.output_tensors, self._run(layer, keys), strict=False)
            known.update({id(t): key for t, key in pairs if key is not None})
            return
        shapes = [tuple(t.shape) for t in tensors]
        try:
            output = self._call(
                layer, keys, shapes, tuple(node.output_tensors[0].shape)
            )
        except Untreatable as reason:
            self.untreated.append((self._name(layer), str(reason)))
            self.ends += keys
            return
        if output is not None:
            known[id(node.output_tensors[0])] = output

    def _call(
        self, layer: Any, keys: list[int], shapes: list[Any], output_shape: Any
    ) -> int | None:
        """Calls a layer; returns the number of its output tensor, if it is known."""
        if "TimeDistributed" in {base.__name__ for base in type(layer).__mro__}:
            return self._at_each_step(layer, keys, shapes, output_shape)
        found = step(
            layer,
            [self.signals[key] for key in keys],
            shapes,
            output_shape,
            self.training,
            self.target(layer) if self.target else None,
        )
        return self._record(layer, found, keys)

    def _at_each_step(
        self, layer: Any, keys: list[int], shapes: list[Any], output_shape: Any
    ) -> int | None:
        """Calls the layer inside a `TimeDistributed`: all steps have like moments."""
        outside = self.inside
        if not outside:
            self.wrappers += 1
            self.inside = self.wrappers
        inner = layer.layer
        try:
            if _is_graph(inner):
                (output,) = self._run(inner, keys)
            else:
                steps = [(shape[0], *shape[2:]) for shape in shapes]
                one = (output_shape[0], *output_shape[2:])
                output = self._call(inner, keys, steps, one)
        finally:
            self.inside = outside
        if output is None:
            return None
        return self._record(layer, Step(self.signals[output], None, (1.0,)), [output])

    def _record(self, layer: Any, found: Step, keys: list[int]) -> int:
        output = self.new(found.output)
        silent = type(layer).__name__ == "InputLayer"
        self.records.append(
            _Record(self._name(layer), found, keys, output, silent, self.inside)
        )
        return output

    def _name(self, layer: Any) -> str:
        """Returns the name that the monitor has for a layer, or an operation's own."""
        return self.names.get(id(layer)) or getattr(layer, "path", None) or layer.name

    def backward(self, grads: dict[int, float]) -> None:
        """Adds up gradients from the outputs back, in place."""
        for record in reversed(self.records):
            record.backprop = grads[record.output]
            for key, factor in zip(record.inputs, record.step.backward, strict=True):
                grads[key] += factor * record.backprop


def _is_graph(layer: Any) -> bool:
    sequential = isinstance(layer, keras.Sequential)
    return sequential or keras_private.functional_graph(layer) is not None


def graph_of(model: Any) -> Any:
    """Returns the Functional graph of a model, or raises `ValueError`."""
    graph = keras_private.functional_graph(model)
    if graph is None:
        raise ValueError(
            "`model` must be a built Sequential or Functional model, or pass through "
            "one: keras.Model(inputs, model.call(inputs)). "
            f"Received: {type(model).__name__} {model.name!r}."
        )
    return graph
