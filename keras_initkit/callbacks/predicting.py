"""What theory expects of a model, to be shown beside what is measured of it."""

import logging
import math

import numpy as np

from keras_initkit import schema, theory

logger = logging.getLogger(__name__)

# The signals that theory speaks of, and its word for their second moments.
_SIGNALS = ("activation", "preactivation", "backprop")
_FLOATS = ("float", "bfloat")
_RMS = schema.statistics_of("backprop").index("rms")


class Expectation:
    """The rms that theory expects of the signals of a model at its present weights.

    Args:
        model: The built Keras model; one that theory has no word on has no expectation.
        inputs: `structure.description.moments` of each of its inputs.
    """

    def __init__(self, model, inputs):
        self._rows = {}
        try:
            self._rows = theory.predict(model, _moments(inputs)).by_call()
        except Exception:  # whatever layers and data a user comes up with
            logger.debug("Theory expects nothing of this model", exc_info=True)

    def of_signals(self, seen):
        """Returns `{signal: (keys, rms)}` of what theory can tell.

        Backward it tells ratios only: the last layer that it knows is taken to be as
        measured.

        Args:
            seen: `{signal: capture.Seen}` of the step from these weights.
        """
        found = {}
        for signal in _SIGNALS:
            if signal in seen:
                known = self._known(signal, seen[signal].keys)
                if signal == "backprop":
                    known = _anchored(known, seen[signal])
                if known:
                    rms = np.sqrt(np.array(list(known.values())))
                    found[signal] = tuple(known), rms
        return found

    def _known(self, signal, keys):
        """Returns `{key: second moment}` of the keys that theory knows."""
        known = {}
        for key in keys:
            row = self._rows.get((key.layer, key.call))
            moment = None if row is None else getattr(row, signal)
            if key.tensor in ("output", "output_0") and moment is not None:
                known[key] = moment
        return known


def _anchored(known, seen):
    """Scales second moments so that the last of them is the measured one."""
    known = {key: moment for key, moment in known.items() if moment > 0}
    measured = dict(zip(seen.keys, seen.statistics[:, _RMS].tolist(), strict=True))
    for key, moment in reversed(known.items()):
        if 0 < measured[key] < math.inf:
            factor = measured[key] ** 2 / moment
            return {key: factor * moment for key, moment in known.items()}
    return {}


def _moments(inputs):
    """Returns mean and second moment of all inputs; of whole numbers if all are."""
    known = [one for one in inputs if one["rms"]]
    known = [one for one in known if one["dtype"].startswith(_FLOATS)] or known
    sizes = [math.prod(one["shape"]) for one in known]
    mean = float(np.average([one["mean"] for one in known], weights=sizes))
    second = float(np.average([one["rms"] ** 2 for one in known], weights=sizes))
    return mean, max(second, mean**2)
