"""Gradients beside Keras's own TensorBoard callback, as `write_grads=True` once had it.

python examples/use_with_tensorboard_callback.py
tensorboard --logdir logdir/examples/write_grads
"""

import argparse

import keras

import keras_initkit as kik


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=10_000, help="training examples")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/write_grads")
    args = parser.parse_args(argv)

    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    model = kik.models.build("mnist_mlp", initializer="he_normal", seed=0)
    callbacks = [keras.callbacks.TensorBoard(args.log_dir, histogram_freq=1)]

    # The two lines that bring the gradients back, of the steps that trained.
    gradients = kik.GradientMonitor(args.log_dir, every=50, histograms=1)
    callbacks.append(gradients)

    model.fit(
        data.x_train, data.y_train, epochs=args.epochs, verbose=2, callbacks=callbacks
    )
    return gradients


if __name__ == "__main__":
    main()
