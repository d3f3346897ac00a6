"""Diagnosis before training: one batch forward and backward, nothing changed."""

import dataclasses
import math
import os
import time
from collections.abc import Mapping
from typing import Any

import keras

from keras_initkit import diagnosis, schema, theory
from keras_initkit.arguments import check_bool, naming
from keras_initkit.diagnosis import Finding
from keras_initkit.inspection._learning_rate_trial import (
    LearningRateTrialResult,
    learning_rate_trial,
)
from keras_initkit.inspection.jacobian import Jacobian, jacobian_of
from keras_initkit.inspection.layer_profile import LayerProfile, layer_profiles
from keras_initkit.inspection.phases import Phase, phases
from keras_initkit.inspection.samples import facts_of_set
from keras_initkit.inspection.step import PassFailed, Step, one_batch
from keras_initkit.recording import RunRecord
from keras_initkit.report import diagnosis_plot, diagnosis_table
from keras_initkit.report.finite import finite
from keras_initkit.report.tables import Printed
from keras_initkit.structure import description
from keras_initkit.structure.forward_graph import learn_roles
from keras_initkit.structure.in_place import editing, forward, reason_of, unchanged
from keras_initkit.structure.needs import check_backend, check_model


@dataclasses.dataclass(frozen=True, repr=False)
class DiagnosisResult(Printed):
    """What `diagnose` saw. Prints as a table; in a notebook, renders as HTML.

    Attributes:
        model: Name of the model.
        findings: List of `Finding`s, consequences after their causes, most severe
            causes first.
        not_judged: `{rule: reason}` of the rules for which one step is not enough.
        record: `RunRecord` of the step, as a `SignalMonitor` would have it.
        profile: List of `LayerProfile`, from input to output.
        phases: List of `Phase`: order or chaos, and the trainable depth.
        loss: The loss on the batch; `None` without targets that the loss accepts.
        chance: Loss of a guess that gives each class the same probability, `None` if
            the loss is not a cross-entropy over classes.
        jacobian: `Jacobian` of the outputs, if requested.
        notes: What was approximated or left out, in sentences.
        seconds: Wall time.
        trial: `LearningRateTrialResult`, if requested and possible.
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
    trial: LearningRateTrialResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the diagnosis as JSON-able, without the record; `None` for NaN."""
        content = {
            "model": self.model,
            "findings": [finding.to_dict() for finding in self.findings],
            "not_judged": self.not_judged,
            "profile": [dataclasses.asdict(row) for row in self.profile],
            "phases": [phase.to_dict() for phase in self.phases],
            "loss": self.loss,
            "chance": self.chance,
            "jacobian": None if self.jacobian is None else self.jacobian.to_dict(),
            "trial": None if self.trial is None else self.trial.to_dict(),
            "notes": self.notes,
            "seconds": self.seconds,
        }
        return finite(content)

    def __rich__(self):
        causes = [
            (one, diagnosis.consequences(self.findings, one.rule))
            for one in diagnosis.causes_among(self.findings)
        ]
        return diagnosis_table.render(
            self.model,
            self.loss,
            self.chance,
            self.profile,
            causes,
            self._severities(),
            self._small_print(),
        )

    def _severities(self):
        """Returns `{layer: severity of its gravest finding}`."""
        worst: dict[str, str] = {}
        for finding in reversed(self.findings):
            if finding.layer is not None:
                worst[finding.layer] = finding.severity
        return worst

    def _small_print(self):
        """Returns sentences on phases and the Jacobian, notes, what was not judged."""
        lines = [phase.in_words() for phase in self.phases]
        if self.jacobian is not None:
            lines.append(self.jacobian.in_words())
        if self.trial is not None:
            lines.append(self.trial.in_words())
        lines += self.notes
        if self.not_judged:
            lines.append(
                f"{len(self.not_judged)} rules need more than one step, or facts that "
                "are unknown: `.not_judged`"
            )
        return lines

    def show(self) -> None:
        """Prints the diagnosis, in color if the terminal supports it."""
        import rich.console

        rich.console.Console(highlight=False).print(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots signals and gradients against depth, measured and expected.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        rules = list(dict.fromkeys(finding.rule for finding in self.findings))
        found = ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "")
        title = f"{self.model}: {found or 'no findings'}"
        at_fault = [str(f.layer) for f in self.findings if f.severity != "info"]
        return diagnosis_plot.plot(title, self.profile, at_fault, path)


def diagnose(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    loss: Any = None,
    jacobian: bool = False,
    validation_data: Any = None,
    trial: bool = False,
    rules: diagnosis.Rules = None,
) -> DiagnosisResult:
    """Diagnoses a model and its data on one batch, without changing the model.

    Runs one eager step, forward and backward, with the same taps and statistics that
    `SignalMonitor` uses in training. The rules judge this step, `kik.lint` the model
    itself; theory predicts the signals to expect at these weights, and the trainable
    depth of a stack at this point of the phase diagram. The optimizer's next step is
    computed on copies. Weights, moving averages, seed generators, metrics and optimizer
    are bit-identical afterwards, even if something raises.

    Args:
        model: A Keras model of any kind, compiled or not. It is built on `x` if it is
            not built yet.
        x: One batch of inputs as the model takes them (of more than 256 examples, the
            step uses the first 256; the data are judged by up to 4,096 spread over the
            arrays), or a data set (`tf.data.Dataset`, `PyDataset`, iterator) whose
            first batch is used, with its targets.
        y: Targets. Without any, with ones that the loss does not accept (a class that
            has no unit), or if the loss raises, random ones show how gradients flow;
            the loss is not judged then, and a note says why.
        loss: Keras loss, its name or a function, instead of the compiled one. For a
            model that is not compiled, the default follows from targets and outputs:
            cross-entropy for classes and labels, else squared error.
        jacobian: Whether to compute the singular values of the outputs' Jacobian with
            respect to the inputs, for four examples.
        validation_data: `(x, y)` of arrays, as `fit` takes them, to check whether their
            scale differs from that of the training data.
        trial: Whether to try learning rates as well, with `kik.learning_rate_trial` on
            all of `x` and `y` with the compiled loss: a rate far from those that learn
            is then reported as a finding.
        rules: Names from `diagnosis.RULES` and `diagnosis.LINTS`, or a dict that
            changes individual rules: `{rule: {threshold: value}}`, `None` to skip a
            rule. All by default.

    Returns:
        `DiagnosisResult`.

    Raises:
        ValueError: If there are no examples, `x` and `y` differ in number, Keras runs
            on a backend other than TensorFlow, or a rule or threshold does not exist.
        TypeError: If `model` is not a Keras 3 model, or `rules` is neither names nor
            such a dict.

    If the model's own forward pass raises, the rest is judged, and a note says what was
    not.

    Example:
    >>> import keras, numpy as np, keras_initkit as kik
    >>> layers = keras.layers
    >>> stack = [layers.Dense(32, "sigmoid", name=f"h{n}") for n in range(20)]
    >>> model = keras.Sequential([layers.Input((8,)), *stack, layers.Dense(3)])
    >>> diagnosis = kik.diagnose(model, np.random.default_rng(0).normal(size=(64, 8)))
    >>> "VanishingGradient" in {finding.rule for finding in diagnosis.findings}
    True
    """
    check_backend("diagnose")
    check_model("diagnose", model)
    started = time.perf_counter()
    notes: list[str] = []
    check_bool("jacobian", jacobian)
    check_bool("trial", trial)
    of_record, of_model = diagnosis.asked_of(rules, diagnosis.RULES, diagnosis.LINTS)
    if loss is not None:
        with naming("loss", loss, "be a Keras loss, or the name of one, or a function"):
            keras.tree.map_structure(keras.losses.get, loss)
    validation = _arrays_of(validation_data)
    tried = _trial(model, x, y, notes) if trial else None
    batch = one_batch(x, y, notes)
    of_set = facts_of_set(model, x, y, validation)
    x, y, weights = batch
    value, seen, untapped, known = _measured(model, x, y, weights, loss, notes)
    learn_roles(model, x)
    if "sample" in of_set:
        of_set["sample"]["nonfinite_in_step"] = _nonfinite_in(known)
    if "target" not in known and "targets" not in known:
        of_set = {k: v for k, v in of_set.items() if k not in ("target", "targets")}
    if tried is not None:
        of_set |= {"learning_rate_trial": tried.to_dict()}
    found = phases(model, keras.tree.map_structure(lambda one: one[:1], x))
    of_set |= {"phases": finite([phase.to_dict() for phase in found])}
    record = _record(model, known | of_set, value, seen, untapped)
    expected = theory.expect(model, x)
    notes += expected.notes
    spectrum = None
    if jacobian:
        with unchanged(model):
            try:
                spectrum = jacobian_of(model, x, notes)
            except Exception as error:  # whatever the user's own `call` raises
                notes.append(f"No Jacobian: its forward pass {reason_of(error)}.")
    findings = _findings(model, record, of_record, of_model)
    record.findings = [one.to_dict() | {"cleared": None} for one in findings]
    return DiagnosisResult(
        model=model.name,
        findings=findings,
        not_judged=diagnosis.not_judged(record, of_record),
        record=record,
        profile=layer_profiles(record, expected),
        phases=found,
        loss=value,
        chance=_chance(record),
        jacobian=spectrum,
        notes=notes,
        seconds=time.perf_counter() - started,
        trial=tried,
    )


def _trial(model, x, y, notes):
    """Returns the trial of learning rates, `None` with a note where there is none."""
    try:
        return learning_rate_trial(model, x, y)
    except Exception as error:  # what it refuses, and what the user's own code raises
        notes.append(f"No learning rates were tried: that {reason_of(error)}.")
        return None


def _arrays_of(validation_data):
    """Returns `(x, y)` of validation data.

    Raises:
        ValueError: If that is no tuple of inputs, targets and, maybe, weights.
    """
    if validation_data is None:
        return None
    if not isinstance(validation_data, tuple) or len(validation_data) not in (2, 3):
        raise ValueError(
            "`validation_data` must be a tuple `(x, y)` of arrays. "
            f"Received: {type(validation_data).__name__}"
        )
    return validation_data[:2]


def _measured(model, x, y, weights, loss, notes):
    """Runs the step: `(loss that may be judged, seen, untapped, facts)`.

    Where the model's forward pass raises, nothing is seen, and a note says why.
    """
    try:
        if not model.built:
            with editing(model):
                forward(model, x)
    except Exception as error:
        notes.append(_without_pass(error))
        return None, {}, [], {}
    from keras_initkit.capture.eager_step import observe

    with unchanged(model):
        step = Step(model, x, y, weights, loss, notes)
        try:
            value, seen, untapped = observe(model, step)
        except PassFailed as failure:
            notes.append(_without_pass(failure.__cause__))
            return None, {}, [], step.known
        if "update" not in seen and getattr(model, "optimizer", None) is not None:
            notes.append("Updates were not judged: the optimizer cannot be copied.")
        return value if step.has_loss else None, seen, untapped, step.known


def _without_pass(error):
    return (
        "Signals, gradients and loss were not judged, because the model's forward pass "
        f"on `x` {reason_of(error)}."
    )


def _nonfinite_in(facts: Mapping[str, Any]) -> int:
    """Counts the NaN and Inf in the inputs and targets of a batch, by its facts."""
    moments = [*(facts.get("input") or ()), facts.get("target")]
    return sum(one["nonfinite"] for one in moments if one)


def _record(model, known, loss, seen, untapped):
    """Returns the record of the step, as a monitor would have it."""
    record = RunRecord()
    record.add_step(0, seen)
    record.metadata.update(
        data_version=schema.DATA_VERSION,
        model=model.name,
        layers=description.of_layers(model),
        untapped=[[one.layer, one.reason] for one in untapped],
        **known,
    )
    if loss is not None:
        record.add_scalars(0, {"loss": loss})
    return record


def _findings(model, record, of_record, of_model):
    """Lists what rules of record and model find, causes ahead."""
    measured = diagnosis.judge(record, of_record)
    # What was measured is told once, and not again by the static rule of that name.
    told = {diagnosis.causes.place_of(finding) for finding in measured}
    static = [
        finding
        for finding in diagnosis.lint(model, rules=of_model)
        if diagnosis.causes.place_of(finding) not in told
    ]
    found = diagnosis.explained(measured + static, diagnosis.layers_of(record))
    return diagnosis.Findings(diagnosis.in_order(found))


def _chance(record):
    loss = record.metadata.get("loss") or {}
    outputs: list[Any] = record.metadata.get("outputs") or []
    if loss.get("name") == "binary_crossentropy":
        return math.log(2)
    units = outputs[0]["units"] if len(outputs) == 1 else None
    if str(loss.get("name")).endswith("categorical_crossentropy") and units:
        return math.log(units)
    return None
