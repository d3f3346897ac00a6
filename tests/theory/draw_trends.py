"""Draws the long versions of the published results.

    python tests/theory/draw_trends.py docs/images [PICTURE ...]

Pictures: relu_depth, saturation, trainable_depth, linear_depth, recurrence; all of them
by default, about a quarter of an hour on two cores. They need the real data sets.
"""

import pathlib
import sys

import numpy as np
import recurrences
import trends
from trends import LOG10

from keras_initkit.report import drawing


def smoothed(values, window):
    """Means over `window` steps, and the last step of each."""
    values = np.asarray(values)
    count = len(values) // window
    means = values[: count * window].reshape(count, window, *values.shape[1:]).mean(1)
    return window * np.arange(1, count + 1), means


def draw_relu_depth():
    figure, [panels] = drawing.new_figure(1, 2, size=(10, 3.8), sharey=True)
    for axes, depth in zip(panels, (10, 30), strict=True):
        nets = trends.he_against_glorot(depth, **trends.RELU)
        styles = drawing.styles(nets)
        for name, net in nets.items():
            steps, losses = smoothed(net.losses, 20)
            style = {**styles[name], "markevery": 5}
            axes.plot(steps, losses, label=name, **style)
        axes.axhline(LOG10, color="0.6", lw=1, zorder=0)
        axes.set_title(f"{depth} ReLU layers on MNIST")
        axes.set_xlabel("step")
        drawing.finish(axes)
    panels[0].set_ylabel("cross-entropy (grey: log 10)")
    panels[0].legend()
    return figure


def draw_saturation():
    nets = trends.saturation_on_cifar10()
    figure, [[layers, errors]] = drawing.new_figure(1, 2, size=(10, 3.8))
    names = [f"layer {n}" for n in range(1, 6)]
    styles = drawing.styles(names)
    steps, means = smoothed(nets["sigmoid", "slide_xavier"].means, 50)
    for name, values in zip(names, means.T, strict=True):
        layers.plot(steps, values, label=name, **{**styles[name], "markevery": 6})
    layers.set(title="Five sigmoid layers on CIFAR-10", xlabel="step")
    layers.set_ylabel("mean activation")
    layers.set_ylim(0, 1)
    layers.legend(ncols=2)
    drawing.finish(layers)
    titles = {
        ("sigmoid", "slide_xavier"): "sigmoid,\nU(±1/√n)",
        ("tanh", "slide_xavier"): "tanh,\nU(±1/√n)",
        ("tanh", "glorot_uniform"): "tanh,\nnormalized",
    }
    bars = errors.bar(
        [titles[key] for key in nets], [net.error for net in nets.values()], color="0.6"
    )
    errors.bar_label(bars, fmt="%.2f")
    errors.axhline(0.9, color="0.3", lw=1, ls="--")
    errors.set(title="Errors after 3,000 steps (dashes: chance)", ylabel="share")
    errors.set_ylim(0, 1)
    drawing.finish(errors, axis="y")
    return figure


def draw_trainable_depth():
    losses = trends.trainable_depth(**trends.MAP)
    grid, depths = trends.MAP["grid"], trends.MAP["depths"]
    figure, [[axes]] = drawing.new_figure(size=(7, 4.5))
    mesh = axes.pcolormesh(
        np.arange(len(grid)),
        np.arange(len(depths)),
        [[losses[w, d] for w in grid] for d in depths],
        vmax=LOG10,
    )
    limits = [trends.depth_limit(w) for w in grid]
    places = np.interp(np.log2(limits), np.log2(depths), np.arange(len(depths)))
    axes.plot(np.arange(len(grid)), places, "w--o", label="6 ξ_c")
    axes.set_xticks(np.arange(len(grid)), grid)
    axes.set_yticks(np.arange(len(depths)), depths)
    axes.set_xlabel("σ_w² (σ_b² = 0.05)")
    axes.set_ylabel("layers")
    axes.set_title("Loss of tanh networks on MNIST after 400 steps")
    figure.colorbar(mesh, label="cross-entropy")
    axes.legend(loc="lower right", facecolor="gray", labelcolor="white")
    return figure


def draw_linear_depth():
    times = trends.learning_times(**trends.LINEAR)
    figure, [[axes]] = drawing.new_figure(size=(6.5, 4))
    styles = drawing.styles(times)
    depths = trends.LINEAR["depths"]
    for name, taken in times.items():
        label = {"normal": "normal, Var = 1/n"}.get(name, name)
        axes.plot(depths, np.median(taken, axis=0), label=label, **styles[name])
        drawing.draw_range(axes, depths, taken.min(0), taken.max(0), styles[name])
    axes.axhline(trends.LINEAR_LIMIT, color="0.6", lw=1, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(depths, depths)
    axes.minorticks_off()
    axes.set_xlabel("layers")
    axes.set_ylabel("steps to 90 % of what is explained")
    axes.set_title("Linear networks on whitened MNIST, each at its best rate")
    axes.legend()
    drawing.finish(axes)
    return figure


def draw_recurrence():
    figure, [[errors, right]] = drawing.new_figure(1, 2, size=(10, 3.8))
    labels = {
        "irnn": "ReLU, identity (IRNN)",
        "orthogonal": "tanh, orthogonal (Keras)",
        "normal": "tanh, normal, Var = 1/n",
        "chrono": "LSTM, chrono bias",
        "lstm": "LSTM, forget bias 1 (Keras)",
    }
    styles = drawing.styles(["irnn", "orthogonal", "normal", "chrono", "lstm"])
    for axes, found, sizes in (
        (errors, recurrences.adding(), recurrences.ADDING),
        (right, recurrences.recall(), recurrences.RECALL),
    ):
        for name, values in found.items():
            steps = np.linspace(0, sizes["updates"], len(values) + 1)[1:]
            axes.plot(steps, values, label=labels[name], **styles[name])
        axes.set_xlabel("step")
        axes.legend()
        drawing.finish(axes)
    errors.axhline(1 / 6, color="0.6", lw=1, zorder=0)
    errors.set(title="Adding two marked numbers of 100", ylim=(0, 0.3))
    errors.set_ylabel("mean squared error (grey: constant answer)")
    right.axhline(1 / 8, color="0.6", lw=1, zorder=0)
    right.set(title="Recalling the first of 200 steps", ylim=(0, 1))
    right.set_ylabel("share right (grey: chance)")
    return figure


PICTURES = {
    "relu_depth": draw_relu_depth,
    "saturation": draw_saturation,
    "trainable_depth": draw_trainable_depth,
    "linear_depth": draw_linear_depth,
    "recurrence": draw_recurrence,
}


def main(directory, *names):
    for name in names or PICTURES:
        path = pathlib.Path(directory) / f"{name}.png"
        print(drawing.save(PICTURES[name](), path))


if __name__ == "__main__":
    main(*sys.argv[1:])
