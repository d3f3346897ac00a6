"""Lesson 10: CIFAR-10 from zeros stays at chance, in every network; He's rule learns.

    python examples/lessons/10_images.py
    tensorboard --logdir logdir/lessons/10_images

The slide's 3072-64-32-10 network sees random images with random labels, from which
nothing can be learned. Here it sees photographs, and so do a convolutional and a
residual network.
"""

import math

import numpy as np

import keras_initkit as kik
from keras_initkit.experiments import Reused
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

SLIDE = "3072-64-32-10"
# Model, its options, training examples, examples a step, initializers.
TRAININGS = {
    SLIDE: (
        *("cifar10_mlp", {}, 12_800, 64),
        ("zero", "random", "slide_xavier", "slide_he", "he_normal"),
    ),
    "CNN": ("cifar10_cnn", {}, 1_600, 32, ("zero", "he_normal")),
    "ResNet-8": ("cifar10_resnet", {"blocks": 1}, 1_600, 32, ("zero", "he_normal")),
}
TEST = 500


def network(model, **options):
    """Returns a function that builds a network for each run; it is traced only once."""

    def build(initializer, seed):
        return kik.models.build(model, initializer, seed=seed, **options)

    return Reused(build)


def noise(examples):
    """Returns the slide's data: random images, random labels."""
    rng = np.random.default_rng(0)
    images = rng.random((examples, 32, 32, 3), np.float32)
    return images, rng.integers(0, 10, examples)


def noise_accuracy(start, log_dir, examples):
    """Trains a network on noise; returns its accuracy on new noise."""
    x, y = noise(examples + TEST)
    data = (x[TEST:], y[TEST:]), (x[:TEST], y[:TEST])
    (run,) = kik.compare(
        start, data, ["slide_he"], seeds=1, epochs=1, log_dir=log_dir, batch_size=64
    ).runs
    return run.accuracy


def unseen_loss(run):
    """Returns the loss of the last third of the batches."""
    _, losses = run.loss_curve()
    return float(np.mean(losses[-len(losses) // 3 :]))


def draw(comparisons, path):
    """Draws the training losses of each network."""
    figure, panels = drawing.new_figure(1, len(comparisons), (14, 4.4))
    for axes, (name, comparison) in zip(panels[0], comparisons.items(), strict=True):
        curves = {run.initializer: run.loss_curve() for run in comparison.runs}
        drawing.draw_losses(axes, curves)
        axes.axhline(math.log(10), color="0.6", lw=1)
        axes.set(title=name, ylim=(1, 4))
    panels[0, 0].set_ylabel("training loss (nats); grey: log 10, a guess")
    figure.suptitle(
        "CIFAR-10, one epoch, one seed: each batch is new", fontweight="bold"
    )
    return drawing.complete(figure, path)


def run(log_dir, source="auto", part=1.0):
    starts, comparisons = {}, {}
    for title, (model, options, limit, batch, names) in TRAININGS.items():
        data = kik.data.load(
            "cifar10", source=source, limit=int(limit * part), test_limit=TEST
        )
        starts[title] = network(model, **options)
        comparisons[title] = kik.compare(
            starts[title],
            data,
            names,
            seeds=1,
            epochs=1,
            log_dir=log_dir / title,
            batch_size=batch,
            every=5,
        )
    accuracy = {
        model: {run.initializer: run.accuracy for run in comparison.runs}
        for model, comparison in comparisons.items()
    }
    on_noise = noise_accuracy(starts[SLIDE], log_dir / "noise", int(6_400 * part))
    chance = 1 / 10
    # One epoch: each batch is new to the network, its loss that of unseen images.
    loss = {
        model: {run.initializer: unseen_loss(run) for run in comparison.runs}
        for model, comparison in comparisons.items()
    }
    # Five standard errors of a guess on so many test images.
    above = chance + 5 * math.sqrt(chance * (1 - chance) / TEST)
    guess = math.log(10)
    zero = {model: one["zero"] for model, one in accuracy.items()}
    he = {model: one["he_normal"] for model, one in loss.items()}
    mlp = accuracy[SLIDE]
    return Result(
        slide=10,
        title="images",
        claim="On images a network of zeros stays at an accuracy of 0.10; from He it "
        "reaches 0.37.",
        deck="zero 0.10, He 0.37, on random images and random labels",
        measured=", ".join(f"{name} {value:.3f}" for name, value in mlp.items())
        + " (3072-64-32-10 on CIFAR-10)",
        checks=(
            Check(
                "from zeros the accuracy is that of a guess",
                ", ".join(f"{model} {value:.3f}" for model, value in zero.items()),
                all(abs(value - chance) < 1e-6 for value in zero.values()),
                by_slide=True,
            ),
            Check(
                "from He it learns random images with random labels",
                f"accuracy {on_noise:.3f} on more of them; a guess stays below "
                f"{above:.3f}",
                on_noise > above,
                by_slide=True,
            ),
            Check(
                "photographs can be learned, from the slide's He, too",
                f"accuracy {mlp['slide_he']:.3f}",
                mlp["slide_he"] > above,
            ),
            Check(
                "from zeros every network answers one class, for every image",
                "accuracy " + ", ".join(f"{value:.4f}" for value in zero.values()),
                all(abs(value - chance) < 1e-6 for value in zero.values()),
            ),
            Check(
                "He's rule learns in each: unseen images cost less than a guess",
                ", ".join(f"{model} {value:.3f}" for model, value in he.items())
                + f"; log 10 = {guess:.3f}, from zeros "
                + ", ".join(f"{one['zero']:.3f}" for one in loss.values()),
                all(value < guess - 0.1 for value in he.values())
                and all(abs(one["zero"] - guess) < 0.01 for one in loss.values()),
            ),
        ),
        figures={
            f"accuracy_{model}_{name}": value
            for model, one in accuracy.items()
            for name, value in one.items()
        }
        | {"accuracy_noise": on_noise}
        | {
            f"loss_{model}_{name}": value
            for model, one in loss.items()
            for name, value in one.items()
        },
        picture=draw(comparisons, log_dir / "images.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
