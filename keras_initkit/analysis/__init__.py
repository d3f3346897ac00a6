"""Analysis: whole answers about models, put together from the rooms below."""

from keras_initkit.analysis import drawing
from keras_initkit.analysis._compare import compare, labelled
from keras_initkit.analysis._coordinate_check import (
    CoordinateCheckResult,
    coordinate_check,
)
from keras_initkit.analysis._diagnose import DiagnosisResult, diagnose
from keras_initkit.analysis._fixup import FixupResult, fixup
from keras_initkit.analysis._jobs import check_jobs
from keras_initkit.analysis._lsuv import LayerFit, LSUVResult, lsuv
from keras_initkit.analysis._metainit import (
    MetaInitResult,
    gradient_quotient,
    metainit,
)
from keras_initkit.analysis._recommend import recommend
from keras_initkit.analysis._reinitialize import (
    Drawn,
    ReinitializeResult,
    reinitialize,
)
from keras_initkit.analysis.comparison import ComparisonResult, Row
from keras_initkit.analysis.draws import DrawsResult, Estimate, over_draws
from keras_initkit.analysis.plan import Choice, Plan
from keras_initkit.analysis.reuse import Reused
from keras_initkit.analysis.run import train_run
from keras_initkit.analysis.run_log import LogDirError
from keras_initkit.analysis.run_result import RunResult
from keras_initkit.analysis.signal_scaling import (
    Scaling,
    ScalingResult,
    preserve_signal,
)
from keras_initkit.analysis.spread import Spread

__all__ = [
    "diagnose",
    "DiagnosisResult",
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
    "coordinate_check",
    "CoordinateCheckResult",
    "over_draws",
    "DrawsResult",
    "Estimate",
    "compare",
    "ComparisonResult",
    "Row",
    "Spread",
    "train_run",
    "RunResult",
    "Reused",
    "labelled",
    "check_jobs",
    "LogDirError",
    "drawing",
]
