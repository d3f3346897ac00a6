"""Several monitors in one `fit`: one instrumented step, one run on disk."""

import re

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_file_loader

import keras_initkit as kik
from keras_initkit import schema

X = np.random.default_rng(0).standard_normal((32, 3)).astype(np.float32)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(4, activation="tanh", name="hidden")
    parts = [keras.layers.Input((3,)), hidden, keras.layers.Dense(1, name="out")]
    model = keras.Sequential(parts, name="small")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def fit(model, *callbacks, epochs=1):
    model.fit(X, X[:, 0], 8, epochs, verbose=0, shuffle=False, callbacks=callbacks)


KINDS = {
    kik.ActivationMonitor: ("activation", "preactivation"),
    kik.GradientMonitor: ("backprop", "gradient"),
    kik.WeightMonitor: ("weight", "update"),
}


def test_three_monitors_share_a_directory_and_lose_nothing(model, tmp_path):
    monitors = [kind(tmp_path, every=2) for kind in KINDS]
    fit(model)
    traces = []
    compute_loss = model.compute_loss
    model.compute_loss = lambda *a, **k: traces.append(1) or compute_loss(*a, **k)
    fit(model, *monitors, epochs=2)
    assert len(traces) == 1
    loaded = kik.RunRecord.load(tmp_path)
    assert set(loaded.series) == set(schema.SIGNALS)
    for monitor, signals in zip(monitors, KINDS.values(), strict=True):
        assert tuple(monitor.record.series) == signals
        for store in ("series", "histograms"):
            for name, series in getattr(monitor.record, store).items():
                other = getattr(loaded, store)[name]
                assert other.steps.tolist() == series.steps.tolist()
                np.testing.assert_array_equal(other.values, series.values)
        assert loaded.scalars["loss"][0] == [4, 6, 8, 10]
    together = loaded.metadata["budget"]["scalar_tags"]
    each = [monitor.record.metadata["budget"]["scalar_tags"] for monitor in monitors]
    assert together == sum(each)
    assert len(loaded.metadata["layers"]) == 2


def test_monitors_of_one_directory_keep_one_file_and_one_value_a_step(model, tmp_path):
    fit(model, *(kind(tmp_path, every=2) for kind in KINDS))
    (file,) = tmp_path.glob("*tfevents*")
    seen = [
        (event.step, value.tag)
        for event in event_file_loader.EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag not in (schema.RUN_TAG, "custom_scalars__config__")
    ]
    assert len(seen) == len(set(seen)) > 10


def test_same_signal_twice_in_one_directory_is_refused(model, tmp_path):
    monitors = (kik.WeightMonitor(tmp_path), kik.SignalMonitor(tmp_path))
    message = (
        "`log_dir` must differ between the monitors of a `fit`, unless their signals "
        f"differ. Received: log_dir={str(tmp_path)!r}, which another monitor writes "
        "('weight', 'update') to."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(model, *monitors)
    # What the failed `fit` left open is in nobody's way.
    fit(model, monitors[1])
    assert set(kik.RunRecord.load(tmp_path).series) == set(schema.SIGNALS)


def test_each_kind_takes_the_options_of_signal_monitor():
    monitor = kik.GradientMonitor(None, 5, layers="out", histograms=False)
    assert monitor.signals == KINDS[kik.GradientMonitor]
    with pytest.raises(TypeError, match="signals"):
        kik.GradientMonitor(None, signals=("weight",))
