"""What theory predicts for a Keras model at its current weights, layer by layer."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit.structure import keras_private
from keras_initkit.structure.in_place import reason_of
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.needs import check_model
from keras_initkit.structure.roles import kinds_of
from keras_initkit.theory import elementwise
from keras_initkit.theory.propagation import step
from keras_initkit.theory.signals import Signal
from keras_initkit.theory.step import Call, Shape, Slope, Step, Untreatable

# A second moment, mean and second moment, or these and `Signal.shared`.
Moments = float | tuple[float, float] | tuple[float, float, float]


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
            has no prediction, at the input of the layer without a rule; NaN if a layer
            without a rule lies in between.
        note: What is approximated; `""` if nothing is.
        kernels: Variables whose scale sets `preactivation`; none for kernels that are
            quantized or have LoRA's part added.
        bias: What the bias adds to `preactivation`.
        repeated: 0 for a single call. A layer inside a `TimeDistributed` is called once
            per step, each time with the same moments; then it is the number of that
            wrapper's call, from 1.
        call: Number of the call of the layer, from 0.
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
    call: int = 0


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What theory predicts for a model.

    Attributes:
        layers: One `LayerPrediction` per call, in forward order.
        untreated: `(layer, reason)` for layers without a rule; what depends on them is
            not in `layers`, up to a normalization that removes the dependence.
    """

    layers: tuple[LayerPrediction, ...]
    untreated: tuple[tuple[str, str], ...]

    def of_calls(
        self, calls: Iterable[tuple[str, int]]
    ) -> list[LayerPrediction | None]:
        """Returns the prediction of each `(layer, number of its call, from 0)`.

        `None` if there is none. All steps of a `TimeDistributed` share that of the
        first; a layer inside several of them has none.
        """
        rows: dict[str, list[LayerPrediction]] = collections.defaultdict(list)
        for row in self.layers:
            rows[row.layer].append(row)
        return [_row_of_call(rows.get(layer, []), call) for layer, call in calls]

    def by_call(self) -> dict[tuple[str, int], LayerPrediction]:
        """Returns the predictions by layer and number of its call, from 0."""
        return {(row.layer, row.call): row for row in self.layers}


def _row_of_call(rows: list[LayerPrediction], call: int) -> LayerPrediction | None:
    wrappers = {row.repeated for row in rows}
    if wrappers == {0}:
        return next((row for row in rows if row.call == call), None)
    return rows[call % len(rows)] if len(wrappers) == 1 else None


def predict(
    model: Any,
    input_moments: Moments | Sequence[Moments | None] = 1.0,
    *,
    training: bool = True,
    output_gradient: float = 1.0,
    target: Callable[[Any], float | None] | None = None,
    rough: bool = False,
) -> Prediction:
    """Predicts second moments through a model, forward and backward, in closed form.

    Weights enter by their sums of squares, activations by `moments`; padding and
    strides are treated exactly. The result is the average over models with weights of
    that size: a draw deviates by `O(1 / sqrt(width))`, and by more with depth.

    Exact in that sense for dense and convolutional layers, activations, embeddings,
    normalization, dropout, concatenation, constants, and for these in
    `TimeDistributed`. Sums and products account for what their operands have in common:
    `x + x` is `2 x`, a residual branch is independent of its shortcut, and if the
    relation is unknown there is no rule. Nor is there one for recurrent and attention
    layers, softmax, and pooling over positions, whose correlation is unknown. Gradients
    through batch statistics are neglected, which `note` says. Inputs are assumed
    Gaussian.

    Args:
        model: A built Sequential or Functional Keras model, nested ones included.
        input_moments: Second moment of the inputs, or `(mean, second_moment)`, or these
            and the mean square of the features' own means (by default that of the mean:
            two inputs have nothing else in common); the same for all inputs, or a list
            with one entry per input in the order of `model.inputs`, `None` for unknown
            ones: what depends on them is not predicted.
        training: Whether normalization uses batch statistics and dropout drops.
        output_gradient: Second moment of dL/d(output), see `LayerPrediction.backprop`.
        target: Function of a layer: the second moment to which its preactivation is
            assumed to be scaled, or `None` for its current one. `preactivation` is then
            what it would be *without* that layer's own scaling, but with that of the
            layers before it: what signal-preserving initialization needs.
        rough: Whether to assume that pooling preserves second moments, which holds
            within a factor of 2 or so, instead of treating it as having no rule.

    Returns:
        `Prediction`.

    Raises:
        ValueError: If the model has no graph of layers (subclassed, unbuilt), or
            `input_moments` are not moments or do not match the number of inputs.
    """
    check_model("predict", model)
    names = {id(layer): name for name, layer in named_layers(model)}
    walk = _Walk(names, training, target, rough)
    signals = _input_signals(input_moments, len(graph_of(model).inputs))
    outputs = walk.forward(model, signals)
    backprop = walk.backward(outputs, output_gradient)
    layers = tuple(
        LayerPrediction(
            record.name,
            record.step.preactivation,
            walk.signals[record.output].second_moment,
            walk.signals[record.output].mean,
            gradient,
            record.step.note,
            record.step.kernels,
            record.step.bias,
            record.repeated,
            record.call,
        )
        for record, gradient in zip(walk.records, backprop, strict=True)
        if not record.silent and (rough or not record.step.output.rough)
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
            "`input_moments` as a list must have one entry per input. Received "
            f"{len(moments)} for {count} inputs."
        )
    return [_signal(one) for one in moments]


def _signal(moments: Moments | None) -> Signal | None:
    if moments is None:
        return None
    mean, second, *more = moments if isinstance(moments, tuple) else (0.0, moments)
    shared = more[0] if more else mean**2
    if not (0 <= second < math.inf and second >= shared >= mean**2):
        raise _no_moments(moments)
    return Signal(second, mean, shared)


def _no_moments(received: Any) -> ValueError:
    return ValueError(
        "`input_moments` must be a positive second moment, or (mean, second moment) "
        "with second moment >= mean², or (mean, second moment, mean square of the "
        f"features' means), or a list of such. Received: {received!r}."
    )


@dataclasses.dataclass
class _Record:
    """One call of one layer: what went in, what came out, under which keys.

    `inner` is what came out ahead of its own activation.
    """

    name: str
    step: Step
    inputs: list[int]
    inner: int
    output: int
    silent: bool
    repeated: int
    call: int


# Derivative of an entry by that of another tensor, and the mean of its square.
_Reach = tuple[float | np.ndarray[Any, Any], float]


class _Walk:
    """A pass over a model's graph; tensors are numbered as they appear."""

    def __init__(
        self,
        names: dict[int, str],
        training: bool,
        target: Callable[[Any], float | None] | None,
        rough: bool,
    ):
        self.names = names
        self.training = training
        self.target = target
        self.rough = rough
        self.records: list[_Record] = []
        self.untreated: list[tuple[str, str]] = []
        # Tensors that go into a layer without a rule.
        self.ends: list[int] = []
        self.signals: dict[int, Signal] = {}
        # For each tensor, those that it is a function of, entry by entry.
        self.reach: dict[int, dict[int, _Reach]] = {}
        self.calls: collections.Counter[int] = collections.Counter()
        # Calls of `TimeDistributed` so far, and the one that the walk is inside of.
        self.wrappers = 0
        self.inside = 0

    def new(self, signal: Signal) -> int:
        number = len(self.signals)
        self.signals[number] = signal.numbered(number)
        self.reach[number] = {number: (1.0, 1.0)}
        return number

    def forward(self, model: Any, inputs: list[Signal | None]) -> list[int | None]:
        """Runs a model's graph; returns the numbers of its outputs, if known."""
        keys = [None if signal is None else self.new(signal) for signal in inputs]
        return self._run(model, keys)

    def _run(self, model: Any, keys: Sequence[int | None]) -> list[int | None]:
        graph = graph_of(model)
        pairs = zip(graph.inputs, keys, strict=True)
        known = {id(t): key for t, key in pairs if key is not None}
        for node in keras_private.nodes_in_order(graph):
            self._visit(node, known)
        return [known.get(id(t)) for t in graph.outputs]

    def _visit(self, node: Any, known: dict[int, int]) -> None:
        tensors, layer = list(node.input_tensors), node.operation
        if not tensors:
            return
        if _is_graph(layer):
            keys = [known.get(id(t)) for t in tensors]
            pairs = zip(node.output_tensors, self._run(layer, keys), strict=False)
            known.update({id(t): key for t, key in pairs if key is not None})
            return
        call, self.calls[id(layer)] = self.calls[id(layer)], self.calls[id(layer)] + 1
        there = [known[id(t)] for t in tensors if id(t) in known]
        if len(there) < len(tensors):
            self.ends += there
            return
        try:
            output = self._call(layer, there, node, call)
        except Untreatable as reason:
            self.untreated.append((self._name(layer), str(reason)))
            self.ends += there
            return
        except Exception as error:  # whatever the user's own function or class raises
            self.untreated.append((self._name(layer), f"it {reason_of(error)}"))
            self.ends += there
            return
        if output is not None and len(node.output_tensors) == 1:
            known[id(node.output_tensors[0])] = output

    def _call(self, layer: Any, keys: list[int], node: Any, call: int) -> int | None:
        """Calls a layer; returns the number of its output tensor, if it is known."""
        shapes = [tuple(t.shape) for t in node.input_tensors]
        output_shape = tuple(node.output_tensors[0].shape)
        places = {
            id(t): self.signals[key]
            for t, key in zip(node.input_tensors, keys, strict=True)
        }
        args, kwargs = keras_private.arguments_of(node)
        flat = keras.tree.flatten(args)
        arguments = tuple(places.get(id(one), one) for one in flat)
        options = {name: places.get(id(one), one) for name, one in kwargs.items()}
        return self._step(layer, keys, shapes, output_shape, call, arguments, options)

    def _step(
        self,
        layer: Any,
        keys: list[int],
        shapes: list[Shape],
        output_shape: Shape,
        call: int,
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> int | None:
        if "TimeDistributed" in {base.__name__ for base in type(layer).__mro__}:
            return self._at_each_step(layer, keys, shapes, output_shape, call)
        found = step(
            Call(
                layer,
                kinds_of(layer),
                tuple(self.signals[key] for key in keys),
                tuple(shapes),
                output_shape,
                arguments,
                options,
                self.training,
                self.target(layer) if self.target else None,
            )
        )
        return self._record(layer, found, keys, call)

    def _at_each_step(
        self,
        layer: Any,
        keys: list[int],
        shapes: list[Shape],
        output_shape: Shape,
        call: int,
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
                signals = tuple(self.signals[key] for key in keys)
                output = self._step(inner, keys, steps, one, 0, signals, {})
        finally:
            self.inside = outside
        if output is None:
            return None
        found = Step(self.signals[output], None, (1.0,), (1.0,))
        return self._record(layer, found, [output], call)

    def _record(self, layer: Any, found: Step, keys: list[int], call: int) -> int:
        inner = output = self._new_of(found, keys)
        if found.activation is not None:
            activated = elementwise.activation(found.activation, self.signals[inner])
            output = self._new_of(activated, [inner])
        before = [self.signals[key].rough for key in keys]
        if found.output.rough and not any(before) and not self.rough:
            self.untreated.append((self._name(layer), found.note))
        silent = type(layer).__name__ == "InputLayer"
        name = self._name(layer)
        self.records.append(
            _Record(name, found, keys, inner, output, silent, self.inside, call)
        )
        return output

    def _new_of(self, found: Step, keys: list[int]) -> int:
        output = self.new(found.output)
        if found.slopes is not None:
            self._reach_on(output, keys, found)
        return output

    def _reach_on(self, output: int, keys: list[int], found: Step) -> None:
        """Notes what a tensor is a function of, by the chain rule."""
        slopes = [self._slope(one, output) for one in found.slopes or ()]
        terms: dict[int, list[_Reach]] = {}
        for key, slope, square in zip(keys, slopes, found.backward, strict=True):
            for number, (reach, _) in self.reach[key].items():
                exact = reach**2 * square if isinstance(reach, float) else math.nan
                terms.setdefault(number, []).append((slope * reach, exact))
        for number, several in terms.items():
            total = sum(reach for reach, _ in several)
            exact = several[0][1] if len(several) == 1 else math.nan
            square = float(np.mean(total**2)) if math.isnan(exact) else exact
            if found.rough_backward and not self.rough:
                square = math.nan
            self.reach[output][number] = (total, square)

    def _slope(self, slope: Slope, output: int) -> float | np.ndarray[Any, Any]:
        return slope(output).astype(np.float32) if callable(slope) else float(slope)

    def _name(self, layer: Any) -> str:
        """Returns the name that the monitor has for a layer, or an operation's own."""
        return self.names.get(id(layer)) or getattr(layer, "path", None) or layer.name

    def backward(self, outputs: list[int | None], gradient: float) -> list[float]:
        """Returns the second moment of the gradient at each record's output.

        Where no output is known, gradients are relative to that at the last tensor
        which goes into a layer without a rule.
        """
        known = [key for key in outputs if key is not None]
        starts = known or self.ends[-1:]
        injected: dict[int, float] = dict.fromkeys(self.signals, 0.0)
        for key in self.ends:
            injected[key] += math.nan if known or key not in starts else 0.0
        for key in starts:
            injected[key] += gradient
        # What each tensor is a function of, turned round.
        makes: dict[int, list[tuple[int, float]]] = {}
        for number, reach in self.reach.items():
            for source, (_, square) in reach.items():
                makes.setdefault(source, []).append((number, square))

        def reaching(number: int) -> float:
            pairs = [(injected[one], square) for one, square in makes[number] if square]
            return sum(one * square for one, square in pairs if one)

        found = []
        for record in reversed(self.records):
            found.append(reaching(record.output))
            if record.step.slopes is not None:
                continue
            total = reaching(record.inner)
            blurred = record.step.rough_backward and not self.rough
            for key, factor in zip(record.inputs, record.step.backward, strict=True):
                if factor and total:
                    injected[key] += math.nan if blurred else factor * total
        return found[::-1]


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
