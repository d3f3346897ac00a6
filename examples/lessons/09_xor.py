"""Lesson 9: XOR with real training: from zeros the error stays at 0.25 forever.

    python examples/lessons/09_xor.py

The slide's figures come from an update that is not a gradient. Here the [2, 4, 1]
sigmoid network is trained by back-propagation (Adam, all four points in each step) for
1000 epochs, from several seeds.
"""

import numpy as np
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.experiments import Reused
from keras_initkit.lessons import Check, Result
from keras_initkit.report import MeanStd, drawing

DECK = {"zero": 0.25, "random": 0.0124, "slide_xavier": 0.0078, "slide_he": 0.0052}
NAMES = (*DECK, "glorot_uniform", "he_normal")


def build(initializer, seed):
    """The slide's network."""
    return kik.models.build("xor_mlp", initializer, seed=seed)


class Trainer:
    """One network and its train step, reset for every run."""

    def __init__(self):
        data = kik.data.load("xor")
        x, y = data.x_train, data.y_train[:, None].astype("float32")
        self._start = Reused(build)
        self.model = model = self._start("zero", seed=0)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                error = model.loss(y, model(x, training=True))
            gradients = tape.gradient(error, model.trainable_variables)
            model.optimizer.apply(gradients, model.trainable_variables)
            return error

        @tf.function
        def train(epochs):
            errors = tf.TensorArray(tf.float32, epochs)
            for epoch in tf.range(epochs):
                errors = errors.write(epoch, step())
            return errors.stack()

        self._watched, self._train = step, train

    def run(self, initializer, seed, epochs):
        """Returns the error before each epoch, and how many hidden units differ."""
        self._start(initializer, seed)
        errors = self._train(tf.constant(epochs)).numpy()
        units = self.model.get_layer("hidden_1").kernel.numpy()
        return errors, np.unique(units, axis=1).shape[1]

    def log(self, initializer, epochs, log_dir):
        """Trains again from seed 0, step by step, under the monitor."""
        self._start(initializer, 0)
        monitor = kik.SignalMonitor(log_dir, every=20, rules=None)
        # What one monitor has instrumented, the next one takes up.
        self._watched = monitor.instrument(
            self._watched, self.model, self.model.optimizer
        )
        for _ in range(epochs):
            self._watched()
        monitor.close()


def draw(errors, final, path):
    """Draws the median error over the epochs, and where each seed ends."""
    figure, (panels,) = drawing.new_figure(
        1, 2, (12, 4.8), sharey=True, width_ratios=(3, 2)
    )
    styles = drawing.styles(errors)
    for place, (name, one) in enumerate(errors.items()):
        style = {**styles[name], "markevery": one.shape[1] // 10 or 1}
        panels[0].plot(np.median(one, axis=0), label=name, **style)
        look = {"color": style["color"], "marker": style["marker"], "alpha": 0.6}
        beside = place + np.linspace(-0.25, 0.05, len(one))
        panels[1].plot(beside, one[:, -1], linestyle="none", **look)
        panels[1].plot(place + 0.25, final[name].mean, "_", color="black", ms=12)
    panels[0].set(
        title="XOR, [2, 4, 1] of sigmoids: median of the seeds",
        xlabel="epoch (one step of Adam on all four points)",
        ylabel="mean squared error",
        yscale="log",
    )
    panels[0].legend(frameon=False, ncols=2)
    panels[1].set(title="At the end: each seed, and (–) their mean")
    panels[1].set_xticks(range(len(errors)), list(errors), rotation=30, ha="right")
    return drawing.complete(figure, path)


def run(log_dir, source="auto", seeds=10, epochs=1000):
    trainer = Trainer()
    errors, units = {}, {}
    for name in NAMES:
        runs = [trainer.run(name, seed, epochs) for seed in range(seeds)]
        trainer.log(name, min(epochs, 200), log_dir / f"{name}-seed0")
        errors[name] = np.array([one for one, _ in runs])
        units[name] = [count for _, count in runs]
    final = {name: MeanStd.of(one[:, -1]) for name, one in errors.items()}
    others = [name for name in NAMES if name != "zero"]
    stuck = {name: int((one[:, -1] > 0.1).sum()) for name, one in errors.items()}
    all_stuck = sum(stuck[name] for name in others)
    exactly = bool((errors["zero"] == 0.25).all())
    told = {name: f"{one.mean:.4f} ± {one.margin:.4f}" for name, one in final.items()}
    return Result(
        slide=9,
        title="the impact on training",
        claim="After 1000 epochs of XOR the error is smaller the better the start.",
        deck=", ".join(f"{name} {value:.4f}" for name, value in DECK.items()),
        measured=", ".join(
            f"{name} {np.median(one[:, -1]):.4f} ({stuck[name]})"
            for name, one in errors.items()
        )
        + f" (median of {seeds} seeds, and how many are stuck above 0.1)",
        checks=(
            Check(
                "from zeros the error is 0.25 at the end",
                told["zero"],
                final["zero"].mean == 0.25,
                by_slide=True,
            ),
            Check(
                "the better the start, the smaller the error: random > Xavier > He",
                "means "
                + " > ".join(f"{final[n].mean:.4f}" for n in DECK if n != "zero")
                + "? They hang on the seeds that get stuck",
                final["random"].mean
                > final["slide_xavier"].mean
                > final["slide_he"].mean,
                by_slide=True,
            ),
            Check(
                "random, Xavier and He end where the deck says",
                ", ".join(
                    f"{n} {told[n]}, deck {DECK[n]}" for n in DECK if n != "zero"
                ),
                all(
                    abs(final[name].mean - value) <= final[name].margin
                    for name, value in DECK.items()
                ),
                by_slide=True,
            ),
            Check(
                "from zeros the error is exactly 0.25 at every epoch, of every seed",
                f"smallest {errors['zero'].min():g}, largest {errors['zero'].max():g}",
                exactly,
            ),
            Check(
                "and its four hidden units are one",
                f"{max(units['zero'])} distinct of 4; {min(units['he_normal'])} from "
                "He's rule",
                set(units["zero"]) == {1} and set(units["he_normal"]) == {4},
            ),
            Check(
                "whatever breaks the symmetry learns, but for seeds that get stuck",
                f"{all_stuck} of {seeds * len(others)} runs end above 0.1, at most at "
                f"{max(errors[n][:, -1].max() for n in others):.3f}",
                all_stuck < seeds * len(others) / 3,
            ),
        ),
        figures={f"error_{name}": one.mean for name, one in final.items()}
        | {f"error_{name}_margin": one.margin for name, one in final.items()}
        | {"distinct_units_zero": max(units["zero"]), "stuck": all_stuck},
        picture=draw(errors, final, log_dir / "xor.png"),
    )


if __name__ == "__main__":
    kik.lessons.main(run)
