"""Reference models for many runs: built once, traced once, started afresh each time."""

from typing import Any

import keras

from keras_initkit import capture, models


class ReferenceBuilder:
    """Builds a reference model for run after run, tracing its functions only once.

    What differs between two runs of a reference model is its variables alone: each call
    builds the model anew, and from the second on copies its variables into the first
    model, whose train, test and monitored functions are compiled already. Nothing of an
    earlier run is left: the variables of the optimizer go back to what they were, those
    of the metrics are reset by Keras itself.

    Called like the `build_model` of `compare`. Only one of its models is in use at a
    time.

    Args:
        name: Name of a reference model.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._model: keras.Model | None = None
        self._optimizer: list[Any] = []
        self._session: capture.Session | None = None

    def __call__(self, initializer: Any, seed: int) -> keras.Model:
        """Returns the model with the initial weights of `(initializer, seed)`."""
        fresh = models.build(self.name, initializer=initializer, seed=seed)
        if self._model is None:
            fresh.optimizer.build(fresh.trainable_variables)
            self._optimizer = [v.numpy() for v in fresh.optimizer.variables]
            # Holds the instrumented function, which monitors hold for one run only.
            self._session = capture.Session.of(fresh)
            self._model = fresh
            return fresh
        for kept, new in zip(self._model.variables, fresh.variables, strict=True):
            kept.assign(new)
        for variable, value in zip(
            self._model.optimizer.variables, self._optimizer, strict=True
        ):
            variable.assign(value)
        return self._model

    def __reduce__(self):
        return _builder_of_process, (self.name,)


_BUILDERS: dict[str, ReferenceBuilder] = {}


def _builder_of_process(name: str) -> ReferenceBuilder:
    """Returns the one builder of a model in a worker process."""
    return _BUILDERS.setdefault(name, ReferenceBuilder(name))
