"""The result of one training run: its numbers, its curve, its findings."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_initkit import diagnosis
from keras_initkit.experiments.summary import PROFILES, Summary, summary
from keras_initkit.recording import RunRecord
from keras_initkit.report import result_plots
from keras_initkit.report.finite import finite

METRICS = {
    "accuracy": "accuracy on the test set, after training",
    "loss_initial": "training loss of the first batch, at the initial weights",
    "loss_final": "loss on the test set, after training",
    "activation_slope": "slope of the activations' std over depth, decades per layer, "
    "at step 0",
    "gradient_slope": "slope of the kernels' gradient rms over depth, decades per "
    "layer, at step 0",
}


@dataclasses.dataclass
class RunResult:
    """The result of one training run.

    A run whose loss becomes NaN is also a result: its numbers are NaN.

    Attributes:
        initializer: Label of the initializer.
        seed: Seed of the weights and of everything else.
        accuracy: The model's first higher-is-better metric (an accuracy, AUC, F1...) on
            the test set after training; NaN if it has none.
        loss_initial: Training loss of the first batch, at the initial weights:
            iteration 0 of the monitor, with dropout and penalties if there are any.
        loss_final: Loss on the test set after training.
        activation_slope: Least-squares slope of log10 of the activations' std over
            the weight layers at step 0, in decades a layer; NaN where there is no
            signal or only one layer.
        gradient_slope: The same for the gradient rms of the kernels.
        nonfinite_step: First monitored step with a NaN or Inf anywhere, or `None`.
        epochs: Passes over the training set.
        steps: Optimizer iterations done.
        batch_size: Examples an iteration.
        seconds: Wall time of building, training and testing.
        log_dir: Directory of the event files, `None` if nothing was written.
        findings: What `diagnosis.judge` found in the record.
        record: Everything recorded.
        examples: Examples of an epoch; `None` stands for full batches only.
        point: `{argument: value}` of a grid, as JSON takes it.
        threads: Intra-op threads it used, on which its last digits depend; 0 if
            unknown.
        learned: Whether it is better than the best constant prediction; `None` if
            unknown.
        learned_reason: The numbers on which this is judged, or why it is not judged.
        tested: Examples of the test set; `None` if unknown.
    """

    initializer: str
    seed: int
    accuracy: float
    loss_initial: float
    loss_final: float
    activation_slope: float
    gradient_slope: float
    nonfinite_step: int | None
    epochs: int
    steps: int
    batch_size: int
    seconds: float
    log_dir: str | None
    findings: list[diagnosis.Finding]
    record: RunRecord = dataclasses.field(repr=False, compare=False)
    examples: int | None = None
    point: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    threads: int = 0
    learned: bool | None = None
    learned_reason: str = ""
    tested: int | None = None

    @functools.cached_property
    def summary(self) -> Summary:
        """What tables and pictures show of the record."""
        sizes = self.steps, self.epochs, self.batch_size, self.examples
        return summary(self.record, *sizes)

    def profile(self, signal: str, statistic: str) -> diagnosis.Profile:
        """Returns a statistic over the weight layers at the first recorded step."""
        if (signal, statistic) in PROFILES:
            return self.summary.profiles[PROFILES.index((signal, statistic))]
        return diagnosis.depth_profile(self.record, signal, statistic)

    def loss_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the training loss between monitored steps.

        Keras reports running means over the epoch's examples; here they are undone:
        each value is the mean loss of the examples since the last monitored step of the
        same epoch, the first that of step 0 alone.

        Returns:
            Optimizer iterations, shape `(n,)`, and losses, shape `(n,)`.
        """
        return self.summary.steps, self.summary.losses

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots the training loss, and both signals against depth at the first step.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        title = f"{self.initializer}, seed {self.seed}: accuracy {self.accuracy:.3f}"
        profiles = {}
        for signal, statistic in (("activation", "std"), ("gradient", "rms")):
            profile = self.profile(signal, statistic)
            labels = [key.label for key in profile.keys]
            profiles[f"{statistic} of the {signal}s"] = labels, profile.values
        curve = self.loss_curve()
        return result_plots.run(title, self.initializer, curve, profiles, path)

    def to_row(self) -> dict[str, Any]:
        """Returns the numbers of the result, and which rules found something."""
        rules = dict.fromkeys(finding.rule for finding in self.findings)
        return {
            "initializer": self.initializer,
            "seed": self.seed,
            **self.point,
            **{name: getattr(self, name) for name in METRICS},
            "learned": self.learned,
            "nonfinite_step": self.nonfinite_step,
            "epochs": self.epochs,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "seconds": self.seconds,
            "log_dir": self.log_dir,
            "findings": ", ".join(rules),
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as JSON takes it: `None` for what is not finite."""
        return finite(
            {
                "initializer": self.initializer,
                "seed": self.seed,
                "point": dict(self.point),
                "learned": self.learned,
                "learned_reason": self.learned_reason,
                **{name: getattr(self, name) for name in METRICS},
                "nonfinite_step": self.nonfinite_step,
                "epochs": self.epochs,
                "steps": self.steps,
                "batch_size": self.batch_size,
                "threads": self.threads,
                "seconds": round(self.seconds, 3),
                "log_dir": self.log_dir,
                "findings": [finding.to_dict() for finding in self.findings],
                "activation_std": _by_label(self.profile("activation", "std")),
                "gradient_rms": _by_label(self.profile("gradient", "rms")),
            }
        )


@dataclasses.dataclass(frozen=True)
class Lost:
    """A run without a result, because its process died twice.

    Attributes:
        initializer: Label of the initializer.
        seed: Its seed.
        point: The point of the grid.
        reason: What the engine said.
    """

    initializer: str
    seed: int
    point: dict[str, Any]
    reason: str


def _by_label(profile: diagnosis.Profile) -> dict[str, float]:
    pairs = zip(profile.keys, profile.values, strict=True)
    return {key.label: value for key, value in pairs}
