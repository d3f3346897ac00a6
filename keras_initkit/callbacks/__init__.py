"""Keras callbacks: schedule, capture, record and writer put together, nothing more."""

from keras_initkit.callbacks.monitor import SignalMonitor as SignalMonitor

__all__ = ["SignalMonitor"]
