"""What theory predicts for a model on a batch, in a single definition."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.structure import description
from keras_initkit.structure.needs import check_model
from keras_initkit.theory.prediction import (
    LayerPrediction,
    Prediction,
    graph_of,
    predict,
)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What theory predicts for a model on a batch.

    Attributes:
        prediction: `Prediction`; without layers if theory cannot treat the model.
        notes: What it assumes or leaves out, in sentences.
    """

    prediction: Prediction
    notes: tuple[str, ...]

    @property
    def layers(self) -> tuple[LayerPrediction, ...]:
        """One `LayerPrediction` per call, in forward order."""
        return self.prediction.layers

    def second_moments(
        self, signal: str, measured: Mapping[Any, float]
    ) -> dict[Any, float]:
        """Returns predictions for the measured tensors.

        Backward theory gives only ratios: the last layer that it knows is taken as
        measured.

        Args:
            signal: `"activation"`, `"preactivation"` or `"backprop"`.
            measured: `{TensorKey: rms}` of that signal, in forward order.

        Returns:
            `{TensorKey: second moment}` of the tensors that theory knows.
        """
        rows = self.prediction.of_calls((key.layer, key.call) for key in measured)
        known = {}
        for key, row in zip(measured, rows, strict=True):
            moment = None if row is None else getattr(row, signal)
            first = key.tensor in ("output", "output_0")
            if first and moment is not None and moment >= 0:
                known[key] = moment
        return _anchored(known, measured) if signal == "backprop" else known


def expect(model: Any, x: Any, *, training: bool = True) -> Expected:
    """Predicts the signals of a model on a batch, at its current weights.

    Each input enters by its own mean and second moment, whatever its dtype: a Dense
    layer sees the values of integers, while their values do not matter to an Embedding.
    NaN and infinities are left out. An input of zeros counts as zeros. For inputs
    without moments (sparse, ragged, strings, empty, no finite entries), and for
    everything that depends on them, there is no prediction. `notes` report all this.

    Args:
        model: A built Keras model of any kind; theory can treat Sequential and
            Functional ones.
        x: A batch of its inputs, as the model takes them.
        training: Whether normalization uses batch statistics and dropout drops.

    Returns:
        `Expected`.
    """
    check_model("expect", model)
    try:
        graph = graph_of(model)
    except ValueError:
        return _nothing("Theory's expectation needs a Functional or Sequential model.")
    inputs = graph.inputs
    if isinstance(x, Mapping):
        keys = _keys(graph)
        missing = [key for key in keys if key not in x]
        if missing:
            return _nothing(
                "Theory's expectation needs all inputs: the model takes "
                f"{missing}, which the batch, with {list(x)}, does not have."
            )
        x = [x[key] for key in keys]
    found = description.of_inputs(x)
    if len(found) != len(inputs):
        return _nothing(
            f"Theory's expectation needs all inputs: the model has {len(inputs)}, the "
            f"batch {len(found)}."
        )
    moments = [
        _moments(told, tensor)
        for told, tensor in zip(found, keras.tree.flatten(x), strict=True)
    ]
    try:
        prediction = predict(model, moments, training=training)
    except ValueError as error:
        return _nothing(f"Theory makes no prediction for this model: {error}")
    pairs = zip(inputs, found, strict=True)
    notes = [_note(tensor.name, one) for tensor, one in pairs]
    if prediction.untreated:
        layer, reason = prediction.untreated[0]
        notes.append(f"Theory's expectation ends at {layer}: {reason.rstrip('.')}.")
    return Expected(prediction, tuple(note for note in notes if note))


def _nothing(note: str) -> Expected:
    return Expected(Prediction((), ()), (note,))


def _keys(graph: Any) -> list[Any]:
    """Returns by which keys the inputs of a model go in a dict, in its order.

    Those of the dict that the model was built with; without one, their names.
    """
    built = graph.input
    if not isinstance(built, Mapping):
        return [one.name for one in graph.inputs]
    places = {id(tensor): key for key, tensor in built.items()}
    return [places.get(id(tensor), tensor.name) for tensor in graph.inputs]


def _moments(told: Any, tensor: Any) -> tuple[float, float, float] | None:
    """Returns what is known of an input's entries, `None` where that is nothing."""
    if isinstance(told, str) or told["rms"] is None:
        return None
    mean = told["mean"]
    second = max(told["rms"] ** 2, mean**2)
    return mean, second, min(second, max(mean**2, _of_features(tensor)))


def _of_features(tensor: Any) -> float:
    """Returns the mean square of the features' own means: what two inputs share.

    Without what so few inputs add to it by chance.
    """
    array = np.asarray(tensor)
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        return 0.0
    rows = array.reshape(-1, array.shape[-1]).astype(np.float64)
    rows = rows[:: max(1, rows.size // description.READ_ENTRIES)]
    finite = rows[np.isfinite(rows).all(axis=1)]
    if len(finite) < 2:
        return 0.0
    by_chance = finite.var(axis=0, ddof=1) / len(finite)
    return float(np.mean(finite.mean(axis=0) ** 2 - by_chance))


def _note(name: str, told: Any) -> str:
    """Says what is special about an input; `""` if nothing is."""
    if not isinstance(told, str) and told["rms"] is None:
        told = "has no finite entry"
    if isinstance(told, str):
        return (
            "Theory's expectation excludes everything that depends on the input "
            f"{name!r}, which {told}."
        )
    if told["nonfinite"]:
        return (
            "Theory's expectation is that of the finite entries of the input "
            f"{name!r}: {told['nonfinite']} are not."
        )
    return ""


def _anchored(
    expected: Mapping[Any, float], measured: Mapping[Any, float]
) -> dict[Any, float]:
    """Scales second moments so that the last of them is the measured one."""
    known = {key: moment for key, moment in expected.items() if moment > 0}
    for key, moment in reversed(known.items()):
        if 0 < measured[key] < math.inf:
            factor = measured[key] ** 2 / moment
            return {key: factor * moment for key, moment in known.items()}
    return {}
