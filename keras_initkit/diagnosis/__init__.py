"""Diagnosis: rules over a run's record, checks of a model, and their findings.

The rules over a record need only numpy; `lint` needs a Keras model.
"""

from keras_initkit.diagnosis import causes
from keras_initkit.diagnosis import rules as _rules  # noqa: F401  (fills the registry)
from keras_initkit.diagnosis._rule import Fault, NotJudged, Rule, Subject, Threshold
from keras_initkit.diagnosis.causes import (
    causes_among,
    consequences,
    explained,
    in_order,
)
from keras_initkit.diagnosis.depth import (
    Profile,
    depth_profile,
    depth_slope,
    kernels_of,
    weight_layers,
)
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.diagnosis.findings import Findings
from keras_initkit.diagnosis.judging import judge, layers_of, not_judged, review
from keras_initkit.diagnosis.linting import lint
from keras_initkit.diagnosis.registry import (
    LINTS,
    REVIEWS,
    RULES,
    Rules,
    asked_of,
    rule,
)
from keras_initkit_light.format.schema import SEVERITIES

__all__ = [
    "judge",
    "not_judged",
    "lint",
    "asked_of",
    "in_order",
    "explained",
    "causes",
    "causes_among",
    "consequences",
    "layers_of",
    "Finding",
    "Findings",
    "SEVERITIES",
    "RULES",
    "REVIEWS",
    "review",
    "Rule",
    "rule",
    "Rules",
    "LINTS",
    "Fault",
    "NotJudged",
    "Subject",
    "Threshold",
    "depth_profile",
    "kernels_of",
    "depth_slope",
    "Profile",
    "weight_layers",
]
