"""The rms of each time step: from the step that trains to the disk and back."""

import keras
import numpy as np
import pytest

import keras_initkit as kik


@pytest.mark.parametrize("length", [5, 256])
def test_rms_of_each_time_step_is_recorded_and_read_back(tmp_path, length):
    keras.utils.set_random_seed(0)
    inputs = keras.layers.Input((length, 2))
    sequence = keras.layers.Dense(3, name="dense")(inputs)
    pooled = keras.layers.GlobalAveragePooling1D(name="pool")(sequence)
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(pooled))
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, length, 2)) * np.linspace(1, 9, length)[None, :, None]
    expected = np.asarray(model.get_layer("dense")(np.float32(x)), np.float64)
    groups = min(length, 128)
    expected = expected.reshape(8, groups, -1, 3)
    expected = np.sqrt(np.mean(expected**2, axis=(0, 2, 3)))
    monitor = kik.SignalMonitor(tmp_path, every=1)
    model.fit(x, np.ones(8), 8, epochs=2, verbose=0, callbacks=[monitor])
    loaded = kik.RunRecord.load(tmp_path)
    for record in (monitor.record, loaded):
        assert set(record.time_steps) == {"activation", "backprop"}
        seen = record.through_time("activation", "dense", step=0)
        np.testing.assert_allclose(seen, expected, rtol=1e-5)
        assert len(record.through_time("backprop", "dense")) == groups
        assert [key.layer for key in record.time_steps["activation"].tensors] == [
            "dense"
        ]
    for name, series in monitor.record.time_steps.items():
        other = loaded.time_steps[name]
        assert other.steps.tolist() == series.steps.tolist() == [0, 1]
        np.testing.assert_array_equal(other.values, series.values)
