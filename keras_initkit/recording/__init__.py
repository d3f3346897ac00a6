"""Keeping what was measured: `RunRecord` in memory, event files on disk."""

from keras_initkit.recording.record import RunRecord as RunRecord
from keras_initkit.recording.record import SignalSeries as SignalSeries

__all__ = ["RunRecord", "SignalSeries"]
