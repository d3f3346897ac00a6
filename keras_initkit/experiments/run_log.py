"""The directory of a run: whose it is, what the run is, and its results."""

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_initkit.recording.log import hparams, locks, storage
from keras_initkit_light.format import files, whole
from keras_initkit_light.format.schema import OLD_RECORD_RUN, PLUGIN_NAME

# Marks a directory as a run of ours, if it says so inside.
RUN_FILE = "run.json"
_PROGRAM = "keras_initkit"


class LogDirError(ValueError):
    """The log directory of a run belongs to another program, or is not writable."""

    @classmethod
    def of(cls, directory: str | os.PathLike[str], error: OSError) -> "LogDirError":
        """Returns the error of a directory that cannot be written to."""
        return cls(
            "`log_dir` must be a directory that can be created and written to; choose "
            f"another one. Received: log_dir={str(directory)!r} ({error})."
        )


class RunLog:
    """Writes the HParams entry and the `run.json` of a run; nothing without directory.

    `run.json` holds the hyperparameters, `"program": "keras_initkit"`, the origin of
    the data, `"status"` (`"running"`, `"finished"`, `"interrupted"`, `"failed"`) and,
    once finished, the results.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None,
        facts: Mapping[str, hparams.HParamValue],
        metrics: Mapping[str, str],
        origin: str,
        is_standin: bool,
        varied: Sequence[str] = ("initializer", "seed"),
    ) -> None:
        self.directory = None if log_dir is None else storage.local(log_dir, "log_dir")
        self._facts = dict(facts)
        self._metrics = dict(metrics)
        self._origin = origin
        self._is_standin = is_standin
        self._varied = varied
        self._claimed = False

    def start(self) -> None:
        """Takes the directory over and says what the run is.

        Raises:
            LogDirError: If it holds event files of another program, or cannot be
                written to.
        """
        if self.directory is None:
            return
        try:
            self._start(self.directory)
        except OSError as error:
            raise LogDirError.of(self.directory, error) from error

    def _start(self, directory: pathlib.Path) -> None:
        _claim(directory)
        self._claimed = True
        self._write("running", {})
        text = f"Data: {self._origin}"
        if self._is_standin:
            text = f"**STAND-IN, not the real data:** {self._origin}"
        # Slopes are not defined where nothing flows, and would hide that very run.
        columns = {n: d for n, d in self._metrics.items() if not n.endswith("_slope")}
        hparams.write_session_start(
            directory,
            self._facts,
            columns,
            {"data": text},
            varied=self._varied,
        )

    def finish(self, results: Mapping[str, Any], step: int) -> None:
        """Says what came out; `results` are as JSON takes them."""
        if self.directory is None:
            return
        metrics = {name: results[name] for name in self._metrics}
        found = {name: value for name, value in metrics.items() if value is not None}
        hparams.write_session_end(self.directory, found, step)
        self._write("finished", results)

    def abort(self, error: BaseException) -> None:
        """Says that the run has come to no end, in a directory that was taken over."""
        if self.directory is None or not self._claimed:
            return
        hparams.write_session_end(self.directory, {}, 0, success=False)
        stopped = isinstance(error, KeyboardInterrupt)
        self._write("interrupted" if stopped else "failed", {})

    def _write(self, status: str, results: Mapping[str, Any]) -> None:
        if self.directory is None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        content = {
            **self._facts,
            "program": _PROGRAM,
            "origin": self._origin,
            "status": status,
            **results,
        }
        text = json.dumps(content, indent=1, allow_nan=False)
        with whole.replacing(self.directory / RUN_FILE) as partial:
            partial.write_text(text + "\n")


def _claim(directory: pathlib.Path) -> None:
    """Makes room for a run: removes the event files of earlier ones of ours."""
    below = [name for name in storage.names(str(directory)) if _is_of_run(name)]
    parts = [directory, *(directory / name for name in below)]
    events = [
        path for part in parts for path in sorted(part.glob("events.out.tfevents.*"))
    ]
    writers = [who for part in parts if (who := locks.holder(str(part)))]
    others = [path for path in events if path.suffix != f".{PLUGIN_NAME}"]
    run_file = directory / RUN_FILE
    claimed = run_file.exists()
    if others or (events and not claimed):
        first = (others or events)[0].name
        holds = f"event files of another program ({first})"
    elif claimed and not _is_ours(run_file):
        holds = f"a {RUN_FILE} of another program"
    elif writers:
        holds = f"a run that {writers[0]} writes"
    else:
        for path in events:
            path.unlink()
        for name in below:
            with contextlib.suppress(OSError):  # something else is in it
                (directory / name).rmdir()
        return
    raise LogDirError(
        "`log_dir` must be a new directory or one of an earlier run of "
        f"keras_initkit. Received: log_dir={str(directory)!r}, which holds {holds}."
    )


def _is_of_run(name: str) -> bool:
    """Whether a directory of this name holds a run, or a part of one of before."""
    return name == OLD_RECORD_RUN or files.sub_run_number(name) is not None


def _is_ours(run_file: pathlib.Path) -> bool:
    try:
        content = json.loads(run_file.read_text())
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("program") == _PROGRAM
