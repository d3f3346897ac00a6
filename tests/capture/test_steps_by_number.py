"""Which iteration a monitored step stands for, where batches are not iterations."""

import keras
import numpy as np
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import schema

RNG = np.random.default_rng(0)
X = RNG.standard_normal((48, 4)).astype(np.float32)
T = RNG.standard_normal((48, 1)).astype(np.float32)


class Twice(keras.Model):
    """Updates its weights twice a batch."""

    def train_step(self, data):
        x, y = data
        for _ in range(2):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y) ** 2)
            weights = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def fit(model, *callbacks, targets=T):
    model.fit(X, targets, 4, shuffle=False, verbose=0, callbacks=list(callbacks))


def test_step_that_applies_twice_has_an_entry_for_each():
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        inputs = keras.layers.Input((4,))
        models.append(Twice(inputs, keras.layers.Dense(1, name="out")(inputs)))
        models[-1].compile(keras.optimizers.SGD(0.1))
    bare, watched = models
    start = watched.layers[1].kernel.numpy()
    monitor = kik.SignalMonitor(None, every=3)
    fit(bare)
    fit(watched, monitor)
    np.testing.assert_array_equal(bare.layers[1].kernel, watched.layers[1].kernel)

    # 0 and 1, 2 and 3, 6 and 7, 8 and 9...
    assert monitor.record.signal("weight").steps.tolist() == [
        0, 2, 6, 8, 12, 14, 18, 20
    ]  # fmt: skip
    first, second = (schema.TensorKey("out", "kernel", call) for call in (0, 1))
    values = {
        signal: dict(zip(*monitor.record.profile(signal, "norm", step=0), strict=True))
        for signal in ("weight", "gradient", "update")
    }
    np.testing.assert_allclose(values["weight"][first], np.linalg.norm(start), 1e-6)
    for key in (first, second):
        np.testing.assert_allclose(
            values["update"][key], 0.1 * values["gradient"][key], rtol=1e-5
        )
    assert values["gradient"][second] < values["gradient"][first]
    assert values["weight"][second] != values["weight"][first]
    outputs = [key.call for key in monitor.record.signal("activation").tensors]
    assert outputs == [0, 1]


def test_steps_that_loss_scaling_skips_are_counted_not_recorded():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    # Overflows float32 until it has been halved a few times.
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**126
    )
    model.compile(optimizer, "mse")
    monitor = kik.SignalMonitor(None, every=2)
    fit(model, monitor, targets=16 * T)
    done = int(optimizer.iterations)
    skipped = 12 - done
    assert 0 < skipped < 10
    steps = list(range(0, done, 2))
    for signal in schema.SIGNALS:
        series = monitor.record.signal(signal)
        if series is not None:
            assert series.steps.tolist() == steps
            assert not series.statistic("nonfinite_count").any()
    found = monitor.record.scalars[schema.SKIPPED]
    assert found[0] == steps
    assert found[1] == sorted(found[1])
    assert 0 < found[1][0] <= found[1][-1] == skipped
    assert list(monitor.record.series) == list(dict.fromkeys(monitor.record.series))
