"""One kind of signal each: monitors for those who want less than everything."""

from keras_initkit.callbacks.monitor import SignalMonitor


class _OneKind(SignalMonitor):
    """A `SignalMonitor` of the signals that its class names."""

    kind: tuple[str, ...]

    def __init__(self, log_dir, every=10, **options):
        super().__init__(log_dir, every, signals=self.kind, **options)


class ActivationMonitor(_OneKind):
    """`SignalMonitor` of what flows forward: activations and pre-activations.

    The three monitors of one kind may be used together in one `fit`, on one log
    directory; a step that several of them watch is instrumented once.

    Args:
        log_dir: Directory of the run.
        every: Monitor every so many optimizer iterations, or a schedule.
        **options: Further arguments of `SignalMonitor`, but for `signals`.
    """

    kind = ("activation", "preactivation")


class GradientMonitor(_OneKind):
    """`SignalMonitor` of what flows back: gradients of outputs and of weights.

    Args:
        log_dir: Directory of the run.
        every: Monitor every so many optimizer iterations, or a schedule.
        **options: Further arguments of `SignalMonitor`, but for `signals`.
    """

    kind = ("backprop", "gradient")


class WeightMonitor(_OneKind):
    """`SignalMonitor` of the trainable weights and of what each step changes them by.

    Args:
        log_dir: Directory of the run.
        every: Monitor every so many optimizer iterations, or a schedule.
        **options: Further arguments of `SignalMonitor`, but for `signals`.
    """

    kind = ("weight", "update")
