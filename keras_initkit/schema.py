"""The vocabulary of a record: signals, statistics, tags."""

from keras_initkit_light.format.schema import ALL_SIGNALS as ALL_SIGNALS
from keras_initkit_light.format.schema import CARRIERS as CARRIERS
from keras_initkit_light.format.schema import DATA_VERSION as DATA_VERSION
from keras_initkit_light.format.schema import DETAILS as DETAILS
from keras_initkit_light.format.schema import (
    EVALUATION_SIGNALS as EVALUATION_SIGNALS,
)
from keras_initkit_light.format.schema import FILE_TAG as FILE_TAG
from keras_initkit_light.format.schema import FINDINGS_TAG as FINDINGS_TAG
from keras_initkit_light.format.schema import FIRST_OCTAVE as FIRST_OCTAVE
from keras_initkit_light.format.schema import FIRST_SUFFIX as FIRST_SUFFIX
from keras_initkit_light.format.schema import HISTOGRAM_COLUMNS as HISTOGRAM_COLUMNS
from keras_initkit_light.format.schema import METRICS_TAG as METRICS_TAG
from keras_initkit_light.format.schema import OCTAVES as OCTAVES
from keras_initkit_light.format.schema import OLD_RECORD_RUN as OLD_RECORD_RUN
from keras_initkit_light.format.schema import OVERHEAD as OVERHEAD
from keras_initkit_light.format.schema import PLUGIN_NAME as PLUGIN_NAME
from keras_initkit_light.format.schema import PREDICTION_COLUMNS as PREDICTION_COLUMNS
from keras_initkit_light.format.schema import ROLES as ROLES
from keras_initkit_light.format.schema import RUN_TAG as RUN_TAG
from keras_initkit_light.format.schema import SIGNALS as SIGNALS
from keras_initkit_light.format.schema import SKIPPED as SKIPPED
from keras_initkit_light.format.schema import STATISTICS as STATISTICS
from keras_initkit_light.format.schema import TIME_COLUMNS as TIME_COLUMNS
from keras_initkit_light.format.schema import TIME_SIGNALS as TIME_SIGNALS
from keras_initkit_light.format.schema import TIME_STEPS as TIME_STEPS
from keras_initkit_light.format.schema import VECTORS as VECTORS
from keras_initkit_light.format.schema import Signal as Signal
from keras_initkit_light.format.schema import Statistic as Statistic
from keras_initkit_light.format.schema import TensorKey as TensorKey
from keras_initkit_light.format.schema import check_names as check_names
from keras_initkit_light.format.schema import check_signals as check_signals
from keras_initkit_light.format.schema import matrix_tag as matrix_tag
from keras_initkit_light.format.schema import metrics_tag as metrics_tag
from keras_initkit_light.format.schema import parse_tag as parse_tag
from keras_initkit_light.format.schema import prediction_tag as prediction_tag
from keras_initkit_light.format.schema import statistics_of as statistics_of
from keras_initkit_light.format.schema import tag as tag
from keras_initkit_light.format.schema import well_formed as well_formed

__all__ = [
    "CARRIERS",
    "DATA_VERSION",
    "DETAILS",
    "FILE_TAG",
    "FINDINGS_TAG",
    "FIRST_OCTAVE",
    "FIRST_SUFFIX",
    "HISTOGRAM_COLUMNS",
    "METRICS_TAG",
    "OCTAVES",
    "OLD_RECORD_RUN",
    "OVERHEAD",
    "PLUGIN_NAME",
    "PREDICTION_COLUMNS",
    "ROLES",
    "RUN_TAG",
    "ALL_SIGNALS",
    "EVALUATION_SIGNALS",
    "SIGNALS",
    "SKIPPED",
    "STATISTICS",
    "TIME_COLUMNS",
    "TIME_SIGNALS",
    "TIME_STEPS",
    "VECTORS",
    "Signal",
    "Statistic",
    "TensorKey",
    "check_names",
    "check_signals",
    "matrix_tag",
    "metrics_tag",
    "parse_tag",
    "prediction_tag",
    "statistics_of",
    "tag",
    "well_formed",
]
