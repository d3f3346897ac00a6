"""Layer-sequential unit variance: each layer scaled by what it does to real data."""

import contextlib
import dataclasses
import functools
import math
import time

import keras
from keras import ops

from keras_initkit import initializers
from keras_initkit.analysis._in_place import editing, forward
from keras_initkit.capture.layers import named_layers
from keras_initkit.capture.taps import shadowed

k = keras.layers


@dataclasses.dataclass(frozen=True)
class LayerFit:
    """What LSUV did to one layer.

    Attributes:
        layer: Name of the layer (its path).
        weight: Name of the weight that was scaled.
        std_before: Standard deviation of the layer's signal over batch, positions and
            units, when the pass first met it (after the orthonormal start).
        std_after: The same at the end.
        standard_error: Of `std_after`, as an estimate for other examples of the same
            kind, from the spread of the examples' mean squares. NaN for one example.
        iterations: How often the weight was rescaled.
        converged: Whether `std_after` is within the tolerance of 1.
    """

    layer: str
    weight: str
    std_before: float
    std_after: float
    standard_error: float
    iterations: int
    converged: bool


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A layer that was left as it is, and why."""

    layer: str
    reason: str


@dataclasses.dataclass(frozen=True)
class LSUVReport:
    """What LSUV did to a model.

    Attributes:
        layers: One `LayerFit` a layer, in forward order.
        skipped: Layers with weights to scale that were left as they are.
        seconds: Wall time.
    """

    layers: tuple[LayerFit, ...]
    skipped: tuple[Skipped, ...]
    seconds: float

    def __str__(self):
        width = max((len(fit.layer) for fit in self.layers), default=5)
        lines = [f"{'layer':{width}}  std before   std after  std error  rescaled"]
        lines += [
            f"{fit.layer:{width}}  {fit.std_before:10.4g}  {fit.std_after:10.4g}"
            f"  {fit.standard_error:9.2g}"
            f"  {fit.iterations}{'' if fit.converged else '  not converged'}"
            for fit in self.layers
        ]
        lines += [f"left alone: {skip.layer} ({skip.reason})" for skip in self.skipped]
        return "\n".join(lines)


def lsuv(
    model,
    x,
    tolerance=0.05,
    max_iterations=10,
    layers=None,
    orthonormal=True,
    mean_shift=False,
    seed=None,
):
    """Scales a model's weights, in place, so that every layer's signal has std 1.

    In forward order, each kernel starts from an orthonormal matrix and is divided by
    the standard deviation of its layer's signal on `x` until that is within
    `tolerance` of 1. The signal is the layer's output *before* its own activation; for
    LSTM, GRU and SimpleRNN it is what the input kernel adds to the gates, and their
    recurrent kernels, whose scale decides over stability in time, keep their values.
    All layers are fitted during one eager forward pass in inference mode: a layer is
    met when its inputs are final already, so no sub-model and no second pass is
    needed. Any Keras model will do, subclassed and nested ones too.

    Moving averages, seeds and the optimizer are left as they are; if anything raises,
    so are all weights.

    Other data will miss 1 by the tolerance and some `standard_error` of the report.
    That error falls with the square root of the number of examples, and grows with
    depth where gates multiply signals: 256 CIFAR-10 images leave about 0.01 in the
    first layers of MobileNetV3Small and 0.2 in the last, since a few images carry
    most of the signal there.

    Args:
        model: A Keras model. It is built by `x` if it is not built yet.
        x: One batch of inputs, as the model takes them; a few hundred samples,
            scaled as in training.
        tolerance: Largest deviation of the standard deviation from 1. Defaults
            to `0.05`.
        max_iterations: Rescalings a layer. Defaults to `10`. `0` only measures.
        layers: Names of the layers to treat (`layer.path` or `layer.name`); by
            default all that are trainable.
        orthonormal: Whether kernels start from orthonormal matrices; `False` keeps
            their present values and only scales them.
        mean_shift: Whether each unit's bias is shifted so that its mean over the
            batch is 0.
        seed: Integer for the orthonormal matrices, or `None`.

    Returns:
        `LSUVReport`. A layer that could not be treated is in `skipped`, with the
        reason.

    Raises:
        ValueError: If `tolerance` is not positive, `max_iterations` negative, or
            `layers` names a layer that the model does not have.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> model = keras.Sequential([keras.layers.Dense(64, "relu") for _ in range(3)])
    >>> report = kik.lsuv(model, np.random.default_rng(0).normal(size=(256, 32)))
    >>> all(abs(fit.std_after - 1) < 0.05 for fit in report.layers)
    True

    Reference:
    - [Mishkin & Matas, 2015](https://arxiv.org/abs/1511.06422)
    """
    started = time.perf_counter()
    if not tolerance > 0:
        raise ValueError(
            f"`tolerance` must be positive. Received: tolerance={tolerance!r}."
        )
    if max_iterations < 0:
        raise ValueError(
            "`max_iterations` must not be negative. "
            f"Received: max_iterations={max_iterations!r}."
        )
    if not model.built:
        forward(model, x)
    targets, skipped = find_targets(model, layers)
    fits: dict = {}
    with editing(model) as edit, contextlib.ExitStack() as stack:
        if orthonormal:
            for target in targets:
                target.start_orthonormal(edit, seed)
        for target in targets:
            fit = functools.partial(
                _fit, target, edit, tolerance, max_iterations, mean_shift
            )
            call = _fitting_call(target, fit, fits, edit)
            stack.enter_context(shadowed(target.layer, "call", call))
        forward(model, x)
        for target in targets:
            if target.name not in fits:
                target.leave_alone(edit)
                reason = "is not called in an eager forward pass"
                fits[target.name] = Skipped(target.name, reason)
    skipped += [fit for fit in fits.values() if isinstance(fit, Skipped)]
    fitted = tuple(fit for fit in fits.values() if isinstance(fit, LayerFit))
    return LSUVReport(fitted, tuple(skipped), time.perf_counter() - started)


@dataclasses.dataclass(frozen=True)
class Target:
    """A layer to be scaled, and how.

    Attributes:
        name: Its unique name in the model.
        layer: The layer.
        kernel: The variable to scale.
        others: Further kernels to start orthonormal (a separable layer's depthwise).
        bias: The variable to shift, or `None`.
        projection: Whether the signal is `inputs @ kernel` instead of the output.
    """

    name: str
    layer: object
    kernel: object
    others: tuple = ()
    bias: object = None
    projection: bool = False

    def start_orthonormal(self, edit, seed):
        """Draws orthonormal kernels: per gate, where gates are fused."""
        gates = initializers.layer_aware.gates_of(self.layer)
        for variable in (self.kernel, *self.others):
            path = f"{self.name}/{variable.name}"
            if isinstance(self.layer, k.Embedding):
                # A table is looked up, not multiplied by: rows need no directions.
                base = keras.initializers.RandomNormal(stddev=1.0)
            elif gates > 1:
                base = initializers.GateOrthogonal(gates=gates)
            else:
                base = keras.initializers.Orthogonal()
            draw = initializers.seeded(base, seed, path)
            edit.assign(variable, draw(variable.shape, dtype=variable.dtype))

    def leave_alone(self, edit):
        """Gives the kernels their first values back."""
        for variable in (self.kernel, *self.others):
            edit.restore(variable)

    def signal(self, original, args, kwargs):
        """Evaluates the layer: `(outputs, signal, activate)`.

        `activate` gives the outputs for another signal without evaluating the layer
        again; `None` where the layer does more than to apply its activation.
        """
        if self.projection:
            inputs = keras.tree.flatten((args, kwargs))[0]
            signal = ops.matmul(inputs, ops.cast(self.kernel, inputs.dtype))
            return None, signal, lambda signal: None
        activation = self.layer.__dict__.get("activation")
        if not callable(activation) or activation is keras.activations.linear:
            outputs = original(*args, **kwargs)
            return outputs, outputs, lambda signal: signal
        caught: list = []

        def catching(z):
            caught[:] = [z, activation(z)]
            return caught[1]

        with shadowed(self.layer, "activation", catching):
            outputs = original(*args, **kwargs)
        if not caught:
            return outputs, outputs, None
        return outputs, caught[0], activation if outputs is caught[1] else None

    def rescaled(self, signal, std):
        """Returns the signal after dividing the kernel by `std`, or `None`.

        Without a bias the signal is linear in the kernel, so that the layer need not
        be evaluated again.
        """
        if self.bias is not None and bool(ops.any(ops.not_equal(self.bias, 0))):
            return None
        return signal / ops.cast(std, signal.dtype)


def find_targets(model, layers=None):
    """Lists a model's layers that LSUV can treat, and those that it cannot.

    Args:
        model: A built Keras model.
        layers: Names, or `None` for all that are trainable.

    Returns:
        A list of `Target` and a list of `Skipped`.

    Raises:
        ValueError: If a name is not that of a layer.
    """
    named = named_layers(model)
    if layers is not None:
        known = {name for name, _ in named} | {layer.name for _, layer in named}
        unknown = sorted(set(layers) - known)
        if unknown:
            inputs = keras.layers.InputLayer
            choices = tuple(x.name for _, x in named if not isinstance(x, inputs))
            raise ValueError(
                "`layers` must name layers of the model. Use one of "
                f"{choices}. Received: {unknown}."
            )
    cells = {id(layer.cell) for _, layer in named if hasattr(layer, "cell")}
    targets, skipped, taken = [], [], set()
    for name, layer in named:
        chosen = layers is None or name in layers or layer.name in layers
        variables = [v for v in layer._trainable_variables if len(v.shape) > 1]
        variables += [v for v in layer._non_trainable_variables if len(v.shape) > 1]
        cell = getattr(layer, "cell", None)
        if not chosen or id(layer) in cells or not (variables or cell):
            continue
        target = _target(name, layer)
        if isinstance(target, Skipped):
            skipped.append(target)
        elif id(target.kernel) in taken:
            skipped.append(Skipped(name, "shares its kernel with a layer before it"))
        elif layers is None and not target.kernel.trainable:
            skipped.append(
                Skipped(name, "is not trainable; name it in `layers` to treat it")
            )
        else:
            taken.add(id(target.kernel))
            targets.append(target)
    return targets, skipped


def _target(name, layer):
    """Returns the `Target` of a layer, or `Skipped`."""
    bias = getattr(layer, "bias", None)
    if isinstance(layer, k.SeparableConv1D | k.SeparableConv2D):
        others = (layer.depthwise_kernel,)
        return Target(name, layer, layer.pointwise_kernel, others, bias)
    if isinstance(layer, k.Dense | k.EinsumDense):
        return Target(name, layer, layer.kernel, (), bias)
    if initializers.layer_aware.is_convolution(layer) and hasattr(layer, "kernel"):
        return Target(name, layer, layer.kernel, (), bias)
    if isinstance(layer, k.Embedding):
        return Target(name, layer, layer.embeddings)
    if isinstance(layer, k.LSTM | k.GRU | k.SimpleRNN):
        return Target(name, layer, layer.cell.kernel, projection=True)
    kind = type(layer).__name__
    return Skipped(name, f"{kind} has no single kernel that scales its output")


def _fitting_call(target, fit, fits, edit):
    """Returns a `call` that fits the layer the first time it is met."""
    original = target.layer.call

    @functools.wraps(original)
    def call(*args, **kwargs):
        outputs = None
        if target.name not in fits:
            try:
                fits[target.name], outputs = fit(original, args, kwargs)
            except _NotEager:
                reason = "is called inside a compiled function or a loop"
                fits[target.name] = Skipped(target.name, reason)
                target.leave_alone(edit)
        return original(*args, **kwargs) if outputs is None else outputs

    return call


class _NotEager(Exception):
    """A signal has no value: the layer is being traced."""


def _fit(target, edit, tolerance, max_iterations, mean_shift, original, args, kwargs):
    """Rescales one layer on its final inputs: what was done, and its outputs."""
    shifts = mean_shift and target.bias is not None

    def measured(signal):
        return _spread(signal - _unit_means(target, signal) if shifts else signal)

    outputs, signal, activate = target.signal(original, args, kwargs)
    std, error = measured(signal)
    before = std
    iterations = 0
    while True:
        if not math.isfinite(std) or std == 0:
            target.leave_alone(edit)
            reason = f"its signal has the standard deviation {std}"
            return Skipped(target.name, reason), None
        if abs(std - 1) <= tolerance or iterations == max_iterations:
            break
        edit.assign(target.kernel, ops.cast(target.kernel, "float32") / std)
        iterations += 1
        rescaled = target.rescaled(signal, std) if activate else None
        if rescaled is None:
            outputs, signal, activate = target.signal(original, args, kwargs)
        else:
            outputs, signal = activate(rescaled), rescaled
        std, error = measured(signal)
    if shifts:
        edit.assign(target.bias, target.bias - _unit_means(target, signal))
        outputs, signal, _ = target.signal(original, args, kwargs)
        std, error = _spread(signal)
    converged = abs(std - 1) <= tolerance
    weight = target.kernel.name
    fit = LayerFit(target.name, weight, before, std, error, iterations, converged)
    return fit, outputs


def _unit_means(target, signal):
    """Means over everything but the axes of the bias."""
    axes = list(range(len(signal.shape) - len(target.bias.shape)))
    return ops.mean(ops.cast(signal, "float32"), axis=axes)


def _spread(signal):
    """Returns the standard deviation of a signal and its standard error.

    Examples, along the first axis, are independent; values within one are not.
    """
    try:
        signal = ops.cast(signal, "float32")
        squares = ops.square(signal - ops.mean(signal))
        axes = tuple(range(1, len(squares.shape)))
        squares = ops.convert_to_numpy(ops.mean(squares, axis=axes)).astype(float)
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise _NotEager from error
    std = math.sqrt(squares.mean())
    if len(squares) < 2 or not 0 < std < math.inf:
        return std, math.nan
    # d std = d(std²) / (2 std)
    return std, squares.std(ddof=1) / math.sqrt(len(squares)) / (2 * std)
