"""Storing measurements: `RunRecord` in memory, event files on disk."""

from keras_initkit.recording.damage import Missing as Missing
from keras_initkit.recording.damage import RunDamagedError as RunDamagedError
from keras_initkit.recording.difference import Difference as Difference
from keras_initkit.recording.difference import DifferenceResult as DifferenceResult
from keras_initkit.recording.difference import OneSided as OneSided
from keras_initkit.recording.log import hparams as hparams
from keras_initkit.recording.log.runs import RunInfo as RunInfo
from keras_initkit.recording.log.writer import RunWriter as RunWriter
from keras_initkit.recording.record import RunRecord as RunRecord
from keras_initkit.recording.series import SignalSeries as SignalSeries
from keras_initkit.recording.sharing import RunShare as RunShare

__all__ = [
    "Missing",
    "RunDamagedError",
    "RunInfo",
    "RunRecord",
    "RunShare",
    "RunWriter",
    "SignalSeries",
    "Difference",
    "DifferenceResult",
    "OneSided",
    "hparams",
]
