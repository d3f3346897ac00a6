"""Diagnosis before training: one batch forward and backward, nothing changed."""

import contextlib
import dataclasses
import math
import time
import types
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_initkit import diagnosis, schema, stats, theory
from keras_initkit.analysis import _diagnosis_plot, _diagnosis_table
from keras_initkit.analysis._in_place import editing, forward
from keras_initkit.analysis._jacobian import Jacobian, jacobian_of
from keras_initkit.analysis._json import finite
from keras_initkit.analysis._phases import Phase, phases
from keras_initkit.analysis._tables import to_html, to_text
from keras_initkit.analysis._targets import default_loss, random_targets
from keras_initkit.capture import facts
from keras_initkit.capture import layers as choosing
from keras_initkit.capture.once import observe
from keras_initkit.diagnosis import Finding
from keras_initkit.recording import RunRecord

# Examples of a longer array that make the batch.
LARGEST_BATCH = 256


@dataclasses.dataclass(frozen=True)
class LayerProfile:
    """One weight layer in the forward and the backward pass.

    Attributes:
        layer: Name of the layer.
        activation: Measured rms of its output.
        expected_activation: The rms that theory expects at these weights, `None`
            where it has no rule.
        backprop: Measured rms of the loss's gradient with respect to its output.
        expected_backprop: What theory expects, the last layer's taken as measured.
        gradient: Measured rms of the gradient of its kernel.
        update_ratio: Norm of the optimizer's next step on the kernel over the norm of
            the kernel; `None` for a model without optimizer.
        dead: Share of units that are 0 over the whole batch.
    """

    layer: str
    activation: float | None
    expected_activation: float | None
    backprop: float | None
    expected_backprop: float | None
    gradient: float | None
    update_ratio: float | None
    dead: float | None


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` saw. Printed, a table; in a notebook, HTML.

    Attributes:
        model: Name of the model.
        findings: List of `Finding`, the gravest first.
        not_judged: `{rule: reason}` of the rules that one step does not suffice for.
        record: `RunRecord` of the step, as a `SignalMonitor` would have it.
        profile: List of `LayerProfile`, from input to output.
        phases: List of `Phase`: order or chaos, and how deep could be trained.
        loss: The loss on the batch; `None` if there were no targets, or none that the
            loss takes.
        chance: Loss of a guess that gives each class the same probability, `None` if
            the loss is no cross-entropy over classes.
        jacobian: `Jacobian` of the outputs, if it was asked for.
        notes: What was approximate or left out, in sentences.
        seconds: Wall time.
    """

    model: str
    findings: list[Finding]
    not_judged: dict[str, str]
    record: RunRecord
    profile: list[LayerProfile]
    phases: list[Phase]
    loss: float | None
    chance: float | None
    jacobian: Jacobian | None
    notes: list[str]
    seconds: float

    def to_dict(self):
        """Returns the diagnosis JSON-able, without the record; `None` for NaN."""
        content = {
            "model": self.model,
            "findings": [finding.to_dict() for finding in self.findings],
            "not_judged": self.not_judged,
            "profile": [dataclasses.asdict(row) for row in self.profile],
            "phases": [phase.to_dict() for phase in self.phases],
            "loss": self.loss,
            "chance": self.chance,
            "jacobian": None if self.jacobian is None else self.jacobian.to_dict(),
            "notes": self.notes,
            "seconds": self.seconds,
        }
        return finite(content)

    def __rich__(self):
        return _diagnosis_table.render(self)

    def show(self):
        """Prints the diagnosis, coloured where the terminal can."""
        import rich.console

        rich.console.Console(highlight=False).print(self)

    def __str__(self):
        return to_text(self)

    __repr__ = __str__

    def _repr_html_(self):
        return to_html(self)

    def plot(self, path=None):
        """Draws signals and gradients against depth, measured and expected.

        Args:
            path: File to draw into, or `None`.

        Returns:
            The path as `pathlib.Path`, or without one the `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return _diagnosis_plot.plot(self, path)


def diagnose(model, x, y=None, loss=None, jacobian=False):
    """Diagnoses a model on one batch, and leaves it as it is.

    One eager step, forward and backward, through the very taps and statistics that
    `SignalMonitor` has in training. The rules judge it, `kik.lint` the model itself;
    theory tells what signals were to be expected at these weights, and how deep a
    stack at this point of the phase diagram can be trained. The optimizer's next step
    is made on copies. Weights, moving averages, seed generators, metrics and
    optimizer are bit-equal afterwards, also when something raises.

    Args:
        model: A Keras model of any kind, compiled or not. One that is not built yet is
            built, on `x`.
        x: One batch of inputs as the model takes them (of more than 256 examples, the
            first 256 are used), or a data set (`tf.data.Dataset`, `PyDataset`,
            iterator) whose first batch is taken, with its targets.
        y: Targets. Without any, or with such as the loss does not take (a class that
            has no unit), random ones tell how gradients flow; the loss is not judged
            then.
        loss: Keras loss, name of one or function, in place of the compiled one. For a
            model that is not compiled, by default, what targets and outputs suggest:
            cross-entropy for classes and labels, else squared error.
        jacobian: Whether the singular values of the outputs' Jacobian with respect to
            the inputs are computed, for four examples.

    Returns:
        `Diagnosis`.

    Raises:
        ValueError: If there are no examples, or `x` and `y` differ in number.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> layers = keras.layers
    >>> stack = [layers.Dense(32, "sigmoid", name=f"h{n}") for n in range(20)]
    >>> model = keras.Sequential([layers.Input((8,)), *stack, layers.Dense(3)])
    >>> diagnosis = kik.diagnose(model, np.random.default_rng(0).normal(size=(64, 8)))
    >>> "VanishingGradient" in {finding.rule for finding in diagnosis.findings}
    True
    """
    started = time.perf_counter()
    notes: list[str] = []
    x, y, weights = _one_batch(x, y, notes)
    if not model.built:
        with editing(model):
            forward(model, x)
    with _unchanged(model):
        step = _Step(model, x, y, weights, loss, notes)
        value, seen, untapped = observe(model, step)
    record = _record(model, step, value, seen, untapped)
    judged_loss = value if step.has_loss else None
    if step.has_loss:
        record.add_scalars(0, {"loss": value})
    found = phases(model, keras.tree.map_structure(lambda one: one[:1], x))
    prediction = _prediction(model, x, notes)
    spectrum = None
    if jacobian:
        with _unchanged(model):
            spectrum = jacobian_of(model, x, notes)
    findings = diagnosis.judge(record) + _too_deep(found)
    # What was measured is told once, and not again by the static rule of that name.
    told = {(finding.rule, finding.layer) for finding in findings}
    findings += [f for f in diagnosis.lint(model) if (f.rule, f.layer) not in told]
    return Diagnosis(
        model=model.name,
        findings=sorted(
            findings, key=lambda f: -diagnosis.SEVERITIES.index(f.severity)
        ),
        not_judged=diagnosis.not_judged(record),
        record=record,
        profile=_profile(record, prediction),
        phases=found,
        loss=judged_loss,
        chance=_chance(record),
        jacobian=spectrum,
        notes=notes,
        seconds=time.perf_counter() - started,
    )


class _Step:
    """The loss of one batch: compiled, given, or what suggests itself."""

    def __init__(self, model, x, y, weights, loss, notes):
        self.model, self.x, self.y, self.weights = model, x, y, weights
        self.notes = notes
        compiled = getattr(model, "compiled", False) and loss is None
        own = type(model).compute_loss is not keras.Model.compute_loss
        self.is_compiled = compiled and (y is not None or own)
        if compiled and type(model).train_step is not keras.Model.train_step:
            notes.append(
                "The model's own `train_step` was not run: forward pass and compiled "
                "loss stand in for it."
            )
        self.has_loss = y is not None
        if self.is_compiled:
            pass
        elif y is None:
            self._take_random_targets("No targets")
        elif loss is None:
            flat = keras.tree.flatten(forward(model, x)), keras.tree.flatten(y)
            self.losses = [default_loss(*pair) for pair in zip(*flat, strict=True)]
            names = sorted({type(one).__name__ for one in self.losses})
            notes.append(f"Not compiled: the loss is taken to be {', '.join(names)}.")
        else:
            self.losses = [keras.losses.get(one) for one in keras.tree.flatten(loss)]
        self.known = self._facts()
        if self._are_impossible():
            # Such a loss may raise, and what it computes means nothing.
            self._take_random_targets("Targets that the loss does not take")

    def _take_random_targets(self, why):
        outputs = forward(self.model, self.x)
        self.notes.append(
            f"{why}: gradients are those of random targets, and the loss is not judged."
        )
        pairs = [random_targets(one) for one in keras.tree.flatten(outputs)]
        self.y = keras.tree.pack_sequence_as(outputs, [one for one, _ in pairs])
        self.losses = [one for _, one in pairs]
        self.is_compiled = self.has_loss = False

    def _are_impossible(self):
        """Whether the targets are out of the range of the loss."""
        found = diagnosis.judge(RunRecord(metadata=self.known), ["DamagedTargets"])
        return any(finding.severity == "error" for finding in found)

    def __call__(self):
        model = self.model
        if getattr(model, "_call_has_training_arg", True):
            outputs = model(self.x, training=True)
        else:
            outputs = model(self.x)
        if self.is_compiled:
            return model.compute_loss(
                x=self.x,
                y=self.y,
                y_pred=outputs,
                sample_weight=self.weights,
                training=True,
            )
        pairs = zip(
            keras.tree.flatten(self.y), keras.tree.flatten(outputs), strict=True
        )
        terms = [
            tf.reduce_mean(loss(_of_rank(target, one), one))
            for loss, (target, one) in zip(self.losses, pairs, strict=True)
        ]
        return tf.add_n([*terms, *(tf.cast(t, terms[0].dtype) for t in model.losses)])

    def _facts(self):
        """Returns what the rules want to know of loss, optimizer and batch."""
        batch = (self.x, self.y if self.has_loss else None, self.weights)
        known = facts.gather(self.model, batch, first_step=0)
        if not self.is_compiled and self.has_loss and len(self.losses) == 1:
            stand_in = types.SimpleNamespace(
                _user_loss=self.losses[0], _user_loss_weights=None
            )
            known["loss"] = facts.loss_of(types.SimpleNamespace(_compile_loss=stand_in))
        if not self.has_loss:
            known.pop("loss", None)
        return {name: fact for name, fact in known.items() if fact is not None}


def _of_rank(target, output):
    """Gives targets the last axis of 1 that single outputs have, as losses want it."""
    if output.shape[-1] == 1 and len(np.shape(target)) == len(output.shape) - 1:
        return target[..., None]
    return target


@contextlib.contextmanager
def _unchanged(model):
    """Puts back all that a step in training mode moves, whatever happens."""
    kept = {
        id(variable): np.array(variable.numpy())
        for metric in model.metrics
        for variable in metric.variables
    }
    with editing(model):
        try:
            yield
        finally:
            model._clear_losses()
            for metric in model.metrics:
                # Losses of several outputs make their metrics when they are first
                # called.
                if any(id(variable) not in kept for variable in metric.variables):
                    metric.reset_state()
                for variable in metric.variables:
                    if id(variable) in kept:
                        variable.assign(kept[id(variable)])


def _one_batch(x, y, notes):
    """Returns inputs, targets and sample weights of one batch, as tensors."""
    weights = None
    arrays = isinstance(x, (np.ndarray, list, tuple, dict)) or hasattr(x, "shape")
    if not arrays:
        data = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x))
        x, given, weights = keras.utils.unpack_x_y_sample_weight(data)
        y = given if y is None else y
    elif isinstance(x, list) and not hasattr(x[0] if x else None, "shape"):
        x = np.asarray(x)
    if isinstance(y, list) and not hasattr(y[0] if y else None, "shape"):
        y = np.asarray(y)
    flat = keras.tree.flatten((x, y, weights))
    sizes = {len(one) for one in flat if one is not None}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            "`x` and `y` must hold the same number of examples, at least one. "
            f"Received: {tuple(sorted(sizes))} examples."
        )
    (size,) = sizes
    if size > LARGEST_BATCH:
        notes.append(f"The first {LARGEST_BATCH} of {size} examples are the batch.")

    def tensor(value):
        if value is None:
            return None
        value = tf.convert_to_tensor(value[:LARGEST_BATCH])
        # As `fit` does.
        return tf.cast(value, tf.float32) if value.dtype == tf.float64 else value

    return tuple(keras.tree.map_structure(tensor, one) for one in (x, y, weights))


def _record(model, step, value, seen, untapped):
    record = RunRecord()
    for signal, one in seen.items():
        record.add(signal, one.keys, 0, one.statistics)
        if one.histogram is not None:
            record.add_histogram(signal, 0, stats.magnitudes(one.histogram))
        steps = getattr(one, "time", None)
        if steps is not None:
            record.add_time_steps(signal, 0, *steps)
    record.metadata.update(
        data_version=schema.DATA_VERSION,
        model=model.name,
        layers=choosing.describe(model),
        untapped=[[one.layer, one.reason] for one in untapped],
        **step.known,
    )
    return record


def _prediction(model, x, notes):
    """Returns `{(layer, call): LayerPrediction}` at the inputs' moments."""
    flat = [one for one in keras.tree.flatten(x) if one.dtype.is_floating]
    values = np.concatenate([np.ravel(one.numpy()) for one in flat] or [np.ones(1)])
    second = float(np.mean(values.astype(np.float64) ** 2))
    try:
        found = theory.predict(model, (float(np.mean(values)), second))
    except ValueError:
        notes.append(
            "Theory's expectation needs a Functional or Sequential model with finite, "
            "non-zero inputs."
        )
        return {}
    if found.untreated:
        layer, reason = found.untreated[0]
        notes.append(f"Theory's expectation ends at {layer}: {reason.rstrip('.')}.")
    return found.by_call()


def _profile(record, prediction):
    forwards = diagnosis.depth_profile(record, "activation", "rms")
    gradients = _by_owner(record, "gradient", "rms", max)
    ratios = _step_ratios(record)
    backs = _by_key(record, "backprop", "rms")
    dead = _by_key(record, "activation", "dead_fraction")
    keys = [key for key in forwards.keys if key.tensor in ("output", "output_0")]
    measured = _by_key(record, "activation", "rms")
    scale = _backward_scale(keys, backs, prediction)
    return [
        LayerProfile(
            layer=key.layer if not key.call else f"{key.layer}@{key.call}",
            activation=measured.get(key),
            expected_activation=_root(prediction, key, "activation"),
            backprop=backs.get(key),
            expected_backprop=_root(prediction, key, "backprop", scale),
            gradient=_of_owner(gradients, key.layer),
            update_ratio=_of_owner(ratios, key.layer),
            dead=dead.get(key),
        )
        for key in keys
    ]


def _by_key(record, signal, statistic):
    series = record.signal(signal)
    if series is None or statistic not in series.statistics:
        return {}
    values = series.statistic(statistic)[0].astype(float).tolist()
    return dict(zip(series.tensors, values, strict=True))


def _by_owner(record, signal, statistic, joined):
    """Returns a statistic of each layer's kernels, of several the largest."""
    found: dict[str, float] = {}
    for key, value in _by_key(record, signal, statistic).items():
        if key.tensor.endswith(("kernel", "embeddings")):
            found[key.layer] = joined(value, found.get(key.layer, value))
    return found


def _step_ratios(record):
    """Returns the norm of each layer's kernel step over that of the kernel."""
    steps = _by_owner(record, "update", "norm", max)
    kernels = _by_owner(record, "weight", "norm", max)
    return {
        layer: step / kernels[layer]
        for layer, step in steps.items()
        if kernels.get(layer, 0) > 0
    }


def _of_owner(values, layer):
    inside = [v for k, v in values.items() if k == layer or k.startswith(f"{layer}/")]
    return max(inside, default=None)


def _root(prediction, key, name, factor=1.0):
    row = prediction.get((key.layer, key.call))
    value = math.nan if row is None else getattr(row, name) * factor
    return math.sqrt(value) if value >= 0 else None


def _backward_scale(keys, backs, prediction):
    """Returns what makes the last layer's expected gradient the measured one."""
    for key in reversed(keys):
        row = prediction.get((key.layer, key.call))
        if row is not None and row.backprop > 0 and backs.get(key, 0) > 0:
            return backs[key] ** 2 / row.backprop
    return math.nan


def _chance(record):
    loss = record.metadata.get("loss") or {}
    outputs: list[Any] = record.metadata.get("outputs") or []
    if loss.get("name") == "binary_crossentropy":
        return math.log(2)
    units = outputs[0]["units"] if len(outputs) == 1 else None
    if str(loss.get("name")).endswith("categorical_crossentropy") and units:
        return math.log(units)
    return None


def _too_deep(found):
    """Returns a finding for each stack that is deeper than it can be trained."""
    return [
        Finding(
            rule="TrainableDepth",
            severity="warning",
            layer=phase.layers[0],
            step=None,
            measured=len(phase.layers),
            threshold=phase.trainable_depth,
            message=_depth_message(phase),
            remedy="Draw the weights at the edge of chaos: "
            "`kik.reinitialize(model, kik.recommend(model))`; or shorten the stack by "
            "shortcuts or normalization.",
            reference="Schoenholz et al. 2017, https://arxiv.org/abs/1611.01232",
        )
        for phase in found
        if phase.is_too_deep and len(phase.layers) > FEWEST_DEEP
    ]


# Shallower stacks train anyhow: what decays over two layers is still there.
FEWEST_DEEP = 4


def _depth_message(phase):
    alike = (
        "different inputs look alike"
        if phase.phase == "ordered"
        else ("near inputs look unrelated")
    )
    return (
        f"after about {phase.trainable_depth:.0f} of the {len(phase.layers)} "
        f"{phase.activation} layers from {phase.layers[0]!r} on, {alike}: with "
        f"weights of std {phase.sigma_w:.3g}/√fan_in they are in the {phase.phase} "
        f"phase, where gradients change by {math.sqrt(phase.chi_1):.2g} a layer."
    )
