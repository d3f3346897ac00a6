"""Train a network without BatchNorm on CIFAR-10, where initialization matters.

    python examples/train_cifar10.py --initializer he_normal
    python examples/train_cifar10.py --initializer random
    tensorboard --logdir logdir/examples/cifar10

`--model cifar10_mlp` is the small dense network of many lessons, `cifar10_resnet` a
ResNet-20.
"""

import argparse

import keras

import keras_initkit as kik


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cifar10_cnn")
    parser.add_argument("--initializer", default="he_normal")
    parser.add_argument("--epochs", type=int, help="default: the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="training examples (default: all)")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/cifar10")
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(args.seed)
    data = kik.data.load("cifar10", source=args.source, limit=args.limit)
    print(data)

    spec = kik.models.spec_of(args.model)
    model = kik.models.build(args.model, initializer=args.initializer, seed=args.seed)
    monitor = kik.SignalMonitor(
        f"{args.log_dir}/{args.model}/{args.initializer}-seed{args.seed}", every=20
    )
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=spec.batch_size,
        epochs=args.epochs or spec.epochs,
        validation_data=(data.x_test, data.y_test),
        callbacks=[monitor],
        verbose=2,
    )

    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")
    for finding in kik.diagnosis.judge(monitor.record):
        print(finding)
    return accuracy


if __name__ == "__main__":
    main()
