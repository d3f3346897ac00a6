"""`activations` and `gradients`: the values themselves, of one batch."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit import schema
from keras_initkit.inspection.step import PassFailed, Step, one_batch
from keras_initkit.report import values_plot, values_table
from keras_initkit.report.tables import Printed
from keras_initkit.schema import TensorKey
from keras_initkit.structure.in_place import forward, unchanged
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.needs import check_backend, check_model


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Values(Printed, Mapping[str, np.ndarray]):
    """Arrays by the labels of their tensors, in forward order. Prints as a table.

    A label is the path of a layer for its output; `"path:output_1"` for the second
    output of several, `"path@1"` for the second call of a shared layer, and
    `"path:kernel"` for a weight. The end of a path suffices if it is unique.

    Attributes:
        signal: What they are values of, a name of `schema.SIGNALS`.
        arrays: `{schema.TensorKey: array}`, in the dtypes of the model.
        unseen: `{layer: why it is missing}`.
        channels_first: Layers whose images are in channels-first order.
    """

    signal: str
    arrays: Mapping[TensorKey, np.ndarray]
    unseen: Mapping[str, str]
    channels_first: frozenset[str] = frozenset()

    def __getitem__(self, label: str) -> np.ndarray:
        found = [key for key in self.arrays if key.label == label] or [
            key for key in self.arrays if key.label.endswith(f"/{label}")
        ]
        if len(found) == 1:
            return self.arrays[found[0]]
        if found:
            raise KeyError(f"{label!r} is the end of {[key.label for key in found]}")
        reasons = [
            f" {layer!r} is missing: it {reason}."
            for layer, reason in self.unseen.items()
            if f"/{layer}".endswith(f"/{label}")
        ]
        raise KeyError(f"no {label!r} among {list(self)}.{''.join(reasons)}")

    def __iter__(self) -> Iterator[str]:
        return (key.label for key in self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __rich__(self) -> Any:
        return values_table.render(dict(self), self.unseen)

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, example: int = 0
    ) -> Any:
        """Plots one panel per array.

        For images, the channels of one example side by side; for sequences, the
        features of one example over time; for units, all examples; for a weight, its
        inputs against its outputs. With many arrays, 24 spread over the depth.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).
            example: Which example of the batch to plot.

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If there is no such example, or there are no arrays.
        """
        return values_plot.plot(self._pictures(example), path)

    def _pictures(self, example: int) -> list[values_plot.Picture]:
        if schema.SIGNALS[self.signal].source == "weight":
            pairs = ((key.label, array) for key, array in self.arrays.items())
            return [values_plot.of_weight(*pair) for pair in pairs]
        return [
            values_plot.of_output(
                key.label, array, example, key.layer in self.channels_first
            )
            for key, array in self.arrays.items()
        ]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GradientsResult(Printed):
    """Gradients of a loss. Prints as two tables.

    Attributes:
        outputs: `Values` of the gradients with respect to the outputs of layers.
        weights: `Values` of those with respect to trainable weights.
        loss: The loss.
        notes: Sentences on what was assumed.
    """

    outputs: Values
    weights: Values
    loss: float
    notes: tuple[str, ...]

    def __rich__(self) -> Any:
        parts = {"outputs": dict(self.outputs), "weights": dict(self.weights)}
        unseen = self.outputs.unseen
        return values_table.render_gradients(self.loss, parts, unseen, self.notes)

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, example: int = 0
    ) -> Any:
        """Plots one panel per array, as `Values.plot` does; weights come last."""
        pictures = self.outputs._pictures(example) + self.weights._pictures(example)
        return values_plot.plot(pictures, path)


def activations(model: keras.Model, x: Any, *, layers: Any = None) -> Values:
    """Returns the outputs of layers for one batch, as `predict` computes them.

    Runs one eager forward pass in inference mode, with the taps that `SignalMonitor`
    uses in training. Weights, seed generators, metrics and attributes are bit-identical
    afterwards, even if something raises.

    Args:
        model: A built Keras model of any kind.
        x: Inputs as the model takes them, one batch of any size; or a data set, whose
            first batch is used.
        layers: Which layers: names, patterns, classes, functions or layers, as
            `SignalMonitor` takes them; all by default.

    Returns:
        `Values`: arrays by label, of all examples. Layers that only rearrange their
        input, nested models (the last layer inside has their output) and the cells of
        recurrent layers are in `unseen`.

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If it is not built, there are no examples, a layer does not exist,
            none of those named can be observed, or Keras runs on a backend other than
            TensorFlow.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> h = keras.layers.Dense(4, "relu", name="h")
    >>> model = keras.Sequential([keras.layers.Input((2,)), h], name="net")
    >>> {k: v.shape for k, v in kik.activations(model, np.ones((3, 2))).items()}
    {'net/h': (3, 4)}
    """
    _check("activations", model)
    from keras_initkit.capture.eager_step import outputs_of_layers

    x, _, _ = one_batch(x, None, [], most=None)
    with unchanged(model):
        seen = outputs_of_layers(model, layers, lambda: forward(model, x))
    return _values(model, seen, "activation")


def gradients(
    model: keras.Model, x: Any, y: Any = None, *, layers: Any = None, loss: Any = None
) -> GradientsResult:
    """Returns the gradients of the loss for one batch, as in a training step.

    Runs one eager step in training mode, forward and backward, with the plain loss: no
    loss scale, no clipping. The model is bit-identical afterwards, even if something
    raises.

    Args:
        model: A built Keras model of any kind.
        x: Inputs as the model takes them, one batch of any size; or a data set, whose
            first batch is used, with its targets.
        y: Targets; required unless `x` or the model's own loss provides them.
        layers: Which layers, as in `activations`.
        loss: Keras loss, its name or a function, instead of the compiled one. For a
            model that is not compiled, the default follows from targets and outputs.

    Returns:
        `GradientsResult`.

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: As `activations`; or if there are no targets, or the loss does not
            accept them.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> keras.utils.set_random_seed(0)
    >>> out = keras.layers.Dense(1, kernel_initializer="ones", name="out")
    >>> model = keras.Sequential([keras.layers.Input((2,)), out], name="net")
    >>> found = kik.gradients(model, np.ones((4, 2)), np.zeros((4, 1)), loss="mse")
    >>> found.weights["net/out:kernel"].ravel().tolist()  # d(w1 + w2)^2
    [4.0, 4.0]
    >>> found.outputs["net/out"].ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    _check("gradients", model)
    from keras_initkit.capture.eager_step import gradients_of_loss

    notes: list[str] = []
    x, y, weights = one_batch(x, y, notes, most=None)
    with unchanged(model):
        step = Step(model, x, y, weights, loss, notes)

        def compute_loss() -> Any:
            found = step()
            if not (step.is_compiled or step.has_loss):
                raise ValueError(
                    "`y` must be targets that the loss accepts, to compute gradients "
                    f"of it. {' '.join(notes)}"
                )
            return found

        try:
            seen, value = gradients_of_loss(model, layers, compute_loss)
        except PassFailed as failure:
            raise failure.__cause__ or failure from None
    outputs, of_weights = (
        _values(model, seen, signal) for signal in ("backprop", "gradient")
    )
    return GradientsResult(outputs, of_weights, value, tuple(notes))


def _check(name: str, model: Any) -> None:
    check_backend(name)
    check_model(name, model)
    if not model.built:
        raise ValueError(
            f"`model` must be built, since `{name}` does not change it: call it once, "
            f"or `model.build(input_shape)`. Received: model={model.name!r}"
        )


def _values(model: Any, seen: Any, signal: str) -> Values:
    first = frozenset(
        name
        for name, layer in named_layers(model)
        if getattr(layer, "data_format", None) == "channels_first"
    )
    return Values(signal, seen.arrays[signal], seen.unseen, first)
