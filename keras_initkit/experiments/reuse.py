"""Models for many runs: built once, traced once, started afresh each time."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_initkit import models
from keras_initkit.experiments import building


class Reused:
    """Builds the same model for run after run, tracing its functions only once.

    What differs between two runs is the model's variables alone: each call builds the
    model anew, and from the second on copies its variables into the first model, whose
    train and test functions are compiled already. The monitored step is traced again,
    since it compares weights with what they were at first. Nothing of an earlier run
    is left: the variables of the optimizer go back to what they were, those of the
    metrics are reset by Keras itself.

    Called like the `build_model` of `compare`, in whose place it stands. Only one of
    its models is in use at a time. Other options, such as a depth, are another model.

    Attributes:
        fresh: The model as it was built last, whose configuration tells what the
            initializers were; the model that is used again has those of its first run.

    Args:
        build_model: Function `(initializer, seed, **options)` that gives a compiled
            model. All its models of the same options must be alike but for the values
            of their variables: same layers, loss and optimizer, and nothing drawn from
            TensorFlow's generator.
    """

    def __init__(self, build_model: Callable[..., keras.Model]) -> None:
        self.__name__ = getattr(build_model, "__name__", type(build_model).__name__)
        self._build = build_model
        self._kept: dict[str, _Kept] = {}
        self.fresh: keras.Model | None = None

    def __call__(self, initializer: Any, seed: int, **options: Any) -> keras.Model:
        """Returns the model with the initial weights of `(initializer, seed)`."""
        fresh = self._build(initializer, seed, **options)
        self.fresh = fresh
        which = repr(sorted(options.items()))
        kept = self._kept.get(which)
        if kept is None:
            kept = self._kept[which] = _Kept(fresh)
        else:
            kept.start_afresh(fresh)
        return kept.model

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._build,)


class _Kept:
    """A model to be used again, and what its optimizer began with."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        model.optimizer.build(model.trainable_variables)
        self._optimizer = [v.numpy() for v in model.optimizer.variables]

    def start_afresh(self, fresh: keras.Model) -> None:
        """Takes the initial state of another model of its kind."""
        for kept, new in zip(self.model.variables, fresh.variables, strict=True):
            kept.assign(new)
        variables = self.model.optimizer.variables
        for variable, value in zip(variables, self._optimizer, strict=True):
            variable.assign(value)
        building.is_new(self.model)


class ReferenceBuilder(Reused):
    """A reference model to be used again.

    Args:
        name: Name of a reference model.
    """

    def __init__(self, name: str) -> None:
        super().__init__(functools.partial(_build, name))
        self.__name__ = self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _builder_of_process, (self.name,)


def _build(name: str, initializer: Any, seed: int, **options: Any) -> keras.Model:
    return models.build(name, initializer=initializer, seed=seed, **options)


_BUILDERS: dict[str, ReferenceBuilder] = {}


def _builder_of_process(name: str) -> ReferenceBuilder:
    """Returns the one builder of a model in a worker process."""
    return _BUILDERS.setdefault(name, ReferenceBuilder(name))
