"""One step outside training: on which batch, and down which loss."""

import inspect

import keras
import numpy as np

from keras_initkit import diagnosis
from keras_initkit.arguments import check_examples, naming
from keras_initkit.inspection.targets import default_loss, random_targets
from keras_initkit.recording import RunRecord
from keras_initkit.structure import description, keras_private
from keras_initkit.structure.in_place import reason_of
from keras_initkit.structure.needs import tensorflow as tf

# Examples of a longer array that make the batch.
LARGEST_BATCH = 256


def one_batch(x, y, notes, most=LARGEST_BATCH):
    """Returns inputs, targets and sample weights of one batch, as tensors.

    Args:
        x: Inputs, or a data set whose first batch is taken.
        y: Targets, or `None`.
        notes: List that what is left out is told in.
        most: Examples of longer arrays that make the batch; `None` for all.

    Raises:
        TypeError: If they are no arrays.
        ValueError: If `x` is neither arrays nor a data set, or `x` and `y` differ in
            how many examples they hold.
    """
    weights = None
    if isinstance(x, (np.ndarray, list, tuple, dict)) or hasattr(x, "shape"):
        x = array_of_list(x)
    else:
        with naming("x", x, "be arrays, or a data set of batches"):
            data = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x), None)
        x, given, weights = keras.utils.unpack_x_y_sample_weight(data)
        y = given if y is None else y
    check_examples("x", x)
    y = array_of_list(y)
    if y is not None:
        check_examples("y", y)
    flat = keras.tree.flatten((x, y, weights))
    sizes = {len(one) for one in flat if one is not None}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            "`x` and `y` must hold the same number of examples, at least one. "
            f"Received: {tuple(sorted(sizes))} examples."
        )
    (size,) = sizes
    if most is not None and size > most:
        notes.append(f"The batch is the first {most} of {size} examples.")

    def tensor(value):
        return None if value is None else as_tensor(value[:most])

    return tuple(keras.tree.map_structure(tensor, one) for one in (x, y, weights))


def as_tensor(value):
    """Returns an array as a tensor, in single precision for double, as `fit` does."""
    value = tf.convert_to_tensor(value)
    return tf.cast(value, tf.float32) if value.dtype == tf.float64 else value


def array_of_list(value):
    """Makes an array of a list of numbers; a list of arrays stays one."""
    numbers = isinstance(value, list) and not hasattr(
        value[0] if value else None, "shape"
    )
    return np.asarray(value) if numbers else value


class PassFailed(Exception):
    """A model's forward pass raised what this exception's cause is."""


class Step:
    """The loss of one batch: compiled, given, or what suggests itself.

    What cannot be computed is told in `notes`, and random targets stand in for it.

    Attributes:
        has_loss: Whether the loss may be judged; told when the step was called.
        known: What the rules want to know of loss, optimizer and batch, likewise.
    """

    def __init__(self, model, x, y, weights, loss, notes):
        self.model, self.x, self.y, self.weights = model, x, y, weights
        self.notes = notes
        compiled = getattr(model, "compiled", False) and loss is None
        own = type(model).compute_loss is not keras.Model.compute_loss
        self.is_compiled = compiled and (y is not None or own)
        if compiled and type(model).train_step is not keras.Model.train_step:
            notes.append(
                "The model's own `train_step` was not run: forward pass and compiled "
                "loss were used instead."
            )
        self.has_loss = y is not None
        self._losses = None
        # Moments of what the model puts out, once it was called.
        self._predicted = None
        if not self.is_compiled and self.has_loss and loss is not None:
            self._losses = [keras.losses.get(one) for one in keras.tree.flatten(loss)]
        self.known = self._facts()
        if self._are_impossible():
            # Such a loss may raise, and what it computes means nothing.
            self._judge_no_loss("Targets that the loss does not accept")

    def _judge_no_loss(self, why):
        self.notes.append(
            f"{why}: gradients are those of random targets, and the loss is not judged."
        )
        self.is_compiled = self.has_loss = False

    def _are_impossible(self):
        """Whether the targets are out of the range of the loss."""
        found = diagnosis.judge(RunRecord(metadata=self.known), ["DamagedTargets"])
        return any(finding.severity == "error" for finding in found)

    def __call__(self):
        outputs = self._outputs()
        if not self.is_compiled and self.y is None:
            self._judge_no_loss("No targets")
            self.known = self._facts()
        elif self.is_compiled or self.has_loss:
            try:
                loss = self._compiled(outputs) if self.is_compiled else None
                return tf.reduce_mean(self._chosen(outputs) if loss is None else loss)
            except Exception as error:  # whatever a user's own loss raises
                self._judge_no_loss(f"The loss {reason_of(error)}")
                self.known = self._facts()
        return self._of_random_targets(outputs)

    def _outputs(self):
        try:
            outputs = in_training(self.model, self.x)
        except Exception as error:
            raise PassFailed from error
        flat = keras.tree.flatten(outputs)
        if all(map(_is_of_numbers, flat)):
            numbers = [tf.cast(one, tf.float32).numpy() for one in flat]
            self._predicted = [description.moments(one) for one in numbers]
            self.known = self.known | {"predicted": self._predicted}
        return outputs

    def _compiled(self, outputs):
        return compiled_loss(self.model, self.x, self.y, outputs, self.weights)

    def _chosen(self, outputs):
        """Returns the loss that was given, or the one that targets suggest."""
        pairs = list(
            zip(keras.tree.flatten(self.y), keras.tree.flatten(outputs), strict=True)
        )
        if self._losses is None:
            self._losses = [default_loss(output, y) for y, output in pairs]
            names = ", ".join(sorted({type(one).__name__ for one in self._losses}))
            self.notes.append(f"Not compiled: the loss is assumed to be {names}.")
            self.known = self._facts()
        terms = [
            _number(loss(_of_rank(y, output), output))
            for loss, (y, output) in zip(self._losses or (), pairs, strict=True)
        ]
        return self._added(terms)

    def _of_random_targets(self, outputs):
        """Returns a loss of all outputs that are numbers."""
        flat = keras.tree.flatten(outputs)
        numbers = [one for one in flat if _is_of_numbers(one)]
        if len(numbers) < len(flat):
            self.notes.append(
                f"{len(flat) - len(numbers)} of {len(flat)} outputs were left out: "
                "they are not dense arrays of numbers."
            )
        terms = []
        for output in numbers:
            y, loss = random_targets(output)
            terms.append(tf.reduce_mean(loss(_of_rank(y, output), output)))
        return self._added(terms)

    def _added(self, terms):
        """Adds up terms and the losses that layers have added."""
        terms = [tf.reduce_mean(one) for one in (*terms, *self.model.losses)]
        dtype = terms[0].dtype if terms else tf.float32
        return tf.add_n([tf.zeros((), dtype), *(tf.cast(one, dtype) for one in terms)])

    def _facts(self):
        """Returns what the rules want to know of loss, optimizer and batch."""
        batch = (self.x, self.y if self.has_loss else None, self.weights)
        known = description.gather(self.model, batch, first_step=0)
        known["predicted"] = self._predicted
        losses = self._losses or ()
        if not self.is_compiled and self.has_loss:
            known["losses"] = [description.describe_loss(one) for one in losses]
        if not self.is_compiled and self.has_loss and len(losses) == 1:
            known["loss"] = description.describe_loss(losses[0])
            if known["loss"] is not None:
                known["loss"]["weighted"] = False
        if not self.has_loss:
            known.pop("loss", None)
            known.pop("losses", None)
        return {name: fact for name, fact in known.items() if fact is not None}


def in_training(model, x):
    """Returns a model's outputs in training mode."""
    if keras_private.takes_training(model):
        return model(x, training=True)
    return model(x)


def compiled_loss(model, x, y, outputs, weights):
    """Returns a model's own loss, of those arguments that it takes.

    Raises:
        TypeError: If it is no number.
    """
    given = {
        "x": x,
        "y": y,
        "y_pred": outputs,
        "sample_weight": weights,
        "training": True,
    }
    taken = inspect.signature(model.compute_loss).parameters
    if not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        given = {name: one for name, one in given.items() if name in taken}
    return _number(model.compute_loss(**given))


def _number(loss):
    """Returns a loss as a tensor; raises where it is none."""
    if loss is None:
        raise TypeError("it returned None")
    return tf.convert_to_tensor(loss)


def _is_of_numbers(output):
    """Whether an output is a dense array of numbers, one row an example at least."""
    dtype = getattr(output, "dtype", None)
    if not tf.is_tensor(output) or not hasattr(output, "numpy") or dtype is None:
        return False
    dense = not isinstance(output, tf.RaggedTensor | tf.SparseTensor)
    known = dense and bool(output.shape.rank)
    return known and (dtype.is_floating or dtype.is_integer)


def _of_rank(target, output):
    """Gives targets the last axis of 1 that single outputs have, as losses want it."""
    if (
        len(output.shape)
        and output.shape[-1] == 1
        and len(np.shape(target)) == len(output.shape) - 1
    ):
        return target[..., None]
    return target
