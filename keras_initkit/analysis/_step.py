"""One step outside training: on which batch, and down which loss."""

import keras
import numpy as np
import tensorflow as tf

from keras_initkit import diagnosis
from keras_initkit.analysis._targets import default_loss, random_targets
from keras_initkit.recording import RunRecord
from keras_initkit.structure import description, keras_private
from keras_initkit.structure.in_place import forward

# Examples of a longer array that make the batch.
LARGEST_BATCH = 256


def one_batch(x, y, notes):
    """Returns inputs, targets and sample weights of one batch, as tensors."""
    weights = None
    if isinstance(x, (np.ndarray, list, tuple, dict)) or hasattr(x, "shape"):
        x = _array_of_list(x)
    else:
        data = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x))
        x, given, weights = keras.utils.unpack_x_y_sample_weight(data)
        y = given if y is None else y
    y = _array_of_list(y)
    flat = keras.tree.flatten((x, y, weights))
    sizes = {len(one) for one in flat if one is not None}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            "`x` and `y` must hold the same number of examples, at least one. "
            f"Received: {tuple(sorted(sizes))} examples."
        )
    (size,) = sizes
    if size > LARGEST_BATCH:
        notes.append(f"The first {LARGEST_BATCH} of {size} examples are the batch.")

    def tensor(value):
        if value is None:
            return None
        value = tf.convert_to_tensor(value[:LARGEST_BATCH])
        # As `fit` does.
        return tf.cast(value, tf.float32) if value.dtype == tf.float64 else value

    return tuple(keras.tree.map_structure(tensor, one) for one in (x, y, weights))


def _array_of_list(value):
    """Makes an array of a list of numbers; a list of arrays stays one."""
    numbers = isinstance(value, list) and not hasattr(
        value[0] if value else None, "shape"
    )
    return np.asarray(value) if numbers else value


class Step:
    """The loss of one batch: compiled, given, or what suggests itself."""

    def __init__(self, model, x, y, weights, loss, notes):
        self.model, self.x, self.y, self.weights = model, x, y, weights
        self.notes = notes
        compiled = getattr(model, "compiled", False) and loss is None
        own = type(model).compute_loss is not keras.Model.compute_loss
        self.is_compiled = compiled and (y is not None or own)
        if compiled and type(model).train_step is not keras.Model.train_step:
            notes.append(
                "The model's own `train_step` was not run: forward pass and compiled "
                "loss stand in for it."
            )
        self.has_loss = y is not None
        if not self.is_compiled:
            self._choose_loss(loss)
        self.known = self._facts()
        if self._are_impossible():
            # Such a loss may raise, and what it computes means nothing.
            self._take_random_targets("Targets that the loss does not take")

    def _choose_loss(self, loss):
        if self.y is None:
            self._take_random_targets("No targets")
        elif loss is not None:
            self.losses = [keras.losses.get(one) for one in keras.tree.flatten(loss)]
        else:
            outputs = keras.tree.flatten(forward(self.model, self.x))
            pairs = zip(outputs, keras.tree.flatten(self.y), strict=True)
            self.losses = [default_loss(*pair) for pair in pairs]
            names = ", ".join(sorted({type(one).__name__ for one in self.losses}))
            self.notes.append(f"Not compiled: the loss is taken to be {names}.")

    def _take_random_targets(self, why):
        outputs = forward(self.model, self.x)
        self.notes.append(
            f"{why}: gradients are those of random targets, and the loss is not judged."
        )
        pairs = [random_targets(one) for one in keras.tree.flatten(outputs)]
        self.y = keras.tree.pack_sequence_as(outputs, [one for one, _ in pairs])
        self.losses = [one for _, one in pairs]
        self.is_compiled = self.has_loss = False

    def _are_impossible(self):
        """Whether the targets are out of the range of the loss."""
        found = diagnosis.judge(RunRecord(metadata=self.known), ["DamagedTargets"])
        return any(finding.severity == "error" for finding in found)

    def __call__(self):
        model = self.model
        if keras_private.takes_training(model):
            outputs = model(self.x, training=True)
        else:
            outputs = model(self.x)
        if self.is_compiled:
            return model.compute_loss(
                x=self.x,
                y=self.y,
                y_pred=outputs,
                sample_weight=self.weights,
                training=True,
            )
        pairs = zip(
            keras.tree.flatten(self.y), keras.tree.flatten(outputs), strict=True
        )
        terms = [
            tf.reduce_mean(loss(_of_rank(target, one), one))
            for loss, (target, one) in zip(self.losses, pairs, strict=True)
        ]
        return tf.add_n([*terms, *(tf.cast(t, terms[0].dtype) for t in model.losses)])

    def _facts(self):
        """Returns what the rules want to know of loss, optimizer and batch."""
        batch = (self.x, self.y if self.has_loss else None, self.weights)
        known = description.gather(self.model, batch, first_step=0)
        if not self.is_compiled and self.has_loss and len(self.losses) == 1:
            known["loss"] = description.describe_loss(self.losses[0])
            if known["loss"] is not None:
                known["loss"]["weighted"] = False
        if not self.has_loss:
            known.pop("loss", None)
        return {name: fact for name, fact in known.items() if fact is not None}


def _of_rank(target, output):
    """Gives targets the last axis of 1 that single outputs have, as losses want it."""
    if output.shape[-1] == 1 and len(np.shape(target)) == len(output.shape) - 1:
        return target[..., None]
    return target
