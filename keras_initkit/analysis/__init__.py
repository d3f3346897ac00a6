"""Analysis: whole answers about models, put together from the rooms below."""

from keras_initkit.analysis import drawing
from keras_initkit.analysis._jobs import check_jobs
from keras_initkit.analysis.compare import compare, labelled
from keras_initkit.analysis.comparison import Comparison, Row
from keras_initkit.analysis.draws import Draws, Estimate, over_draws
from keras_initkit.analysis.reuse import Reused
from keras_initkit.analysis.run import train_run
from keras_initkit.analysis.run_log import LogDirError
from keras_initkit.analysis.run_result import RunResult
from keras_initkit.analysis.spread import Spread

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
