"""Lesson 5: the slide's Xavier, U(±1/√fan_in), divides the variance by 3 per layer.

    python examples/lessons/05_xavier.py

The limit of a uniform distribution is not its standard deviation: the slide's variance
is 1/(3·fan_in). Ten linear layers of 256 units, over many draws, forward and back.
"""

import numpy as np

import keras_initkit as kik
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

DEPTH, WIDTH = 10, 256
SQUARE = slice(1, DEPTH)  # the first layer has the inputs' size, the last that of y
NAMES = {"slide_xavier": "the slide's ±√(1/fan_in)", "glorot_uniform": "Glorot's rule"}
EXPECTED = {"slide_xavier": 1 / 3, "glorot_uniform": 1.0}


def gradients(model, data, initializer):
    """Returns the rms of dL/d(output) of the hidden layers, for one draw."""
    kik.reinitialize(model, initializer, seed=0)
    profile = kik.diagnose(model, data.x_train, data.y_train).profile
    return np.array([row.backprop for row in profile[:DEPTH]])


def draw(draws, back, path):
    """Draws the variance forward and the gradient back, against depth."""
    figure, (panels,) = drawing.new_figure(1, 2, (11.5, 4.2))
    figure.suptitle(f"{DEPTH} linear layers of {WIDTH} units", fontweight="bold")
    styles = {NAMES[name]: style for name, style in drawing.styles(NAMES).items()}
    depths = np.arange(1, DEPTH + 1)
    sizes = {NAMES[name]: one.second_moments[:, :DEPTH] for name, one in draws.items()}
    drawing.draw_depth(panels[0], depths, sizes, styles)
    gradients = {NAMES[name]: one[None] for name, one in back.items()}
    drawing.draw_depth(panels[1], depths, gradients, styles)
    theory = [
        one.second_moments[:, 0].mean() * EXPECTED[name] ** (depths - 1)
        for name, one in draws.items()
    ]
    drawing.draw_theory(panels[0], depths, theory, "theory: ×1/3, ×1 a layer")
    panels[0].set(
        title="Forward: mean and range of the draws",
        ylabel="mean square of the outputs",
    )
    panels[1].set(title="Back: one draw", ylabel="rms of dL/d(output)")
    for axes in panels:
        axes.set_xlabel("linear layer")
    return drawing.complete(figure, path)


def run(log_dir, source="auto", draws=20):
    data = kik.data.load("mnist", source=source, limit=128)
    model = kik.models.build("mnist_mlp", activation="linear", depth=DEPTH, width=WIDTH)
    many = {
        name: kik.over_draws(model, data.x_train, name, draws=draws) for name in NAMES
    }
    factor = {name: one.factor(SQUARE) for name, one in many.items()}
    back = {name: gradients(model, data, name) for name in NAMES}
    theory = 3 ** ((DEPTH - 1) / 2)
    lost = {name: one[-1] / one[0] for name, one in back.items()}
    return Result(
        slide=5,
        title="Xavier",
        claim="U(±1/√fan_in) keeps the variance of the signal from layer to layer.",
        deck="the rule, under the name Xavier",
        measured=f"the slide's rule multiplies the variance by "
        f"{factor['slide_xavier']} a layer, Glorot's by {factor['glorot_uniform']}",
        checks=(
            Check(
                "the slide's rule keeps the variance",
                f"×{factor['slide_xavier']} a linear layer",
                factor["slide_xavier"].agrees(1.0),
                by_slide=True,
            ),
            Check(
                "the slide's rule loses a factor 3 a linear layer",
                f"×{factor['slide_xavier']}; 1/3 = 0.3333",
                factor["slide_xavier"].agrees(EXPECTED["slide_xavier"]),
            ),
            Check(
                "Glorot's U(±√(6/(fan_in + fan_out))) keeps it",
                f"×{factor['glorot_uniform']}",
                factor["glorot_uniform"].agrees(EXPECTED["glorot_uniform"]),
            ),
            Check(
                "so do the gradients on their way back",
                f"from layer {DEPTH} to layer 1 they shrink "
                f"{lost['slide_xavier']:.0f} times with the slide's rule "
                f"(theory: {theory:.0f}), {lost['glorot_uniform']:.2f} times with "
                "Glorot's",
                theory / 2 < lost["slide_xavier"] < theory * 2
                and 0.5 < lost["glorot_uniform"] < 2,
            ),
        ),
        figures={f"factor_{name}": one.mean for name, one in factor.items()}
        | {f"factor_{name}_error": one.standard_error for name, one in factor.items()}
        | {f"gradient_loss_{name}": value for name, value in lost.items()},
        picture=draw(many, back, log_dir / "xavier.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
