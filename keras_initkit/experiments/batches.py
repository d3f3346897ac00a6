"""Batches in an order of their own seed, whatever else draws random numbers."""

from typing import Any

import keras
import numpy as np


class ShuffledBatches(keras.utils.PyDataset):
    """Gives a training set in batches, in a new order every epoch.

    The order depends on `seed` and the sizes alone, so that runs of different models
    see the same batches. The last batch of an epoch may be smaller; being shaped
    `(None, ...)` like all others, it costs no second trace of the train step.

    Args:
        x: Array of inputs, examples first.
        y: Array of targets, examples first.
        batch_size: Examples a batch.
        seed: Integer.
    """

    def __init__(self, x: Any, y: Any, batch_size: int, seed: int) -> None:
        super().__init__()
        self._x = np.asarray(x)
        self._y = np.asarray(y)
        self._batch_size = batch_size
        self._generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._x) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index * self._batch_size
        chosen = self._order[start : start + self._batch_size]
        return self._x[chosen], self._y[chosen]

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        self._order = self._generator.permutation(len(self._x))
