"""An initializer and the monitor, dropped into a plain Keras model.

python examples/use_in_your_model.py
tensorboard --logdir logdir/examples/yours
"""

import argparse

import keras
import numpy as np

import keras_initkit as kik


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--log-dir", default="logdir/examples/yours")
    args = parser.parse_args(argv)

    x = np.random.default_rng(0).normal(size=(2000, 20)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 0).astype("int32")

    # Your model, as it is: the two lines with `kik` are all that is new.
    model = keras.Sequential(
        [
            keras.layers.Input((20,)),
            keras.layers.Dense(
                64, "relu", kernel_initializer=kik.initializers.get("he_normal")
            ),
            keras.layers.Dense(64, "relu", kernel_initializer="he_normal"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    monitor = kik.SignalMonitor(args.log_dir, every=10)
    model.fit(x, y, epochs=args.epochs, verbose=2, callbacks=[monitor])

    layers, stds = monitor.record.profile("activation", "std", step=0)
    for key, std in zip(layers, stds, strict=True):
        print(f"{key.layer}: std of the activations at step 0: {std:.3f}")
    for finding in kik.diagnosis.judge(monitor.record):
        print(finding)
    return monitor


if __name__ == "__main__":
    main()
