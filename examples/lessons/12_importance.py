"""Lesson 12: four benefits of a good initialization, each shown by a number.

    python examples/lessons/12_importance.py
    tensorboard --logdir logdir/lessons/12_importance

Symmetry is broken, gradients have similar sizes, nothing vanishes or explodes, training
is faster: the slide claims all of this for Xavier. Eight ReLU layers on digits, over
several seeds.
"""

import math

import numpy as np

import keras_initkit as kik
from keras_initkit.experiments import Reused
from keras_initkit.lessons import Check, Result
from keras_initkit.report import MeanStd, drawing

NAMES = ("zero", "slide_xavier", "he_normal")
DEPTH, WIDTH = 8, 64
LEARNED = 1.0  # nats: less than half of a guess


def build(initializer, seed):
    """The network: deep enough for the initialization to matter."""
    return kik.models.build(
        "mnist_mlp", initializer, depth=DEPTH, width=WIDTH, seed=seed
    )


def units(run):
    """Returns how many units of the second layer differ after training."""
    keys, distinct = run.record.profile("weight", "distinct_units")
    labels = [(key.layer, key.tensor) for key in keys]
    return int(distinct[labels.index(("hidden_2", "kernel"))])


def unevenness(run):
    """Returns the ratio of largest to smallest gradient rms of the hidden kernels."""
    values = run.profile("gradient", "rms").values[:DEPTH]
    return float(values.max() / values.min()) if values.min() > 0 else math.inf


def gradient_size(run):
    """Returns the geometric mean of the gradient rms of the hidden kernels."""
    with np.errstate(divide="ignore"):
        return np.exp(np.mean(np.log(run.profile("gradient", "rms").values[:DEPTH])))


def steps_to_learn(run):
    """Returns the first recorded step with a loss below `LEARNED`, or infinity."""
    steps, losses = run.loss_curve()
    below = steps[losses < LEARNED]
    return float(below[0]) if len(below) else math.inf


def draw(comparison, path):
    """Draws training losses with intervals, and gradients against depth."""
    figure, (panels,) = drawing.new_figure(1, 2, (12, 4.6))
    styles = drawing.styles(NAMES)
    curves = {
        name: np.stack([run.loss_curve()[1] for run in comparison.of(name)])
        for name in NAMES
    }
    steps, _ = comparison.runs[0].loss_curve()
    drawing.draw_intervals(panels[0], steps, curves, styles)
    panels[0].set(
        title=f"Training: mean of {len(comparison.seeds)} seeds and its 95 % interval",
        xlabel="optimizer step",
        ylabel="training loss (nats)",
        yscale="log",
    )
    gradients = {
        name: np.stack(
            [run.profile("gradient", "rms").values for run in comparison.of(name)]
        )
        for name in NAMES
    }
    drawing.draw_depth(panels[1], np.arange(1, DEPTH + 2), gradients, styles)
    panels[1].set(
        title="Gradients before the first update",
        xlabel="weight layer",
        ylabel="rms of dL/d(kernel)",
    )
    return drawing.complete(figure, path)


def run(log_dir, source="auto", seeds=3, limit=12_800, epochs=2):
    data = kik.data.load("mnist", source=source, limit=limit)
    comparison = kik.compare(
        Reused(build),
        data,
        NAMES,
        seeds=seeds,
        epochs=epochs,
        log_dir=log_dir,
        batch_size=64,
        every=20,
    )
    of = {name: comparison.of(name) for name in NAMES}
    kept = {name: [units(run) for run in runs] for name, runs in of.items()}
    uneven = {name: max(map(unevenness, runs)) for name, runs in of.items()}
    factor = {
        name: 10 ** MeanStd.of([run.activation_slope for run in runs]).mean
        for name, runs in of.items()
    }
    steps = {name: [steps_to_learn(run) for run in runs] for name, runs in of.items()}
    accuracy = {
        name: MeanStd.of([r.accuracy for r in runs]) for name, runs in of.items()
    }
    size = {name: gradient_size(runs[0]) for name, runs in of.items()}
    smaller = size["he_normal"] / size["slide_xavier"]
    told = {
        name: "never" if math.inf in many else f"{np.mean(many):.0f} steps"
        for name, many in steps.items()
    }
    return Result(
        slide=12,
        title="why it matters",
        claim="Xavier breaks the symmetry, keeps gradients even, avoids vanishing and "
        "exploding, and trains faster than zeros.",
        deck="training curves of zero and Xavier, from the made-up update",
        measured="to a loss below "
        f"{LEARNED:g}: " + ", ".join(f"{name} {when}" for name, when in told.items()),
        checks=(
            Check(
                "symmetry is broken",
                f"distinct units of {WIDTH} after training: {max(kept['zero'])} from "
                f"zeros, {min(kept['slide_xavier'])} from the slide's Xavier",
                max(kept["zero"]) == 1 and min(kept["slide_xavier"]) == WIDTH,
                by_slide=True,
            ),
            Check(
                "training is faster than from zeros",
                f"zero {told['zero']}, Xavier {told['slide_xavier']}",
                max(steps["slide_xavier"]) < min(steps["zero"]),
                by_slide=True,
            ),
            Check(
                "the slide's Xavier keeps gradients of one size (within a factor 3)",
                "largest over smallest of the hidden layers: "
                f"{uneven['slide_xavier']:.2g}; but all are {smaller:.0f} times "
                "smaller than from He's rule",
                uneven["slide_xavier"] < 3,
                by_slide=True,
            ),
            Check(
                "with the slide's Xavier nothing vanishes (0.9 a layer and more)",
                f"the signal is multiplied by {factor['slide_xavier']:.2f} a layer; "
                f"theory: 1/√6 = {6**-0.5:.2f}",
                factor["slide_xavier"] > 0.9,
                by_slide=True,
            ),
            Check(
                "He's rule has all four",
                f"{min(kept['he_normal'])} distinct units, gradients within a factor "
                f"{uneven['he_normal']:.2g}, ×{factor['he_normal']:.2f} a layer, "
                f"{told['he_normal']}",
                min(kept["he_normal"]) == WIDTH
                and uneven["he_normal"] < 3
                and 0.8 < factor["he_normal"] < 1.25
                and max(steps["he_normal"]) <= min(steps["slide_xavier"]),
            ),
        ),
        figures={f"factor_{name}": value for name, value in factor.items()}
        | {f"unevenness_{name}": value for name, value in uneven.items()}
        | {"gradients_smaller": smaller}
        | {f"steps_{name}": float(np.mean(many)) for name, many in steps.items()}
        | {f"accuracy_{name}": one.mean for name, one in accuracy.items()},
        picture=draw(comparison, log_dir / "importance.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
