"""A pretrained network from `keras.applications`; only its new head is re-initialized.

    python examples/use_with_applications.py --weights imagenet --size 96
    tensorboard --logdir logdir/examples/applications

Without ImageNet weights the features are random. `kik.lsuv` scales them so that they
reach the head at all, since batch normalization initially normalizes nothing.
"""

import argparse

import keras
import numpy as np

import keras_initkit as kik


def build(weights, size, data):
    """MobileNetV3Small, frozen, under a new head."""
    base = keras.applications.MobileNetV3Small(
        input_shape=(size, size, 3),
        include_top=False,
        weights=weights,
        pooling="avg",  # it scales pixels from 0...255 by itself
    )
    if weights is None:
        some = keras.ops.image.resize(255 * data.x_train[:64], (size, size))
        kik.lsuv(base, some)
    base.trainable = False
    images = keras.Input((32, 32, 3))
    x = keras.layers.Resizing(size, size)(images)
    x = keras.layers.Rescaling(255.0)(x)
    x = base(x, training=False)  # batch normalization keeps what it knows
    x = keras.layers.Dense(64, "relu", name="head_hidden")(x)
    x = keras.layers.Dense(len(data.class_names), name="head_logits")(x)
    model = keras.Model(images, x)
    model.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return base, model


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="imagenet (default: random)")
    parser.add_argument("--size", type=int, default=32, help="of the images it sees")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=2000, help="training examples")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/applications")
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(0)
    data = kik.data.load("cifar10", source=args.source, limit=args.limit)
    base, model = build(args.weights, args.size, data)
    pretrained = base.get_weights()

    head = ["head_hidden", "head_logits"]
    plan = kik.recommend(model)
    print(kik.reinitialize(model, plan, seed=0, layers=head))
    monitor = kik.SignalMonitor(args.log_dir, layers=head)
    model.fit(
        data.x_train, data.y_train, epochs=args.epochs, verbose=2, callbacks=[monitor]
    )
    kept = map(np.array_equal, base.get_weights(), pretrained)
    print(f"pretrained weights are as they were: {all(kept)}")
    return base, model


if __name__ == "__main__":
    main()
