"""Taps in the train step: what flows through a model while `fit` really trains it.

The room's one promise is that training does not notice. A session builds a second,
instrumented train function beside the model's own; for a monitored step `fit` is handed
the second, for every other step its own, untouched. Taps exist only while a monitored
step runs, and are taken out again whatever happens.
"""

from keras_initkit.capture.loops import Loop as Loop
from keras_initkit.capture.phases import TEST as TEST
from keras_initkit.capture.requests import StepRequest as StepRequest
from keras_initkit.capture.session import Session as Session
from keras_initkit.capture.tapping.step_statistics import (
    StepStatistics as StepStatistics,
)
from keras_initkit.structure.selection import Selection as Selection

__all__ = ["Session", "Loop", "Selection", "StepRequest", "StepStatistics", "TEST"]
