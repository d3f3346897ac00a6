"""Keras callbacks: schedule, capture, record and writer combined, nothing more."""

from keras_initkit.callbacks.judging import TrainingFault as TrainingFault
from keras_initkit.callbacks.monitor import SignalMonitor as SignalMonitor
from keras_initkit.callbacks.resume import ResumePoint as ResumePoint
from keras_initkit.callbacks.selections import ActivationMonitor as ActivationMonitor
from keras_initkit.callbacks.selections import GradientMonitor as GradientMonitor
from keras_initkit.callbacks.selections import WeightMonitor as WeightMonitor

__all__ = [
    "SignalMonitor",
    "ActivationMonitor",
    "GradientMonitor",
    "WeightMonitor",
    "ResumePoint",
    "TrainingFault",
]
