"""Functions that are traced once and called wherever a step needs them."""

import functools
import weakref

import tensorflow as tf

from keras_initkit.structure import tensorflow_private


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


def keeps_traced(maxsize=None):
    """Returns a decorator that keeps the traced functions which a function returns.

    As `functools.lru_cache` does, but for one of TensorFlow's contexts: programs may
    begin another (tests do), and what was traced in one runs in no other.

    Args:
        maxsize: How many to keep at most; all, if `None`.
    """

    def decorate(function):
        kept = functools.lru_cache(maxsize)(function)
        # By a weak reference: a context holds the memory of its devices.
        traced_in = None

        @functools.wraps(function)
        def of_this_context(*args):
            nonlocal traced_in
            context = tensorflow_private.eager_context()
            if traced_in is None or traced_in() is not context:
                kept.cache_clear()
                traced_in = weakref.ref(context)
            return kept(*args)

        return of_this_context

    return decorate
