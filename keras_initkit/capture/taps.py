"""The taps: what stands in for a layer's `call` and an optimizer's `apply`.

Each is put on the instance, hands on what the original returns, and does nothing unless
a collector listens on its thread.
"""

import contextlib
import functools

import keras
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.capture import collector as collecting
from keras_initkit.capture import replicas
from keras_initkit.structure import keras_private
from keras_initkit.structure.shadowing import shadowed


@contextlib.contextmanager
def installed(layers, optimizers, weight_names):
    """Taps layers and optimizers for the duration of a `with`.

    Args:
        layers: List of `(name, layer)`.
        optimizers: List of optimizers.
        weight_names: `{id(variable): (owner's name, variable name)}`.
    """
    with contextlib.ExitStack() as stack:
        for name, layer in layers:
            quantized = getattr(layer, "quantization_mode", None) is not None
            method = "quantized_call" if quantized else "call"
            tap = _tapped_call(name, getattr(layer, method))
            stack.enter_context(shadowed(layer, method, tap))
            activation = layer.__dict__.get("activation")
            if callable(activation) and activation is not keras.activations.linear:
                tap = _tapped_activation(name, activation)
                stack.enter_context(shadowed(layer, "activation", tap))
        for optimizer in optimizers:
            tap = _tapped_apply(optimizer, weight_names)
            stack.enter_context(shadowed(optimizer, "apply", tap))
        yield


def _tapped_call(name, original):
    @functools.wraps(original)
    def call(*args, **kwargs):
        collector = collecting.active()
        if collector is None:
            return original(*args, **kwargs)
        number = collector.calls[name]
        outputs = original(*args, **kwargs)
        collector.calls[name] = number + 1
        collector.forward_order.setdefault(name, len(collector.forward_order))
        flat = keras.tree.flatten(outputs)
        several = len(flat) > 1
        if not any(map(collector.reachable, flat)):
            collector.note(name, _why_unreachable(flat))
        tapped = [
            _tapped_output(
                collector,
                schema.TensorKey(name, f"output_{i}" if several else "output", number),
                tensor,
            )
            for i, tensor in enumerate(flat)
        ]
        return keras.tree.pack_sequence_as(outputs, tapped)

    return call


def _why_unreachable(outputs):
    if any(tf.is_tensor(x) and x.dtype.is_floating for x in outputs):
        return "runs in a graph of its own (the body of a loop or of a function)"
    return "returns no tensor of floats"


def _tapped_output(collector, key, tensor):
    if not collector.reachable(tensor):
        return tensor
    collector.add("activation", key, tensor)
    if not collector.awaits(key):
        return tensor

    @tf.custom_gradient
    def identity(x):
        def gradient(upstream):
            if collector.reachable(upstream):
                collector.add("backprop", collector.pass_of(key), upstream)
            return upstream

        return tf.identity(x), gradient

    return _passing_for(identity(tensor), tensor)


def _passing_for(tapped, tensor):
    """Gives a tapped tensor what Keras reads off the tensor it stands for."""
    keras_private.copy_marks(tensor, tapped)
    # Losses look for the op that made probabilities, to take its logits instead.
    if keras_private.logits_of(tensor) is None and not tf.executing_eagerly():
        if tensor.op.type in ("Softmax", "Sigmoid"):
            keras_private.set_logits(tapped, tensor.op.inputs[0])
    return tapped


def _tapped_activation(name, original):
    @functools.wraps(original)
    def activation(x, *args, **kwargs):
        collector = collecting.active()
        if collector is not None and collector.reachable(x):
            key = schema.TensorKey(name, "output", collector.calls[name])
            collector.add("preactivation", key, x, original)
        return original(x, *args, **kwargs)

    return activation


def _tapped_apply(optimizer, weight_names):
    original = optimizer.apply

    @functools.wraps(original)
    def apply(grads, trainable_variables=None):
        collector = collecting.active()
        if collector is None:
            return original(grads, trainable_variables)
        variables = list(
            keras_private.optimized(optimizer)
            if trainable_variables is None
            else trainable_variables
        )
        grads = list(grads)
        if not collector.is_here():
            return original(grads, variables)
        pairs = [
            (collector.apply_of(schema.TensorKey(*weight_names[id(v)])), v, g)
            for v, g in zip(variables, grads, strict=True)
            if id(v) in weight_names
        ]
        before = {key: tf.convert_to_tensor(v.value) for key, v, _ in pairs}
        for key, value in before.items():
            collector.add("weight", key, value)
        for key, _, gradient in pairs:
            if gradient is None:
                reason = f"gradient: the loss does not depend on {key.tensor!r}"
                collector.note(key.layer, reason)
        if "gradient" in collector.signals:
            known = {
                key: gradient for key, _, gradient in pairs if gradient is not None
            }
            for key, gradient in _global_gradients(optimizer, known).items():
                collector.add("gradient", key, gradient)
        result = original(grads, variables)
        if "update" in collector.signals:
            for key, variable, _ in pairs:
                after = tf.convert_to_tensor(variable.value)
                collector.add("update", key, after - before[key])
        return result

    return apply


def _global_gradients(optimizer, gradients):
    """Returns gradients of the global batch's loss, loss scale undone."""
    scale = loss_scale(optimizer)
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients.values()]
    if scale is not None:
        dense = [gradient / tf.cast(scale, gradient.dtype) for gradient in dense]
    return dict(zip(gradients, replicas.summed(dense), strict=True))


def loss_scale(optimizer):
    """Returns the factor by which an optimizer now scales the loss, `None` for one."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        if not optimizer.built:
            return tf.constant(optimizer.initial_scale, tf.float32)
        return tf.convert_to_tensor(optimizer.dynamic_scale.value)
    factor = getattr(optimizer, "loss_scale_factor", None)
    return None if factor is None else tf.constant(factor, tf.float32)
