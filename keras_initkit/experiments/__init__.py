"""Experiments: training several times, and comparing what came out."""

from keras_initkit.experiments._compare import compare, labelled
from keras_initkit.experiments.comparison import ComparisonResult, Row
from keras_initkit.experiments.jobs import check_jobs
from keras_initkit.experiments.reuse import Reused
from keras_initkit.experiments.run import train_run
from keras_initkit.experiments.run_log import LogDirError
from keras_initkit.experiments.run_result import RunResult

__all__ = [
    "compare",
    "ComparisonResult",
    "Row",
    "train_run",
    "RunResult",
    "Reused",
    "labelled",
    "check_jobs",
    "LogDirError",
]
