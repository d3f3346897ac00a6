"""Other backends, no TensorFlow, models of Keras 2: what works does, the rest says."""

import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.structure.needs import check_model

X = np.ones((4, 4), np.float32)


@pytest.fixture
def elsewhere(monkeypatch):
    """As if Keras ran on JAX."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")


def a_model():
    return keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])


NEEDING = {
    "SignalMonitor": lambda model: kik.SignalMonitor(),
    "ActivationMonitor": lambda model: kik.ActivationMonitor(),
    "GradientMonitor": lambda model: kik.GradientMonitor(),
    "WeightMonitor": lambda model: kik.WeightMonitor(),
    "diagnose": lambda model: kik.diagnose(model, X),
    "metainit": lambda model: kik.metainit(model, X),
    "gradient_quotient": lambda model: kik.reinit.gradient_quotient(
        model, X, X, keras.losses.MeanSquaredError()
    ),
    "compare": lambda model: kik.compare(a_model, "xor", ["he_normal"], seeds=1),
}


@pytest.mark.parametrize("name", NEEDING)
def test_what_needs_tensorflow_says_so_by_name(name, elsewhere):
    message = f"`{name}` needs the TensorFlow backend. .*KERAS_BACKEND=tensorflow.*jax"
    with pytest.raises(ValueError, match=message):
        NEEDING[name](a_model())


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name="tensorflow")

import tensorboard.compat
import keras
if keras.backend.backend() == "tensorflow":
    for name in [n for n in sys.modules if n.partition(".")[0] == "tensorflow"]:
        del sys.modules[name]
sys.meta_path.insert(0, Missing())
import numpy as np
import keras_initkit as kik

record = kik.RunRecord.load(sys.argv[1])
assert record.diff(kik.RunRecord.load(sys.argv[1])).equal
assert kik.theory.gain("relu") > 1
for room in ("schema", "schedules", "recording", "diagnosis", "structure", "report",
             "reinit", "inspection", "experiments"):
    getattr(kik, room)
assert callable(kik.lint) and callable(kik.recommend) and callable(kik.lsuv)
try:
    kik.SignalMonitor
except ImportError as error:
    assert "`keras_initkit.SignalMonitor` needs the TensorFlow backend" in str(error)
else:
    raise AssertionError
print("done")
"""


def test_much_works_without_tensorflow(tmp_path):
    model = a_model()
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor(tmp_path, rules=None)
    model.fit(X, X[:, :1], verbose=0, callbacks=[monitor])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT, str(tmp_path)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=pathlib.Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("done\n"), done.stderr[-2000:]


def of_keras_2():
    """A model as `tf_keras` makes them, as far as its class tells."""
    base = type("Model", (), {"__module__": "tf_keras.src.engine.training"})
    model = type("Mine", (base,), {})()
    model.name, model.built = "old", True
    return model


TAKING = {
    "SignalMonitor": lambda model: kik.SignalMonitor().set_model(model),
    "diagnose": lambda model: kik.diagnose(model, X),
    "lint": kik.lint,
    "recommend": kik.recommend,
    "metainit": lambda model: kik.metainit(model, X),
    "lsuv": lambda model: kik.lsuv(model, X),
    "reinitialize": lambda model: kik.reinitialize(model, "he_normal"),
    "preserve_signal": kik.preserve_signal,
    "over_draws": lambda model: kik.over_draws(model, X, "he_normal"),
    "fixup": kik.fixup,
    "expect": lambda model: kik.theory.expect(model, X),
    "predict": kik.theory.predict,
}


@pytest.mark.parametrize("name", TAKING)
def test_models_of_keras_2_are_refused_by_name(name):
    message = f"`model` must be a Keras 3 model for `{name}`.*Mine of Keras 2"
    with pytest.raises(TypeError, match=message):
        TAKING[name](of_keras_2())


@pytest.mark.parametrize("name", TAKING)
@pytest.mark.parametrize("model", ["a name", None, len, types.SimpleNamespace()])
def test_what_is_no_model_is_refused(name, model):
    with pytest.raises(TypeError, match="`model` must be a Keras 3 model"):
        TAKING[name](model)


def test_layers_and_models_are_taken():
    check_model("lint", a_model())
    check_model("lint", keras.layers.Dense(1))
