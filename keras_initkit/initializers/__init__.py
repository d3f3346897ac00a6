"""Initializers: Keras's own and the kit's, by name, with a catalogue."""

from keras_initkit.initializers._catalog import Entry as Entry
from keras_initkit.initializers._catalog import catalog as catalog
from keras_initkit.initializers._registry import get as get
from keras_initkit.initializers._registry import seeded as seeded
from keras_initkit.initializers.attention import MimeticAttention as MimeticAttention
from keras_initkit.initializers.attention import mimetic_attention as mimetic_attention
from keras_initkit.initializers.bias import ChronoBias as ChronoBias
from keras_initkit.initializers.bias import PriorBias as PriorBias
from keras_initkit.initializers.bias import UnitForgetBias as UnitForgetBias
from keras_initkit.initializers.blockwise import Blockwise as Blockwise
from keras_initkit.initializers.identity import Dirac as Dirac
from keras_initkit.initializers.identity import RecurrentIdentity as RecurrentIdentity
from keras_initkit.initializers.identity import ZerO as ZerO
from keras_initkit.initializers.layer_aware import for_layer as for_layer
from keras_initkit.initializers.orthogonal import (
    ConvolutionOrthogonal as ConvolutionOrthogonal,
)
from keras_initkit.initializers.orthogonal import DeltaOrthogonal as DeltaOrthogonal
from keras_initkit.initializers.orthogonal import GateOrthogonal as GateOrthogonal
from keras_initkit.initializers.ported import (
    AxisVarianceScaling as AxisVarianceScaling,
)
from keras_initkit.initializers.ported import (
    FanInUniformBias as FanInUniformBias,
)
from keras_initkit.initializers.ported import KaimingNormal as KaimingNormal
from keras_initkit.initializers.ported import KaimingUniform as KaimingUniform
from keras_initkit.initializers.ported import Sparse as Sparse
from keras_initkit.initializers.ported import TruncNormal as TruncNormal
from keras_initkit.initializers.ported import XavierNormal as XavierNormal
from keras_initkit.initializers.ported import XavierUniform as XavierUniform
from keras_initkit.initializers.scaling import DepthScaled as DepthScaled
from keras_initkit.initializers.scaling import FanCorrected as FanCorrected
from keras_initkit.initializers.scaling import MuPReadout as MuPReadout
from keras_initkit.initializers.scaling import depth_factor as depth_factor
from keras_initkit.initializers.structured import ICNR as ICNR
from keras_initkit.initializers.structured import Siren as Siren
from keras_initkit.initializers.structured import SparseNormal as SparseNormal
from keras_initkit.initializers.variance import ActivationScaling as ActivationScaling
from keras_initkit.initializers.variance import FanInUniform as FanInUniform
from keras_initkit.initializers.zero_sum import ZeroSum as ZeroSum

__all__ = [
    "get",
    "catalog",
    "seeded",
    "for_layer",
    "Entry",
    "ActivationScaling",
    "KaimingNormal",
    "KaimingUniform",
    "XavierNormal",
    "XavierUniform",
    "TruncNormal",
    "AxisVarianceScaling",
    "Sparse",
    "FanInUniformBias",
    "FanInUniform",
    "DeltaOrthogonal",
    "ConvolutionOrthogonal",
    "GateOrthogonal",
    "Dirac",
    "RecurrentIdentity",
    "ZerO",
    "SparseNormal",
    "ICNR",
    "Siren",
    "MimeticAttention",
    "mimetic_attention",
    "ChronoBias",
    "UnitForgetBias",
    "PriorBias",
    "DepthScaled",
    "depth_factor",
    "MuPReadout",
    "FanCorrected",
    "Blockwise",
    "ZeroSum",
]
