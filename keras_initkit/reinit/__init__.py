"""Reinit: choosing initial weights for a built model, and applying them."""

from keras_initkit.reinit._fixup import FixupResult, fixup
from keras_initkit.reinit._lsuv import LayerFit, LSUVResult, lsuv
from keras_initkit.reinit._metainit import (
    MetaInitResult,
    gradient_quotient,
    metainit,
)
from keras_initkit.reinit._recommend import recommend
from keras_initkit.reinit._reinitialize import (
    Drawn,
    ReinitializeResult,
    reinitialize,
)
from keras_initkit.reinit.plan import Choice, Plan
from keras_initkit.reinit.signal_scaling import (
    Scaling,
    ScalingResult,
    preserve_signal,
)

__all__ = [
    "recommend",
    "Plan",
    "Choice",
    "reinitialize",
    "ReinitializeResult",
    "Drawn",
    "lsuv",
    "LSUVResult",
    "LayerFit",
    "preserve_signal",
    "ScalingResult",
    "Scaling",
    "fixup",
    "FixupResult",
    "metainit",
    "MetaInitResult",
    "gradient_quotient",
]
