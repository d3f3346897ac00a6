"""The weights as they are: copies, constants, variances, biases."""

import collections
import hashlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_initkit import theory
from keras_initkit.diagnosis.linting.registry import Subject, lint_rule
from keras_initkit.diagnosis.registry import Fault
from keras_initkit.diagnosis.rules import _common
from keras_initkit.diagnosis.sampling import moment_range
from keras_initkit.structure import roles
from keras_initkit.structure.fans import compute_fans, fan_of_mode, layout_of
from keras_initkit.structure.graph import Call, Graph
from keras_initkit.structure.keras_private import layers_below
from keras_initkit.structure.roles import gates_of

k = keras.layers
_SYMMETRY = (
    "Goodfellow, Bengio & Courville, 2016, Deep Learning, section 8.4, "
    "https://www.deeplearningbook.org"
)
_SHARED = "Keras 3, keras.initializers: a seeded initializer repeats its values"
_FANS = "https://github.com/keras-team/keras/issues/11773"
_SELU = "Klambauer et al., 2017, https://arxiv.org/abs/1706.02515"
_JOZEFOWICZ = (
    "Jozefowicz et al., 2015, http://proceedings.mlr.press/v37/jozefowicz15.html"
)
_PASCANU = "Pascanu et al., 2013, https://arxiv.org/abs/1211.5063"
_DRIFT = 3.0  # decades
_FADED = 1e-3  # what is left of a state when it is forgotten
_FAN_FACTOR = _SELU_FACTOR = 1.6


@lint_rule("SymmetricUnits", severity="error", reference=_SYMMETRY)
def symmetric_units(subject: Subject) -> Iterator[Fault]:
    """All entries of a hidden kernel are the same number, so that its units are."""
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
            message=f"all weights of {path!r} are {kernels[-1].flat[0]:g}: its "
            f"{units} units are copies of each other and stay so.",
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
    kernels = [one for name in names if (one := _array(layer, name)) is not None]
    return kernels if len(kernels) == len(names) else []


@lint_rule("EqualWeights", severity="error", reference=_SHARED)
def equal_weights(subject: Subject) -> Iterator[Fault]:
    """Two layers start from the very same random values."""
    groups: dict[tuple[Any, bytes], list[tuple[str, str, Any]]] = {}
    for path, layer, name, given in _kernels(subject):
        kernel = _array(layer, name)
        if kernel is None or kernel.size < 2 or (kernel == kernel.flat[0]).all():
            continue
        if isinstance(given, keras.initializers.Identity):
            continue
        digest = kernel.shape, hashlib.blake2b(kernel.data).digest()
        groups.setdefault(digest, []).append((path, name, given))
    for group in groups.values():
        if len(group) < 2:
            continue
        (first, name, given), (path, _, its) = group[:2]
        why = (
            "they were given one initializer object, which repeats its values"
            if its is given
            else "their initializers have the same seed"
        )
        more = f" (and of {len(group) - 2} more)" if len(group) > 2 else ""
        yield Fault(
            layer=path,
            step=None,
            measured=len(group),
            threshold=1,
            message=f"the {name} of {path!r}{more} equals that of {first!r}, to the "
            f"last bit: {why}.",
            remedy="Give each layer an initializer of its own, by name "
            '(`kernel_initializer="he_normal"`) or `kik.initializers.seeded`; or draw '
            "again, `kik.reinitialize(model, kik.recommend(model), seed=0)`.",
        )


@lint_rule(
    "PoorWeightInitialization",
    severity="warning",
    reference=_common.HE,
    spans_depth=True,
)
def poor_weight_initialization(subject: Subject) -> Iterator[Fault]:
    """Theory expects signals or gradients to fade or grow a thousandfold with depth."""
    if subject.graph is None:
        return
    drifts = list(_drifts(subject.graph, _predicted(subject)))
    forward = max(drifts, key=lambda one: abs(one.forward), default=None)
    backward = max(drifts, key=lambda one: abs(one.backward), default=None)
    if forward is not None and abs(forward.forward) >= _DRIFT:
        yield _drifted(forward, forward.last, "the signal", forward.forward)
    elif backward is not None and abs(backward.backward) >= _DRIFT:
        what = "the gradient on its way back"
        yield _drifted(backward, backward.first, what, backward.backward)


def _drifted(drift: "_Drift", layer: str, what: str, decades: float) -> Fault:
    return Fault(
        layer=layer,
        step=None,
        measured=decades,
        threshold=math.copysign(_DRIFT, decades),
        message=f"with these weights, {what} {'grows' if decades > 0 else 'shrinks'} "
        f"by {abs(decades):.1f} decades over {drift.layers} layers (mean-field theory, "
        "inputs of rms 1).",
        remedy="Let the variance fit each layer: "
        "`kik.reinitialize(model, kik.recommend(model))`, or by hand "
        '`kernel_initializer="he_normal"` for ReLU, `"glorot_uniform"` for tanh.',
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


@lint_rule("InitializerMismatch", severity="warning", reference=_SELU)
def initializer_mismatch(subject: Subject) -> Iterator[Fault]:
    """SELU layers whose weights do not have the variance that normalizes itself."""
    for path, layer in subject.layers:
        if getattr(getattr(layer, "activation", None), "__name__", None) != "selu":
            continue
        kernel = _matrix(layer)
        if kernel is None:
            continue
        scaled = _scaled_variance(kernel, layer)
        low, high = moment_range(scaled, kernel.size)
        if low > _SELU_FACTOR or high < 1 / _SELU_FACTOR:
            yield Fault(
                layer=path,
                step=None,
                measured=scaled,
                threshold=_SELU_FACTOR if scaled > 1 else 1 / _SELU_FACTOR,
                message=f"the variance of the weights of {path!r} times its fan-in is "
                f"{scaled:.2g}; SELU keeps mean 0 and std 1 only at 1.",
                remedy='Use `kernel_initializer="lecun_normal"` with '
                '`activation="selu"`, and `keras.layers.AlphaDropout` for dropout.',
            )


@lint_rule("FanDefect", severity="info", reference=_FANS)
def fan_defect(subject: Subject) -> Iterator[Fault]:
    """Keras reads fans wrong: of depthwise, transposed, grouped and fused kernels."""
    calls = {} if subject.graph is None else _first_calls(subject.graph)
    found: dict[str, list[tuple[str, str, float]]] = {}
    for path, layer, name, given in _kernels(subject):
        call = calls.get(id(layer))
        if call is not None and _is_normalized(subject.graph, call):
            continue
        kernel = _array(layer, name)
        factor = None if kernel is None else _fan_factor(layer, name, given, kernel)
        if factor is not None and not 1 / _FAN_FACTOR < factor < _FAN_FACTOR:
            kind = type(layer).__name__
            found.setdefault(f"{kind}/{name}", []).append((path, name, factor))
    for kind, places in found.items():
        path, name, factor = places[0]
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        yield Fault(
            layer=path,
            step=None,
            measured=factor,
            threshold=_FAN_FACTOR if factor > 1 else 1 / _FAN_FACTOR,
            message=f"the {name} of {path!r}{more} has {factor:.2g} times the variance "
            f"that its initializer means: Keras reads the fans of "
            f"{kind.partition('/')[0]} kernels off a shape that does not tell them.",
            remedy="Use `kik.initializers.for_layer(layer, initializer, "
            f'"{name}")`, or `kik.reinitialize(model, kik.recommend(model))`.',
        )


@lint_rule("DeadBias", severity="warning", reference=_common.LU)
def dead_bias(subject: Subject) -> Iterator[Fault]:
    """Biases so negative that most ReLU units of a layer hardly ever fire."""
    for path, layer in subject.layers:
        kernel, bias = _matrix(layer), _array(layer, "bias")
        if kernel is None or bias is None:
            continue
        if not _is_relu(subject.graph, layer):
            continue
        # Of inputs with rms 1; three of them leave 1 of 740 values above zero.
        scaled = _scaled_variance(kernel, layer)
        spread = math.sqrt(moment_range(scaled, kernel.size).high)
        share = float(np.mean(bias < -3 * spread))
        if spread > 0 and share > 0.5:
            yield Fault(
                layer=path,
                step=None,
                measured=share,
                threshold=0.5,
                message=f"{share:.0%} of the biases of {path!r} lie below minus three "
                f"times the spread of what the ReLU gets ({spread:.2g} for inputs of "
                "rms 1): these units are dead from the start.",
                remedy='Use `bias_initializer="zeros"`.',
            )


@lint_rule("ForgetBias", severity="warning", reference=_JOZEFOWICZ)
def forget_bias(subject: Subject) -> Iterator[Fault]:
    """The forget gates of an LSTM start half shut or more."""
    for path, layer in subject.layers:
        if gates_of(layer) != 4:
            continue
        bias = _array(layer, "bias")
        if bias is None:
            continue
        forget = float(bias[len(bias) // 4 : len(bias) // 2].mean())
        if forget < 0.5:
            yield Fault(
                layer=path,
                step=None,
                measured=forget,
                threshold=0.5,
                message=f"the forget biases of {path!r} are {forget:.2g} on average: "
                f"its memory keeps {1 / (1 + math.exp(-forget)):.0%} of itself from "
                "one time step to the next.",
                remedy="Use `keras.layers.LSTM(units)` with its default "
                "`unit_forget_bias=True`, or, for long sequences, "
                "`keras.layers.LSTM(units, unit_forget_bias=False, bias_initializer="
                "kik.initializers.ChronoBias(time_steps))`.",
            )


@lint_rule("RecurrentScale", severity="warning", reference=_PASCANU)
def recurrent_scale(subject: Subject) -> Iterator[Fault]:
    """A recurrent kernel by which states fade at once or blow up over the sequence."""
    for path, layer in subject.layers:
        cell = getattr(layer, "cell", None)
        # What a cell of an unknown kind does with its state is not known.
        if roles.kind_of(cell) is None or gates_of(cell) > 1:
            continue
        length = _sequence_length(layer)
        kernel = _array(cell, "recurrent_kernel")
        if kernel is None or not length:
            continue
        name = getattr(getattr(cell, "activation", None), "__name__", None)
        # No state keeps more than this of its difference to another one (tanh, ReLU
        # and linear have slopes of 1 at most).
        kept = float(np.linalg.norm(kernel, 2))
        reach = 0.0 if kept == 0 else math.log(_FADED) / math.log(min(kept, 1 - 1e-9))
        grown = _growth(kernel, name, length) if name in ("relu", "linear") else 0.0
        if reach < length / 4:
            measured, limit = reach, length / 4
            what = (
                f"forgets: within {reach:.2g} of {length} time steps less than "
                f"{_FADED:g} is left of what came before"
            )
        elif grown > 1 / _FADED:
            measured, limit = grown, 1 / _FADED
            what = f"makes states grow by a factor {grown:.2g} over {length} time steps"
        else:
            continue
        yield Fault(
            layer=path,
            step=None,
            measured=measured,
            threshold=limit,
            message=f"the recurrent kernel of {path!r} {what}.",
            remedy='Start it orthogonal, `recurrent_initializer="orthogonal"`, for a '
            'ReLU `"identity"`, or use `keras.layers.LSTM(units)`.',
        )


def _sequence_length(layer: Any) -> int | None:
    """Returns the number of time steps of a recurrent layer, `None` if not known."""
    try:
        shape = keras.tree.flatten(layer.input)[0].shape
    except (AttributeError, ValueError):
        return None
    return shape[1] if len(shape) == 3 else None


def _growth(kernel: np.ndarray, activation: str, length: int) -> float:
    """Returns the growth of random states over a sequence, the rms of 32 of them."""
    states = np.random.default_rng(0).standard_normal((32, len(kernel)))
    start = np.linalg.norm(states)
    for _ in range(length):
        states = states @ kernel.astype(np.float64)
        if activation == "relu":
            states = np.maximum(states, 0.0)
        if not np.isfinite(size := np.linalg.norm(states)) or size > 1e100:
            return math.inf
    return float(np.linalg.norm(states) / start)


def _kernels(subject: Subject) -> Iterator[tuple[str, Any, str, Any]]:
    """Yields path, layer, name and initializer of every kernel."""
    for path, layer in subject.layers:
        for name in roles.names_of(layer, "kernel", "recurrent_kernel"):
            given = roles.initializer_of(layer, name)
            if given is not None and _array(layer, name) is not None:
                yield path, layer, name, given


def _matrix(layer: Any) -> np.ndarray | None:
    """Returns the one kernel that makes a layer's units, `None` if it has none.

    A recurrent layer's kernel adds to its state, a separable one's is a product.
    """
    kernels = roles.names_of(layer, "kernel", "recurrent_kernel")
    return _array(layer, kernels[0]) if len(kernels) == 1 else None


def _array(layer: Any, name: str) -> np.ndarray | None:
    """Returns a weight of floats that a built layer holds, as float32."""
    variable = roles.variable_of(layer, name) if layer.built else None
    if variable is None or "float" not in variable.dtype:
        return None
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def _scaled_variance(kernel: np.ndarray, layer: Any) -> float:
    """Returns the variance of a kernel times its true fan-in."""
    fan_in, _ = layout_of(layer).fans(kernel.shape)
    return float(kernel.var() * fan_in)


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


def _first_calls(graph: Graph) -> dict[int, Call]:
    calls: dict[int, Call] = {}
    for call in graph.calls:
        calls.setdefault(id(call.layer), call)
    return calls


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
    calls = _first_calls(graph)
    if id(layer) in calls:
        return calls[id(layer)]
    around = (call for call in calls.values() if layer in layers_below(call.layer))
    return next(around, None)


def _is_relu(graph: Graph | None, layer: Any) -> bool:
    call = None if graph is None else _first_calls(graph).get(id(layer))
    if graph is None or call is None:
        name = getattr(getattr(layer, "activation", None), "__name__", None)
        return name in _common.RELU
    if call.activation is not None:
        return call.activation in _common.RELU
    following = [way[0].activation for way, _ in graph.ways(call) if way]
    return bool(following) and all(name in _common.RELU for name in following)


def _predicted(subject: Subject) -> tuple[theory.LayerPrediction, ...]:
    """Returns theory's predictions, as far as there are any."""
    if subject.graph is None:
        return ()
    try:
        return theory.predict(subject.model, rough=True).layers
    except (ValueError, AttributeError):
        return ()
