"""Learning rates, tried: a few steps at each of several, all undone afterwards."""

import dataclasses
import math
import os
import time
from typing import Any

import keras
import numpy as np

from keras_initkit.diagnosis.constant_guess import constant_loss
from keras_initkit.inspection import trial_data, trial_verdict
from keras_initkit.inspection.step import compiled_loss, in_training
from keras_initkit.inspection.trial_verdict import Tried
from keras_initkit.recording import RunRecord
from keras_initkit.report import result_plots, trial_table
from keras_initkit.report.finite import finite
from keras_initkit.report.numbers import short
from keras_initkit.report.progress import tracked
from keras_initkit.report.tables import Printed
from keras_initkit.structure import description, keras_private
from keras_initkit.structure.in_place import editing, forward, reason_of, unchanged
from keras_initkit.structure.moving import State
from keras_initkit.structure.needs import check_backend, check_model
from keras_initkit.structure.needs import tensorflow as tf
from keras_initkit.structure.shadowing import shadowed

STEPS = 5
# Twelve rates, two a decade: from 1e-5 on, or less, so that the present one is among
# them.
_LOWEST, _COUNT, _PER_DECADE = 1e-5, 12, 2
_USUAL = 1e-3  # the one among them where the present one is a schedule


@dataclasses.dataclass(frozen=True, repr=False)
class LearningRateTrialResult(Printed):
    """Results of a few steps at each of several learning rates.

    Attributes:
        tried: One `Tried` per rate, ascending: `rate`, `loss` after the steps,
            `other_loss` with the targets of other examples, and whether it `learns`. Of
            twelve rates, those up to two in a row whose loss is a tenth above that
            without a step.
        start: The loss without a step, on the same examples.
        constant: The loss of the best constant guess, or an upper bound of it: that
            given by the targets' frequencies or variance, or the loss of outputs that
            do not depend on the inputs.
        rate: The model's own learning rate, `None` if it is a schedule.
        low: The lowest rate that learns, `None` if none does.
        high: The highest one.
        proposal: The rate to use, `None` if there is none.
        reason: Why there is no proposal, `None` if there is one.
        steps: Optimizer steps at each rate.
        notes: What was done differently from what one might expect, in sentences.
        seconds: Wall time.
    """

    tried: tuple[Tried, ...]
    start: float
    constant: float
    rate: float | None
    low: float | None
    high: float | None
    proposal: float | None
    reason: str | None
    steps: int
    notes: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as a JSON-able dict; `None` for NaN and Inf."""
        content = dataclasses.asdict(self)
        content["tried"] = [one._asdict() for one in self.tried]
        return finite(content)

    def in_words(self) -> str:
        """Returns what is proposed, or why nothing is, in words."""
        if self.reason is not None:
            return (
                f"No learning rate is proposed: {self.reason}. Fix the weights first: "
                "`kik.diagnose(model, x, y)` says what is wrong with them, "
                "`kik.reinitialize(model, kik.recommend(model))` re-initializes them. "
                "If nothing is wrong with them, the model needs more steps to start "
                "learning."
            )
        rates = (self.proposal, self.low, self.high)
        proposal, low, high = (short(rate) for rate in rates if rate is not None)
        return (
            f"Learning rate {proposal}; in trials of {self.steps} steps each, rates "
            f"from {low} to {high} learn."
        )

    def __rich__(self):
        marks = {self.proposal: "proposed", self.rate: "yours"}
        small_print = (
            f"Loss without a step {self.start:.4g}, of the best constant guess "
            f"{self.constant:.4g}.",
            *self.notes,
        )
        return trial_table.render(self.in_words(), self.tried, marks, small_print)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots the loss after the steps against the learning rate.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        levels = {
            "without a step": self.start,
            "best constant guess": self.constant,
        }
        return result_plots.learning_rate_trial(
            f"{self.steps} steps at each learning rate",
            self.tried,
            levels,
            {"proposed": self.proposal, "yours": self.rate},
            (self.low, self.high),
            path,
        )


def learning_rate_trial(
    model: keras.Model, x: Any, y: Any = None, *, batch_size: int | None = None
) -> LearningRateTrialResult:
    """Tries learning rates: five steps at each of twelve, from the current weights.

    The steps use the model's own `train_step` and a copy of its optimizer in its
    current state; a schedule is replaced by the rate. All rates see the same batches
    and draw the same numbers from Keras's seed generators (dropout). Losses are
    measured on other examples, in training mode, so that batch normalization acts as in
    training. The model is left unchanged: weights, moving averages, seed generators,
    metrics and optimizer are bit-identical afterwards, even if something raises; `fit`
    recompiles nothing.

    It costs at most a first step, 65 further steps and 104 forward passes on 32
    examples: after two rates in a row whose loss is a tenth above that without a step,
    higher ones are skipped. With `gradient_accumulation_steps=n`, n times as many
    steps.

    A rate learns if five steps at it bring the loss below that of the best constant
    guess, and if the outputs fit their own targets better than those of other examples.
    A model for which no rate does this gets no proposal: its loss may still fall, just
    because outputs shrink toward a constant, and its weights must be fixed first. Nor
    does one that needs more than five steps to start learning, as recurrent models
    often do.

    Args:
        model: A compiled Keras model. It is built on `x` if it is not built yet.
        x: Inputs as the model takes them, from which examples are chosen at random, the
            same ones each time; or a data set (`tf.data.Dataset`, `PyDataset`,
            iterator) that yields batches, of which the first 13 are read, or more if
            they hold under 16 examples.
        y: Targets, for arrays.
        batch_size: Examples per step, for arrays. Defaults to 32, as in `fit`.

    Returns:
        `LearningRateTrialResult`.

    Raises:
        ValueError: If the model is not compiled with an optimizer that has a single
            learning rate and can be copied by its configuration, its loss cannot be
            computed, there are fewer than eight examples, or it is spread over several
            devices.
        TypeError: If `model` is not a Keras 3 model.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> keras.utils.set_random_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32")
    >>> model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e-5), "mse")
    >>> trial = kik.learning_rate_trial(model, x, x[:, :1] * 4)
    >>> trial.low > 1e-5, 0.01 < trial.proposal < 1
    (True, True)
    """
    check_backend("learning_rate_trial")
    check_model("learning_rate_trial", model)
    started = time.perf_counter()
    optimizer = _checked_optimizer(model)
    repeats = getattr(optimizer, "gradient_accumulation_steps", None) or 1
    data = trial_data.batches(x, y, STEPS * repeats, batch_size)
    if not model.built:
        with editing(model):
            forward(model, data.steps[0][0])
    if not model.trainable_variables:
        raise ValueError(
            "`model` must have trainable weights: set `layer.trainable = True`, then "
            "compile again. Received: a model without any"
        )
    rate = _rate_of(optimizer)
    rates = _rates(rate)
    notes = list(data.notes)
    if rate is None:
        notes.append("The schedule was held at each rate.")
    start, *losses = _measured(model, data, (0.0, *rates))
    found = trial_verdict.verdict(
        np.array(rates[: len(losses)]), np.array(losses), start, _constant(model, data)
    )
    return LearningRateTrialResult(
        start=float(np.diagonal(start).mean()),
        rate=rate,
        steps=STEPS,
        notes=tuple(notes),
        seconds=time.perf_counter() - started,
        **found._asdict(),
    )


def _checked_optimizer(model):
    """Returns the optimizer that steps, inside a loss scale.

    Raises:
        ValueError: If there is none, or none with one rate, or several devices.
    """
    if not getattr(model, "compiled", False) or model.optimizer is None:
        raise ValueError(
            "`model` must be compiled with an optimizer and a loss, "
            '`model.compile("adam", "mse")`. Received: a model that is not'
        )
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas > 1:
        raise ValueError(
            "`model` must be on one device: build and compile it outside of the "
            f"strategy's scope for the trial. Received: {replicas} replicas"
        )
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if keras_private.learning_rate_given(optimizer) is None or hasattr(
        optimizer, "optimizers"
    ):
        raise ValueError(
            "`model` must have an optimizer with a single learning rate: try its "
            "optimizers one at a time for all weights. Received: "
            f"{type(optimizer).__name__}"
        )
    return optimizer


def _rate_of(optimizer):
    """Returns the learning rate, `None` where it is a schedule or another function."""
    given = keras_private.learning_rate_given(optimizer)
    if callable(given):
        return None
    return float(f"{float(np.asarray(given)):.6g}")  # as it was given, not as float32


def _rates(present):
    """Returns the rates to try, ascending."""
    present = present if present and math.isfinite(present) else _USUAL
    steps = _PER_DECADE * math.log10(abs(present) / _LOWEST)
    first = -math.floor(steps)
    exponents = ((first + n) / _PER_DECADE for n in range(_COUNT))
    return tuple(float(f"{abs(present) * 10**one:.6g}") for one in exponents)


def _measured(model, data, rates):
    """Returns, for each rate, the losses after its steps, as `verdict` takes them.

    Ascending rates, of which those above two hopeless ones are left out.
    """
    found = []
    with unchanged(model):
        optimizer = _copied(model)
        stepped = getattr(optimizer, "inner_optimizer", optimizer)
        step, losses_of = _functions(model)
        with (
            shadowed(model, "optimizer", optimizer),
            shadowed(model, "compute_metrics", lambda *args, **kwargs: {}),
        ):
            before = State(model)
            for rate in tracked(rates, "learning rates", len(rates)):
                before.restore()
                stepped.learning_rate.assign(rate)
                try:
                    for batch in data.steps:
                        step(batch)
                    rows = [losses_of(x, data.measured) for x, _, _ in data.measured]
                except Exception as error:  # whatever a user's own model raises
                    raise ValueError(
                        "`model` must take steps on `x` and `y`, and compute a loss by "
                        f"`compute_loss`. Received: its step or loss {reason_of(error)}"
                    ) from error
                found.append(np.stack(rows).astype(np.float64))
                if trial_verdict.is_hopeless(found):
                    break
            before.restore()
    return found


def _copied(model):
    """Returns a copy of the model's optimizer, with a rate to assign."""
    from keras_initkit.capture.optimizers import copied

    try:
        return copied(model.optimizer, model.trainable_variables, learning_rate=0.0)
    except Exception as error:  # whatever a user's own optimizer raises
        raise ValueError(
            "`model` must have an optimizer that can be copied by its `get_config` and "
            f"`from_config`. Received: {type(model.optimizer).__name__}, which "
            f"{reason_of(error)}"
        ) from error


def _functions(model):
    """Returns a step on a batch, and the losses of a batch against all targets.

    As `fit` has it, a graph, or none with `run_eagerly`.
    """

    def step(batch):
        model.train_step(batch)

    def losses_of(x, targets):
        outputs = in_training(model, x)
        losses = [compiled_loss(model, x, y, outputs, w) for x, y, w in targets]
        return tf.stack([tf.reduce_mean(tf.cast(one, tf.float32)) for one in losses])

    if model.run_eagerly:
        return step, losses_of
    jit = bool(model.jit_compile)
    return tuple(
        tf.function(one, autograph=False, reduce_retracing=True, jit_compile=jit)
        for one in (step, losses_of)
    )


def _constant(model, data):
    """Returns the loss of the best constant guess, `None` where it is not known."""
    joined = keras.tree.map_structure(
        lambda *some: None if some[0] is None else tf.concat(some, 0), *data.measured
    )
    known = description.gather(model, joined)
    constant = constant_loss(RunRecord(metadata=known))
    return None if constant is None else constant + (known.get("penalty") or 0.0)
