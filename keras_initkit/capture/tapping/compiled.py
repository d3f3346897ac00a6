"""Reading a tensor of a step that XLA compiles without changing how it is computed.

XLA fuses ops on entries into loops, in which a product and a sum are rounded once, and
a result that somebody else reads may end a loop. The results of contractions, of loops
and branches and what comes from outside stand in memory by themselves. All else is
computed once more for a tap, by copies of its ops, from the next of these. So that the
copies are not taken for what they are, they read them times one, a variable: of what
it holds XLA knows nothing.
"""

import tensorflow as tf

from keras_initkit.capture.tapping import op_types
from keras_initkit.capture.tapping.fusion import Copies

_IN_MEMORY = {
    *op_types.CONTRACTIONS,
    *op_types.CALLS,
    *op_types.BRANCHES,
    "Const",
    "Placeholder",
}


def reading(one):
    """Returns a function that gives tensors of the same values that may be read freely.

    Call it when the graph is complete, as `fusion.reading`.

    Args:
        one: Float32 variable that holds 1.
    """
    copies = Copies(_Step(), lambda tensor: _times(tensor, one))
    return lambda tensors: [copies.of(tensor) for tensor in tensors]


class _Step:
    """The ops of a step, as `fusion.Copies` asks for them."""

    @staticmethod
    def first(tensor):
        """Follows what passes a tensor on back to where its values are made."""
        while tensor.op.type in op_types.IDENTITIES:
            tensor = tensor.op.inputs[tensor.value_index]
        return tensor

    @staticmethod
    def may_be_read(tensor):
        """Whether a tensor stands in memory, whoever reads it."""
        op = tensor.op
        return (
            op.type in _IN_MEMORY
            or op.type.startswith("TensorList")
            or "Backprop" in op.type
            or op.op_def.is_stateful
        )


def _times(tensor, one):
    """Returns the same values by an op that XLA does not see through."""
    kind = tensor.dtype
    if kind in (tf.variant, tf.resource, tf.string):
        return tensor
    if kind.is_bool:
        return tf.logical_and(tensor, one > 0.0)
    return tensor * tf.cast(one, kind)
