"""The global batch, where `tf.distribute` spreads it over replicas.

Each replica sees its own rows of the batch and the gradient of its own share of the
loss, which Keras divides by the number of replicas. So the rows of all replicas, one
below the other, are those of the global batch, and the sum of their gradients is its
gradient. Partials of rows are gathered here and merged on the host (Chan's formula for
moments, sums for counts); gradients are summed before they are reduced, as the
optimizer sums them; weights and updates are the same on every replica.
"""

import tensorflow as tf

from keras_initkit.structure import tensorflow_private


def number():
    """Returns the number of this replica, 0 where there is only one."""
    context = _context()
    if context is None:
        return 0
    return int(tf.get_static_value(context.replica_id_in_sync_group) or 0)


def summed(tensors):
    """Returns the sums over all replicas of a list of tensors."""
    context = _context()
    if context is None or not tensors:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def gathered(arrays):
    """Puts the arrays of all replicas behind each other, in one exchange.

    Args:
        arrays: Numeric tensors of shape `(1, ...)`.

    Returns:
        Tensors of shape `(replicas, ...)`: float64, the same on every replica; `arrays`
        themselves where there is one replica.
    """
    context = _context()
    if context is None or not arrays:
        return arrays
    flat = [tf.reshape(tf.cast(array, tf.float64), [1, -1]) for array in arrays]
    everything = context.all_gather(tf.concat(flat, axis=1), axis=0)
    parts = tf.split(everything, [tf.size(a) for a in arrays], 1, len(arrays))
    return [
        tf.reshape(part, tf.concat([[-1], tf.shape(array)[1:]], 0))
        for part, array in zip(parts, arrays, strict=True)
    ]


def stacked_rows():
    """Returns a function that puts the rows of all replicas one below the other.

    `None` where there is one replica.
    """
    context = _context()
    if context is None:
        return None

    def stacked(rows):
        everything = context.all_gather(rows, axis=0)
        everything.set_shape([None, *rows.shape[1:]])
        return everything

    return stacked


def averaged(array):
    """Readies an array, the same on every replica, for Keras's average over replicas.

    The average of equal float64 numbers is exact for all that were float32 or counts.
    Where there are several workers it takes away the first axis, too.
    """
    context = _context()
    if context is None:
        return array
    workers = isinstance(context.strategy, tf.distribute.MultiWorkerMirroredStrategy)
    workers = workers and tensorflow_private.runs_in_workers(context.strategy)
    return tf.cast(array[None] if workers else array, tf.float64)


def _context():
    """The context of this replica among others, `None` where there are none."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context
