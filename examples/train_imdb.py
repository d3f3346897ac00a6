"""Train a recurrent network on IMDB reviews: is a review good or bad?

    python examples/train_imdb.py --model imdb_lstm
    python examples/train_imdb.py --model imdb_rnn --recurrent-initializer random
    tensorboard --logdir logdir/examples/imdb

A recurrent kernel meets itself at every word: its initializer decides whether the
signal of the first words reaches the end.
"""

import argparse

import keras

import keras_initkit as kik


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="imdb_lstm")
    parser.add_argument("--initializer", default="glorot_uniform")
    parser.add_argument("--recurrent-initializer", default="orthogonal")
    parser.add_argument("--epochs", type=int, help="default: the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="training examples (default: all)")
    parser.add_argument("--maxlen", type=int, default=200, help="words of a review")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/imdb")
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(args.seed)
    data = kik.data.load(
        "imdb", source=args.source, limit=args.limit, maxlen=args.maxlen
    )
    print(data)
    print(f"{data.class_names[data.y_train[0]]}: {data.decode(data.x_train[0])[:80]}…")

    spec = kik.models.spec_of(args.model)
    model = kik.models.build(
        args.model,
        initializer=args.initializer,
        recurrent_initializer=args.recurrent_initializer,
        seed=args.seed,
        maxlen=args.maxlen,
    )
    name = f"{args.initializer}-{args.recurrent_initializer}-seed{args.seed}"
    monitor = kik.SignalMonitor(f"{args.log_dir}/{args.model}/{name}", every=20)
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
