"""Evaluations that are watched: what is recorded, and that nobody notices."""

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import schema

k = keras.layers
RNG = np.random.default_rng(0)
X = RNG.standard_normal((96, 8)).astype("float32")
Y = 2 * X[:, :1]
MODES = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "three_steps": {"steps_per_execution": 3},
    "xla": {"jit_compile": True},
}
MODE_CASES = [*list(MODES)[:-1], pytest.param("xla", marks=pytest.mark.slow)]
# Under XLA `backprop` may change the rounding of training.
SIGNALS = tuple(signal for signal in schema.SIGNALS if signal != "backprop")


def build(momentum=0.9, **mode):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            k.Input((8,)),
            k.Dense(16, name="first"),
            k.BatchNormalization(momentum=momentum, name="norm"),
            k.ReLU(name="relu"),
            k.Dropout(0.3, name="dropout"),
            k.Dense(1, name="last"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-2), "mse", metrics=["mae"], **mode)
    return model


def trained(model, callbacks, held_out=(X[:40] + 1, Y[:40])):
    history = model.fit(
        X,
        Y,
        batch_size=16,
        epochs=3,
        verbose=0,
        validation_data=held_out,
        validation_batch_size=16,
        callbacks=callbacks,
    )
    scores = model.evaluate(X, Y, verbose=0, callbacks=callbacks)
    return history.history, scores, [np.asarray(v) for v in model.weights]


@pytest.mark.parametrize("mode", MODE_CASES)
def test_nobody_notices(mode, tmp_path):
    monitor = kik.SignalMonitor(tmp_path, every=2, signals=SIGNALS, evaluate=True)
    bare = trained(build(**MODES[mode]), [])
    watched = trained(build(**MODES[mode]), [monitor])
    assert watched[:2] == bare[:2]
    for one, other in zip(watched[2], bare[2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert monitor.record.signal("inference").steps.tolist() == [6, 12, 18]
    loaded = kik.RunRecord.load(tmp_path)
    for signal in schema.EVALUATION_SIGNALS:
        series, read = monitor.record.signal(signal), loaded.signal(signal)
        assert read.tensors == series.tensors
        np.testing.assert_array_equal(read.values, series.values)


def test_statistics_are_those_of_inference():
    """The numbers are those of `model(x, training=False)`, with the weights then."""
    model, monitor = build(), kik.SignalMonitor(every=2, evaluate=True)
    trained(model, [monitor])
    inference, state = map(monitor.record.signal, schema.EVALUATION_SIGNALS)
    x = X[:16] + 1
    for layer in model.layers:
        x = layer(x, training=False)
        row = [key.layer.rpartition("/")[2] for key in inference.tensors].index(
            layer.name
        )
        rms = np.sqrt(np.mean(np.square(x)))
        np.testing.assert_allclose(inference.statistic("rms")[-1, row], rms, rtol=1e-5)
    for row, variable in enumerate(model.get_layer("norm").non_trainable_variables):
        assert state.tensors[row].tensor == variable.name
        mean = np.asarray(variable).mean()
        np.testing.assert_allclose(state.statistic("mean")[-1, row], mean, rtol=1e-5)


def test_evaluate_alone_is_recorded(tmp_path):
    model, monitor = build(), kik.SignalMonitor(tmp_path, evaluate=True)
    model.evaluate(X, Y, verbose=0, callbacks=[monitor])
    assert monitor.record.signal("inference").steps.tolist() == [0]
    loaded = kik.RunRecord.load(tmp_path)
    assert set(loaded.series) == set(schema.EVALUATION_SIGNALS)
    assert loaded.metadata["model"] == model.name
    assert type(model.test_function) is not type(monitor)


def test_nothing_of_evaluations_by_default(tmp_path):
    monitor = kik.SignalMonitor(tmp_path, every=2)
    trained(build(), [monitor])
    assert set(monitor.record.series) == set(schema.SIGNALS) - {"preactivation"}


def test_an_evaluation_that_fails_leaves_the_function(tmp_path):
    """A callback that raises ends a validation between arming and running."""

    class Raising(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            raise KeyboardInterrupt

    model, monitor = build(), kik.SignalMonitor(every=2, evaluate=True)
    with pytest.raises(KeyboardInterrupt):
        trained(model, [monitor, Raising()])
    bare = build()
    bare.set_weights(model.get_weights())
    assert model.evaluate(X, Y, verbose=0) == bare.evaluate(X, Y, verbose=0)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"`signals` must be among .*evaluate=True"):
        kik.SignalMonitor(signals=["inference"])
    with pytest.raises(TypeError, match="`evaluate` must be True or False"):
        kik.SignalMonitor(evaluate="yes")


def findings(momentum, held_out):
    monitor = kik.SignalMonitor(every=2, evaluate=True, rules=["InferenceDiffers"])
    trained(build(momentum), [monitor], held_out)
    return monitor.findings


def test_rule_names_the_layer_and_the_cause():
    held_out = X[:40], Y[:40]
    assert findings(0.5, held_out) == []
    (raw,) = findings(0.5, (100 * X[:40], Y[:40]))
    assert raw.layer.endswith("first")
    assert "validation data" in raw.remedy
    assert raw.measured == pytest.approx(100, rel=0.5)


def test_rule_names_moving_averages_that_lag():
    """Inputs of std 30: variances start at 1, and few steps leave them there."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [k.Input((8,)), k.BatchNormalization(momentum=0.999, name="norm"), k.Dense(1)]
    )
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor(every=2, evaluate=True, rules=["InferenceDiffers"])
    x = 30 * X
    model.fit(x, Y, 16, 3, verbose=0, validation_data=(x, Y), callbacks=[monitor])
    (found,) = monitor.findings
    assert found.layer.endswith("norm")
    assert "momentum" in found.remedy
