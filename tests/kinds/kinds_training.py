"""Kinds by how a model is trained and on which data."""

import keras
import numpy as np
import tensorflow as tf
from kinds_base import (
    BATCH,
    LONG_X,
    LONG_Y,
    RNG,
    STEPS,
    Kind,
    X,
    Y,
    dataset,
    mlp,
    train_once,
)


def with_policy(policy, build=mlp, **options):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build(**options)
    finally:
        keras.config.set_dtype_policy(before)


def mirrored():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        return mlp()


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        part = slice(index * BATCH, (index + 1) * BATCH)
        return X[part], Y[part]


def generator():
    for index in range(STEPS):
        part = slice(index * BATCH, (index + 1) * BATCH)
        yield X[part], Y[part]


def train_twice(kind, model, callbacks):
    train_once(kind, model, callbacks)
    return train_once(kind, model, callbacks)


class Interruption(Exception):
    pass


class Interrupting(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 8:
            raise Interruption


def train_on_after_exception(kind, model, callbacks):
    try:
        train_once(kind, model, [*callbacks, Interrupting()])
    except Interruption:
        return train_once(kind, model, callbacks)
    raise AssertionError("not interrupted")


def train_in_turn(kind, model, callbacks):
    other = kind.build()
    for one in (model, other, model, other):
        train_once(kind, one, callbacks)
    return [model, other]


ARRAYS = {"x": X, "y": Y}
LONE = {"batch_size": None}
WEIGHTS = RNG.uniform(0.2, 2.0, BATCH * STEPS).astype(np.float32)


def first(steps):
    """Arrays of so many steps."""
    return {"x": LONG_X[: steps * BATCH], "y": LONG_Y[: steps * BATCH]}


KINDS = {
    "eager": Kind(lambda: mlp(run_eagerly=True), **ARRAYS),
    "xla": Kind(lambda: mlp(jit_compile=True), **ARRAYS, histograms=True),
    # The step that is recomputed is the last, an execution of its own.
    "steps_per_execution_4": Kind(
        lambda: mlp(steps_per_execution=4), **first(21), every=10, step=20
    ),
    "steps_per_execution_16": Kind(
        lambda: mlp(steps_per_execution=16), **first(33), every=8, step=32
    ),
    "accumulation_and_clipping": Kind(
        lambda: mlp(
            optimizer=keras.optimizers.SGD(
                0.1, gradient_accumulation_steps=4, clipnorm=0.01
            )
        ),
        **ARRAYS,
        every=5,
        step=15,
    ),
    "clipping_decay_and_average": Kind(
        lambda: mlp(
            optimizer=keras.optimizers.AdamW(
                1e-3, weight_decay=0.1, global_clipnorm=0.1, use_ema=True
            )
        ),
        **ARRAYS,
    ),
    "loss_scale": Kind(
        lambda: mlp(
            optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
        ),
        **ARRAYS,
    ),
    "mixed_float16": Kind(
        lambda: with_policy("mixed_float16"), **ARRAYS, again="graph"
    ),
    "mixed_bfloat16": Kind(
        lambda: with_policy("mixed_bfloat16"), **ARRAYS, again="graph"
    ),
    "mirrored_one_device": Kind(mirrored, **ARRAYS),
    "dataset": Kind(mlp, dataset, fit=LONE),
    "ragged_last_batch": Kind(
        mlp, lambda: dataset(ragged=True), fit=LONE, every=19, step=19
    ),
    "generator": Kind(mlp, generator, fit={**LONE, "steps_per_epoch": STEPS}),
    "py_dataset": Kind(mlp, Batches, fit=LONE),
    "class_weight": Kind(mlp, **ARRAYS, fit={"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}),
    "sample_weight": Kind(mlp, **ARRAYS, fit={"sample_weight": WEIGHTS}),
    "metrics_and_validation": Kind(
        lambda: mlp(metrics=["accuracy"], weighted_metrics=["accuracy"]),
        **ARRAYS,
        fit={"validation_data": (X, Y)},
    ),
    "second_fit": Kind(mlp, **ARRAYS, train=train_twice, step=35, skipped=20),
    "fit_after_an_exception": Kind(
        mlp, **ARRAYS, train=train_on_after_exception, skipped=9
    ),
    "two_models_in_turn": Kind(mlp, **ARRAYS, train=train_in_turn, step=35, skipped=20),
}
