"""Lesson 1: with zero weights a layer acts as one unit, however many it has.

    python examples/lessons/01_zero_trap.py

The slide's [3, 4, 2] network, as a Keras model. The slide prints weights of 3×4 and
4×2, but its code creates only one row per layer; Keras creates the full matrices.
"""

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

SIZES = (3, 4, 2)


def build(initializer):
    """The [3, 4, 2] network from an initializer."""
    start = {"kernel_initializer": kik.initializers.get(initializer)}
    model = keras.Sequential(
        [
            keras.layers.Input((SIZES[0],)),
            keras.layers.Dense(SIZES[1], "tanh", name="hidden", **start),
            keras.layers.Dense(SIZES[2], name="output", **start),
        ]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def draw(models, path):
    """Draws the output of each hidden unit as the inputs grow from -2 to 2."""
    figure, panels = drawing.new_figure(1, len(models), (10, 4), sharey=True)
    x = np.linspace(-2, 2, 41, dtype="float32")
    for axes, (name, model) in zip(panels[0], models.items(), strict=True):
        answers = np.asarray(model.get_layer("hidden")(np.stack([x] * SIZES[0], 1)))
        for unit, marker in enumerate("osD^"):
            shown = {"marker": marker, "markevery": (unit * 2, 8), "markersize": 6}
            colour = drawing.styles([name])[name]["color"]
            axes.plot(x, answers[:, unit], color=colour, label=f"unit {unit}", **shown)
        axes.set(title=f"{name}: the 4 hidden units", xlabel="all three inputs")
    panels[0, 0].set_ylabel("answer of the unit (tanh)")
    return drawing.complete(figure, path)


def run(log_dir, source="auto"):
    models = {name: build(name) for name in ("zero", "glorot_uniform")}
    kernels = [layer.kernel for layer in models["zero"].layers]
    shapes = [tuple(kernel.shape) for kernel in kernels]
    values = np.concatenate([kernel.numpy().ravel() for kernel in kernels])
    x = keras.random.normal((32, SIZES[0]), seed=0)
    y = np.arange(32) % SIZES[2]
    units, rules = {}, {}
    for name, model in models.items():
        diagnosis = kik.diagnose(model, x, y)
        keys, distinct = diagnosis.record.profile("weight", "distinct_units")
        units[name] = {
            key.layer.rpartition("/")[2]: int(count)
            for key, count in zip(keys, distinct, strict=True)
            if key.tensor == "kernel"
        }
        rules[name] = {finding.rule for finding in diagnosis.findings}
    told = "SymmetricUnits" in rules["zero"] - rules["glorot_uniform"]
    zeros, hidden = int(np.sum(values == 0)), units["zero"]["hidden"]
    return Result(
        slide=1,
        title="the zero trap",
        claim="Starting a [3, 4, 2] network from zeros makes all of its weights zero.",
        deck="prints 3×4 and 4×2 zeros; its code makes one row a layer",
        measured=f"{zeros} of {values.size} weights are 0, in kernels of "
        + " and ".join(f"{rows}×{columns}" for rows, columns in shapes),
        checks=(
            Check(
                "all weights are 0",
                f"{zeros} of {values.size}",
                zeros == values.size,
                by_slide=True,
            ),
            Check(
                "3 inputs, 4 hidden units and 2 outputs need 3·4 + 4·2 = 20 weights",
                f"{values.size}; one row a layer would make {sum(SIZES[1:])}",
                shapes == [SIZES[:2], SIZES[1:]] and values.size == 20,
            ),
            Check(
                "all units of a layer are one and the same",
                f"{hidden} distinct hidden unit of {SIZES[1]} from zeros, "
                f"{units['glorot_uniform']['hidden']} from Glorot's rule",
                set(units["zero"].values()) == {1}
                and units["glorot_uniform"]["hidden"] == SIZES[1],
            ),
            Check(
                "kik.diagnose names it before training, and only there",
                ", ".join(sorted(rules["zero"])),
                told,
            ),
        ),
        figures={"weights": values.size, "zeros": zeros, "distinct_units": hidden},
        picture=draw(models, log_dir / "zero_trap.png"),
    )


if __name__ == "__main__":
    kik.lessons.main(run)
