"""Lesson 13: the slide's rule for each activation, and what to do instead.

    python examples/lessons/13_best_practice.py
    tensorboard --logdir logdir/lessons/13_best_practice

`initialize_weights` mistakes limits for standard deviations, and uses 0.01 for anything
it does not know. `kik.recommend` and `kik.reinitialize` choose for each layer; a
monitor shows the difference during training.
"""

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.experiments import Reused
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

DEPTH, WIDTH = 20, 64
# The slide's limits: √(2/n) for relu, √(1/n) for sigmoid and tanh, else 0.01.
SLIDE = {
    "relu": "slide_he",
    "tanh": "slide_xavier",
    "sigmoid": "slide_xavier",
    "gelu": keras.initializers.RandomUniform(-0.01, 0.01),
}
RULES = ("slide", "recommended")


def build(activation, rule):
    """A plain stack on digits, initialized with the slide's rule or with the plan."""
    model = kik.models.build(
        "mnist_mlp", activation=activation, depth=DEPTH, width=WIDTH
    )
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(sgd, model.loss, metrics=["accuracy"])
    plan = kik.recommend(model) if rule == "recommended" else SLIDE[activation]
    kik.reinitialize(model, plan, seed=0)
    return model


def gradients(activation, rule, data):
    """Returns the rms of dL/d(output) of the hidden layers before training."""
    model = build(activation, rule)
    profile = kik.diagnose(model, data.x_train, data.y_train).profile
    return np.array([row.backprop for row in profile[:DEPTH]])


def train(model, data, log_dir, epochs):
    """Trains a model under the monitor; returns its accuracy and what was found."""
    monitor = kik.SignalMonitor(log_dir, every=20, on_finding=lambda finding: None)
    x, y = data.x_train, data.y_train
    options = {"shuffle": False, "verbose": 0, "callbacks": [monitor]}
    model.fit(x, y, batch_size=64, epochs=epochs, **options)
    accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)[1]
    return accuracy, {finding.rule for finding in monitor.findings}


def draw(back, path):
    """Draws the gradients against depth for each activation."""
    figure, panels = drawing.new_figure(1, len(back), (15, 4.2), sharey=True)
    for axes, (activation, pair) in zip(panels[0], back.items(), strict=True):
        label = SLIDE[activation] if activation != "gelu" else "U(±0.01)"
        names = (f"slide: {label}", "recommended")
        styles = drawing.styles([label, "recommended"])
        looks = dict(zip(names, styles.values(), strict=True))
        values = {n: pair[r][None] for n, r in zip(names, RULES, strict=True)}
        drawing.draw_depth(axes, np.arange(1, DEPTH + 1), values, looks)
        axes.set(title=activation, xlabel="hidden layer")
        axes.set_xticks(range(1, DEPTH + 1, 3))
    panels[0, 0].set_ylabel("rms of dL/d(output) before training")
    figure.suptitle(f"{DEPTH} layers of {WIDTH} units on digits", fontweight="bold")
    return drawing.complete(figure, path)


def run(log_dir, source="auto", limit=12_800, epochs=2):
    data = kik.data.load("mnist", source=source, limit=limit)
    back = {
        activation: {rule: gradients(activation, rule, data) for rule in RULES}
        for activation in SLIDE
    }
    # By how much a layer multiplies the gradient on its way back.
    factor = {
        rule: {
            a: (one[rule][0] / one[rule][-1]) ** (1 / (DEPTH - 1))
            for a, one in back.items()
        }
        for rule in RULES
    }
    told = {
        rule: ", ".join(f"{name} ×{value:.2g}" for name, value in one.items())
        for rule, one in factor.items()
    }
    relu = Reused(lambda rule, seed: build("relu", rule))  # traced once
    trained = {
        rule: train(relu(rule, 0), data, log_dir / rule, epochs) for rule in RULES
    }
    accuracy = {rule: value for rule, (value, _) in trained.items()}
    found = {rule: sorted(rules) for rule, (_, rules) in trained.items()}
    return Result(
        slide=13,
        title="best practice",
        claim="Choose the start by the activation: √(2/n) for ReLU, √(1/n) for sigmoid "
        "and tanh, else 0.01; and monitor activations and gradients.",
        deck="initialize_weights([784, 256, 128, 10], activation)",
        measured=f"{DEPTH} ReLU layers: test accuracy {accuracy['slide']:.3f} from the "
        f"slide's rule, {accuracy['recommended']:.3f} as recommended",
        checks=(
            Check(
                "the slide's rule keeps gradients of one size (0.9 to 1.1 a layer)",
                told["slide"],
                all(0.9 < value < 1.1 for value in factor["slide"].values()),
                by_slide=True,
            ),
            Check(
                "monitoring shows what is wrong",
                f"found while it trained: {', '.join(found['slide'])}",
                "VanishingGradient" in found["slide"],
                by_slide=True,
            ),
            Check(
                "kik.recommend keeps them within a quarter for every activation",
                told["recommended"],
                all(0.75 < value < 1.25 for value in factor["recommended"].values()),
            ),
            Check(
                "and what the slide's rule does not train, it does",
                f"accuracy {accuracy['slide']:.3f} and {accuracy['recommended']:.3f}",
                accuracy["recommended"] > 2 * accuracy["slide"],
            ),
        ),
        figures={
            f"factor_{rule}_{name}": value
            for rule, one in factor.items()
            for name, value in one.items()
        }
        | {f"accuracy_{rule}": value for rule, value in accuracy.items()},
        picture=draw(back, log_dir / "best_practice.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
