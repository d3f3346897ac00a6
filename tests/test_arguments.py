"""Arguments drawn at random: taken, or refused by an error that names one of them."""

import inspect
import pathlib
import warnings

import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import schema

RULE, THRESHOLD = next(
    (name, next(iter(rule.thresholds)))
    for name, rule in kik.diagnosis.RULES.items()
    if rule.thresholds
)
ODD = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    10**30,
    0.5,
    -0.5,
    float("nan"),
    float("inf"),
    1j,
    "",
    "x",
    "default",
    "weight",
    "a\0b",
    b"x",
    (),
    [],
    {},
    set(),
    [None],
    ["weight"],
    ["weight", 3],
    [["weight"]],
    {"x": 1},
    {"weight": None},
    {RULE: {"x": 1}},
    {RULE: 3},
    {RULE: {3: 3}},
    {RULE: {THRESHOLD: "x"}},
    {RULE: {THRESHOLD: 1.5}},
    {RULE: None},
    [RULE],
    {1: 2},
    object(),
    object,
    len,
    lambda: None,
    lambda *_: 1 / 0,
    np.array(3),
    np.arange(3),
    np.array("x"),
    pathlib.Path("x"),
    range(3),
    iter(()),
    ...,
    NotImplemented,
)


def small_record():
    record = kik.RunRecord()
    keys = (schema.TensorKey("a", "output"),)
    columns = len(schema.statistics_of("activation"))
    for step in (0, 10):
        record.add("activation", keys, step, np.ones((1, columns)))
    return record


RECORD = small_record()
MONITORS = (
    kik.SignalMonitor,
    kik.ActivationMonitor,
    kik.GradientMonitor,
    kik.WeightMonitor,
)
# What is drawn for: a function, and arguments that it takes.
FACE = {
    **{monitor.__name__: (monitor, {"log_dir": None}) for monitor in MONITORS},
    "ResumePoint": (kik.ResumePoint, {"path": "resume.npz"}),
    "RunRecord.load": (kik.RunRecord.load, {"log_dir": "logs"}),
    "RunRecord.runs": (kik.RunRecord.runs, {"log_dir": "logs"}),
    "RunRecord.from_json": (kik.RunRecord.from_json, {"path": "record.json"}),
    "to_json": (RECORD.to_json, {"path": "out.json"}),
    "to_csv": (RECORD.to_csv, {"path": "out.csv"}),
    "diff": (RECORD.diff, {"other": RECORD}),
    "profile": (RECORD.profile, {"signal": "activation", "statistic": "rms"}),
    "through_time": (RECORD.through_time, {"signal": "activation", "layer": "a"}),
    **{
        f"schedules.{name}": (getattr(kik.schedules, name), {})
        for name in ("every", "first", "log_spaced")
    },
}
# What a file or a directory that is not there, or holds nothing, is told by; a name
# that is none of what was recorded.
TOLD = (FileNotFoundError, NotADirectoryError, IsADirectoryError, KeyError)


def names_one(error, names):
    """Whether an error names an argument, `thresholds` as a part of `rules`."""
    return any(f"`{name}`" in str(error) for name in (*names, "thresholds"))


def draw(function, known, rng):
    """Returns arguments of which one or two are odd."""
    names = [
        name
        for name, one in inspect.signature(function).parameters.items()
        if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    ]
    if function in MONITORS[1:]:
        options = inspect.signature(kik.SignalMonitor).parameters
        names = [name for name in options if name != "signals"]
    chosen = rng.choice(names, size=min(len(names), int(rng.integers(1, 3))))
    odd = {str(name): ODD[int(rng.integers(len(ODD)))] for name in chosen}
    return {**known, **odd}


def complaints(name, trials, rng):
    """Returns the calls that end otherwise than they may."""
    function, known = FACE[name]
    found = {}
    for _ in range(trials):
        arguments = draw(function, known, rng)
        try:
            function(**arguments)
        except (TypeError, ValueError) as error:
            if not names_one(error, arguments):
                found[repr(arguments)] = repr(error)
        except TOLD:
            continue
        except Exception as error:
            found[repr(arguments)] = repr(error)
    return found


@pytest.mark.parametrize("name", FACE)
def test_arguments_are_taken_or_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = complaints(name, 300, np.random.default_rng(0))
    assert not found, "\n".join(f"{call}: {error}" for call, error in found.items())
