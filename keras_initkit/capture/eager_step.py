"""One step outside `fit`: measured as in training, or its values as they are."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.capture.optimizers import copied
from keras_initkit.capture.tapping import layers as tapped_layers
from keras_initkit.capture.tapping import taps
from keras_initkit.capture.tapping.collector import Collector
from keras_initkit.capture.tapping.scaling import loss_scale
from keras_initkit.capture.tapping.step_statistics import Reader
from keras_initkit.structure.layers import weight_names
from keras_initkit.structure.selection import Selection
from keras_initkit.structure.values import float8_as_tensors
from keras_initkit_light.format.schema import INDEPENDENT

Arrays = dict[schema.TensorKey, np.ndarray]


def observe(model, compute_loss, histograms=True):
    """Runs one eager step of a model, forward and backward, under its taps.

    The gradients go to a copy of the model's optimizer, with its present state, which
    applies them to copies of the weights: updates are measured, and none is made.
    The forward pass in training mode moves what it always moves (moving averages, seed
    generators); the caller puts that back.

    Args:
        model: A built Keras model.
        compute_loss: Function without arguments: evaluates the model and returns the
            scalar loss.
        histograms: Whether values are counted by octave.

    Returns:
        The loss as a float, `{signal: StepStatistics}` as for a monitored step (no
        `"update"` without an optimizer that can be copied), and the list of
        `layers.Untapped`.
    """
    layers, untapped = tapped_layers.choose_layers(model, Selection())
    names = weight_names(model, Selection())
    trainable = list(model.trainable_variables)
    copies = [
        keras.Variable(keras.ops.convert_to_tensor(v), dtype=v.dtype, name=v.name)
        for v in trainable
    ]
    optimizer = _copied_optimizer(model, copies)
    signals = [s for s in schema.SIGNALS if s != "update" or optimizer is not None]
    optimizer = optimizer or keras.optimizers.SGD(0.0)
    optimizer.build(copies)
    weights = {
        id(copy): names[id(variable)]
        for variable, copy in zip(trainable, copies, strict=True)
        if id(variable) in names
    }
    scale = loss_scale(optimizer)
    counting = tf.constant(True) if histograms else None
    collector = Collector(signals, scale, counting)
    with contextlib.ExitStack() as stack:
        stack.enter_context(taps.installed(layers, [optimizer], lambda: weights))
        stack.enter_context(collector.listening())
        with tf.GradientTape() as tape, float8_as_tensors(model):
            loss = compute_loss()
            scaled = loss if scale is None else loss * tf.cast(scale, loss.dtype)
        gradients = tape.gradient(scaled, [v.value for v in trainable])
        reached = [
            (gradient, copy)
            for gradient, copy in zip(gradients, copies, strict=True)
            if gradient is not None
        ]
        if reached:
            optimizer.apply(*zip(*reached, strict=True))
    layouts, values = collector.packed()
    seen = Reader(layouts).read(values, histograms)
    missed = [
        tapped_layers.Untapped(names[id(variable)][0], _independent(names, variable))
        for variable, gradient in zip(trainable, gradients, strict=True)
        if gradient is None and id(variable) in names
    ]
    return float(loss), seen, untapped + missed


def _independent(names, variable):
    """Returns why nothing is seen of the gradient of a weight that has none."""
    return f"{INDEPENDENT}{names[id(variable)][1]!r}"


def _copied_optimizer(model, copies):
    """Returns an optimizer as the model's, in its present state; `None` for none."""
    original = getattr(model, "optimizer", None)
    if original is None:
        return None
    try:
        # Applied at once, so that the step's update is seen.
        return copied(original, copies, gradient_accumulation_steps=None)
    except Exception:  # whatever a user's own optimizer raises
        return None


class TensorValues(NamedTuple):
    """What of a pass was seen.

    Attributes:
        arrays: `{signal: {key: array}}`, in forward order.
        unseen: `{layer: why it, or a signal of it, was not}`.
    """

    arrays: dict[str, Arrays]
    unseen: dict[str, str]


class Keeper(Collector):
    """Keeps the tensors of one eager step as they are."""

    def add(self, signal, key, tensor, activation=None, variable=None):
        """Keeps a tensor."""
        if signal in self.signals:
            self._seen[signal][key] = tensor

    def arrays(self, signal):
        """Returns `{key: array}` of a signal, in forward order."""
        kept = self._seen[signal]
        return {
            key: keras.ops.convert_to_numpy(kept[key])
            for key in sorted(kept, key=self._depth)
        }


def outputs_of_layers(
    model: keras.Model, layers: Any, run: Callable[[], Any]
) -> TensorValues:
    """Returns the outputs of layers in one forward pass.

    Args:
        model: A built Keras model.
        layers: What `Selection` takes.
        run: Function without arguments: evaluates the model.
    """
    with _kept(model, layers, ("activation",)) as (keeper, unseen):
        run()
    return TensorValues(
        {"activation": keeper.arrays("activation")}, unseen | keeper.unseen()
    )


def gradients_of_loss(
    model: keras.Model, layers: Any, compute_loss: Callable[[], Any]
) -> tuple[TensorValues, float]:
    """Returns the gradients of a loss in one forward and backward pass.

    Args:
        model: A built Keras model.
        layers: What `Selection` takes.
        compute_loss: Function without arguments: evaluates the model and returns the
            scalar loss.

    Returns:
        `TensorValues`, with respect to outputs of layers (`"backprop"`) and to their
        trainable weights (`"gradient"`), those that the loss does not depend on unseen;
        the loss.
    """
    names = weight_names(model, Selection(layers))
    weights = [v for v in model.trainable_variables if id(v) in names]
    with _kept(model, layers, ("backprop", "gradient")) as (keeper, unseen):
        with tf.GradientTape() as tape, float8_as_tensors(model):
            loss = compute_loss()
        found = tape.gradient(loss, [variable.value for variable in weights])
    for variable, gradient in zip(weights, found, strict=True):
        key = schema.TensorKey(*names[id(variable)])
        if gradient is None:
            keeper.note(key.layer, _independent(names, variable))
        else:
            keeper.add("gradient", key, tf.convert_to_tensor(gradient))
    arrays = {signal: keeper.arrays(signal) for signal in ("backprop", "gradient")}
    return TensorValues(arrays, unseen | keeper.unseen()), float(loss)


@contextlib.contextmanager
def _kept(
    model: keras.Model, layers: Any, signals: tuple[str, ...]
) -> Iterator[tuple[Keeper, dict[str, str]]]:
    """Taps layers; yields what keeps their tensors, and which are not tapped and why.

    Raises:
        ValueError: If none of the layers can be tapped, or one is not there.
    """
    chosen, untapped = tapped_layers.choose_layers(model, Selection(layers))
    reasons = {one.layer: one.reason for one in untapped}
    if not chosen:
        told = "; ".join(f"{layer!r} {reason}" for layer, reason in reasons.items())
        raise ValueError(
            f"`layers` must name a layer whose outputs can be observed: {told}. "
            f"Received: layers={layers!r}"
        )
    keeper = Keeper(signals)
    with taps.installed(chosen, [], dict), keeper.listening():
        yield keeper, reasons
