"""Analysis: whole answers about models, put together from the rooms below."""

from keras_initkit.analysis import drawing
from keras_initkit.analysis.compare import (
    Comparison,
    Row,
    Spread,
    check_jobs,
    compare,
    labelled,
)
from keras_initkit.analysis.draws import Draws, Estimate, over_draws
from keras_initkit.analysis.reuse import Reused
from keras_initkit.analysis.run import RunResult, train_run
from keras_initkit.analysis.run_log import LogDirError

__all__ = [
    "compare",
    "Reused",
    "labelled",
    "check_jobs",
    "Comparison",
    "Row",
    "Spread",
    "over_draws",
    "Draws",
    "Estimate",
    "train_run",
    "RunResult",
    "LogDirError",
    "drawing",
]
