"""Train a dense network on MNIST from an initializer of your choice, and watch it.

    python examples/train_mnist.py --initializer he_normal
    python examples/train_mnist.py --initializer zero
    tensorboard --logdir logdir/examples/mnist

Under SCALARS, `activation/.../std` and `gradient/.../rms` show what each layer gets.
"""

import argparse

import keras

import keras_initkit as kik


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--initializer", default="he_normal")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="training examples (default: all)")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/mnist")
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(args.seed)
    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    print(data)

    model = kik.models.build("mnist_mlp", initializer=args.initializer, seed=args.seed)
    monitor = kik.SignalMonitor(f"{args.log_dir}/{args.initializer}-seed{args.seed}")
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=128,
        epochs=args.epochs,
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
