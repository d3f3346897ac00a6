"""What `kik.diagnose` costs beside the first training step of the same model.

    python benchmarks/diagnosis.py [--resnet50]

CPU seconds (all threads), so that other work on the machine counts little. The first
step is that of a bare `fit` on the same batch, tracing included; both are taken on
models of their own, just built, after a warm-up on a small one.
"""

import argparse
import os
import platform
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import models

BATCH = 64


def cpu_seconds(function, *arguments, **options):
    began = time.process_time()
    function(*arguments, **options)
    return time.process_time() - began


def resnet50():
    model = keras.applications.ResNet50(weights=None)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def batch_for(model, size):
    rng = np.random.default_rng(0)
    shape = (size, *model.input_shape[1:])
    if model.inputs[0].dtype.startswith("int"):
        x = rng.integers(1, 1000, shape).astype("int32")
    else:
        x = rng.standard_normal(shape).astype("float32")
    return x, rng.integers(0, min(2, model.output_shape[-1]), size)


def report(name, make, size):
    model = make()
    x, y = batch_for(model, size)
    step = cpu_seconds(model.fit, x, y, batch_size=size, verbose=0)
    diagnosis = cpu_seconds(kik.diagnose, make(), x, y)
    ratio = diagnosis / step
    print(f"{name:16} {size:5} {step:8.2f} {diagnosis:8.2f} {ratio:7.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resnet50", action="store_true", help="as well; takes long")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}"
    )
    print(f"{'model':16} {'batch':>5} {'fit, s':>8} {'ours, s':>8} {'ratio':>7}")
    report("warm-up", lambda: models.build("xor_mlp"), 4)
    for name in models.NAMES:
        report(name, lambda name=name: models.build(name), BATCH)
    if options.resnet50:
        report("ResNet50", resnet50, 8)


if __name__ == "__main__":
    main()
