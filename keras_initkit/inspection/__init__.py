"""Inspection: looking at a model without training it."""

from keras_initkit.inspection._coordinate_check import (
    CoordinateCheckResult,
    coordinate_check,
)
from keras_initkit.inspection._diagnose import DiagnosisResult, diagnose
from keras_initkit.inspection._learning_rate_trial import (
    LearningRateTrialResult,
    learning_rate_trial,
)
from keras_initkit.inspection.draws import DrawsResult, Estimate, over_draws
from keras_initkit.inspection.trial_verdict import Tried
from keras_initkit.inspection.values import (
    GradientsResult,
    Values,
    activations,
    gradients,
)

__all__ = [
    "activations",
    "gradients",
    "Values",
    "GradientsResult",
    "diagnose",
    "DiagnosisResult",
    "coordinate_check",
    "CoordinateCheckResult",
    "over_draws",
    "DrawsResult",
    "Estimate",
    "learning_rate_trial",
    "LearningRateTrialResult",
    "Tried",
]
