"""`Fit`: what a monitor knows of one training, from beginning to end."""

import functools
import warnings
from typing import Any

import keras

from keras_initkit import schema
from keras_initkit.callbacks.predicting import Expectation
from keras_initkit.structure import description, keras_private

# Iterations of which a schedule's answers are remembered.
_ANSWERS = 4096
_OF_WEIGHTS = {"gradient", "weight", "update"}


class Fit:
    """A training that a monitor watches: by `fit`, or by a loop; or an evaluation.

    Args:
        listener: The monitor, as sessions know it.
        session: The `capture.Session` of the model, or `capture.Loop`.
        first_step: The iteration that it begins with.
        schedules: `{detail: schedule}`, the fullest first: which steps are recorded.

    Attributes:
        session: As given.
        count: `StepCount` of a `fit`, `None` of another.
        last_step: The last step that was recorded; at first, the one it begins with.
        skipped: How many due steps trained nothing, because a loss scale was too high.
        missed: Whether a due step was none of `fit`.
        is_described: Whether it is known, and said, what is recorded.
        expected: Tensors and sequences that steps will show, by signal; `None` before
            the model is built.
        schedules: As given, but that each iteration is asked of once: what a function
            of the user's says of it may change.
    """

    def __init__(self, listener, session, first_step, schedules):
        self._schedules = schedules
        self.schedules = {
            detail: functools.lru_cache(_ANSWERS)(schedule)
            for detail, schedule in schedules.items()
        }
        self._listener = listener
        self.session = session
        self.count: Any = None
        self.last_step = self._first_step = first_step
        self.skipped = 0
        self.missed = self.is_described = False
        self.expected: Any = None
        self._facts: dict[str, Any] = {}
        self._expectation: Any = None

    def detail_of(self, iterations):
        """Returns the fullest detail that is due in iterations, `None` for none."""
        for detail, schedule in self.schedules.items():
            if any(self._is_due(schedule, iteration) for iteration in iterations):
                return detail
        return None

    def _is_due(self, schedule, iteration):
        if self.count is None:
            return schedule(iteration)
        return self.count.is_due(schedule, iteration)

    def expects(self):
        """Returns what steps will show, once: when that is known; else `None`."""
        if self.expected is not None:
            return None
        self.expected = self.session.expected(self._listener)
        return self.expected

    def note(self, batch, params, predicts):
        """Gathers what is known ahead of the first monitored step.

        Args:
            batch: Function that returns its data.
            params: What Keras tells callbacks of the training.
            predicts: Whether theory is asked what the step will show.
        """
        model = self.session.model
        if not self._facts:
            self._facts = description.gather(model, batch(), params, self._first_step)
        if predicts:
            self._expectation = Expectation(model, batch())

    def describe(self, signals, seen):
        """Returns the facts of the training, once the model is known to be built.

        Args:
            signals: `{detail: names}` of what is recorded.
            seen: `{signal: StepStatistics}` of the first of them.
        """
        self.is_described = True
        model = self.session.model
        untapped = self.session.untapped(self._listener)
        facts = {
            "data_version": schema.DATA_VERSION,
            "model": model.name,
            "layers": description.of_layers(model),
            "untapped": [[one.layer, one.reason] for one in untapped],
            "schedule": " | ".join(map(repr, self._schedules.values())),
            "detail": {name: repr(one) for name, one in self._schedules.items()},
            **self._facts,
        }
        wanted = _OF_WEIGHTS.intersection(*signals.values())
        if wanted and model.trainable_variables and not _OF_WEIGHTS & seen.keys():
            why = "its weights: the model has no optimizer that applies their gradients"
            facts["untapped"].append([model.name, why])
        return facts

    def predictions(self, seen):
        """Returns what theory has for the step that was noted, `{signal: (keys, rms)}`.

        Args:
            seen: `{signal: StepStatistics}` of the step.
        """
        return {} if self._expectation is None else self._expectation.of_signals(seen)

    def end(self, goes_on=False):
        """Takes the monitor off the model.

        Args:
            goes_on: Whether the training does.
        """
        self.session.forget(self._listener, goes_on)

    def warn_of_nothing(self, name):
        """Warns where due steps came and none was recorded.

        Args:
            name: What the monitor is called.
        """
        if self.is_described:
            return
        if self.skipped:
            warnings.warn(
                f"{name} recorded nothing: the LossScaleOptimizer skipped all "
                f"{self.skipped} steps that were due, because their scaled gradients "
                "were not finite. Each such step halves its scale: train for more "
                "steps, or set a lower `initial_scale`.",
                stacklevel=2,
            )
        elif self.missed:
            warnings.warn(
                f"{name} recorded nothing: none of the steps that were due belonged to "
                "`fit`. To watch a custom loop, use `instrument`.",
                stacklevel=2,
            )


def can_be_watched(model, name):
    """Whether a `fit` can be watched; where not, a warning says why.

    Args:
        model: The compiled model.
        name: What the monitor is called.
    """
    why = _why_not(model)
    if why is not None:
        warnings.warn(f"{name} does not monitor this `fit`: {why}", stacklevel=2)
    return why is None


def _why_not(model):
    if type(model).make_train_function is not keras.Model.make_train_function:
        return (
            f"the model {model.name!r} overrides `make_train_function`. Override "
            "`train_step` instead."
        )
    # Whether the step still trains what it trained when it was traced.
    known = keras_private.optimized(model.optimizer)
    if not getattr(model.optimizer, "built", False) or not known:
        return None
    if {id(v) for v in known} == {id(v) for v in model.trainable_variables}:
        return None
    return (
        f"the trainable weights of the model {model.name!r} have changed since it was "
        "first trained, which Keras ignores until `model.compile(...)` is called again."
    )
