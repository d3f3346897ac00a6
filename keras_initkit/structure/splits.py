"""How far two splits of a data set are apart."""

import keras
import numpy as np

# Fewest examples of either split, and columns that are looked at one by one.
FEWEST, MOST_COLUMNS = 20, 10_000
_SURE = 5.0  # standard errors beyond which a difference is no chance


def apart(training, validation):
    """Compares the scales of two splits, tensor by tensor.

    Args:
        training: `(x, y)` of arrays, nested as the model takes them; `y` may be `None`.
        validation: The same of the other split.

    Returns:
        A list of dicts, one a tensor of numbers that both have: `what` (`"inputs"` or
        `"targets"`), `number` (which of several), `scale` (standard deviation in
        validation to that in training; `None` where one is constant), `shift`
        (difference of the means, in standard deviations of both together, of the column
        where it is largest) and `column` (which that is, `None` where the tensor is
        looked at as a whole). A shift within five of its standard errors is 0.
    """
    found = []
    pairs = zip(("inputs", "targets"), training, validation, strict=True)
    for what, ours, theirs in pairs:
        both = zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=False)
        for number, (one, other) in enumerate(both):
            if _comparable(one, other):
                found.append({"what": what, "number": number, **_compared(one, other)})
    return found


def _comparable(one, other):
    return (
        all(
            isinstance(part, np.ndarray)
            and part.dtype.kind in "biuf"
            and len(part) >= FEWEST
            for part in (one, other)
        )
        and one.shape[1:] == other.shape[1:]
    )


def _compared(one, other):
    columns = one.ndim == 2 and 1 < one.shape[1] <= MOST_COLUMNS
    one, other = (part.astype(np.float64) for part in (one, other))
    with np.errstate(all="ignore"):
        scales = [float(np.nanstd(part)) for part in (one, other)]
        axis = 0 if columns else None
        means = [np.atleast_1d(np.nanmean(part, axis=axis)) for part in (one, other)]
        variances = [np.atleast_1d(np.nanvar(part, axis=axis)) for part in (one, other)]
        shifts = np.abs(means[1] - means[0])
        errors = np.sqrt(
            sum(v / len(p) for v, p in zip(variances, (one, other), strict=True))
        )
        pooled = np.sqrt((variances[0] + variances[1]) / 2)
        sure = shifts > _SURE * errors
        relative = np.where(sure & (pooled > 0), shifts / pooled, 0.0)
    worst = int(np.nanargmax(relative))
    return {
        "scale": scales[1] / scales[0] if min(scales) > 0 else None,
        "shift": float(relative[worst]),
        "column": worst if columns else None,
    }
