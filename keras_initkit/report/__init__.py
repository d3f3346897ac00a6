"""Report: pictures, tables and JSON, of the parts that a result hands over."""

from keras_initkit.report import drawing
from keras_initkit.report.mean_std import MeanStd

__all__ = ["drawing", "MeanStd"]
