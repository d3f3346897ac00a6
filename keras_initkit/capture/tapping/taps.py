"""The taps: what stands in for a layer's `call` and an optimizer's `apply`.

Each is put on the instance, hands on what the original returns, and does nothing unless
a collector listens on its thread.
"""

import contextlib
import functools

import keras
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.capture.guard import seeing, watching
from keras_initkit.capture.tapping import collector as collecting
from keras_initkit.structure import keras_private
from keras_initkit.structure.shadowing import shadowed


@contextlib.contextmanager
def installed(layers, optimizers, weight_names):
    """Taps layers and optimizers for the duration of a `with`.

    Args:
        layers: List of `(name, layer)`.
        optimizers: List of optimizers.
        weight_names: Function that gives `{id(variable): (owner's name, variable
            name)}` when an optimizer is applied.
    """
    with contextlib.ExitStack() as stack:
        for name, layer in layers:
            quantized = getattr(layer, "quantization_mode", None) is not None
            method = "quantized_call" if quantized else "call"
            look = functools.partial(_look_at_outputs, name)
            tap = watching(getattr(layer, method), look, _failed_at(name))
            stack.enter_context(shadowed(layer, method, tap))
            activation = layer.__dict__.get("activation")
            if callable(activation) and activation is not keras.activations.linear:
                look = functools.partial(_look_at_preactivation, name, activation)
                tap = seeing(activation, look, _failed_at(name))
                stack.enter_context(shadowed(layer, "activation", tap))
        for optimizer in optimizers:
            tap = _tapped_apply(optimizer, weight_names)
            stack.enter_context(shadowed(optimizer, "apply", tap))
        yield


def _failed_at(layer):
    """Returns what notes that a layer could not be looked at, and why."""

    def failed(error):
        collector = collecting.active()
        text = str(error).strip().partition("\n")[0]
        collector.note(layer, f"{type(error).__name__}: {text}")

    return failed


def _look_at_outputs(name, outputs, *args, **kwargs):
    """Notes the outputs of a layer; returns what its caller gets in their place."""
    collector = collecting.active()
    if collector is None:
        return outputs
    number = collector.calls[name]
    collector.calls[name] = number + 1
    collector.forward_order.setdefault(name, len(collector.forward_order))
    flat = keras.tree.flatten(outputs)
    several = len(flat) > 1
    if not any(map(collector.reachable, flat)):
        collector.note(name, _why_unreachable(flat))
        return outputs
    keys = [
        schema.TensorKey(name, f"output_{i}" if several else "output", number)
        for i in range(len(flat))
    ]
    given = set(map(id, keras.tree.flatten([args, kwargs])))
    tapped = [
        _tapped_output(collector, key, tensor, id(tensor) in given)
        for key, tensor in zip(keys, flat, strict=True)
    ]
    if all(one is output for one, output in zip(tapped, flat, strict=True)):
        return outputs
    return keras.tree.pack_sequence_as(outputs, tapped)


def _why_unreachable(outputs):
    floats = [x for x in outputs if tf.is_tensor(x) and x.dtype.is_floating]
    if not floats:
        return "returns no float tensor"
    kinds = sorted({type(x).__name__ for x in floats if not isinstance(x, tf.Tensor)})
    if kinds:
        return f"returns a {', '.join(kinds)}, which is not reduced"
    if any(not collecting.has_known_units(x) for x in floats):
        return "its output has an unknown number of axes or units"
    return "runs in a separate graph (the body of a loop or of a function)"


def _tapped_output(collector, key, tensor, is_passed_on):
    """Notes an output; returns what stands for it where its gradient is awaited."""
    if not collector.reachable(tensor):
        return tensor
    collector.add("activation", key, tensor)
    if not collector.awaits(key, tensor, is_passed_on):
        return tensor

    @tf.custom_gradient
    def identity(x):
        def gradient(upstream):
            try:
                if collector.reachable(upstream):
                    collector.add("backprop", collector.pass_of(key), upstream)
            except Exception as error:  # whatever it is, the training goes on
                collector.note(key.layer, f"backprop: {error!r}")
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


def _look_at_preactivation(name, activation, x):
    collector = collecting.active()
    if collector is not None and collector.reachable(x):
        key = schema.TensorKey(name, "output", collector.calls[name])
        collector.add("preactivation", key, x, activation)


def _tapped_apply(optimizer, weight_names):
    original = optimizer.apply

    @functools.wraps(original)
    def apply(grads, trainable_variables=None):
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        begun = None
        try:
            begun = _begin_update(optimizer, grads, trainable_variables, weight_names())
        except Exception as error:
            _note_of_weights(error)
        result = original(grads, trainable_variables)
        try:
            if begun is not None:
                collecting.active().end_update(begun)
        except Exception as error:
            _note_of_weights(error)
        return result

    return apply


def _note_of_weights(error):
    """Notes that the weights could not be looked at, and why."""
    collector = collecting.active()
    if collector is not None:
        collector.fail(error, "reading gradients and weights")


def _begin_update(optimizer, grads, variables, weight_names):
    """Notes weights and gradients; returns what is known of the update by now."""
    collector = collecting.active()
    if collector is None or not collector.is_here():
        return None
    if variables is None:
        variables = keras_private.optimized(optimizer)
    applied = [
        collecting.Applied(
            collector.apply_of(schema.TensorKey(*weight_names[id(v)])), v, g
        )
        for v, g in zip(variables, grads, strict=True)
        if id(v) in weight_names
    ]
    return collector.begin_update(optimizer, applied)
