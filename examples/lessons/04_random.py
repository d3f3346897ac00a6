"""Lesson 4: U(-1, 1) breaks the symmetry, and is too wide for any wide layer.

    python examples/lessons/04_random.py

Eight layers of 256 units on handwritten digits, before any training: with ReLU each
layer amplifies the signal, with tanh most units sit where their slope is near zero.
"""

import math

import numpy as np

import keras_initkit as kik
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

DEPTH, WIDTH = 8, 256
HIDDEN = slice(1, DEPTH)  # from the second hidden layer on, square and alike
NAMES = ("random", "glorot_uniform", "he_normal")


def saturation(model, data, initializer):
    """Returns the share of saturated units in each hidden layer, and their number."""
    kik.reinitialize(model, initializer, seed=0)
    record = kik.diagnose(model, data.x_train, data.y_train).record
    _, shares = record.profile("preactivation", "saturation_fraction")
    keys, units = record.profile("weight", "distinct_units")
    hidden = [key.layer for key in keys].index("hidden_2")
    return shares, int(units[hidden])


def draw(draws, saturated, path):
    """Draws the signal's size with ReLU, and saturation with tanh, against depth."""
    figure, (panels,) = drawing.new_figure(1, 2, (11, 4.2))
    styles = drawing.styles(NAMES)
    depths = np.arange(1, DEPTH + 1)
    sizes = {
        name: np.sqrt(one.second_moments[:, :DEPTH]) for name, one in draws.items()
    }
    drawing.draw_depth(panels[0], depths, sizes, styles)
    for name, shares in saturated.items():
        panels[1].plot(depths, shares, label=name, clip_on=False, **styles[name])
    panels[0].set(
        title="ReLU: the signal before training (mean and range of the draws)",
        ylabel="rms of the outputs",
    )
    panels[1].set(
        title="tanh: units with less than 5 % of their slope",
        ylabel="share of the outputs",
        ylim=(0, 1),
    )
    panels[1].legend(frameon=False, fontsize=9, loc="center right")
    for axes in panels:
        axes.set_xlabel("hidden layer")
    return drawing.complete(figure, path)


def run(log_dir, source="auto", draws=10):
    data = kik.data.load("mnist", source=source, limit=256)
    size = {"depth": DEPTH, "width": WIDTH}
    relu = kik.models.build("mnist_mlp", activation="relu", **size)
    tanh = kik.models.build("mnist_mlp", activation="tanh", **size)
    many = {
        name: kik.over_draws(relu, data.x_train, name, draws=draws) for name in NAMES
    }
    factor = {name: one.factor(HIDDEN) for name, one in many.items()}
    told = {name: saturation(tanh, data, name) for name in NAMES}
    saturated = {name: shares for name, (shares, _) in told.items()}
    # Var(w) = 1/3, and ReLU keeps half of the second moment.
    expected = WIDTH / 3 / 2
    units = told["random"][1]
    last = np.sqrt(many["random"].second_moments[:, DEPTH - 1].mean())
    growth = math.sqrt(factor["random"].mean)
    return Result(
        slide=4,
        title="random values",
        claim="Random weights U(−1, 1) break the symmetry: the network can learn.",
        deck="draws from U(−1, 1) for each weight",
        measured=f"{units} distinct units of {WIDTH}; the signal grows {growth:.1f} "
        f"times a ReLU layer, and {saturated['random'][1:].mean():.0%} of tanh units "
        "are saturated",
        checks=(
            Check(
                "random weights break the symmetry",
                f"{units} distinct units of {WIDTH} in the second layer",
                units == WIDTH,
                by_slide=True,
            ),
            Check(
                "and do for a deep network",
                f"rms of layer {DEPTH}'s outputs: {last:.2g}; of the inputs: "
                f"{math.sqrt(many['random'].input_second_moment):.2g}",
                factor["random"].agrees(1.0),
                by_slide=True,
            ),
            Check(
                "ReLU: the second moment grows by width/6 a layer",
                f"×{factor['random']}; {WIDTH}/6 = {expected:.4g}",
                factor["random"].agrees(expected),
            ),
            Check(
                "He's rule keeps it",
                f"×{factor['he_normal']}",
                factor["he_normal"].agrees(1.0),
            ),
            Check(
                "tanh: most units are saturated, from Glorot's rule next to none",
                f"{saturated['random'][1:].min():.0%} and more from U(−1, 1), "
                f"{saturated['glorot_uniform'].max():.1%} at most from Glorot's",
                saturated["random"][1:].min() > 0.5
                and saturated["glorot_uniform"].max() < 0.05,
            ),
        ),
        figures={f"factor_{name}": one.mean for name, one in factor.items()}
        | {f"saturated_{name}": s[1:].mean() for name, s in saturated.items()},
        picture=draw(many, saturated, log_dir / "random.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
