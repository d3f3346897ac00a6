"""Monitors of one kind of signal each."""

import os
from collections.abc import Callable
from typing import Any

from keras_initkit import schedules
from keras_initkit.callbacks.arguments import EVERY
from keras_initkit.callbacks.monitor import Detail, Rules, SignalMonitor
from keras_initkit.diagnosis import Finding


class _OneKind(SignalMonitor):
    """A `SignalMonitor` of the signals that its class names."""

    kind: tuple[str, ...]

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        every: int | schedules.Function = EVERY,
        *,
        layers: Any = None,
        histograms: bool | int | schedules.Function = True,
        exclude: Any = None,
        rules: Rules = "default",
        on_finding: str | Callable[[Finding], object] = "warn",
        severity: str = "warning",
        evaluate: bool = False,
        detail: Detail = "full",
    ) -> None:
        super().__init__(
            log_dir,
            every,
            signals=self.kind,
            layers=layers,
            histograms=histograms,
            exclude=exclude,
            rules=rules,
            on_finding=on_finding,
            severity=severity,
            evaluate=evaluate,
            detail=detail,
        )


class ActivationMonitor(_OneKind):
    """`SignalMonitor` of the forward pass: activations and pre-activations.

    The three specialized monitors may be used together in one `fit`, with one log
    directory; a step watched by several of them is instrumented once.

    Args:
        log_dir: Directory of the run, or `None`.
        every: Monitor every n-th optimizer iteration, or a schedule.
        layers, histograms, exclude, rules, on_finding: As in `SignalMonitor`.
        severity, evaluate, detail: As in `SignalMonitor`.
    """

    kind = ("activation", "preactivation")


class GradientMonitor(_OneKind):
    """`SignalMonitor` of the backward pass: gradients of outputs and of weights.

    Args:
        log_dir: Directory of the run, or `None`.
        every: Monitor every n-th optimizer iteration, or a schedule.
        layers, histograms, exclude, rules, on_finding: As in `SignalMonitor`.
        severity, evaluate, detail: As in `SignalMonitor`.
    """

    kind = ("backprop", "gradient")


class WeightMonitor(_OneKind):
    """`SignalMonitor` of the trainable weights and of their updates.

    Args:
        log_dir: Directory of the run, or `None`.
        every: Monitor every n-th optimizer iteration, or a schedule.
        layers, histograms, exclude, rules, on_finding: As in `SignalMonitor`.
        severity, evaluate, detail: As in `SignalMonitor`.
    """

    kind = ("weight", "update")
