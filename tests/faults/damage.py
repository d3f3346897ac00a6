"""Damage to files, drawn at random, and what each reader makes of it.

A reader must give what was written, or less and say so, or refuse the file by one error
that names it.
"""

import argparse
import contextlib
import functools
import os
import shutil

import numpy as np
from tensorboard import context

from keras_initkit import ResumePoint, RunRecord
from keras_initkit.callbacks import resume
from keras_initkit.data import DataFileError
from keras_initkit.data._arrays import KEYS, read_npz
from keras_initkit.recording import RunDamagedError
from keras_initkit_light.tab import data as tab_data
from keras_initkit_light.tab import plugin
from keras_initkit_light.tab.parts import Cache, Sampling
from tests.faults import written
from tests.tensorboard_tab import tab_readers

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
        kept = plugin.KEPT_CHUNKS
        with tab_readers.python_provider(self.directory, kept) as provider:
            return Shown(provider).is_told(".", self.complete)


class Shown:
    """What the tab shows of all runs, asked for as its page does: all at once."""

    def __init__(self, provider):
        where = argparse.Namespace(data_provider=provider)
        kept = plugin.KEPT_CHUNKS
        tab = plugin.InitKitPlugin(where, kept)
        logs = tab_data.Logs(provider, context.RequestContext(), "", Cache(), kept)
        self._index = {one["run"]: one for one in tab.index_impl(logs)["runs"]}
        self._parts = {
            signal: {
                run.run: (run.notes, parts)
                for run, parts in tab.statistic_impl(
                    logs, "statistics", signal, "rms", [*self._index], Sampling(400)
                )
            }
            for signal in written.SIGNALS
        }

    def is_told(self, run, complete):
        """Whether a run is shown whole, or what is missing is told."""
        if run not in self._index:
            return True  # none that looks whole
        notes = [*self._index[run]["notes"], self._index[run]["unclosed"]]
        whole = True
        for signal, parts in self._parts.items():
            told, found = parts.get(run, ([], []))
            notes += told
            series = complete.signal(signal)
            for part in found:
                at = np.searchsorted(series.steps, part.steps)
                expected = series.statistic("rms")[at]
                assert np.array_equal(expected, part.values), "other values"
            steps = [step for part in found for step in part.steps]
            whole = whole and steps == series.steps.tolist()
        return whole or any(notes)


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
        yield outcome(case.is_told, case.refusals, changed == whole)


def outcome(is_told, refusals, is_whole):
    """Returns what was wrong about reading a file, `""` for nothing."""
    told = True
    try:
        with contextlib.suppress(*refusals):
            told = is_told()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if told or is_whole else "a loss in silence"


# So many runs are in the directory of one server of TensorBoard's.
RUNS_AT_ONCE = 200


def trials_in_rust(directory, count, rng):
    """As `trials`, of the tab, by TensorBoard's reader in Rust: many runs at once."""
    log = Log(directory / "whole")
    with open(log.path, "rb") as file:
        whole = file.read()
    for begin in range(0, count, RUNS_AT_ONCE):
        at_once = directory / f"from_{begin}"
        changed = {}
        for number in range(begin, min(begin + RUNS_AT_ONCE, count)):
            run = f"run_{number}"
            changed[run] = draw(whole, rng)
            (at_once / run).mkdir(parents=True)
            (at_once / run / os.path.basename(log.path)).write_bytes(changed[run])
        with tab_readers.rust_provider(at_once, plugin.KEPT_CHUNKS) as provider:
            shown = functools.cache(functools.partial(Shown, provider))
            for run, content in changed.items():

                def is_told(run=run, shown=shown):
                    return shown().is_told(run, log.complete)

                yield outcome(is_told, (), content == whole)
        shutil.rmtree(at_once)
