"""`ResumePoint`: an interrupted `fit` resumes after its last complete epoch."""

import contextlib
import json
import os
import pathlib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit.recording import RunDamagedError, continuing
from keras_initkit.recording.log import storage
from keras_initkit.structure import keras_private
from keras_initkit_light.format import npz

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
    """Saves the state of a training after every epoch, so that it can be resumed.

    A training interrupted by Ctrl-C, an error, a killed process or a lost machine then
    ends with exactly the weights of an uninterrupted one, if its operations are
    deterministic and its batches are determined by the epoch number (with `tf.data`:
    stateless random operations, and a `shuffle` that is not told to go on). The states
    of the generators of Python, NumPy and `tf.random` are not saved.

    It saves the weights, the state of the optimizer and of its loss scale, the seeds of
    dropout and other random layers, the epoch, the states of `EarlyStopping`,
    `ReduceLROnPlateau` and `ModelCheckpoint`, and which runs monitors write, so that
    these continue as well. The file is replaced atomically, so it is always complete,
    and its predecessor is kept as `<path>.previous`: if the newest is damaged on disk,
    training resumes one epoch earlier, with a warning.
    (`keras.callbacks.BackupAndRestore` saves neither seeds nor the states of other
    callbacks, and writes weights and epoch to two files.)

    `fit` resumes automatically, as with `BackupAndRestore`: the saved state is restored
    when it begins. Call `restore` before it if the data depend on the epoch.

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
        path: The file (`.npz`), replaced after every epoch; its directory is created if
            needed.
        callbacks: The callbacks of this `fit` whose state is saved, always in the same
            order. In the list passed to `fit` they come before this one.
        settings: Dict of names to JSON values (numbers, strings): what a run must have
            in common with the one it resumes, such as learning rate and batch size. The
            optimizer continues with its saved state, whatever the model was compiled
            with.

    Attributes:
        epoch: Number of complete epochs, 0 before `restore` and the first.

    Raises:
        TypeError: If `path`, `callbacks` or `settings` has the wrong type.
        RunDamagedError: By `restore` and `fit`, if neither file can be read.
        ValueError: By `restore` and `fit`, if the file holds the state of another
            model, other callbacks or other settings.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.path = storage.local(path, "path")
        self.epoch = 0
        self._settings = _checked_settings(settings)
        self._callbacks = _checked_callbacks(callbacks)
        self._memories: list[dict[str, Any]] = [{} for _ in self._callbacks]
        # Whether the model is where this object knows the training to be.
        self._in_step = False

    def restore(self, model: keras.Model, epochs: int) -> range:
        """Restores a model to where training stopped, if there is a file.

        Args:
            model: The built and compiled model to train.
            epochs: Total number of epochs of the training.

        Returns:
            `range` of the remaining epochs, for `initial_epoch` and `epochs` of `fit`.
            It is empty if all are done or the training was stopped early; `fit` then
            only calls the callbacks' end hooks.
        """
        self._in_step = True
        path, state = self._newest()
        if state is None:
            return range(epochs)
        self._check_settings(state.settings)
        if state.callbacks != len(self._callbacks):
            raise ValueError(
                f"`callbacks` must be those with which {str(self.path)!r} was written, "
                f"{state.callbacks} of them. Received: {len(self._callbacks)} "
                "callbacks."
            )
        _put_back(path, _variables(model), state.listed("variable"))
        self._memories = [
            state.memory(f"callback/{number}") for number in range(len(self._callbacks))
        ]
        continuing.resume(model, state.runs)
        self.epoch = state.epoch
        last = self.epoch if state.stopped else max(self.epoch, epochs)
        return range(self.epoch, last)

    @property
    def _previous(self) -> pathlib.Path:
        return self.path.with_name(f"{self.path.name}.previous")

    def _newest(self):
        """Returns the newest file that can be read, and its state; `None` for none.

        Raises:
            RunDamagedError: If there are files, and none of them can be read.
        """
        damage = []
        for path in (self.path, self._previous):
            if not path.exists():
                continue
            try:
                state = _State.read(path)
            except RunDamagedError as error:
                damage.append(error)
                continue
            for one in damage:
                warnings.warn(
                    f"{one} Training resumes from the previous epoch, saved in "
                    f"{str(path)!r}.",
                    stacklevel=4,
                )
            return path, state
        if damage:
            raise damage[0]
        return self.path, None

    def _check_settings(self, kept):
        differing = {
            name: kept.get(name)
            for name in {**kept, **self._settings}
            if kept.get(name) != self._settings.get(name)
        }
        if differing:
            received = {name: self._settings.get(name) for name in differing}
            raise ValueError(
                f"`settings` must match those of the run in {str(self.path)!r}: "
                f"{differing}. Received: {received}. Call `clear()` to start over."
            )

    def clear(self) -> None:
        """Removes the files, when training is over or should start over."""
        self.path.unlink(missing_ok=True)
        self._previous.unlink(missing_ok=True)

    def on_train_begin(self, logs=None):
        if not self._in_step:
            epochs = self.params["epochs"]
            left = self.restore(self.model, epochs)
            if self.epoch:
                keras_private.begin_at(self.model, left.start if left else epochs)
        # The callbacks before this one have just forgotten what they knew.
        for callback, memory in zip(self._callbacks, self._memories, strict=True):
            vars(callback).update(memory)

    def on_epoch_begin(self, epoch, logs=None):
        keras_private.begin_at(self.model, None)  # a later `fit` is told its own

    def on_train_end(self, logs=None):
        keras_private.begin_at(self.model, None)

    def on_epoch_end(self, epoch, logs=None):
        self.epoch = epoch + 1
        state = {
            "epoch": self.epoch,
            "stopped": self.model.stop_training,
            "callbacks": len(self._callbacks),
            "settings": json.dumps(self._settings),
            "runs": json.dumps(continuing.written(self.model)),
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
        _replace(self.path, self._previous, state)
        self._in_step = True


def _checked_settings(settings):
    """Returns the settings as a dict that JSON gives back equal."""
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise TypeError(
            "`settings` must be a dict of names to JSON values. Received: "
            f"settings={settings!r} of type {type(settings).__name__}"
        )
    settings = dict(settings)
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        if json.loads(json.dumps(settings)) == settings:
            return settings
    raise ValueError(
        "`settings` must be a dict of names to values that survive a round trip "
        f"through JSON: numbers, strings, lists, dicts. Received: settings={settings!r}"
    )


def _checked_callbacks(callbacks):
    are_some = isinstance(callbacks, list | tuple) and all(
        isinstance(one, keras.callbacks.Callback) for one in callbacks
    )
    if not are_some:
        raise TypeError(
            "`callbacks` must be a list of `keras.callbacks.Callback`s. "
            f"Received: callbacks={callbacks!r} of type {type(callbacks).__name__}"
        )
    return list(callbacks)


def _variables(model):
    """Returns all that goes on from epoch to epoch: weights, seeds, the optimizer's."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _put_back(path, variables, values):
    """Assigns all values, or raises before the first of them."""
    values = [
        _as_kept_by(variable, value)
        for variable, value in zip(variables, values, strict=False)
    ] + values[len(variables) :]
    received = [(value.shape, value.dtype.name) for value in values]
    expected = [(tuple(v.shape), v.numpy().dtype.name) for v in variables]
    if received != expected:
        raise ValueError(
            f"`path` must hold the state of a training of this model: {len(expected)} "
            f"variables, {_shapes_of(expected)}. Received: path={str(path)!r}, with "
            f"{len(received)} variables, {_shapes_of(received)}. Call `clear()` to "
            "start over."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _as_kept_by(variable, value):
    """A value as its variable has it: files do not know bfloat16 by name."""
    dtype = variable.numpy().dtype
    if value.dtype.kind == "V" and value.dtype.itemsize == dtype.itemsize:
        return value.view(dtype)
    return value


def _shapes_of(variables):
    return ", ".join(f"{dtype} {shape}" for shape, dtype in variables)


class _State:
    """What a file holds, checked for all but whose training it is of.

    Args:
        arrays: `{name: array}`.

    Raises:
        ValueError: If the arrays are not those of a state.
    """

    def __init__(self, arrays):
        self._arrays = arrays
        self.epoch = self._number("epoch")
        self.callbacks = self._number("callbacks")
        self.stopped = bool(self._number("stopped"))
        self.settings = self._json("settings")
        self.runs = self._json("runs") if "runs" in arrays else {}
        self.listed("variable")

    @classmethod
    def read(cls, path):
        """Reads a file, running no code in it.

        Raises:
            RunDamagedError: If it is no state of a training, or a damaged one.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                return cls({name: npz.read_array(archive, name) for name in names})
        except Exception as error:  # of zipfile and json, too
            what = (
                "it must be an undamaged training state written by `ResumePoint` "
                f"({type(error).__name__}: {error}); `clear()` removes it, to start "
                "over"
            )
            raise RunDamagedError(str(path), what) from error

    def listed(self, prefix):
        """Returns what `_numbered` took apart."""
        count = sum(key.startswith(f"{prefix}/") for key in self._arrays)
        return [self._arrays[f"{prefix}/{number}"] for number in range(count)]

    def memory(self, prefix):
        """Returns what a callback remembered, as it had it."""
        memory = {}
        for name in _MEMORY:
            key = f"{prefix}/{name}"
            if key in self._arrays:
                memory[name] = self._arrays[key].item()
            elif f"{key}/0" in self._arrays:
                memory[name] = self.listed(key)
        return memory

    def _number(self, name):
        value = self._arrays[name]
        if value.shape or value.dtype.kind not in "iub" or value < 0:
            raise ValueError(f"{name!r} is not a non-negative number")
        return int(value)

    def _json(self, name):
        content = json.loads(str(self._arrays[name]))
        if not isinstance(content, dict):
            raise ValueError(f"{name!r} is not a JSON object")
        return content


def _numbered(prefix, values):
    return {f"{prefix}/{number}": value for number, value in enumerate(values)}


def _replace(path, previous, state):
    """Writes a file that is there whole or, after a crash, as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, **state)
        file.flush()
        os.fsync(file.fileno())
    # A crash between the two leaves the previous one, which is then the newest.
    with contextlib.suppress(FileNotFoundError):
        path.replace(previous)
    partial.replace(path)
