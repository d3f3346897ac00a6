"""Inspection: looking at a model without training it."""

from keras_initkit.inspection._coordinate_check import (
    CoordinateCheckResult,
    coordinate_check,
)
from keras_initkit.inspection._diagnose import DiagnosisResult, diagnose
from keras_initkit.inspection.draws import DrawsResult, Estimate, over_draws

__all__ = [
    "diagnose",
    "DiagnosisResult",
    "coordinate_check",
    "CoordinateCheckResult",
    "over_draws",
    "DrawsResult",
    "Estimate",
]
