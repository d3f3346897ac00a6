"""Arguments drawn at random: taken, or refused by an error that names one of them."""

import inspect
import pathlib
import warnings

import keras
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
    repr,
    lambda: None,
    lambda *_: 1 / 0,  # what a function of the user's raises
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


def small_model(width=4, initializer="glorot_uniform"):
    model = keras.Sequential(
        [
            keras.layers.Input((3,)),
            keras.layers.Dense(width, "relu", kernel_initializer=initializer),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


def residual_model():
    inputs = outputs = keras.layers.Input((3,))
    for _ in range(2):
        branch = keras.layers.Dense(3)(keras.layers.Dense(3, "relu")(outputs))
        outputs = keras.layers.Add()([outputs, branch])
    return keras.Model(inputs, keras.layers.Dense(1)(outputs))


def squared_error(targets, outputs):
    return keras.ops.mean((targets - outputs) ** 2)


X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
DATA = {"x": X, "y": X[:, :1]}
# What is drawn for: a function, and arguments that it takes; a function of these where
# each call needs new ones.
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
    "review": (kik.review, {"record": RECORD}),
    "data.load": (kik.data.load, {"name": "xor"}),
    "initializers.get": (kik.initializers.get, {"identifier": "he"}),
    "models.build": (kik.models.build, {"name": "xor_mlp"}),
}
# Of these, each set costs a model or work on one.
OF_MODELS = {
    "lint": (kik.lint, lambda: {"model": small_model()}),
    "diagnose": (kik.diagnose, lambda: {"model": small_model(), **DATA}),
    "recommend": (kik.recommend, lambda: {"model": small_model()}),
    "reinitialize": (
        kik.reinitialize,
        lambda: {"model": small_model(), "plan_or_initializer": "he"},
    ),
    "lsuv": (kik.lsuv, lambda: {"model": small_model(), "x": X}),
    "preserve_signal": (kik.preserve_signal, lambda: {"model": small_model()}),
    "fixup": (kik.fixup, lambda: {"model": residual_model()}),
    "metainit": (
        kik.metainit,
        lambda: {"model": small_model(), **DATA, "loss": squared_error, "steps": 1},
    ),
    "coordinate_check": (
        kik.coordinate_check,
        lambda: {"build_model": small_model, **DATA, "widths": (2, 4), "steps": 1},
    ),
    "over_draws": (
        kik.over_draws,
        lambda: {"model": small_model(), "x": X, "initializer": "he", "draws": 2},
    ),
    "compare": (
        kik.compare,
        lambda: {
            "build_model": lambda initializer, seed: small_model(4, initializer),
            "data": ((X, X[:, :1]), (X, X[:, :1])),
            "initializers": ["zeros"],
            "seeds": 1,
        },
    ),
    "for_layer": (
        kik.initializers.for_layer,
        lambda: {"layer": keras.layers.Dense(4), "identifier": "he"},
    ),
}
# So much work, which a large number may well ask for, is not waited for.
ENDLESS = 1000
# What a file or a directory that is not there, or holds nothing, is told by; a name
# that is none of what was recorded; what a function of the user's raises.
TOLD = (
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    KeyError,
    ZeroDivisionError,
)


def names_one(error, names):
    """Whether an error names an argument, `thresholds` as a part of `rules`."""
    return any(f"`{name}`" in str(error) for name in (*names, "thresholds"))


def draw(function, known, rng, odd=ODD):
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
    return {**known, **{str(name): odd[rng.integers(len(odd))] for name in chosen}}


def complaints(draw_one, function, trials):
    """Returns the calls that end otherwise than they may."""
    found = {}
    for _ in range(trials):
        arguments = draw_one()
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


def judge(draw_one, function, trials):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = complaints(draw_one, function, trials)
    assert not found, "\n".join(f"{call}: {error}" for call, error in found.items())


@pytest.mark.parametrize("name", FACE)
def test_arguments_are_taken_or_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, known = FACE[name]
    rng = np.random.default_rng(0)
    judge(lambda: draw(function, known, rng), function, 300)


@pytest.mark.parametrize(
    "argument", ["every", "histograms", "on_finding", "layers", "exclude"]
)
@pytest.mark.parametrize("function", [lambda: True, lambda one, other: True])
def test_functions_of_other_things_are_refused(argument, function):
    with pytest.raises(TypeError, match=f"`{argument}` must be"):
        kik.SignalMonitor(**{argument: function})


def judge_of_models(name, trials, seed):
    function, known = OF_MODELS[name]
    odd = [one for one in ODD if not (isinstance(one, int) and one > ENDLESS)]
    rng = np.random.default_rng(seed)
    judge(lambda: draw(function, known(), rng, odd), function, trials)


@pytest.mark.parametrize("name", OF_MODELS)
def test_arguments_about_models_are_taken_or_refused_by_name(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    judge_of_models(name, 25, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_MODELS)
def test_many_arguments_about_models_are_taken_or_refused_by_name(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    judge_of_models(name, 300, seed=1)
