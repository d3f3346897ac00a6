"""Lesson 2: units that start alike get equal gradients and stay alike forever.

    python examples/lessons/02_symmetry.py

The slide shows outputs of 0 and no gradient. Here three networks learn handwritten
digits in a custom train step, and at every step the gradients of the hidden units are
compared bit by bit.
"""

import keras
import numpy as np
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

STARTS = {
    "zero": "zero",
    "constant": keras.initializers.Constant(0.05),
    "glorot_uniform": "glorot_uniform",
}
WIDTH = 32


def train(initializer, data, log_dir, steps):
    """Trains by gradient descent; returns the first outputs and the record."""
    model = kik.models.build("mnist_mlp", initializer, depth=2, width=WIDTH, seed=0)
    first = np.asarray(model(data.x_train[:64]))
    optimizer = keras.optimizers.SGD(0.1)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = model.loss(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        hidden = gradients[0]  # of the first kernel: a column for each hidden unit
        return {
            "loss": loss,
            "unit_difference": tf.reduce_max(tf.abs(hidden - hidden[:, :1])),
            "largest_gradient": tf.reduce_max(tf.abs(hidden)),
        }

    monitor = kik.SignalMonitor(log_dir, every=1, rules=None, histograms=False)
    watched = monitor.instrument(step, model, optimizer)
    for n in range(steps):
        rows = slice(64 * n, 64 * (n + 1))
        watched(data.x_train[rows], data.y_train[rows])
    monitor.close()
    return first, monitor.record


def distinct(record):
    """Returns how many hidden units differ, at each step."""
    series = record.signal("weight")
    labels = [(key.layer, key.tensor) for key in series.tensors]
    column = labels.index(("hidden_1", "kernel"))
    return series.statistic("distinct_units")[:, column]


def draw(records, path):
    """Draws how many units differ, and by how much their gradients differ."""
    figure, (panels,) = drawing.new_figure(1, 2, (11, 4))
    figure.suptitle("Units that start alike stay alike", fontweight="bold")
    styles = drawing.styles(records)
    apart = {}
    for name, record in records.items():
        steps = record.signal("weight").steps
        style = {**styles[name], "markevery": 6}
        panels[0].plot(steps, distinct(record), label=name, **style)
        apart[name] = np.array(record.scalars["unit_difference"][1])[None]
    marked = {name: {**style, "markevery": 6} for name, style in styles.items()}
    drawing.draw_depth(panels[1], steps, apart, marked)
    panels[0].set(
        title=f"Different units of the {WIDTH} hidden ones",
        xlabel="optimizer step",
        ylabel="distinct units",
        ylim=(0, WIDTH + 2),
    )
    panels[1].set(
        title="Largest difference between the gradients of two hidden units",
        xlabel="optimizer step",
        ylabel="|difference| (loss per unit of weight)",
    )
    return drawing.complete(figure, path)


def run(log_dir, source="auto", steps=60):
    data = kik.data.load("mnist", source=source, limit=64 * steps)
    first, records = {}, {}
    for name, initializer in STARTS.items():
        first[name], records[name] = train(initializer, data, log_dir / name, steps)
    apart = {n: max(r.scalars["unit_difference"][1]) for n, r in records.items()}
    largest = {n: max(r.scalars["largest_gradient"][1]) for n, r in records.items()}
    most = {name: int(distinct(record).max()) for name, record in records.items()}
    return Result(
        slide=2,
        title="symmetry",
        claim="With zero weights all units compute the same, and all outputs are 0.",
        deck="outputs [0, 0, 0, 0]; no gradient is computed",
        measured=f"outputs {np.abs(first['zero']).max():.0f}; after {steps} steps "
        f"still {most['zero']} distinct hidden unit of {WIDTH}",
        checks=(
            Check(
                "the outputs of zero weights are 0",
                f"largest of {first['zero'].size}: {np.abs(first['zero']).max():.0f}",
                not first["zero"].any(),
                by_slide=True,
            ),
            Check(
                "zero weights and ReLU: the hidden gradients are exactly 0",
                f"largest in {steps} steps: {largest['zero']:.3g}",
                largest["zero"] == 0,
            ),
            Check(
                "it is not the zeros: from a constant 0.05 gradients flow, and are "
                "equal bit for bit",
                f"largest gradient {largest['constant']:.2g}, largest difference "
                f"between two units {apart['constant']:.3g}",
                largest["constant"] > 0 and apart["constant"] == 0,
            ),
            Check(
                "so the units stay copies of each other",
                f"distinct units at any step: {most['zero']} from zeros, "
                f"{most['constant']} from a constant, {most['glorot_uniform']} from "
                "Glorot's rule",
                most == {"zero": 1, "constant": 1, "glorot_uniform": WIDTH},
            ),
        ),
        figures={f"distinct_units_{name}": n for name, n in most.items()}
        | {f"unit_difference_{name}": value for name, value in apart.items()}
        | {f"largest_gradient_{name}": value for name, value in largest.items()},
        picture=draw(records, log_dir / "symmetry.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
