"""Damage to files, drawn at random, and what each reader makes of it.

A reader must give what was written, or less and say so, or refuse the file by one error
that names it.
"""

import argparse
import contextlib
import os

import numpy as np
from tensorboard import context

from keras_initkit import ResumePoint, RunRecord
from keras_initkit.callbacks import resume
from keras_initkit.data import DataFileError
from keras_initkit.data._arrays import KEYS, read_npz
from keras_initkit.recording import RunDamagedError
from keras_initkit_light.tab import data as tab_data
from keras_initkit_light.tab import plugin
from keras_initkit_light.tab.parts import Cache
from tests.faults import written

STEPS = range(0, 200, 5)


def draw(data, rng):
    """Returns damaged bytes: a bit flipped, cut off, cut out or zeroed."""
    damaged = bytearray(data)
    at, kind = int(rng.integers(len(data))), rng.integers(4)
    if kind == 0:
        damaged[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del damaged[at:]
    elif kind == 2:
        del damaged[at : at + int(rng.integers(1, 2000))]
    else:
        size = min(int(rng.integers(1, 4096)), len(data) - at)
        damaged[at : at + size] = bytes(size)
    return bytes(damaged)


def is_as_written(loaded, complete):
    """Whether a record holds all that was written; what it holds must be that."""
    for name, series in loaded.series.items():
        other = complete.series[name]
        at = np.searchsorted(other.steps, series.steps)
        assert (other.steps[at] == series.steps).all(), "steps that were not written"
        same = np.array_equal(other.values[at], series.values, equal_nan=True)
        assert same, "values that were not written"
    return loaded.diff(complete).equal and loaded.metadata == complete.metadata


class Log:
    """A log, for `RunRecord.load`."""

    refusals = (RunDamagedError,)

    def __init__(self, directory):
        self.complete = written.write(directory, STEPS)[1]
        (run,) = RunRecord.runs(directory)
        self.directory, self.path = directory, run.files[0]

    def is_told(self):
        """Reads the file; whether it is whole, or what is missing is told."""
        loaded = RunRecord.load(self.directory)
        return is_as_written(loaded, self.complete) or bool(loaded.missing)


class Tab(Log):
    """A log, for the tab, by TensorBoard's reader in Python."""

    refusals = ()

    def is_told(self):
        """Asks for the runs and their values, as the page does."""
        from tensorboard.backend.event_processing import (
            data_provider,
            plugin_event_multiplexer,
        )

        kept = plugin.KEPT_CHUNKS
        multiplexer = plugin_event_multiplexer.EventMultiplexer(
            tensor_size_guidance={"initkit": kept}
        )
        multiplexer.AddRunsFromDirectory(str(self.directory))
        multiplexer.Reload()
        provider = data_provider.MultiplexerDataProvider(multiplexer, "")
        where = argparse.Namespace(data_provider=provider)
        tab = plugin.InitKitPlugin(where, kept)
        logs = tab_data.Logs(provider, context.RequestContext(), "", Cache(), kept)
        listed = tab.index_impl(logs)["runs"]
        whole = bool(listed)
        notes = [note for run in listed for note in (*run["notes"], run["unclosed"])]
        for signal in written.SIGNALS:
            parts = tab.statistic_impl(logs, "statistics", signal, "rms", [], 400)
            notes += [note for run, _ in parts for note in run.notes]
            complete = self.complete.signal(signal)
            steps = [
                step for _, found in parts for part in found for step in part.steps
            ]
            whole = whole and steps == complete.steps.tolist()
            for _, found in parts:
                for part in found:
                    at = np.searchsorted(complete.steps, part.steps)
                    expected = complete.statistic("rms")[at]
                    assert np.array_equal(expected, part.values), "other values"
        # A run that TensorBoard does not list at all is none that looks whole.
        return whole or any(notes) or not listed


class Json:
    """A record, for `RunRecord.from_json`."""

    refusals = (RunDamagedError,)

    def __init__(self, directory):
        self.path = os.path.join(directory, "record.json")
        self.complete = written.write(directory, STEPS)[1]
        self.complete.to_json(self.path)

    def is_told(self):
        return is_as_written(RunRecord.from_json(self.path), self.complete)


class Resume:
    """The state of a training, for `ResumePoint`."""

    refusals = (RunDamagedError,)

    def __init__(self, directory):
        self.path = os.path.join(directory, "resume.npz")
        self.arrays = [np.arange(300.0), np.ones((20, 30), np.float32)]
        point = ResumePoint(self.path)
        state = state_of(3, self.arrays)
        resume._replace(point.path, point._previous, state)

    def is_told(self):
        _, state = ResumePoint(self.path)._newest()
        found = state.listed("variable")
        return state.epoch == 3 and all(map(np.array_equal, found, self.arrays))


def state_of(epoch, arrays):
    """What a file of `ResumePoint` holds."""
    return {
        "epoch": epoch,
        "stopped": False,
        "callbacks": 0,
        "settings": "{}",
        "runs": "{}",
        **resume._numbered("variable", arrays),
    }


class DataSet:
    """A data set, for `data.load`."""

    refusals = (DataFileError,)

    def __init__(self, directory):
        self.path = os.path.join(directory, "data.npz")
        rows = np.empty(20, object)
        rows[:] = [[1, 2, 3]] * 20
        self.arrays = dict.fromkeys(KEYS, np.arange(200)) | {"x_train": rows}
        np.savez(self.path, **self.arrays)

    def is_told(self):
        found = read_npz(self.path)
        return all(
            np.array_equal(getattr(found, key), self.arrays[key]) for key in KEYS
        )


READERS = {
    "RunRecord.load": Log,
    "the tab": Tab,
    "RunRecord.from_json": Json,
    "ResumePoint": Resume,
    "data.load": DataSet,
}


def trials(reader, directory, count, rng):
    """Yields of each damaged file what was wrong about reading it, `""` for nothing."""
    case = READERS[reader](directory)
    with open(case.path, "rb") as file:
        whole = file.read()
    for _ in range(count):
        changed = draw(whole, rng)
        with open(case.path, "wb") as file:
            file.write(changed)
        told = True
        try:
            with contextlib.suppress(*case.refusals):
                told = case.is_told()
        except Exception as error:
            yield f"{type(error).__name__}: {error}"
            continue
        yield "" if told or changed == whole else "a loss in silence"
