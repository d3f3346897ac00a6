"""One kind of signal each: monitors for those who want less than everything."""

from keras_initkit.callbacks.monitor import SignalMonitor


class ActivationMonitor(SignalMonitor):
    """`SignalMonitor` of what flows forward: activations and pre-activations.

    The three monitors of one kind may be used together in one `fit`, on one log
    directory; a step that several of them watch is instrumented once.

    Args:
        log_dir: Directory of the run.
        every: Monitor every so many optimizer iterations, or a schedule.
        **options: Further arguments of `SignalMonitor`, but for `signals`.
    """

    def __init__(self, log_dir, every=10, **options):
        signals = ("activation", "preactivation")
        super().__init__(log_dir, every, signals=signals, **options)


class GradientMonitor(SignalMonitor):
    """`SignalMonitor` of what flows back: gradients of outputs and of weights.

    Args:
        log_dir: Directory of the run.
        every: Monitor every so many optimizer iterations, or a schedule.
        **options: Further arguments of `SignalMonitor`, but for `signals`.
    """

    def __init__(self, log_dir, every=10, **options):
        signals = ("backprop", "gradient")
        super().__init__(log_dir, every, signals=signals, **options)


class WeightMonitor(SignalMonitor):
    """`SignalMonitor` of the trainable weights and of what each step changes them by.

    Args:
        log_dir: Directory of the run.
        every: Monitor every so many optimizer iterations, or a schedule.
        **options: Further arguments of `SignalMonitor`, but for `signals`.
    """

    def __init__(self, log_dir, every=10, **options):
        signals = ("weight", "update")
        super().__init__(log_dir, every, signals=signals, **options)
