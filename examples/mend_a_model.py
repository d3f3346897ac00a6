"""Three models that do not learn MNIST: what is wrong, and what fixes them.

    python examples/mend_a_model.py
    python examples/mend_a_model.py --limit 60000 --epochs 2

A 30-layer sigmoid network, a 30-layer ReLU network with Glorot's uniform rule and a
convolutional network initialized with zeros are diagnosed before training, trained as
they are, repaired by `kik.recommend` and `kik.reinitialize`, and trained again from
there with the same optimizer on the same batches. The figure goes to the log directory.
"""

import argparse
import pathlib

import keras

import keras_initkit as kik

layers = keras.layers
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def deep(name, activation, depth, width=64):
    """A plain stack of dense layers, as Keras initializes them by default."""
    hidden = [
        layers.Dense(width, activation, name=f"hidden_{n}") for n in range(1, depth + 1)
    ]
    parts = [layers.Input((28, 28, 1)), layers.Flatten(), *hidden, layers.Dense(10)]
    return keras.Sequential(parts, name=name)


def zero_cnn(name):
    """A small convolutional network whose kernels all start at zero."""
    start = {"kernel_initializer": "zeros"}
    parts = [
        layers.Input((28, 28, 1)),
        layers.Conv2D(16, 5, 2, activation="relu", name="conv_1", **start),
        layers.Conv2D(32, 5, 2, activation="relu", name="conv_2", **start),
        layers.Flatten(),
        layers.Dense(10, name="logits", **start),
    ]
    return keras.Sequential(parts, name=name)


def broken_models(depth):
    """Returns the three models, each with a function that creates its optimizer."""
    return (
        (
            deep(f"sigmoid_{depth}", "sigmoid", depth),
            lambda: keras.optimizers.Adam(1e-3),
        ),
        (
            deep(f"relu_{depth}_glorot", "relu", depth),
            lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        ),
        (zero_cnn("zero_cnn"), lambda: keras.optimizers.Adam(1e-3)),
    )


def train(model, optimizer, data, epochs, log_dir):
    """Trains a model from its current weights; returns losses and test accuracy."""
    model.compile(optimizer, CLASSES, metrics=["accuracy"])
    losses = []
    history = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])
    )
    keras.utils.set_random_seed(1)  # the same batches for all
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=64,
        epochs=epochs,
        verbose=0,
        callbacks=[history, kik.SignalMonitor(log_dir, every=50)],
    )
    _, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    return losses, accuracy


def examine(model, optimizer, data, epochs, log_dir):
    """Diagnoses a model and then trains it."""
    model.compile(optimizer(), CLASSES)
    diagnosis = kik.diagnose(model, data.x_train, data.y_train)
    print(diagnosis, end="\n\n")
    return diagnosis, *train(model, optimizer(), data, epochs, log_dir)


def draw(cases, path):
    """Draws each model's gradient against depth, and its loss, before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    panels = figure.subplots(2, len(cases))
    for column, (name, *versions) in enumerate(cases):
        for label, colour, (diagnosis, losses, accuracy) in zip(
            ("as it was", "mended"), ("#D55E00", "#0072B2"), versions, strict=True
        ):
            # What is exactly 0 has no place on a logarithmic axis: it lies at the edge.
            back = [max(row.backprop, 1e-24) for row in diagnosis.profile]
            style = {"color": colour, "label": f"{label}: accuracy {accuracy:.3f}"}
            panels[0, column].plot(back, marker="o", markersize=3, **style)
            panels[1, column].plot(losses, **style)
        panels[0, column].set(title=name, xlabel="weight layer", yscale="log")
        panels[0, column].set_ylim(1e-24, 1)
        panels[1, column].set(xlabel="optimizer step", ylim=(0, 2.6))
        panels[1, column].legend(frameon=False)
    panels[0, 0].set_ylabel("rms of dL/d(output) before training")
    panels[1, 0].set_ylabel("training loss (mean of the epoch so far)")
    figure.suptitle(
        "MNIST, before and after kik.reinitialize(model, kik.recommend(model))"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--depth", type=int, default=30, help="hidden layers")
    parser.add_argument("--limit", type=int, default=10_000, help="training examples")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/mend_a_model")
    args = parser.parse_args(argv)

    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    print(data)
    log_dir = pathlib.Path(args.log_dir)
    keras.utils.set_random_seed(0)
    cases = []
    for model, optimizer in broken_models(args.depth):
        start = model.get_weights()
        runs = log_dir / model.name
        failed = examine(model, optimizer, data, args.epochs, runs / "as_it_was")

        model.set_weights(start)
        plan = kik.recommend(model)
        print(plan, end="\n\n")
        kik.reinitialize(model, plan, seed=0)
        mended = examine(model, optimizer, data, args.epochs, runs / "mended")
        cases.append((model.name, failed, mended))
    for name, failed, mended in cases:
        print(
            f"{name}: test accuracy {failed[2]:.3f} as it was, {mended[2]:.3f} mended"
        )
    draw(cases, log_dir / "mend_a_model.png")
    return {name: (failed, mended) for name, failed, mended in cases}


if __name__ == "__main__":
    main()
