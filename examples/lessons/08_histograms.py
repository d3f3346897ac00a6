"""Lesson 8: the weights of a real layer, before and after training, as histograms.

    python examples/lessons/08_histograms.py
    tensorboard --logdir logdir/lessons/08_histograms

The slide's figure for the first layer of a network that learns handwritten digits, and
the same histograms in TensorBoard.
"""

import math

import numpy as np

import keras_initkit as kik
from keras_initkit.experiments import Reused
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

NAMES = ("zero", "random", "slide_xavier", "slide_he")
FAN_IN = 784
# Standard deviations of U(±limit) are limit / √3.
EXPECTED = {
    "zero": 0.0,
    "random": 1 / math.sqrt(3),
    "slide_xavier": math.sqrt(1 / (3 * FAN_IN)),
    "slide_he": math.sqrt(2 / (3 * FAN_IN)),
}
SHOWN = 1000  # weights in a histogram, as on the slide


def build(initializer, seed):
    """The network whose first layer is examined."""
    return kik.models.build("mnist_mlp", initializer, seed=seed)


def train(model, data, log_dir):
    """Trains for an epoch; returns the first kernel before and after it."""
    layer = model.get_layer("hidden_1")
    before = layer.kernel.numpy()
    monitor = kik.WeightMonitor(log_dir, every=20, rules=None)
    x, y = data.x_train, data.y_train
    model.fit(x, y, batch_size=128, verbose=0, shuffle=False, callbacks=[monitor])
    return before, layer.kernel.numpy()


def draw(kernels, path):
    """Draws 1000 weights of each kernel, 50 bins, before and after training."""
    figure, panels = drawing.new_figure(2, 2, (10, 6.6))
    styles = drawing.styles(NAMES)
    chosen = np.random.default_rng(0).permutation(next(iter(kernels.values()))[0].size)
    for axes, (name, pair) in zip(panels.flat, kernels.items(), strict=True):
        before, after = (kernel.ravel()[chosen[:SHOWN]] for kernel in pair)
        limit = max(np.abs(before).max(), np.abs(after).max(), 1e-3) * 1.05
        bins = np.linspace(-limit, limit, 51)
        axes.hist(before, bins, color=styles[name]["color"], alpha=0.4, label="before")
        axes.hist(
            after, bins, histtype="step", color="black", lw=1.2, label="after one epoch"
        )
        axes.set(
            title=f"{name}: std {pair[0].std():.4g}, by its formula "
            f"{EXPECTED[name]:.4g}",
            xlabel="weight",
            ylabel=f"of {SHOWN} weights",
        )
        axes.locator_params(axis="x", nbins=5)
    figure.suptitle("First layer of mnist_mlp, 784 × 256 weights", fontweight="bold")
    return drawing.complete(figure, path)


def run(log_dir, source="auto", limit=12_800):
    data = kik.data.load("mnist", source=source, limit=limit)
    start = Reused(build)  # traced once
    kernels = {name: train(start(name, 0), data, log_dir / name) for name in NAMES}
    stds = {name: float(before.std()) for name, (before, _) in kernels.items()}
    count = kernels["slide_he"][0].size
    # Relative standard error of the standard deviation of uniform values.
    error = 0.447 / math.sqrt(count)
    moved = {name: float(np.abs(b - a).max()) for name, (b, a) in kernels.items()}
    off = {n: abs(stds[n] / EXPECTED[n] - 1) for n in NAMES if EXPECTED[n]}
    return Result(
        slide=8,
        title="histograms of the weights",
        claim="Zeros are a spike, random values a wide block, Xavier and He narrow.",
        deck="2×2 histograms of 1000 weights each, 50 bins",
        measured="standard deviations "
        + ", ".join(f"{name} {value:.4g}" for name, value in stds.items()),
        checks=(
            Check(
                "zeros are a spike, the others blocks, from wide to narrow random, He, "
                "Xavier",
                " > ".join(
                    f"{stds[n]:.3g}"
                    for n in ("random", "slide_he", "slide_xavier", "zero")
                ),
                stds["random"] > stds["slide_he"] > stds["slide_xavier"] > 0
                and stds["zero"] == 0,
                by_slide=True,
            ),
            Check(
                f"the widths are those of the formulas (within 5 standard errors of "
                f"{error:.2g})",
                ", ".join(f"{name} off by {share:.2%}" for name, share in off.items()),
                max(off.values()) <= 5 * error,
            ),
            Check(
                "training moves all but the spike",
                ", ".join(f"{name} by up to {far:.2g}" for name, far in moved.items()),
                moved["zero"] == 0 and all(moved[name] > 0 for name in NAMES[1:]),
            ),
        ),
        figures={f"std_{name}": value for name, value in stds.items()}
        | {f"moved_{name}": value for name, value in moved.items()},
        picture=draw(kernels, log_dir / "histograms.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
