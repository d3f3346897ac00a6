"""Train a network on MNIST from an initializer of your choice, and watch it.

    python examples/train_mnist.py --initializer he_normal
    python examples/train_mnist.py --initializer zero
    tensorboard --logdir logdir/examples/mnist

Under SCALARS, `activation/.../std` and `gradient/.../rms` show what each layer gets;
the InitKit tab shows all layers at once.

An interrupted run (Ctrl-C, a crash, a lost machine) resumes after its last complete
epoch when you repeat the same command; with `--deterministic` it ends with the weights
of an uninterrupted run, bit for bit.
"""

import argparse
import math
import pathlib

import keras
import tensorflow as tf

import keras_initkit as kik

# What makes the run what it is: columns of HParams.
SETTINGS = ("initializer", "seed", "batch_size", "learning_rate", "precision", "limit")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model", choices=("mnist_mlp", "mnist_cnn"), default="mnist_mlp")
    add("--initializer", default="he_normal", help="see `keras-initkit catalog`")
    add("--epochs", type=int, default=10, help="at most")
    add("--patience", type=int, default=3, help="epochs without a better validation")
    add("--batch-size", type=int, default=128)
    add("--learning-rate", type=float, default=1e-3)
    add("--seed", type=int, default=0, help="of weights and batches")
    add("--limit", type=int, help="training examples; None: all")
    add("--source", default="auto", help="auto, real, standin, or a folder of .npz")
    add("--log-dir", default="logdir/examples/mnist")
    add("--name", help="of the run; None: after initializer and seed")
    add("--every", type=int, default=10, help="monitor every so many steps")
    add("--precision", choices=PRECISIONS, default="float32")
    add("--strategy", choices=("none", "mirrored"), default="none", help="of all GPUs")
    add("--deterministic", action="store_true", help="the same bits in every run")
    add("--restart", action="store_true", help="forget what the run has done so far")
    args = parser.parse_args(argv)
    if min(args.epochs, args.batch_size) < 1:
        parser.error("--epochs and --batch-size must be at least 1")
    if args.limit is not None and args.limit < 10:
        parser.error("--limit must be at least 10: a tenth is held out")
    try:
        kik.initializers.get(args.initializer)
    except ValueError as error:
        parser.error(str(error))
    return args


def batches(x, y, size, seed, epochs):
    """Shuffled batches, epoch after epoch; the order depends only on seed and epoch."""

    def rows(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(y)), [seed, epoch]
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(size)

    x, y = tf.constant(x), tf.constant(y)
    return (
        tf.data.Dataset.range(epochs.start, epochs.stop, output_type=tf.int32)
        .flat_map(rows)
        .map(lambda row: (tf.gather(x, row), tf.gather(y, row)), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def main(argv=None):
    args = arguments(argv)
    name = args.name or f"{args.initializer}-seed{args.seed}"
    run = pathlib.Path(args.log_dir, args.model, name)
    if (run / "model.keras").exists() and not args.restart:
        raise SystemExit(f"{run} is finished: give another --name, or --restart it.")
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.precision)
    if args.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = tf.distribute.get_strategy()
    if args.strategy == "mirrored":
        strategy = tf.distribute.MirroredStrategy()

    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    print(data)
    held_out = len(data.x_train) // 10  # for early stopping, not the test set
    x, x_held_out = data.x_train[:-held_out], data.x_train[-held_out:]
    y, y_held_out = data.y_train[:-held_out], data.y_train[-held_out:]

    with strategy.scope():
        model = kik.models.build(  # or your own compiled model
            args.model,
            initializer=args.initializer,
            learning_rate=args.learning_rate,
            seed=args.seed,
        )
    monitor = kik.SignalMonitor(run, every=args.every)
    monitor.record.metadata["data"] = data.origin
    stopping = keras.callbacks.EarlyStopping(
        "val_accuracy",
        patience=args.patience,
        restore_best_weights=True,
        verbose=1,
    )
    settings = {name: getattr(args, name) for name in SETTINGS}
    resume = kik.ResumePoint(run / "resume.npz", [stopping], settings=settings)
    if args.restart:
        resume.clear()
    try:
        epochs = resume.restore(model, args.epochs)
    except ValueError as error:  # begun with other flags
        raise SystemExit(f"{error} Here that is --restart.") from None
    if resume.epoch:
        print(f"Goes on after epoch {resume.epoch} of the interrupted run in {run}.")
    else:
        for file in run.rglob("events.out.tfevents.*"):
            file.unlink()  # of an earlier run
        print(kik.diagnose(model, x, y))

    kik.recording.hparams.write_session_start(
        run,
        {name: value for name, value in settings.items() if value is not None},
        metrics={"accuracy": "on the test set, after training"},
    )
    try:
        model.fit(
            batches(x, y, args.batch_size, args.seed, epochs),
            shuffle=False,  # they are
            steps_per_epoch=math.ceil(len(x) / args.batch_size),
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            validation_data=(x_held_out, y_held_out),
            callbacks=[monitor, stopping, resume],
            verbose=2,
        )
    except KeyboardInterrupt:
        print(f"Stopped after {resume.epoch} epochs; the same command goes on.")
        raise SystemExit(130) from None

    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")
    model.save(run / "model.keras")
    steps = int(model.optimizer.iterations.numpy())
    kik.recording.hparams.write_session_end(run, {"accuracy": accuracy}, steps)
    resume.clear()
    for finding in kik.diagnosis.judge(kik.RunRecord.load(run)):
        print(finding)
    return accuracy


if __name__ == "__main__":
    main()
