"""What optimizers are given, freed of the loss scale."""

from typing import Any

import keras
import tensorflow as tf

from keras_initkit.capture.tapping import replicas


def global_gradients(optimizer: Any, gradients: dict[Any, Any]) -> dict[Any, Any]:
    """Returns gradients of the global batch's loss, loss scale undone.

    Args:
        optimizer: The optimizer that they are given to.
        gradients: `{key: tensor or IndexedSlices}`, those of this replica.
    """
    scale = loss_scale(optimizer)
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients.values()]
    if scale is not None:
        dense = [gradient / tf.cast(scale, gradient.dtype) for gradient in dense]
    return dict(zip(gradients, replicas.summed(dense), strict=True))


def loss_scale(optimizer: Any) -> Any:
    """Returns the factor by which an optimizer now scales the loss, `None` for one."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        if not optimizer.built:
            return tf.constant(optimizer.initial_scale, tf.float32)
        return tf.convert_to_tensor(optimizer.dynamic_scale.value)
    factor = getattr(optimizer, "loss_scale_factor", None)
    return None if factor is None else tf.constant(factor, tf.float32)
