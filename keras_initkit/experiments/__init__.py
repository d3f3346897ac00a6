"""Experiments: training repeatedly, and comparing the results."""

from keras_initkit.experiments._compare import check_grid, compare
from keras_initkit.experiments.comparison import ComparisonResult, Row
from keras_initkit.experiments.engines import ENGINES, check_engine, check_jobs
from keras_initkit.experiments.grid import labelled
from keras_initkit.experiments.reuse import Reused
from keras_initkit.experiments.run import train_run
from keras_initkit.experiments.run_log import LogDirError
from keras_initkit.experiments.run_result import Lost, RunResult
from keras_initkit.experiments.store.key import PARTS as KEY_PARTS
from keras_initkit.experiments.verdict import Difference, Verdict

__all__ = [
    "compare",
    "ComparisonResult",
    "Row",
    "Verdict",
    "Difference",
    "train_run",
    "RunResult",
    "Lost",
    "Reused",
    "labelled",
    "check_jobs",
    "check_engine",
    "check_grid",
    "ENGINES",
    "KEY_PARTS",
    "LogDirError",
]
