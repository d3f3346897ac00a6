"""Lesson 14: the three papers, in use: Glorot and Bengio, He et al., Mishkin and Matas.

    python examples/lessons/14_references.py

All three are implemented. Two are rules for independent weights; the third, LSUV, looks
at data: only LSUV keeps every layer's signal at a standard deviation of 1 on
photographs, through convolutions and pooling.
"""

import numpy as np

import keras_initkit as kik
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

MODEL = "cifar10_cnn"  # VGG-like: six convolutions, two dense layers
RULES = ("glorot_uniform", "he_normal")
TOLERANCE = 0.05


def signal(model, x):
    """Returns each layer's standard deviation before its activation, and its error."""
    measured = kik.lsuv(model, x, max_iterations=0, orthonormal=False).layers
    stds = np.array([layer.std_after for layer in measured])
    return stds, np.array([layer.standard_error for layer in measured])


def draw(stds, layers, path):
    """Draws the signal of every layer."""
    figure, panels = drawing.new_figure(1, 1, (9, 4.6))
    axes = panels[0, 0]
    values = {name: one[None] for name, one in stds.items()}
    drawing.draw_depth(axes, np.arange(len(layers)), values, drawing.styles(stds))
    axes.axhline(1, color="0.6", lw=1, zorder=0)
    axes.set(
        title=f"{MODEL} on 128 CIFAR-10 images it was not fitted on, before training",
        ylabel="std before the activation",
    )
    axes.set_xticks(range(len(layers)), layers, rotation=30, ha="right")
    return drawing.complete(figure, path)


def run(log_dir, source="auto"):
    data = kik.data.load("cifar10", source=source, limit=256, test_limit=10)
    # Centred, as the papers do: a common mean makes all images look alike.
    x = (data.x_train - data.x_train.mean()) / data.x_train.std()
    order = np.random.default_rng(0).permutation(len(x))
    fitted, others = x[order[:128]], x[order[128:]]
    model = kik.models.build(MODEL, seed=0)
    stds = {}
    for name in RULES:
        kik.reinitialize(model, name, seed=0)
        stds[name], _ = signal(model, others)
    report = kik.lsuv(model, fitted, tolerance=TOLERANCE, seed=0)
    stds["lsuv"], error = signal(model, others)
    # Two batches of 128: the errors of both count.
    missed = np.abs(stds["lsuv"] - 1) / (TOLERANCE + 5 * np.sqrt(2) * error)
    cited = {entry.name: entry.reference for entry in kik.initializers.catalog()}
    glorot, he = (cited[name] for name in RULES)
    last = {name: one[-1] for name, one in stds.items()}
    return Result(
        slide=14,
        title="references",
        claim="Glorot & Bengio 2010, He et al. 2015 and Mishkin & Matas 2015 are the "
        "papers, each with an arXiv number.",
        deck="three arXiv numbers, the first of them of another paper",
        measured="std of the last layer: "
        + ", ".join(f"{name} {value:.2f}" for name, value in last.items()),
        checks=(
            Check(
                "Glorot & Bengio 2010 has an arXiv number",
                glorot,
                "arxiv.org" in glorot,
                by_slide=True,
            ),
            Check(
                "He et al. is arXiv 1502.01852, Mishkin & Matas 1511.06422",
                he,
                "arxiv.org/abs/1502.01852" in he
                and "arxiv.org/abs/1511.06422" in kik.lsuv.__doc__,
                by_slide=True,
            ),
            Check(
                f"LSUV brings every layer within {TOLERANCE} of 1",
                f"{min(fit.std_after for fit in report.layers):.3f} to "
                f"{max(fit.std_after for fit in report.layers):.3f}, with "
                f"{sum(fit.iterations for fit in report.layers)} rescalings",
                all(fit.converged for fit in report.layers) and len(report.layers) == 8,
            ),
            Check(
                "and of other images too, within 5 standard errors",
                f"{stds['lsuv'].min():.3f} to {stds['lsuv'].max():.3f}",
                missed.max() <= 1,
            ),
            Check(
                "the rules come less close: they know neither pooling nor images",
                "; ".join(
                    f"{name} {stds[name].min():.2f} to {stds[name].max():.2f}"
                    for name in RULES
                ),
                all(
                    np.abs(np.log(stds[name])).max()
                    > np.abs(np.log(stds["lsuv"])).max()
                    for name in RULES
                ),
            ),
        ),
        figures={f"last_std_{name}": value for name, value in last.items()}
        | {"lsuv_missed": missed.max()},
        picture=draw(stds, [f.layer for f in report.layers], log_dir / "std.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
