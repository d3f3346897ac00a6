"""What a monitor is given, checked before it does anything."""

from keras_initkit import schema

# Histograms are recorded at the first monitored step and every so many after it.
HISTOGRAM_EVERY = 10


def checked_signals(signals):
    """Returns the signals of training steps that are named.

    Raises:
        TypeError: If they are no collection of names.
        ValueError: If a name is none of them.
    """
    signals = schema.check_signals(signals)
    others = tuple(name for name in signals if name not in schema.SIGNALS)
    if others:
        raise ValueError(
            f"`signals` must be of {tuple(schema.SIGNALS)}; what evaluations show is "
            f"recorded by `evaluate=True`. Received: signals={others}"
        )
    return signals


def checked_histograms(histograms):
    """Returns a schedule of iterations, or a number of monitored steps, 0 for never.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(histograms, bool):
        return HISTOGRAM_EVERY if histograms else 0
    if callable(histograms):
        return histograms
    if not isinstance(histograms, int) or histograms < 1:
        raise ValueError(
            "`histograms` must be a bool, a positive number of monitored steps, or a "
            f"schedule. Received: histograms={histograms!r}"
        )
    return histograms


def listed(one_or_several):
    """Returns a list of one thing, or of several."""
    several = isinstance(one_or_several, list | tuple)
    return list(one_or_several) if several else [one_or_several]
