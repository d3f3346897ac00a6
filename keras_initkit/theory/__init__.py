"""Mean-field theory of deep networks, in float64, without Keras.

Notation of Poole et al. 2016 and Schoenholz et al. 2017: weights of variance
`sigma_w² / fan_in`, biases of variance `sigma_b²` (neural-tangents: `W_std`, `b_std`).
"""

from keras_initkit.theory._closed_forms import Moments as Moments
from keras_initkit.theory.activation_functions import Activation as Activation
from keras_initkit.theory.activation_functions import saturation as saturation
from keras_initkit.theory.expectation import Expected as Expected
from keras_initkit.theory.expectation import expect as expect
from keras_initkit.theory.gains import gain as gain
from keras_initkit.theory.gains import moments as moments
from keras_initkit.theory.mean_field import DepthScales as DepthScales
from keras_initkit.theory.mean_field import c_star as c_star
from keras_initkit.theory.mean_field import chi_1 as chi_1
from keras_initkit.theory.mean_field import correlation_map as correlation_map
from keras_initkit.theory.mean_field import depth_scale as depth_scale
from keras_initkit.theory.mean_field import q_star as q_star
from keras_initkit.theory.mean_field import variance_map as variance_map
from keras_initkit.theory.phase import CriticalPoint as CriticalPoint
from keras_initkit.theory.phase import critical_line as critical_line
from keras_initkit.theory.phase import critical_point as critical_point
from keras_initkit.theory.phase import phase_diagram as phase_diagram
from keras_initkit.theory.prediction import LayerPrediction as LayerPrediction
from keras_initkit.theory.prediction import Prediction as Prediction
from keras_initkit.theory.prediction import predict as predict
from keras_initkit.theory.spectrum import JacobianSpectrum as JacobianSpectrum
from keras_initkit.theory.spectrum import fuss_catalan as fuss_catalan
from keras_initkit.theory.spectrum import jacobian_spectrum as jacobian_spectrum
from keras_initkit.theory.spectrum import (
    largest_singular_value as largest_singular_value,
)

__all__ = [
    "Activation",
    "saturation",
    "Moments",
    "gain",
    "moments",
    "variance_map",
    "correlation_map",
    "q_star",
    "c_star",
    "chi_1",
    "DepthScales",
    "depth_scale",
    "CriticalPoint",
    "critical_point",
    "critical_line",
    "phase_diagram",
    "JacobianSpectrum",
    "jacobian_spectrum",
    "fuss_catalan",
    "largest_singular_value",
    "Prediction",
    "LayerPrediction",
    "predict",
    "Expected",
    "expect",
]
