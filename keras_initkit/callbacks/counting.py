"""Counting optimizer iterations without asking the optimizer at every step."""

import keras
import numpy as np

from keras_initkit.structure import keras_private


class StepCount:
    """Tells which optimizer iteration a batch of `fit` is.

    Within an epoch iterations go up with the batches, by one or, where a train step
    applies the optimizer several times, by as many. The optimizer itself is asked where
    an epoch begins, where a step is monitored and behind that: asking may mean waiting
    for a device. Where the model's optimizer does not count (a train step that uses
    another one), batches are counted.

    Args:
        model: The model that is trained.
        batches: How many batches an epoch has, `None` if that is not known.

    Attributes:
        updates_per_batch: Iterations a batch.
        skipped: Batches that a `LossScaleOptimizer` has skipped, as far as it was
            asked: their gradients were not finite. `None` with any other optimizer.
    """

    def __init__(self, model, batches=None):
        self._model = model
        self._batches = batches
        scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        self.updates_per_batch = 1
        self.skipped = 0 if scales else None
        # The iteration at which the epoch began, what the optimizer last said and ahead
        # of which batch, whether to ask it ahead of the next, and the batches of the
        # epoch that are done when the present execution is.
        self._base = self._told = iterations_of(model)
        self._asked = 0
        self._asks_again = False
        self._done = 0
        # Whether the optimizer has been seen to count.
        self._counts = False

    def begin_epoch(self):
        """Counts the batches of the epoch that has ended."""
        self._base += self._done * self.updates_per_batch
        self._done = self._asked = 0
        self._resynchronize(0)

    def begin_batch(self, batch):
        """Returns the iterations of the execution that begins, a range."""
        if self._asks_again:
            self._asks_again = False
            self._resynchronize(batch, learns_pace=True)
        steps = self._model.steps_per_execution
        self._done = batch + steps
        if self._batches is not None:
            self._done = min(self._done, self._batches)
        first = self._base + batch * self.updates_per_batch
        return range(first, first + steps * self.updates_per_batch)

    def ask(self, batch):
        """Asks the optimizer; returns the iteration of a batch that has not begun."""
        self._asks_again = True
        if batch != self._asked:
            self._resynchronize(batch)
        return self._base + batch * self.updates_per_batch

    def is_due(self, schedule, iteration):
        """Whether the step of an iteration is to be monitored.

        A batch whose gradients are kept for a later one, which is not due, changes no
        weight: the one that applies them stands in for it.
        """
        each = accumulation_of(self._model.optimizer)
        if each == 1:
            return schedule(iteration)
        last = iteration + each - 1 - iteration % each
        if iteration == last:
            return any(map(schedule, range(last + 1 - each, last + 1)))
        return schedule(iteration) and schedule(last)

    def is_skipped(self, iteration):
        """Whether the step of an iteration, just done, was skipped."""
        return self._may_skip() and iterations_of(self._model) <= iteration

    def _may_skip(self):
        # Where nothing is trained, the optimizer is not applied.
        return self.skipped is not None and bool(self._model.trainable_variables)

    def _resynchronize(self, batch, learns_pace=False):
        """Asks the optimizer ahead of a batch."""
        told = iterations_of(self._model)
        if learns_pace and batch != self._asked:
            self.updates_per_batch = max(
                1, round((told - self._told) / (batch - self._asked))
            )
        self._counts = self._counts or told != self._told
        # An epoch may end in a batch that is not there, which may count or not.
        begins = self._counts and batch == 0
        if begins or told != self._told or self._may_skip():
            if self._may_skip():
                self.skipped += max(
                    0, self._base + batch * self.updates_per_batch - told
                )
            self._base = told - batch * self.updates_per_batch
        self._told, self._asked = told, batch


def iterations_of(model):
    """Returns the iterations that a model's optimizer has done, 0 without one.

    Where gradients are accumulated, each batch counts as one.
    """
    if model.optimizer is None:
        return 0
    # `iterations` itself is divided by `gradient_accumulation_steps`.
    optimizer = _inner(model.optimizer)
    return int(np.asarray(keras_private.batches_applied(optimizer)))


def accumulation_of(optimizer):
    """Returns of how many batches an optimizer applies the gradients at once."""
    return getattr(_inner(optimizer), "gradient_accumulation_steps", None) or 1


def _inner(optimizer):
    """Returns the optimizer that one that scales the loss is around, or itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
