"""What has changed since a step was traced, Keras does not heed, nor do we."""

import keras
import numpy as np
import pytest

import keras_initkit as kik

X = np.random.default_rng(0).random((24, 4)).astype("float32")


class Change(keras.callbacks.Callback):
    def __init__(self, name, attribute, value):
        super().__init__()
        self.change = name, attribute, value

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            name, attribute, value = self.change
            setattr(self.model.get_layer(name), attribute, value)


def weights(change, *monitors):
    keras.utils.set_random_seed(3)
    dense, drop = keras.layers.Dense(6, name="dense"), keras.layers.Dropout(0.5)
    drop.name, last = "drop", keras.layers.Dense(1, name="last")
    model = keras.Sequential([keras.Input((4,)), dense, drop, last])
    model.compile("adam", "mse")
    callbacks = [*monitors, Change(*change)]
    model.fit(X, X[:, :1], 4, verbose=0, callbacks=callbacks)
    return [np.asarray(weight).tobytes() for weight in model.weights]


CHANGES = [("drop", "rate", 0.0), ("dense", "trainable", False)]


@pytest.mark.parametrize("change", CHANGES, ids=["rate", "trainable"])
def test_steps_that_were_traced_before_are_watched_on(change):
    monitor = kik.SignalMonitor(None, 1, rules=None)
    assert weights(change, monitor) == weights(change)
    assert monitor.record.signal("activation").steps.tolist() == list(range(6))


@pytest.mark.parametrize("change", CHANGES, ids=["rate", "trainable"])
def test_a_step_that_would_have_to_be_traced_is_not_watched(change):
    first = kik.SignalMonitor(None, 1, signals=("weight",), rules=None)
    late = kik.SignalMonitor(None, lambda step: step > 2, rules=None)
    _, attribute, value = change
    with pytest.warns(UserWarning, match=f"`{attribute}` of .* is {value} and was"):
        watched = weights(change, late)
    assert watched == weights(change)
    assert not late.record.series
    assert weights(change, first) == weights(change)
