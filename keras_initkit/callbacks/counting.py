"""Counting optimizer iterations without asking the optimizer at every step."""

import numpy as np


class StepCount:
    """Tells which optimizer iteration a batch of `fit` is.

    Within an epoch iterations go up with the batches. The optimizer itself is asked
    where an epoch begins and where a step is monitored: asking may mean waiting for a
    device. Where the model's optimizer does not count (a train step that uses another
    one), batches are counted.

    Args:
        model: The model that is trained.
        batches: How many batches an epoch has, `None` if that is not known.
    """

    def __init__(self, model, batches=None):
        self._model = model
        self._batches = batches
        # The iteration at which the epoch began, what the optimizer last said, and the
        # batches of the epoch that are done when the present execution is.
        self._base = self._told = iterations_of(model)
        self._done = 0

    def begin_epoch(self):
        """Counts the batches of the epoch that has ended."""
        self._base += self._done
        self._done = 0
        self.ask(0)

    def begin_batch(self, batch):
        """Returns the iterations of the execution that begins, a range."""
        steps = self._model.steps_per_execution
        self._done = batch + steps
        if self._batches is not None:
            self._done = min(self._done, self._batches)
        return range(self._base + batch, self._base + batch + steps)

    def ask(self, batch):
        """Asks the optimizer; returns the iteration of a batch that has not begun."""
        told = iterations_of(self._model)
        if told != self._told:
            self._told = told
            self._base = told - batch
        return self._base + batch


def iterations_of(model):
    """Returns the iterations that a model's optimizer has done, 0 without one.

    Where gradients are accumulated, each batch counts as one.
    """
    if model.optimizer is None:
        return 0
    # `iterations` itself is divided by `gradient_accumulation_steps`.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return int(np.asarray(getattr(optimizer, "_iterations", optimizer.iterations)))
