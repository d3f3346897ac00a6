"""An exception at any call into our code, in `fit`, costs the watching alone."""

import pathlib
import sys
import warnings

import keras
import numpy as np
import pytest

import keras_initkit as kik

k = keras.layers
PACKAGE = str(pathlib.Path(kik.__file__).parent)
# The boundary itself, and what the plain step runs through.
BOUNDARY = {"guard.py", "single_step.py"}
ENTRIES = {
    "run",
    "_Armed.__call__",
    "SignalMonitor.set_model",
    # These stand in place of functions of Keras's and TensorFlow's; what they call of
    # ours is guarded.
    "_tapped_apply.<locals>.apply",
    "_tapped_output.<locals>.identity.<locals>.gradient",
    "Watched.train_step.<locals>.instrumented",
    "Watched.function.<locals>.watched",
    "_also.<locals>.imperative_grad",
}
X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")


class InjectedError(RuntimeError):
    pass


def is_ours(code):
    path = pathlib.Path(code.co_filename)
    return (
        code.co_filename.startswith(PACKAGE)
        and path.name not in BOUNDARY
        and code.co_qualname.removeprefix("Session.") not in ENTRIES
        and not code.co_name.startswith("<")
    )


def train(options, trace=None, log_dir=None):
    """Trains a small model, watched where there is a trace; returns its bits."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([k.Dense(3, "relu"), k.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", **options)
    callbacks = [kik.SignalMonitor(log_dir, every=2)] if trace else []
    sys.settrace(trace)
    try:
        model.fit(X, X[:, :1], batch_size=4, verbose=0, callbacks=callbacks)
    finally:
        sys.settrace(None)
    values = [*model.variables, *model.optimizer.variables]
    return [np.asarray(v.value).tobytes() for v in values], model


def functions_called(options, log_dir):
    """Lists the functions of ours that a watched `fit` calls, in order."""
    found = {}

    def trace(frame, event, arg):
        if is_ours(frame.f_code):
            found.setdefault((frame.f_code.co_filename, frame.f_code.co_qualname))

    train(options, trace, log_dir)
    return list(found)


def injecting(place):
    """Returns what raises at the first call of a function, and a list once it has."""
    done = []

    def trace(frame, event, arg):
        code = frame.f_code
        if not done and (code.co_filename, code.co_qualname) == place:
            done.append(place)
            raise InjectedError("injected")

    return trace, done


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["graph", "eager"])
@pytest.mark.parametrize("every", [120, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.skipif(sys.version_info < (3, 11), reason="asks for `co_qualname`")
def test_an_exception_anywhere_costs_one_warning(options, every, tmp_path):
    bare, _ = train(options)
    places = functions_called(options, tmp_path / "all")
    assert len(places) > 150
    asked, missed = places[:: max(1, every)], []
    for number, place in enumerate(asked):
        trace, done = injecting(place)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            bits, model = train(options, trace, tmp_path / str(number))
        missed += [] if done else [place]  # what is called once a process
        assert bits == bare, place
        ours = [one for one in told if "injected" in str(one.message)]
        assert len(ours) <= 1, (place, [str(one.message) for one in ours])
        for layer in model.layers:
            assert not {"call", "activation"} & {
                name for name, one in vars(layer).items() if "guard" in repr(one)
            }
    assert len(missed) <= max(1, 0.1 * len(asked)), missed
