"""Lesson 6: the slide's He, U(±√(2/fan_in)), divides the signal by 3 per ReLU layer.

    python examples/lessons/06_he.py

He's uniform limit is √(6/fan_in): a variance of 2/fan_in, twice Glorot's, because ReLU
keeps half. Ten ReLU layers over many draws, and twenty of them trained on digits.
"""

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.experiments import Reused
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

DEPTH, WIDTH = 10, 256
SQUARE = slice(1, DEPTH)
NAMES = {
    "slide_he": "the slide's ±√(2/fan_in)",
    "glorot_uniform": "Glorot's rule",
    "he_normal": "He's rule",
}
EXPECTED = {"slide_he": 1 / 3, "glorot_uniform": 1 / 2, "he_normal": 1.0}


def train(data, deep, log_dir, epochs):
    """Trains a network with that many ReLU layers from each rule."""

    def build(initializer, seed):
        model = kik.models.build(
            "mnist_mlp", initializer, depth=deep, width=64, seed=seed
        )
        sgd = keras.optimizers.SGD(0.01, momentum=0.9)
        model.compile(sgd, model.loss, metrics=["accuracy"])
        return model

    start, rules = Reused(build), list(EXPECTED)
    return kik.compare(
        start,
        data,
        rules,
        seeds=1,
        epochs=epochs,
        log_dir=log_dir,
        batch_size=64,
        every=20,
    )


def draw(draws, runs, deep, path):
    """Draws the second moment against depth, and the losses of the deep networks."""
    figure, (panels,) = drawing.new_figure(1, 2, (11.5, 4.2))
    styles = {NAMES[name]: style for name, style in drawing.styles(NAMES).items()}
    depths = np.arange(1, DEPTH + 1)
    sizes = {NAMES[name]: one.second_moments[:, :DEPTH] for name, one in draws.items()}
    drawing.draw_depth(panels[0], depths, sizes, styles)
    theory = [
        one.second_moments[:, 0].mean() * EXPECTED[name] ** (depths - 1)
        for name, one in draws.items()
    ]
    drawing.draw_theory(panels[0], depths, theory, "theory: ×1/3, ×1/2, ×1 a layer")
    panels[0].set(
        title="Before training: mean and range of the draws",
        xlabel="ReLU layer",
        ylabel="mean square of the outputs",
    )
    curves = {run.initializer: run.loss_curve() for run in runs}
    drawing.draw_losses(panels[1], curves, NAMES)
    panels[1].set(title=f"Training {deep} ReLU layers", ylim=(0, 3))
    return drawing.complete(figure, path)


def run(log_dir, source="auto", draws=20, deep=20, limit=12_800, epochs=2):
    data = kik.data.load("mnist", source=source, limit=limit)
    model = kik.models.build("mnist_mlp", depth=DEPTH, width=WIDTH)
    x = data.x_train[:128]
    many = {name: kik.over_draws(model, x, name, draws=draws) for name in EXPECTED}
    factor = {name: one.factor(SQUARE) for name, one in many.items()}
    runs = train(data, deep, log_dir, epochs).runs
    accuracy = {run.initializer: run.accuracy for run in runs}
    return Result(
        slide=6,
        title="He",
        claim="U(±√(2/fan_in)) keeps the variance of the signal through ReLU layers.",
        deck="the rule, under the name He",
        measured=f"the slide's rule multiplies the second moment by "
        f"{factor['slide_he']} a layer, He's by {factor['he_normal']}",
        checks=(
            Check(
                "the slide's rule keeps the signal",
                f"×{factor['slide_he']} a ReLU layer",
                factor["slide_he"].agrees(1.0),
                by_slide=True,
            ),
            Check(
                "the slide's rule loses a factor 3 a ReLU layer",
                f"×{factor['slide_he']}; 1/3 = 0.3333",
                factor["slide_he"].agrees(EXPECTED["slide_he"]),
            ),
            Check(
                "He's variance of 2/fan_in keeps it, Glorot's loses a half",
                f"×{factor['he_normal']} and ×{factor['glorot_uniform']}",
                factor["he_normal"].agrees(1.0)
                and factor["glorot_uniform"].agrees(EXPECTED["glorot_uniform"]),
            ),
            Check(
                f"only He's trains {deep} ReLU layers",
                ", ".join(f"{name} {value:.3f}" for name, value in accuracy.items())
                + " (test accuracy)",
                accuracy["he_normal"]
                > 2 * max(accuracy["slide_he"], accuracy["glorot_uniform"]),
            ),
        ),
        figures={f"factor_{name}": one.mean for name, one in factor.items()}
        | {f"factor_{name}_error": one.standard_error for name, one in factor.items()}
        | {f"accuracy_{name}": value for name, value in accuracy.items()},
        picture=draw(many, runs, deep, log_dir / "he.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
