"""What the table of kinds does not tell: accumulation, clipping, own functions."""

import keras
import kinds_base
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik


def fit(model, *callbacks):
    kinds_base.train_once(
        kinds_base.Kind(None, kinds_base.X, kinds_base.Y), model, callbacks
    )


def test_updates_are_accumulated_and_clipped_and_gradients_are_not():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=4, clipnorm=0.01)
    monitor = kik.SignalMonitor(None, every=1, histograms=False)
    fit(kinds_base.mlp(optimizer=optimizer), monitor)
    updates = monitor.record.signal("update").statistic("norm")
    moved = (updates > 0).any(axis=1)
    assert moved.tolist() == [step % 4 == 3 for step in range(kinds_base.STEPS)]
    np.testing.assert_allclose(updates[moved], 0.1 * 0.01, rtol=1e-3)
    assert (monitor.record.signal("gradient").statistic("norm")[0] > 0.01).all()


class WithoutTargets(keras.Model):
    """Compares its outputs with its inputs, and is built by its first step."""

    def __init__(self):
        super().__init__(name="without_targets")
        self.encoder = keras.layers.Dense(3, "relu", name="encoder")
        self.decoder = keras.layers.Dense(6, name="decoder")

    def call(self, x):
        return self.decoder(self.encoder(x))

    def train_step(self, x):
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=x, y_pred=self(x, training=True))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def test_own_step_does_without_targets():
    def trained(*callbacks):
        keras.utils.set_random_seed(1)
        model = WithoutTargets()
        model.compile("adam", "mse")
        kinds_base.train_once(
            kinds_base.Kind(None, kinds_base.X, None), model, callbacks
        )
        return model

    bare, monitor = trained(), kik.SignalMonitor(None, every=7)
    watched = trained(monitor)
    for one, other in zip(watched.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert monitor.record.signal("backprop").steps.tolist() == [0, 7, 14]


class OwnFunction(keras.Model):
    """Makes its train function itself, as Keras says one may."""

    def make_train_function(self, force=False):
        if self.train_function is None or force:

            @tf.function
            def train_function(iterator):
                return self.train_step(next(iterator))

            self.train_function = train_function
        return self.train_function


def test_own_train_function_runs_as_ever():
    def build():
        keras.utils.set_random_seed(1)
        inputs = keras.layers.Input((6,))
        model = OwnFunction(inputs, keras.layers.Dense(3)(inputs), name="own")
        model.compile("sgd", kinds_base.CLASSES)
        return model

    bare, watched = build(), build()
    fit(bare)
    monitor = kik.SignalMonitor(None, every=4)
    with pytest.warns(UserWarning, match="`make_train_function`"):
        fit(watched, monitor)
    for one, other in zip(bare.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not monitor.record.series
