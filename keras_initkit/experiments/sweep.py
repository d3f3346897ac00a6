"""A sweep: what its runs share, what tells them apart, and how one is run."""

import dataclasses
import pathlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_initkit import schedules
from keras_initkit.experiments import building
from keras_initkit.experiments.data import Data
from keras_initkit.experiments.grid import point_name, row_name
from keras_initkit.experiments.run import as_built, seed_generators, train_run
from keras_initkit.experiments.run_result import RunResult
from keras_initkit.experiments.store import finished
from keras_initkit.experiments.store import key as keys
from keras_initkit.recording.log import locks

CallbackFactory = Callable[[str, int], Sequence[keras.callbacks.Callback]]
# How long a run waits for one that is being stopped to leave its directory.
_PATIENCE = 30.0  # seconds


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep: what tells it from the others.

    Attributes:
        label: Label of the initializer.
        seed: Its seed.
        initializer: What the model is built with.
        start: What changes the weights then, `None` for nothing.
        shown: The point of the grid, as JSON takes it.
        options: The same as the model is built with.
        directory: Where it is kept, `None` for nowhere.
        key: The parts of its key that are known before the model is built.
    """

    label: str
    seed: int
    initializer: Any
    start: str | None = None
    shown: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    directory: pathlib.Path | None = None
    key: keys.Key = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> tuple[str, str, int]:
        """What no other run of the sweep is called."""
        return self.label, point_name(self.shown), self.seed


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What all runs share.

    Attributes:
        build_model: Function `(initializer, seed, **options)`.
        data: What is trained and tested on.
        epochs: Passes over the training set.
        batch_size: Examples a step.
        every: Monitor every so many steps, or a schedule.
        callback_factory: Gives the callbacks of a run.
        hyperparameters: More entries for the HParams dashboard.
        token: A file by which other processes know whether they see the directories of
            this one; `None` where nothing is kept.
    """

    build_model: Callable[..., keras.Model]
    data: Data
    epochs: int
    batch_size: int
    every: int | schedules.Function
    callback_factory: CallbackFactory | None
    hyperparameters: Mapping[str, Any]
    token: pathlib.Path | None = None

    def root_is_shared(self) -> bool:
        """Whether what is kept here is seen where the sweep was asked for."""
        return self.token is None or self.token.exists()

    def run(self, cell: Cell) -> RunResult:
        """Trains one model; the result is kept in its directory, if it has one.

        What it raises tells which run it was of (as a note, from Python 3.11 on).
        """
        try:
            return self._run(cell)
        except Exception as error:
            if hasattr(error, "add_note"):
                row = row_name(cell.label, cell.shown)
                error.add_note(f"In the run of {row!r}, seed {cell.seed}.")
            raise

    def _run(self, cell: Cell) -> RunResult:
        parts = dict(cell.key)
        if cell.directory is not None:
            _wait_for(cell.directory)
            finished.remove(cell.directory)
        result = train_run(
            self.build_model,
            self.data,
            cell.initializer,
            cell.seed,
            label=cell.label,
            epochs=self.epochs,
            batch_size=self.batch_size,
            log_dir=cell.directory,
            every=self.every,
            callbacks=self._callbacks(cell),
            hyperparameters=self.hyperparameters,
            options=cell.options,
            point=cell.shown,
            start=cell.start,
            on_model=lambda model: parts.update(keys.of_model(model)),
        )
        if cell.directory is None:
            return result
        try:
            finished.write(result, parts, cell.directory)
        except OSError as error:  # a full disk costs no training
            warnings.warn(
                f"The result in {str(cell.directory)!r} could not be saved ({error}); "
                "the next call will rerun it.",
                stacklevel=2,
            )
            return result
        kept = finished.read(cell.directory)
        return result if kept is None else kept[0]

    def key_of_model(self, cell: Cell) -> dict[str, str]:
        """Builds the model of a run, and returns the parts of the key that it tells."""
        seed_generators(cell.seed, self.build_model)
        model = self.build_model(cell.initializer, cell.seed, **cell.options)
        building.check_new(model)
        return keys.of_model(as_built(self.build_model, model))

    def _callbacks(self, cell: Cell) -> Sequence[keras.callbacks.Callback]:
        if self.callback_factory is None:
            return ()
        made: Any = self.callback_factory(cell.label, cell.seed)
        several = isinstance(made, list | tuple)
        if not several or not all(
            isinstance(one, keras.callbacks.Callback) for one in made
        ):
            raise ValueError(
                "`callback_factory` must return a list of Keras callbacks. "
                f"Received: {made!r} for {cell.label!r}, seed {cell.seed}."
            )
        return made


def _wait_for(directory: pathlib.Path) -> None:
    """Waits for a run that is being stopped, of a sweep of before, to end."""
    deadline = time.monotonic() + _PATIENCE
    while locks.holder(str(directory)) and time.monotonic() < deadline:
        time.sleep(0.2)
