"""Verdict: which initializers learned at all, and which differences are real."""

from keras_initkit.experiments.verdict.judging import Verdict, verdict
from keras_initkit.experiments.verdict.learning import Constant, Judgement, share_of
from keras_initkit.experiments.verdict.paired import Difference, seeds_needed

__all__ = [
    "verdict",
    "Verdict",
    "Difference",
    "Judgement",
    "Constant",
    "share_of",
    "seeds_needed",
]
