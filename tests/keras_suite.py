"""Keras's own tests under a monitor; the wheel ships them beside the code.

A plugin of pytest that adds a `SignalMonitor` to each `fit`, or leaves all bare, and
writes down how each test and each `fit` ended:

    python -m tests.keras_suite [--every N] [--log-dir DIR] [PART ...]

runs parts of Keras (`trainers`, `models/model_test.py`, all by default) twice bare and
once watched, and prints what differs. A `fit` that differs from itself draws what is
not seeded, and is not compared.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types

import numpy as np

PARTS = (
    "trainers",
    "models",
    "optimizers",
    "callbacks",
    "legacy",
    "backend/tensorflow",
    "layers",
)
# Modules that tests of other backends and formats import, and such as Keras's own
# repository has beside the package.
_ABSENT = ("jax", "torch", "grain", "pandas")
_SOURCES = pathlib.Path(importlib.util.find_spec("keras").origin).parent / "src"
_ROOT = pathlib.Path(__file__).parent.parent


def tests_of(part):
    """Returns the path of a part of Keras, `None` if no tests of it are shipped."""
    path = _SOURCES / part
    found = path.is_file() or any(path.rglob("*_test.py"))
    return path if found else None


def run(parts, watched, *options, every=1, log_dir=None):
    """Runs Keras's tests in a process of its own.

    Args:
        parts: Paths below `keras/src`, or test ids.
        watched: Whether each `fit` has a monitor.
        *options: Further arguments of pytest.
        every: As of `SignalMonitor`.
        log_dir: Directory below which each `fit` gets one, `None` for memory only.

    Returns:
        `{test: outcome}` and `{(test, number of the fit): row}`, with the bits that a
        `fit` ended with, what it raised, how many steps were recorded and whether
        its monitor switched itself off.
    """
    with tempfile.TemporaryDirectory() as folder:
        notes = pathlib.Path(folder) / "notes.jsonl"
        notes.touch()
        settings = {
            "notes": str(notes),
            "watched": watched,
            "every": every,
            "log_dir": None if log_dir is None else str(log_dir),
        }
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "--tb=line"),
                *("-p", "tests.keras_suite", "-p", "no:cacheprovider"),
                *("-c", os.devnull, "--rootdir", str(_SOURCES)),
                *("--continue-on-collection-errors", *options),
                *(str(_SOURCES / part) for part in parts),
            ],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(_ROOT), *_python_path()]),
                "KERAS_BACKEND": "tensorflow",
                "KERAS_SUITE": json.dumps(settings),
            },
            stdout=sys.stderr,
            check=False,
        )
        rows = [json.loads(line) for line in notes.read_text().splitlines()]
    tests = {row["test"]: row["outcome"] for row in rows if "outcome" in row}
    fits = {(row["test"], row["fit"]): row for row in rows if "fit" in row}
    return tests, fits


def _python_path():
    return filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))


def compare(bare, again, watched):
    """Tells what a monitor changed.

    Args:
        bare: What `run` told of a bare run.
        again: The same of another, `None` for none.
        watched: The same of a watched one.

    Returns:
        List of faults, and a summary in one line.
    """
    (tests, fits), (tests_watched, fits_watched) = bare, watched
    faults = [
        f"fails watched only: {test}"
        for test, outcome in tests_watched.items()
        if outcome != "passed" and tests.get(test) == "passed"
    ]
    faults += [f"missing: {test}" for test in tests.keys() - tests_watched.keys()]
    both = fits.keys() & fits_watched.keys()
    repeats = both if again is None else {key for key in both if key in again[1]}
    comparable = {
        key
        for key in repeats
        if again is None or again[1][key]["bits"] == fits[key]["bits"]
    }
    for key in sorted(comparable):
        if fits[key]["bits"] != fits_watched[key]["bits"]:
            faults.append(f"other bits: {key}")
    for key, row in fits_watched.items():
        if row["off"] and not row["raised"]:
            faults.append(f"switched off: {key}")
    passed = sum(outcome == "passed" for outcome in tests_watched.values())
    steps = sum(row["steps"] for row in fits_watched.values())
    return faults, (
        f"Keras {importlib.metadata.version('keras')}: {passed} of {len(tests_watched)}"
        f" tests pass watched; {len(comparable)} of {len(fits_watched)} fits were "
        f"comparable; {steps} steps recorded; {len(faults)} faults"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--log-dir")
    given = parser.parse_args()
    bare, again = (run(given.parts, watched=False) for _ in range(2))
    watched = run(given.parts, True, every=given.every, log_dir=given.log_dir)
    faults, summary = compare(bare, again, watched)
    print(*faults, summary, sep="\n")
    return bool(faults)


# The plugin.


class _Suite:
    """What the process that runs Keras's tests notes."""

    def __init__(self, settings):
        self._settings = settings
        self._test, self._fits = None, 0

    def note(self, **row):
        with open(self._settings["notes"], "a") as file:
            file.write(json.dumps({"test": self._test, **row}) + "\n")

    def pytest_runtest_setup(self, item):
        import keras

        path = pathlib.Path(str(item.path)).relative_to(_SOURCES)
        self._test = f"{path}::{item.nodeid.partition('::')[2]}"
        self._fits = 0
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome == "failed":
            self.note(outcome=report.outcome)

    def wrap_fit(self):
        """Puts a monitor into each `fit`, and notes how it ends."""
        import functools
        import inspect

        from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

        plain = TensorFlowTrainer.fit
        signature = inspect.signature(plain)

        @functools.wraps(plain)
        def fit(model, *args, **kwargs):
            bound = signature.bind(model, *args, **kwargs)
            monitor = self._monitor()
            if monitor is not None:
                _add(monitor, bound.arguments)
            raised = None
            try:
                return plain(*bound.args, **bound.kwargs)
            except BaseException as error:
                raised = repr(error)
                raise
            finally:
                self._ended(model, monitor, raised)

        TensorFlowTrainer.fit = fit

    def _monitor(self):
        if not self._settings["watched"]:
            return None
        import keras_initkit as kik

        log_dir = self._settings["log_dir"]
        if log_dir is not None:
            os.makedirs(log_dir, exist_ok=True)
            log_dir = tempfile.mkdtemp(dir=log_dir)
        return kik.SignalMonitor(log_dir, every=self._settings["every"])

    def _ended(self, model, monitor, raised):
        self.note(
            fit=self._fits,
            bits=_bits(model),
            raised=raised,
            steps=0 if monitor is None else len(_steps(monitor.record)),
            off=monitor is not None and monitor.guard.failed,
        )
        self._fits += 1


def _add(monitor, arguments):
    """Adds a callback to the arguments of a `fit`."""
    import keras

    given = arguments.get("callbacks")
    if isinstance(given, keras.callbacks.CallbackList):
        given.append(monitor)
    else:
        listed = given if isinstance(given, list | tuple) else [given] if given else []
        arguments["callbacks"] = [*listed, monitor]


def _steps(record):
    return {step for one in record.series.values() for step in one.steps.tolist()}


def _bits(model):
    """Returns a digest of all state of a model and its optimizer."""
    digest = hashlib.sha256()
    try:
        optimizer = getattr(model, "optimizer", None)
        for variable in [*model.variables, *getattr(optimizer, "variables", ())]:
            digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    except Exception as error:  # a model whose variables cannot be read
        return f"unreadable: {type(error).__name__}"
    return digest.hexdigest()


def pytest_configure(config):
    settings = os.environ.get("KERAS_SUITE")
    if settings is None:
        return
    for mark in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", mark)
    suite = _Suite(json.loads(settings))
    suite.wrap_fit()
    _stand_in()  # behind Keras, which asks for them itself
    config.pluginmanager.register(suite)


def _stand_in():
    """Has tests import what they need of other backends, where that is absent."""
    for name in _ABSENT:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = types.ModuleType(name)


def pytest_collection_modifyitems(config, items):
    import pytest

    for item in items:
        if "multi_device" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs several devices"))


if __name__ == "__main__":
    sys.exit(main())
