"""Times the kit's initializers beside Keras's, and LSUV beside the textbook way.

    python benchmarks/initializers.py [--resnet50]

Every line is a ratio of medians taken turn by turn in one run, so that a busy machine
slows both sides alike. LSUV's textbook way is what ports of the reference code do: a
new sub-model and a `predict` for each layer and iteration.
"""

import argparse
import platform
import statistics
import time

import keras
import numpy as np

import keras_initkit as kik

REPEATS = 7


def alternate(ours, theirs, repeats=REPEATS):
    """Returns the median times of two functions called in turn, after one warm-up."""
    times = ([], [])
    for turn in range(repeats + 1):
        for function, record in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            function()
            if turn:
                record.append(time.perf_counter() - start)
    return [statistics.median(record) for record in times]


def report(name, ours, theirs):
    print(f"{name:58} {ours:9.4f} s {theirs:9.4f} s   ratio {ours / theirs:.3f}")


def initializer(name, ours, theirs, shape):
    def draw(one):
        return lambda: keras.ops.convert_to_numpy(one(shape))

    report(f"{name} {shape}", *alternate(draw(ours), draw(theirs)))


def deep_cnn(layers=20, width=32):
    inputs = keras.Input((32, 32, 3))
    x = inputs
    for _ in range(layers - 1):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


def textbook_lsuv(model, x, tolerance=0.05, max_iterations=10):
    """One sub-model and one `predict` a layer and iteration; measures outputs."""
    for layer in model.layers:
        if not layer.weights:
            continue
        shape = layer.kernel.shape
        layer.kernel.assign(keras.initializers.Orthogonal()(shape))
        for _ in range(max_iterations):
            outputs = keras.Model(model.inputs, layer.output).predict(x, verbose=0)
            std = np.std(outputs)
            if abs(std - 1) < tolerance:
                break
            layer.kernel.assign(layer.kernel / std)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resnet50", action="store_true")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {keras.backend.backend()}, keras {keras.__version__}, "
        f"median of {REPEATS}"
    )
    print(f"{'':58} {'ours':>11} {'theirs':>11}")
    orthogonal = keras.initializers.Orthogonal(seed=1)
    delta = kik.initializers.DeltaOrthogonal(seed=1)
    for shape in ((3, 3, 64, 64), (3, 3, 256, 256), (3, 3, 64, 256)):
        initializer("DeltaOrthogonal / Orthogonal", delta, orthogonal, shape)
    gates = kik.initializers.GateOrthogonal(seed=1)
    for shape in ((128, 512), (512, 2048), (512, 1536)):
        initializer("GateOrthogonal / Orthogonal", gates, orthogonal, shape)
    zero = kik.initializers.ZerO()
    for shape in ((2048, 2048), (2048, 4096), (1024, 4096)):
        initializer("ZerO / Orthogonal", zero, orthogonal, shape)
    start = time.perf_counter()
    keras.ops.convert_to_numpy(zero((4096, 4096)))
    print(f"ZerO (4096, 4096): {time.perf_counter() - start:.3f} s")
    x = np.random.default_rng(0).normal(size=(128, 32, 32, 3)).astype("float32")
    model = deep_cnn()
    ours, theirs = alternate(
        lambda: kik.lsuv(model, x), lambda: textbook_lsuv(model, x), repeats=2
    )
    report("lsuv / textbook, 20-layer CNN, 128 images", ours, theirs)
    if arguments.resnet50:
        model = keras.applications.ResNet50(weights=None)
        x = np.random.default_rng(0).normal(size=(32, 224, 224, 3)).astype("float32")
        start = time.perf_counter()
        found = kik.lsuv(model, x)
        seconds = time.perf_counter() - start
        print(f"lsuv, ResNet50, 32 images: {seconds:.1f} s, {len(found.layers)} layers")


if __name__ == "__main__":
    main()
