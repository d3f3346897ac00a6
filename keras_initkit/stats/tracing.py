"""Functions that are traced once and called wherever a step needs them."""

import tensorflow as tf


def traced(function, signature):
    """Returns a function of tensors that is one op wherever it is called.

    Args:
        function: A function of tensors.
        signature: List of their `tf.TensorSpec`s.
    """
    function = tf.function(
        function,
        input_signature=signature,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )
    # In no graph that is now being traced.
    with tf.init_scope():
        return function.get_concrete_function()
