"""A subclassed model with its own `train_step`, watched like any other.

    python examples/use_with_custom_train_step.py
    tensorboard --logdir logdir/examples/custom_train_step

An autoencoder that denoises digits: the noise is drawn in the train step.
"""

import argparse

import keras
import tensorflow as tf

import keras_initkit as kik


class Denoiser(keras.Model):
    """Learns to recover the image that noise was added to."""

    def __init__(self, noise=0.5):
        super().__init__(name="denoiser")
        self.noise = noise
        self.random = keras.random.SeedGenerator(0)
        he = {"activation": "relu", "kernel_initializer": "he_normal"}
        self.encoder = keras.layers.Dense(64, name="encoder", **he)
        self.decoder = keras.layers.Dense(784, name="decoder")
        self.mean_loss = keras.metrics.Mean("loss")

    @property
    def metrics(self):
        return [self.mean_loss]

    def call(self, images):
        return self.decoder(self.encoder(images))

    def train_step(self, images):
        noise = keras.random.normal(tf.shape(images), seed=self.random)
        with tf.GradientTape() as tape:
            mended = self(images + self.noise * noise, training=True)
            loss = self.compute_loss(y=images, y_pred=mended)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.mean_loss.update_state(loss)
        return {"loss": self.mean_loss.result()}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=10_000, help="training examples")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/custom_train_step")
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(0)
    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    images = data.x_train.reshape(-1, 784)

    model = Denoiser()
    model.compile("adam", "mse")
    monitor = kik.SignalMonitor(args.log_dir)
    model.fit(images, epochs=args.epochs, verbose=2, callbacks=[monitor])

    for signal in ("activation", "gradient"):
        keys, values = monitor.record.profile(signal, "rms", step=0)
        for key, value in zip(keys, values, strict=True):
            print(f"{signal} of {key.label} at step 0: rms {value:.3g}")
    return monitor


if __name__ == "__main__":
    main()
