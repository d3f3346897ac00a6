"""What type checkers see of the package, and how its functions are called."""

import inspect
import os
import pathlib
import subprocess
import sys

import pytest

import keras_initkit as kik

ROOT = pathlib.Path(__file__).parent.parent

# What may be given by its place; everything else has to be named.
BY_PLACE = {
    "SignalMonitor": ("log_dir", "every"),
    "ActivationMonitor": ("log_dir", "every"),
    "GradientMonitor": ("log_dir", "every"),
    "WeightMonitor": ("log_dir", "every"),
    "ResumePoint": ("path", "callbacks"),
    "diagnose": ("model", "x", "y"),
    "lint": ("model",),
    "recommend": ("model", "x"),
    "reinitialize": ("model", "plan_or_initializer"),
    "lsuv": ("model", "x"),
    "preserve_signal": ("model",),
    "fixup": ("model",),
    "metainit": ("model", "x", "y"),
    "coordinate_check": ("build_model", "x", "y"),
    "over_draws": ("model", "x", "initializer"),
    "learning_rate_trial": ("model", "x", "y"),
    "activations": ("model", "x"),
    "gradients": ("model", "x", "y"),
    "compare": ("build_model", "data", "initializers"),
    "data.load": ("name", "source"),
    "models.build": ("name", "initializer"),
    "initializers.get": ("identifier",),
    "initializers.for_layer": ("layer", "identifier", "weight"),
    "diagnosis.judge": ("record", "rules"),
    "RunRecord.load": ("log_dir",),
    "RunRecord.plot": ("self", "path"),
    "RunRecord.profile": ("self", "signal", "statistic"),
    "RunRecord.through_time": ("self", "signal", "layer"),
}
ANNOTATED = (
    "callbacks",
    "data",
    "diagnosis",
    "experiments",
    "initializers",
    "inspection",
    "models",
    "reinit",
    "report",
)


def found(path):
    one = kik
    for name in path.split("."):
        one = getattr(one, name)
    return one


@pytest.mark.parametrize("path", BY_PLACE)
def test_all_but_the_first_arguments_are_named(path):
    parameters = inspect.signature(found(path)).parameters.values()
    placed = [p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD]
    assert tuple(placed) == BY_PLACE[path]


def public_functions():
    """Yields the public functions, and the constructors and methods of classes."""
    for room in ANNOTATED:
        module = getattr(kik, room)
        for name in module.__all__:
            one = getattr(module, name)
            if inspect.isfunction(one):
                yield f"{room}.{name}", one
            elif inspect.isclass(one):
                for method, function in vars(one).items():
                    ours = inspect.isfunction(function) and method == function.__name__
                    overrides = method.startswith("on_")  # says what Keras says
                    if ours and not overrides and method.strip("_") == method:
                        yield f"{room}.{name}.{method}", function
                if "__init__" in vars(one):
                    yield f"{room}.{name}", vars(one)["__init__"]


@pytest.mark.parametrize(
    "function", [pytest.param(one, id=path) for path, one in public_functions()]
)
def test_public_functions_are_annotated(function):
    parameters = inspect.signature(function).parameters
    told = {*function.__annotations__, "self", "cls"}
    assert {*parameters, "return"} - told == set()


RIGHT = """\
import keras
import keras_initkit as kik

model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
monitor = kik.SignalMonitor("logdir", every=5, rules=None)
early = kik.schedules.first(20) | kik.schedules.every(100)
kik.GradientMonitor(None, early, layers="dense*", histograms=2)
findings: list[kik.Finding] = monitor.findings + kik.lint(model)
report = kik.lsuv(model, [[1.0] * 4], tolerance=0.1, seed=0)
print([fit.std_after for fit in report.layers], report.plot("lsuv.png"))
plan: kik.reinit.Plan = kik.recommend(model)
kik.reinitialize(model, plan, seed=0, layers=["dense"])
kik.diagnose(model, [[1.0] * 4]).show()
data = kik.data.load("xor", limit=4)
kik.compare("xor_mlp", data, ["he"], seeds=2).ranking[0].upper()
kik.initializers.DepthScaled("he_normal", depth=8)
steps: int = len(kik.RunRecord.load("logdir", thin=False).series)
"""
WRONG = {
    "kik.SignalMonitr('logdir')": "attr-defined",
    "kik.inspection.diagnos(None)": "attr-defined",
    "kik.SignalMonitor('logdir', evry=5)": "call-arg",
    "kik.SignalMonitor('logdir', every='ten')": "arg-type",
    "kik.SignalMonitor('logdir', 10, ('gradient',))": "call-arg",
    "kik.WeightMonitor(None, signals=('weight',))": "call-arg",
    "kik.ResumePoint('resume.npz', setings={})": "call-arg",
    "kik.lsuv(None, None, tolerance='small')": "arg-type",
    "kik.lsuv(None, None).std": "attr-defined",
    "kik.diagnose(None, None, jacobian='yes')": "arg-type",
    "kik.recommend(None, prior=[0.5])": "call-arg",
    "kik.reinitialize(None, 'he_normal', seed='0')": "arg-type",
    "kik.preserve_signal(None, second_moment='1')": "arg-type",
    "kik.fixup(None, head=False)": "call-arg",
    "kik.metainit(None, None, steps='many')": "arg-type",
    "kik.coordinate_check(None, None, None)": "arg-type",
    "kik.over_draws(None, None, 'he_normal', draws='100')": "arg-type",
    "kik.learning_rate_trial(None, None, batch_size='32')": "arg-type",
    "kik.compare('xor_mlp', 'xor', ['zero'], epoch=3)": "call-arg",
    "kik.data.load('xor', limits=4)": "call-arg",
    "kik.models.build('xor_mlp', learning_rate='0.1')": "arg-type",
    "kik.initializers.for_layer(None, 'he_normal', weights='kernel')": "call-arg",
    "kik.initializers.ActivationScaling(mod='fan_in')": "call-arg",
    "kik.RunRecord.load(3)": "arg-type",
    "kik.lint(None, rules=3)": "arg-type",
}


@pytest.mark.skipif(os.name == "nt", reason="paths of errors are read as on Unix")
def test_type_checkers_tell_right_calls_from_wrong_ones(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(RIGHT + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            # What is installed beside is not looked at, which takes a second.
            *("--no-site-packages", "--ignore-missing-imports"),
            *("--config-file=", f"--cache-dir={tmp_path / 'cache'}", program.name),
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    first = RIGHT.count("\n") + 1
    told = [(int(line.split(":")[1]), line.rpartition("[")[2][:-1]) for line in lines]
    expected = [(first + n, code) for n, code in enumerate(WRONG.values())]
    assert told == expected, done.stdout + done.stderr
