"""What is left of us on a model, and what is found when numbers go bad."""

import pickle

import keras
import numpy as np
import pytest

import keras_initkit as kik

RNG = np.random.default_rng(0)
X = RNG.standard_normal((48, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 48)


def build(**options):
    keras.utils.set_random_seed(1)
    inputs = keras.layers.Input((4,))
    x = keras.layers.Dense(6, activation="relu", name="first")(inputs)
    x = keras.layers.Dense(6, activation="tanh", name="second")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="last")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**{"optimizer": "sgd", "loss": loss, **options})
    return model


def fit(model, *callbacks):
    model.fit(X, Y, 4, shuffle=False, verbose=0, callbacks=list(callbacks))


class Raising(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 5:
            raise KeyError("stop here")


@pytest.mark.parametrize("breaks", [False, True], ids=["after_fit", "after_exception"])
def test_model_pickles_and_saves_and_trains_as_ever(breaks, tmp_path):
    bare, watched = build(), build()
    for model, monitors in (
        (bare, []),
        (watched, [kik.SignalMonitor(None, every=1, on_finding=print)]),
    ):
        if breaks:
            with pytest.raises(KeyError, match="stop here"):
                fit(model, *monitors, Raising())
        else:
            fit(model, *monitors)
    for one, other in zip(parts_of(bare), parts_of(watched), strict=True):
        assert vars(one).keys() == vars(other).keys()
    watched.save(tmp_path / "model.keras")
    copies = [
        pickle.loads(pickle.dumps(watched)),
        keras.saving.load_model(tmp_path / "model.keras"),
    ]
    for model in (bare, watched, *copies):
        fit(model)
        for one, other in zip(bare.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def parts_of(model):
    return [model, model.optimizer, *model._flatten_layers(include_self=False)]


@pytest.mark.parametrize(
    ("compiled", "steps", "stops"),
    [(False, 1, False), (True, 4, True), (True, 4, False)],
    ids=["graph", "xla_4_steps_stops", "xla_4_steps_goes_on"],
)
def test_first_number_that_is_not_finite_is_located(compiled, steps, stops, tmp_path):
    model = build(jit_compile=compiled, steps_per_execution=steps)

    class Break(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 4:
                kernel = model.get_layer("second").kernel
                value = kernel.numpy()
                value[2, 3] = np.inf
                kernel.assign(value)

    monitor = kik.SignalMonitor(
        tmp_path, every=1, histograms=1, on_finding="stop" if stops else "warn"
    )
    fit(model, Break(), monitor)
    found = [f for f in monitor.findings if f.rule == "NonFinite"]
    assert found
    assert found[0].layer == "second"
    assert found[0].step == 4
    assert found[0].measured == 1
    assert "weight" in found[0].message
    assert int(model.optimizer.iterations) == (12 if not stops else 4 + 2 * steps)
    record = kik.RunRecord.load(tmp_path)
    keys, counts = record.profile("weight", "nonfinite_count", step=4)
    counts = {key.label: count for key, count in zip(keys, counts, strict=True)}
    assert counts["second:kernel"] == 1
    assert counts["first:kernel"] == 0
    bad = record.histograms["weight"].values[-1, :, -1]
    assert bad.max() > 0
    assert np.isfinite(record.histograms["weight"].values).all()
