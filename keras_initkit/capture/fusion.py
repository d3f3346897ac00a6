"""Reading a tensor without changing how the step computes it.

TensorFlow's graph optimizer fuses a contraction, its bias and a Tanh, Sigmoid or Elu into
one kernel if nothing else reads what lies between. A tap is such a reader: it would undo
the fusion, and the fused kernel rounds differently. So a tensor inside such a group is
computed once more for the tap, by an equivalent op that the optimizer does not merge with
the first. The other fusions round the same either way (measured on CPU, TensorFlow 2.21).
"""

import tensorflow as tf

_BIASES = ("BiasAdd", "Add", "AddV2")
_IDENTITIES = ("Identity", "IdentityN")
_FUSED_ACTIVATIONS = ("Tanh", "Sigmoid", "Elu")


def readable(tensor):
    """Returns a tensor of the same values that may be read freely.

    Call it when the graph is complete: who else reads the tensor decides.
    """
    if tf.executing_eagerly():
        return tensor
    origin = _origin(tensor)
    if origin.op.type not in _BIASES:
        return tensor
    contraction = origin.op.inputs[0].op
    if contraction.type not in ("MatMul", "Conv2D") or not _feeds_activation(origin):
        return tensor
    return _again(contraction) + origin.op.inputs[1]


def _origin(tensor):
    """Follows identities (those of our own taps, too) back to where values are made."""
    while tensor.op.type in _IDENTITIES:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _feeds_activation(tensor):
    """Whether a fusable activation reads a tensor, directly or through identities."""
    for reader in tensor.consumers():
        if reader.type in _FUSED_ACTIVATIONS:
            return True
        if reader.type in _IDENTITIES and any(
            _feeds_activation(output) for output in reader.outputs
        ):
            return True
    return False


def _again(op):
    """Builds an op equivalent to a MatMul or Conv2D that differs in kind or attribute."""
    a, b = op.inputs
    if op.type == "MatMul":
        return tf.raw_ops.BatchMatMulV2(
            x=a,
            y=b,
            adj_x=op.get_attr("transpose_a"),
            adj_y=op.get_attr("transpose_b"),
        )
    return tf.raw_ops.Conv2D(
        input=a,
        filter=b,
        strides=op.get_attr("strides"),
        padding=op.get_attr("padding"),
        explicit_paddings=op.get_attr("explicit_paddings"),
        data_format=op.get_attr("data_format"),
        dilations=op.get_attr("dilations"),
        use_cudnn_on_gpu=not op.get_attr("use_cudnn_on_gpu"),
    )
