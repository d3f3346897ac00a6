"""‖W − W₀‖ / ‖W₀‖ against the weights themselves, however the step runs."""

import gc

import keras
import numpy as np
import pytest

import keras_initkit as kik

RNG = np.random.default_rng(0)
X = RNG.standard_normal((48, 5)).astype(np.float32)
Y = X[:, :1] ** 2
KERNEL = kik.schema.TensorKey("net/dense", "kernel")


class Weights(keras.callbacks.Callback):
    """Keeps the kernel as each step finds it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(np.float64(self.model.layers[0].kernel))


def net(policy="float32", built=True, **settings):
    keras.utils.set_random_seed(1)
    inputs = [keras.Input((5,))] if built else []
    dense = keras.layers.Dense(4, "tanh", name="dense", dtype=policy)
    model = keras.Sequential(
        [*inputs, dense, keras.layers.Dense(1, name="out")], name="net"
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", **settings)
    return model


def distances(record):
    series = record.signal("weight")
    row = series.tensors.index(KERNEL)
    return series.statistic("distance_from_initialization")[:, row]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"built": False},
        {"run_eagerly": True},
        {"built": False, "run_eagerly": True},
        {"jit_compile": True},
        {"steps_per_execution": 3},
        {"policy": "mixed_float16"},
    ],
    ids=str,
)
def test_it_is_the_way_that_the_weight_has_come(settings):
    model, weights = net(**settings), Weights()
    monitor = kik.SignalMonitor(None, every=1)
    first = np.float64(model.layers[0].kernel) if settings.get("built", True) else None
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[monitor, weights])
    found = distances(monitor.record)
    assert found[0] == 0
    assert (np.diff(found[:3]) > 0).all()
    if first is not None:
        path = [first, *weights.found[:-1]]  # one for each execution
        expected = [np.linalg.norm(w - first) / np.linalg.norm(first) for w in path]
        steps = len(found) // len(path)
        np.testing.assert_allclose(found[::steps], expected, rtol=2e-6, atol=1e-9)


def test_a_second_fit_goes_on_from_where_the_first_began():
    model = net()
    monitor = kik.SignalMonitor(None, every=3)
    first = np.float64(model.layers[0].kernel)
    for _ in range(2):
        before = np.float64(model.layers[0].kernel)
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=[monitor])
    expected = np.linalg.norm(before - first) / np.linalg.norm(first)
    found = distances(monitor.record)
    assert found[monitor.record.signal("weight").steps.tolist().index(3)] == (
        pytest.approx(expected, rel=2e-6)
    )


def test_a_run_begins_anew_with_another_monitor():
    """Whether the monitor before it is still there is all the same."""
    model, kept = net(), []
    for _ in range(2):
        kept.append(kik.SignalMonitor(None, every=1))
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=kept[-1:])
        found = distances(kept[-1].record)
        assert found[0] == 0
        assert found[1] > 0


def test_a_run_that_one_of_two_monitors_goes_on_with_is_not_begun_anew():
    model, monitor = net(), kik.SignalMonitor(None, every=1)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[monitor])
    other = kik.SignalMonitor(None, every=1)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[other, monitor])
    assert distances(other.record)[0] == distances(monitor.record)[3] > 0


def test_a_monitor_that_comes_back_to_a_model_begins_anew():
    """Whether or not the memory of what it watched there has been collected."""
    monitor, models = kik.SignalMonitor(None, every=1), [net(), net()]
    gc.disable()
    try:
        for _ in range(2):
            for model in models:
                model.fit(X, Y, batch_size=16, verbose=0, callbacks=[monitor])
                assert distances(monitor.record)[0] == 0
    finally:
        gc.enable()


def test_what_began_at_zero_has_no_relative_distance():
    model = net()
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[monitor])
    series = monitor.record.signal("weight")
    row = [key.tensor for key in series.tensors].index("bias")
    assert np.isnan(series.statistic("distance_from_initialization")[:, row]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_began_as_no_number_costs_nobody_else_a_distance(value):
    model = net()
    model.layers[1].kernel.assign(np.full((4, 1), value))
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[monitor])
    assert distances(monitor.record)[0] == 0
    series = monitor.record.signal("weight")
    row = [key.layer for key in series.tensors].index("net/out")
    assert np.isnan(series.statistic("distance_from_initialization")[:, row]).all()


def test_data_frames_have_it():
    model = net()
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[monitor])
    frame = monitor.record.to_dataframe()
    assert "distance_from_initialization" in frame.columns
