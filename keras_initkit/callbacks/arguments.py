"""Arguments of monitors, validated before anything else happens."""

from collections.abc import Mapping

from keras_initkit import schedules, schema

# Iterations between monitored steps.
EVERY = 10
# Signals that are not recorded where only norms are, unless they are asked for.
_NOT_OF_NORMS = ("preactivation",)
# Histograms are recorded at the first monitored step and every so many after it.
HISTOGRAM_EVERY = 10


def checked_signals(signals):
    """Returns the signals of training steps that are named.

    Raises:
        TypeError: If they are not a collection of names.
        ValueError: If a name is not among them.
    """
    signals = schema.check_signals(signals)
    others = tuple(name for name in signals if name not in schema.SIGNALS)
    if others:
        raise ValueError(
            f"`signals` must be among {tuple(schema.SIGNALS)}; `evaluate=True` records "
            f"the signals of evaluations. Received: signals={others}"
        )
    return signals


def signals_by_detail(signals, details):
    """Returns `{detail: names}` of what is recorded in each detail.

    Args:
        signals: Names of signals; `None` for the defaults of a detail.
        details: Some of `schema.DETAILS`.

    Raises:
        TypeError, ValueError: As in `checked_signals`.
    """
    if signals is not None:
        return dict.fromkeys(details, checked_signals(signals))
    by_itself = {
        "full": tuple(schema.SIGNALS),
        "norms": tuple(one for one in schema.SIGNALS if one not in _NOT_OF_NORMS),
    }
    return {detail: by_itself[detail] for detail in details}


def checked_detail(detail, every):
    """Returns `{detail: schedule}`, the fullest detail first.

    Args:
        detail: One of `schema.DETAILS`, or a dict from some of them to numbers of
            iterations or schedules.
        every: The same for the steps monitored in a single detail.

    Raises:
        TypeError: If `detail` is neither.
        ValueError: If it names an unknown detail, or a schedule is invalid; if one
            thing has two schedules.
    """
    if not isinstance(detail, str | Mapping):
        raise TypeError(
            f"`detail` must be one of {schema.DETAILS}, or a dict of them with a "
            "schedule for each, as in {'norms': every(1), 'full': every(100)}. "
            f"Received: detail={detail!r} of type {type(detail).__name__}"
        )
    by_name = {detail: every} if isinstance(detail, str) else detail
    if not by_name or not set(by_name) <= set(schema.DETAILS):
        raise ValueError(
            f"`detail` must be one of {schema.DETAILS}, or a dict of them with a "
            f"schedule for each. Received: detail={detail!r}"
        )
    if by_name is detail and (not isinstance(every, int) or every != EVERY):
        raise ValueError(
            "`every` must be omitted if `detail` has its own schedules. Received: "
            f"every={every!r}, detail={detail!r}"
        )
    return {
        one: schedules.as_schedule(
            by_name[one], f"detail[{one!r}]" if by_name is detail else "every"
        )
        for one in schema.DETAILS
        if one in by_name
    }


def checked_histograms(histograms):
    """Returns a schedule of iterations, or a number of monitored steps, 0 for never.

    Raises:
        TypeError: If it is a function with other arguments.
        ValueError: If it is neither.
    """
    if isinstance(histograms, bool):
        return HISTOGRAM_EVERY if histograms else 0
    if callable(histograms):
        return schedules.as_schedule(histograms, "histograms")
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
