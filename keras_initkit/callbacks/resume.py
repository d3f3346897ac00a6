"""`ResumePoint`: an interrupted `fit` goes on after its last whole epoch."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

# What `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint` remember from epoch to
# epoch, and forget when a `fit` begins.
_MEMORY = (
    "best",
    "best_epoch",
    "best_weights",
    "cooldown_counter",
    "stopped_epoch",
    "wait",
)


class ResumePoint(keras.callbacks.Callback):
    """Keeps the state of a training after every epoch, so that it can go on from there.

    A training that was interrupted, by Ctrl-C, an error, a killed process or a lost
    machine, then ends at the weights of an undisturbed one, bit for bit, if its
    operations are deterministic and its batches follow from the epoch's number (with
    `tf.data`: stateless random operations, and a `shuffle` that is not told to go on).
    What draws from the generators of Python, NumPy or `tf.random` is not kept.

    Kept are the weights, the state of the optimizer and of its loss scale, the seeds of
    dropout and other random layers, the epoch, and what `EarlyStopping`,
    `ReduceLROnPlateau` and `ModelCheckpoint` remember. One file is replaced at once, so
    that it is always whole. (`keras.callbacks.BackupAndRestore` keeps neither seeds nor
    what other callbacks remember, and writes weights and epoch to two files.)

    Example:
    >>> import keras, numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "resume.npz")
    >>> model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> stopping = keras.callbacks.EarlyStopping("loss", patience=3)
    >>> resume = ResumePoint(path, callbacks=[stopping])
    >>> epochs = resume.restore(model, epochs=2)
    >>> history = model.fit(
    ...     np.ones((8, 4)),
    ...     np.ones(8),
    ...     initial_epoch=epochs.start,
    ...     epochs=epochs.stop,
    ...     callbacks=[stopping, resume],
    ...     verbose=0,
    ... )
    >>> resume.restore(model, epochs=5)  # in this process or another
    range(2, 5)
    >>> resume.clear()

    Args:
        path: The file (`.npz`), replaced after every epoch; its directory is made if
            need be.
        callbacks: The callbacks of this `fit` whose memory is kept, in an order that
            stays the same. In the list that `fit` gets they come before this one.
        settings: Dict of names to what JSON can tell (numbers, strings): what a run
            must have in common with the one that it goes on from, such as its learning
            rate and batch size. The optimizer goes on with its own state whatever the
            model was compiled with.

    Attributes:
        epoch: Number of whole epochs done, 0 before `restore` and the first.

    Raises:
        ValueError: By `restore`, if the file holds the state of another model, other
            callbacks or other settings.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.path = pathlib.Path(path)
        self.epoch = 0
        self._settings = dict(settings or {})
        self._callbacks = list(callbacks)
        self._memories: list[dict[str, Any]] = [{} for _ in self._callbacks]

    def restore(self, model: keras.Model, epochs: int) -> range:
        """Puts a model where the training stood, if there is a file.

        Args:
            model: The built and compiled model that is to be trained.
            epochs: How many epochs the training has as a whole.

        Returns:
            `range` of the epochs that are left, for `initial_epoch` and `epochs` of
            `fit`. It is empty when all are done or the training was stopped early;
            `fit` then only gives the callbacks their turn at its end.
        """
        if not self.path.exists():
            return range(epochs)
        with np.load(self.path) as file:
            state = dict(file)
        self._check_settings(json.loads(str(state["settings"])))
        if int(state["callbacks"]) != len(self._callbacks):
            raise ValueError(
                f"`callbacks` must be those that {str(self.path)!r} was written with, "
                f"{int(state['callbacks'])} of them. Received: "
                f"{len(self._callbacks)} callbacks."
            )
        _put_back(self.path, _variables(model), _listed(state, "variable"))
        self._memories = [
            _memory(state, f"callback/{number}")
            for number in range(len(self._callbacks))
        ]
        self.epoch = int(state["epoch"])
        last = self.epoch if state["stopped"] else max(self.epoch, epochs)
        return range(self.epoch, last)

    def _check_settings(self, kept):
        differing = {
            name: kept.get(name)
            for name in {**kept, **self._settings}
            if kept.get(name) != self._settings.get(name)
        }
        if differing:
            received = {name: self._settings.get(name) for name in differing}
            raise ValueError(
                f"`settings` must be those of the run that {str(self.path)!r} goes on "
                f"from: {differing}. Received: {received}. Call `clear()` to begin "
                "anew."
            )

    def clear(self) -> None:
        """Removes the file: the training is over, or is to begin anew."""
        self.path.unlink(missing_ok=True)

    def on_train_begin(self, logs=None):
        # The callbacks before this one have just forgotten what they knew.
        for callback, memory in zip(self._callbacks, self._memories, strict=True):
            vars(callback).update(memory)

    def on_epoch_end(self, epoch, logs=None):
        self.epoch = epoch + 1
        state = {
            "epoch": self.epoch,
            "stopped": self.model.stop_training,
            "callbacks": len(self._callbacks),
            "settings": json.dumps(self._settings),
            **_numbered("variable", [v.numpy() for v in _variables(self.model)]),
        }
        for number, callback in enumerate(self._callbacks):
            for name in _MEMORY:
                value = getattr(callback, name, None)
                key = f"callback/{number}/{name}"
                if isinstance(value, list):
                    state.update(_numbered(key, value))
                elif value is not None:
                    state[key] = value
        _replace(self.path, state)


def _variables(model):
    """Returns all that goes on from epoch to epoch: weights, seeds, the optimizer's."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _put_back(path, variables, values):
    received = [tuple(value.shape) for value in values]
    expected = [tuple(variable.shape) for variable in variables]
    if received != expected:
        raise ValueError(
            f"`path` must hold the state of a training of this model: {len(expected)} "
            f"variables, of shapes {expected}. Received: path={str(path)!r}, with "
            f"{len(received)} variables, of shapes {received}. Call `clear()` to begin "
            "anew."
        )
    for variable, value in zip(variables, values, strict=True):
        if value.dtype.kind == "V":  # bfloat16, which a file does not know by name
            value = value.view(variable.numpy().dtype)
        variable.assign(value)


def _memory(state, prefix):
    """Returns what a callback remembered, as it had it."""
    memory = {}
    for name in _MEMORY:
        key = f"{prefix}/{name}"
        if key in state:
            memory[name] = state[key].item()
        elif f"{key}/0" in state:
            memory[name] = _listed(state, key)
    return memory


def _numbered(prefix, values):
    return {f"{prefix}/{number}": value for number, value in enumerate(values)}


def _listed(state, prefix):
    """Returns what `_numbered` took apart."""
    count = sum(key.startswith(f"{prefix}/") for key in state)
    return [state[f"{prefix}/{number}"] for number in range(count)]


def _replace(path, state):
    """Writes a file that is there whole or, after a crash, as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, **state)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
