"""Lesson 3: from zeros a network learns only how frequent each class is.

    python examples/lessons/03_no_learning.py

The slide adds made-up gradients to zeros. Real back-propagation on handwritten digits
shows what happens: only the output bias moves.
"""

import math

import numpy as np

import keras_initkit as kik
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

MODEL = "mnist_mlp"  # 784-256-128-10, ReLU, Adam


def movements(run):
    """Returns the largest update of each weight in any monitored step, by name."""
    series = run.record.signal("update")
    largest = series.statistic("norm").max(axis=0)
    return {
        f"{key.layer}/{key.tensor}": float(norm)
        for key, norm in zip(series.tensors, largest, strict=True)
    }


def draw(runs, moved, chance, path):
    """Draws the training losses, and how far each weight moves."""
    figure, (panels,) = drawing.new_figure(1, 2, (12, 4.6))
    curves = {run.initializer: run.loss_curve() for run in runs}
    drawing.draw_losses(panels[0], curves)
    panels[0].axhline(chance, color="0.6", lw=1)
    panels[0].text(0, chance * 1.03, "log C: a guess", color="0.3", fontsize=9)
    panels[0].set(title="Training from zeros and from He's rule", ylim=(0, 3))
    names = list(next(iter(moved.values())))
    norms = {name: np.array([list(one.values())]) for name, one in moved.items()}
    drawing.draw_depth(panels[1], np.arange(len(names)), norms, drawing.styles(norms))
    panels[1].set(title="Largest update of a weight in one step", ylabel="norm")
    panels[1].set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=9)
    return drawing.complete(figure, path)


def run(log_dir, source="auto", limit=None):
    data = kik.data.load("mnist", source=source, limit=limit)
    runs = kik.compare(
        MODEL,
        data,
        ["zero", "he_normal"],
        seeds=1,
        epochs=1,
        log_dir=log_dir,
        every=20,
    ).runs
    zero, he = runs
    moved = {run.initializer: movements(run) for run in runs}
    moving = [name for name, norm in moved["zero"].items() if norm > 0]
    shares = np.bincount(data.y_test) / len(data.y_test)
    said = int(np.argmin(np.abs(shares - zero.accuracy)))  # the class it always answers
    chance = math.log(len(shares))
    # No answer that is the same for all examples has a smaller loss than this.
    entropy = float(-np.sum(shares * np.log(shares)))
    return Result(
        slide=3,
        title="no learning",
        claim="A network of zeros does not learn: gradients leave it at zero.",
        deck="adds learning rate × gradient to zeros, with made-up gradients",
        measured=f"loss {zero.loss_initial:.4f} → {zero.loss_final:.4f} in "
        f"{zero.steps} steps, accuracy {zero.accuracy:.4f}; "
        f"He's rule {he.loss_final:.3f} and {he.accuracy:.3f}",
        checks=(
            Check(
                "nothing is learned of the images: the loss stays at that of a guess",
                f"{zero.loss_final:.4f}; log C = {chance:.4f}, and {entropy:.4f} for "
                "who knows the frequencies of the classes",
                entropy - 1e-4 < zero.loss_final < chance + 0.01,
                by_slide=True,
            ),
            Check(
                "all weights stay where they are",
                f"{', '.join(moving)} moves",
                not moving,
                by_slide=True,
            ),
            Check(
                "the output bias moves, and nothing else does",
                f"{len(moving)} of {len(moved['zero'])} weights: {', '.join(moving)}",
                moving == ["logits/bias"],
            ),
            Check(
                "it answers the same class for every image",
                f"accuracy {zero.accuracy:.4f}, the share of class {said} in the test "
                f"set {shares[said]:.4f}",
                abs(zero.accuracy - shares[said]) < 0.5 / len(data.y_test),
            ),
            Check(
                "the same network learns from He's rule",
                f"accuracy {he.accuracy:.3f}",
                he.accuracy > 2 * shares.max() and he.loss_final < 0.8 * entropy,
            ),
        ),
        figures={
            "loss_zero": zero.loss_final,
            "accuracy_zero": zero.accuracy,
            "loss_he": he.loss_final,
            "accuracy_he": he.accuracy,
            "moving_weights": len(moving),
        },
        picture=draw(runs, moved, chance, log_dir / "no_learning.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
