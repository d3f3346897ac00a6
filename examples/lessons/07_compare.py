"""Lesson 7: what four initializers do to the same input, over hundreds of draws.

    python examples/lessons/07_compare.py

The slide shows one draw of a linear [5, 10, 5] network. One draw says little: here are
the distributions, what theory expects of them, and the same for a convolutional
network.
"""

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

NAMES = ("zero", "random", "slide_xavier", "slide_he")
# Var(w) · fan_in of each rule for fans of 5 and 10: what theory multiplies by.
VARIANCE = {
    "zero": lambda fan_in: 0.0,
    "random": lambda fan_in: fan_in / 3,
    "slide_xavier": lambda fan_in: 1 / 3,
    "slide_he": lambda fan_in: 2 / 3,
}


def build():
    """The slide's linear network of 5 inputs, 10 hidden units and 5 outputs."""
    dense = keras.layers.Dense
    return keras.Sequential(
        [keras.layers.Input((5,)), dense(10, name="hidden"), dense(5, name="output")]
    )


def draw(small, cnn, path):
    """Draws the outputs' distributions, and a convolutional network against depth."""
    figure, (panels,) = drawing.new_figure(1, 2, (12, 4.4))
    styles = drawing.styles(NAMES)
    shown = [name for name in NAMES if name != "zero"]
    bins = np.linspace(-6, 6, 41)
    for name in shown:
        values = np.clip(small[name].outputs.ravel(), -6, 6)
        density, _ = np.histogram(values, bins, density=True)
        density[density == 0] = np.nan  # no place on a logarithmic axis
        middles = (bins[:-1] + bins[1:]) / 2
        panels[0].plot(middles, density, label=name, markevery=2, **styles[name])
    panels[0].axvline(0, color="black", lw=2, zorder=1, label="zero: always 0")
    panels[0].set(
        title="Outputs of the [5, 10, 5] network (beyond ±6: at the edge)",
        xlabel="output",
        ylabel="density",
        yscale="log",
    )
    depths = np.arange(1, len(cnn["slide_he"].layers) + 1)
    sizes = {name: np.sqrt(one.second_moments) for name, one in cnn.items()}
    drawing.draw_depth(panels[1], depths, sizes, styles)
    theory = [np.sqrt(cnn[name].expected) for name in shown]
    drawing.draw_theory(panels[1], depths, theory, "theory, blind to pooling")
    panels[1].set(
        title="A convolutional network on digits", ylabel="rms of the outputs"
    )
    panels[1].set_xticks(depths, cnn["slide_he"].layers)
    return drawing.complete(figure, path)


def run(log_dir, source="auto", draws=200, cnn_draws=5):
    x = np.asarray(keras.random.normal((16, 5), seed=0))
    small = {name: kik.over_draws(build(), x, name, draws=draws) for name in NAMES}
    data = kik.data.load("mnist", source=source, limit=32)
    cnn_model = kik.models.build("mnist_cnn")
    cnn = {
        name: kik.over_draws(cnn_model, data.x_train, name, draws=cnn_draws)
        for name in NAMES
    }
    size = float(np.mean(x**2))
    expected = {n: size * rule(5) * rule(10) for n, rule in VARIANCE.items()}
    found = {
        name: kik.inspection.Estimate.of(one.second_moments[:, -1])
        for name, one in small.items()
    }
    single = small["slide_he"].second_moments[:, -1]
    spread = {name: float(one.outputs.std()) for name, one in small.items()}
    return Result(
        slide=7,
        title="the four side by side",
        claim="Zeros give only zeros, random values large outputs, Xavier and He "
        "moderate ones.",
        deck="one draw of the outputs of [5, 10, 5] for each of the four",
        measured="standard deviation of the outputs: "
        + ", ".join(f"{name} {value:.3g}" for name, value in spread.items()),
        checks=(
            Check(
                "zeros give zeros",
                f"largest output {np.abs(small['zero'].outputs).max():.0f}",
                not small["zero"].outputs.any(),
                by_slide=True,
            ),
            Check(
                "U(−1, 1) gives the largest outputs, He larger ones than Xavier",
                ", ".join(f"{name} {spread[name]:.3g}" for name in NAMES[1:]),
                spread["random"] > spread["slide_he"] > spread["slide_xavier"],
                by_slide=True,
            ),
            Check(
                f"over {draws} draws their mean square is what theory says",
                "; ".join(f"{n} {found[n]}, theory {expected[n]:.3g}" for n in NAMES),
                all(found[name].agrees(expected[name]) for name in NAMES),
            ),
            Check(
                "one draw tells little",
                "the rms of the outputs of a single draw from the slide's He lies "
                f"between {np.sqrt(single.min()):.2g} and {np.sqrt(single.max()):.2g}",
                single.max() > 4 * single.min(),
            ),
        ),
        figures={f"second_moment_{name}": one.mean for name, one in found.items()}
        | {f"expected_{name}": value for name, value in expected.items()},
        picture=draw(small, cnn, log_dir / "compare.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
