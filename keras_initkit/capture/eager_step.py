"""One step outside `fit`: measured as in training, and applied to copies only."""

import contextlib

import keras
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.capture import layers as tapped_layers
from keras_initkit.capture import taps
from keras_initkit.capture.collector import Collector
from keras_initkit.capture.optimizers import copied
from keras_initkit.capture.step_statistics import Reader
from keras_initkit.structure.layers import weight_names
from keras_initkit.structure.selection import Selection
from keras_initkit.structure.values import float8_as_tensors


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
    scale = taps.loss_scale(optimizer)
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
    return float(loss), seen, untapped


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
