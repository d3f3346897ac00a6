"""What belongs to a reference model besides its layers."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A reference model, its data set and how it is trained by default.

    Attributes:
        name: Name that `build` takes.
        data: Name that `data.load` takes; the model reads the arrays as loaded.
        summary: One line on the architecture.
        builder: Function `(layers, **options)` that gives the uncompiled model.
        activation: Default activation of the hidden layers.
        loss: `"classes"` for cross-entropy over integer classes from logits,
            `"two_classes"` for one logit, `"squared_error"` for one sigmoid unit.
        learning_rate: Of Adam, the default optimizer.
        batch_size: Examples a step.
        epochs: Passes over the whole training set.
        recurrent: Whether there are recurrent kernels.
    """

    name: str
    data: str
    summary: str
    builder: Callable[..., keras.Model] = dataclasses.field(repr=False)
    activation: str = "relu"
    loss: str = "classes"
    learning_rate: float = 1e-3
    batch_size: int = 128
    epochs: int = 5
    recurrent: bool = False

    @property
    def options(self) -> dict:
        """Options of the model's own, with their defaults."""
        parameters = list(inspect.signature(self.builder).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def compile(
        self,
        model: keras.Model,
        optimizer: Any = None,
        learning_rate: float | None = None,
    ) -> None:
        """Compiles with the model's loss and an accuracy called `accuracy`.

        Args:
            model: What `builder` gave.
            optimizer: Keras optimizer or its name. Defaults to Adam.
            learning_rate: Positive float. Defaults to the spec's own with the
                default optimizer, and to Keras's with a named one.
        """
        if optimizer is None:
            optimizer = "adam"
            learning_rate = learning_rate or self.learning_rate
        optimizer = keras.optimizers.get(optimizer)
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate
        # Built now, so that a model saved before training loads without a warning.
        optimizer.build(model.trainable_variables)
        model.compile(optimizer=optimizer, loss=self._loss(), metrics=[self._metric()])

    def _loss(self):
        if self.loss == "classes":
            return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if self.loss == "two_classes":
            return keras.losses.BinaryCrossentropy(from_logits=True)
        return keras.losses.MeanSquaredError()

    def _metric(self):
        if self.loss == "classes":
            return keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        # A logit of 0 is a probability of one half.
        threshold = 0.0 if self.loss == "two_classes" else 0.5
        return keras.metrics.BinaryAccuracy(name="accuracy", threshold=threshold)
