"""Singular values of a model's input-output Jacobian."""

import dataclasses

import keras
import numpy as np

from keras_initkit.structure import keras_private
from keras_initkit.structure.in_place import forward
from keras_initkit.structure.needs import tensorflow as tf

# Examples, and outputs of each, whose gradients are taken.
EXAMPLES, OUTPUTS = 4, 64


@dataclasses.dataclass(frozen=True)
class Jacobian:
    """Singular values of the outputs' Jacobian with respect to the inputs.

    Attributes:
        singular_values: Descending, shape `(examples, outputs)`.
        mean_square: Mean of the squared singular values: how much an error signal grows
            when back-propagated through the whole model.
        condition: Largest over smallest, the median over examples: 1 is an isometry.
    """

    singular_values: np.ndarray
    mean_square: float
    condition: float

    def in_words(self):
        """Returns the mean square and the condition in a line."""
        return (
            f"Jacobian of the outputs: mean squared singular value "
            f"{self.mean_square:.3g}, condition {self.condition:.3g}"
        )

    def to_dict(self):
        """Returns the attributes, JSON-able."""
        content = dataclasses.asdict(self)
        return {**content, "singular_values": self.singular_values.tolist()}


def jacobian_of(model, x, notes):
    """Computes the `Jacobian` at the first examples; `None`, and a note, if it cannot.

    Outputs are flattened, and the first 64 taken; softmax outputs by their logits.
    """
    flat = keras.tree.flatten(x)
    part = [one[:EXAMPLES] for one in flat]
    if not all(one.dtype.is_floating for one in flat):
        notes.append("No Jacobian: the inputs are not numbers but indices.")
        return None
    with tf.GradientTape(persistent=True) as tape:
        for one in part:
            tape.watch(one)
        outputs = keras.tree.flatten(
            forward(model, keras.tree.pack_sequence_as(x, part))
        )[0]
        logits = keras_private.logits_of(outputs)
        outputs = outputs if logits is None else logits
        outputs = tf.reshape(tf.cast(outputs, tf.float32), [len(part[0]), -1])
        columns = tf.unstack(outputs[:, :OUTPUTS], axis=1)
    rows = []
    for column in columns:
        gradients = tape.gradient(column, part, unconnected_gradients="zero")
        rows.append(
            np.concatenate([g.numpy().reshape(len(g), -1) for g in gradients], axis=1)
        )
    matrices = np.stack(rows, axis=1).astype(np.float64)
    if not np.isfinite(matrices).all():
        notes.append("No Jacobian: it holds NaN or infinite values.")
        return None
    values = np.linalg.svd(matrices, compute_uv=False)
    smallest = values[:, -1]
    ratios = np.divide(
        values[:, 0], smallest, out=np.full_like(smallest, np.inf), where=smallest > 0
    )
    return Jacobian(values, float(np.mean(values**2)), float(np.median(ratios)))
