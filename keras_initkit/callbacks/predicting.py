"""What theory expects of a model, to be shown beside what is measured of it."""

import logging

import keras
import numpy as np

from keras_initkit import theory

logger = logging.getLogger(__name__)


class Expectation:
    """The rms that theory expects of the signals of a model at its present weights.

    Args:
        model: The built Keras model; one that theory has no word on has no expectation.
        data: The batch of the step from these weights, as `train_step` gets it.
    """

    def __init__(self, model, data):
        self._expected = None
        try:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
            self._expected = theory.expect(model, x)
            for note in self._expected.notes:
                logger.debug("%s", note)
        except Exception:  # whatever layers and data a user comes up with
            logger.debug("Theory expects nothing of this model", exc_info=True)

    def of_signals(self, seen):
        """Returns `{signal: (keys, rms)}` of what theory can tell.

        Args:
            seen: `{signal: capture.StepStatistics}` of the step from these weights.
        """
        found = {}
        for signal in ("activation", "preactivation", "backprop"):
            if signal in seen and self._expected is not None:
                measured = _rms(seen[signal])
                known = self._expected.second_moments(signal, measured)
                if known:
                    found[signal] = tuple(known), np.sqrt(list(known.values()))
        return found


def _rms(seen):
    column = seen.columns.index("rms")
    return dict(zip(seen.keys, seen.statistics[:, column].tolist(), strict=True))
