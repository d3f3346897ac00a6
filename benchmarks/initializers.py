"""Times the kit's initializers beside Keras's, and LSUV beside the textbook way.

    python benchmarks/initializers.py [--resnet50]

Every line has two medians of CPU time (all threads), taken turn by turn in one run
after a warm-up, so that other work on the machine counts for neither side, and the
median of the turns' ratios.
LSUV's textbook way is what ports of the reference code do: a new sub-model and a
`predict` for each layer and iteration.
"""

import argparse
import os
import platform
import statistics
import time

import keras
import numpy as np

import keras_initkit as kik

REPEATS = 7
# Small kernels take a millisecond: more turns, so that the median stands still.
SMALL, SMALL_REPEATS = 20_000, 201


def alternate(ours, theirs, repeats=REPEATS, calls=1):
    """Returns median CPU times of a call of two functions, and their median ratio."""
    times = ([], [])
    for turn in range(repeats + 1):
        for function, record in zip((ours, theirs), times, strict=True):
            start = time.process_time()
            for _ in range(calls):
                function()
            if turn or not repeats:
                record.append((time.process_time() - start) / calls)
    ratios = [ours / theirs for ours, theirs in zip(*times, strict=True)]
    return [statistics.median(record) for record in (*times, ratios)]


def report(name, ours, theirs, ratio):
    print(f"{name:58} {ours:9.4f} s {theirs:9.4f} s   ratio {ratio:.3f}", flush=True)


def drawing(initializer, shape):
    return lambda: keras.ops.convert_to_numpy(initializer(shape))


def initializers(name, ours, theirs, shapes):
    for shape in shapes:
        size = int(np.prod(shape))
        turns = {"repeats": SMALL_REPEATS} if size < SMALL else {}
        calls = max(1, SMALL // size)
        pair = alternate(
            drawing(ours, shape), drawing(theirs, shape), calls=calls, **turns
        )
        report(f"{name} {shape}", *pair)


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
        f"{platform.machine()}, {os.cpu_count()} cores, {keras.backend.backend()}, "
        f"keras {keras.__version__}, {time.strftime('%Y-%m-%d')}"
    )
    print(f"{'':58} {'ours':>11} {'theirs':>11}", flush=True)
    orthogonal = keras.initializers.Orthogonal(seed=1)
    initializers(
        "DeltaOrthogonal / Orthogonal",
        kik.initializers.DeltaOrthogonal(seed=1),
        orthogonal,
        (
            (3, 3, 3, 16),
            (3, 3, 16, 16),
            (3, 3, 64, 64),
            (3, 3, 256, 256),
            (3, 3, 64, 256),
        ),
    )
    fused = {4: ((32, 128), (64, 256), (128, 512), (512, 2048)), 3: ((512, 1536),)}
    square = {1: ((128, 128), (512, 512), (2048, 2048), (4096, 4096))}
    for gates, shapes in {**fused, **square}.items():
        initializers(
            f"GateOrthogonal({gates}) / Orthogonal",
            kik.initializers.GateOrthogonal(gates, seed=1),
            orthogonal,
            shapes,
        )
    initializers(
        "SparseNormal / RandomNormal",
        kik.initializers.SparseNormal(seed=1),
        keras.initializers.RandomNormal(seed=1),
        ((1024, 1024), (8192, 8192)),
    )
    zero = kik.initializers.ZerO()
    initializers("ZerO / Orthogonal", zero, orthogonal, ((256, 1024),))
    # Orthogonal's QR on an eighth of the work bounds the ratio from above.
    for shape in ((4096, 4096), (2048, 4096)):
        smaller = (shape[0] // 2, shape[1] // 2)
        pair = alternate(drawing(zero, shape), drawing(orthogonal, smaller), 0)
        report(f"ZerO {shape} / Orthogonal {smaller}", *pair)
    x = np.random.default_rng(0).normal(size=(128, 32, 32, 3)).astype("float32")
    model = deep_cnn()
    pair = alternate(lambda: kik.lsuv(model, x), lambda: textbook_lsuv(model, x), 1)
    report("lsuv / textbook, 20-layer CNN, 128 images", *pair)
    if arguments.resnet50:
        model = keras.applications.ResNet50(weights=None)
        x = np.random.default_rng(0).normal(size=(32, 224, 224, 3)).astype("float32")
        start = time.process_time()
        found = kik.lsuv(model, x)
        print(
            f"lsuv, ResNet50, 32 images: {found.seconds:.1f} s, "
            f"{time.process_time() - start:.1f} s of CPU, {len(found.layers)} layers"
        )


if __name__ == "__main__":
    main()
