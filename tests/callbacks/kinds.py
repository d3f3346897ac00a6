"""The kinds of model, data and training that the monitor must not disturb.

Each kind is built afresh from a seed and trained on the same data, bare and watched.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers
RNG = np.random.default_rng(0)
BATCH, STEPS = 8, 20
X = RNG.standard_normal((BATCH * STEPS, 6)).astype(np.float32)
IMAGES = RNG.standard_normal((BATCH * STEPS, 10, 10, 3)).astype(np.float32)
WORDS = RNG.integers(1, 30, (BATCH * STEPS, 7))
Y = RNG.integers(0, 3, BATCH * STEPS)
T = RNG.standard_normal((BATCH * STEPS, 2)).astype(np.float32)
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of model or training.

    Attributes:
        build: Function without arguments that gives a compiled model.
        x: Inputs of all steps (an array, a dict, a data set's factory).
        y: Targets, or None where `x` holds them.
        fit: Further arguments of `fit`.
        expected: Names (last part of the path) of layers whose activation must be
            recorded.
        steps: Optimizer iterations that a fit makes.
    """

    build: Callable[[], keras.Model]
    x: Any = None
    y: Any = None
    fit: dict = dataclasses.field(default_factory=dict)
    expected: tuple[str, ...] = ()
    steps: int = STEPS


def compiled(inputs, outputs, loss=CLASSES, optimizer=None, **options):
    model = keras.Model(inputs, outputs)
    model.compile(optimizer or keras.optimizers.Adam(1e-3), loss, **options)
    return model


def mlp(**options):
    inputs = layers.Input((6,))
    x = layers.Dense(8, activation="relu", name="a")(inputs)
    x = layers.Dense(8, activation="tanh", name="b")(x)
    return compiled(inputs, layers.Dense(3, name="c")(x), **options)


def sequential():
    model = keras.Sequential(
        [layers.Dense(8, "relu", name="a"), layers.Dense(3, name="c")]
    )
    model.compile("sgd", CLASSES)
    return model


class Block(layers.Layer):
    def __init__(self):
        super().__init__(name="block")
        self.inner = layers.Dense(6, activation="gelu", name="inner")
        self.norm = layers.LayerNormalization(name="norm")

    def call(self, x):
        return x + self.norm(self.inner(x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.block = Block()
        self.drop = layers.Dropout(0.3, name="drop", seed=3)
        self.head = layers.Dense(3, name="head")

    def call(self, x, training=None):
        return self.head(self.drop(self.block(x), training=training))


def subclassed():
    model = Subclassed()
    model.compile("adam", CLASSES)
    return model


def nested():
    inputs = layers.Input((6,))
    inner = keras.Sequential(
        [layers.Input((6,)), layers.Dense(6, "relu", name="deep")], name="inner"
    )
    return compiled(inputs, layers.Dense(3, name="head")(inner(inputs)))


def shared():
    inputs = layers.Input((6,))
    layer = layers.Dense(6, "tanh", name="shared")
    x = layer(layer(layer(inputs)))
    return compiled(inputs, layers.Dense(3, name="head")(x))


def several():
    a, b = layers.Input((6,), name="left"), layers.Input((6,), name="right")
    x = layers.Concatenate(name="both")([a, b])
    outputs = {
        "class": layers.Dense(3, name="class")(x),
        "value": layers.Dense(2, name="value")(x),
    }
    return compiled(
        {"left": a, "right": b}, outputs, loss={"class": CLASSES, "value": "mse"}
    )


class OwnStep(Subclassed):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}


def own_step():
    model = OwnStep()
    model.compile("sgd", CLASSES)
    return model


def convolutional(**options):
    inputs = layers.Input((10, 10, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    y = layers.SeparableConv2D(4, 3, padding="same", activation="elu", name="sep")(x)
    x = layers.Add(name="add")([x, y])
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2DTranspose(3, 3, name="up")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return compiled(inputs, layers.Dense(3, name="head")(x), **options)


def recurrent(kind):
    inputs = layers.Input((7,), dtype="int32")
    x = layers.Embedding(30, 5, mask_zero=True, name="words")(inputs)
    return compiled(inputs, layers.Dense(3, name="head")(kind(x)))


class OwnCell(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = 4
        self.dense = layers.Dense(4, name="mix")

    def build(self, shape):
        self.dense.build((shape[0], shape[-1] + 4))

    def call(self, inputs, states):
        h = keras.ops.tanh(self.dense(keras.ops.concatenate([inputs, states[0]], -1)))
        return h, [h]


def attention():
    inputs = layers.Input((7,), dtype="int32")
    x = layers.Embedding(30, 8, name="words")(inputs)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.TimeDistributed(layers.Dense(4, "silu", name="each"), name="td")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return compiled(inputs, layers.Dense(3, name="head")(x))


def with_policy(policy, build=mlp, **options):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build(**options)
    finally:
        keras.config.set_dtype_policy(before)


def frozen():
    model = mlp()
    model.get_layer("a").trainable = False
    model.compile("sgd", CLASSES)
    return model


def rematerialized():
    # A layer without a `training` argument: Keras itself fails on others here.
    inputs = layers.Input((10, 10, 3))
    with keras.RematScope(mode="full"):
        hidden = layers.Conv2D(4, 3, activation="relu", name="again")
    x = layers.Flatten()(hidden(inputs))
    return compiled(inputs, layers.Dense(3, name="head")(x))


def probabilities():
    inputs = layers.Input((6,))
    x = layers.Dense(8, "sigmoid", name="a")(inputs)
    return compiled(
        inputs,
        layers.Dense(3, "softmax", name="p")(x),
        loss="sparse_categorical_crossentropy",
    )


def mirrored():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        return mlp()


def dataset(ragged=False):
    count = len(X) - (3 if ragged else 0)
    return tf.data.Dataset.from_tensor_slices((X[:count], Y[:count])).batch(BATCH)


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


ABC = ("a", "b", "c")

KINDS = {
    "functional": Kind(mlp, X, Y, expected=ABC),
    "sequential_deferred": Kind(sequential, X, Y, expected=("a", "c")),
    "subclassed": Kind(
        subclassed,
        X,
        Y,
        expected=(
            "block",
            "inner",
            "norm",
            "drop",
            "head",
        ),
    ),
    "nested": Kind(nested, X, Y, expected=("deep", "head")),
    "shared": Kind(shared, X, Y, expected=("shared", "head")),
    "several_inputs_and_outputs": Kind(
        several,
        {"left": X, "right": X[::-1]},
        {"class": Y, "value": T},
        expected=("both", "class", "value"),
    ),
    "own_train_step": Kind(own_step, X, Y, expected=("head",)),
    "eager": Kind(lambda: mlp(run_eagerly=True), X, Y, expected=ABC),
    "xla": Kind(lambda: mlp(jit_compile=True), X, Y, expected=ABC),
    "steps_per_execution_4": Kind(
        lambda: mlp(steps_per_execution=4), X, Y, expected=ABC
    ),
    "steps_per_execution_16": Kind(
        lambda: mlp(steps_per_execution=16), X, Y, expected=ABC
    ),
    "accumulation": Kind(
        lambda: mlp(optimizer=keras.optimizers.SGD(gradient_accumulation_steps=4)),
        X,
        Y,
        expected=ABC,
    ),
    "clipping": Kind(
        lambda: mlp(optimizer=keras.optimizers.SGD(0.1, clipnorm=0.01)),
        X,
        Y,
        expected=ABC,
    ),
    "convolutional": Kind(
        convolutional,
        IMAGES,
        Y,
        expected=("conv", "bn", "sep", "add", "relu", "up", "pool", "head"),
    ),
    "lstm": Kind(
        lambda: recurrent(layers.LSTM(4, name="lstm")),
        WORDS,
        Y,
        expected=("words", "lstm", "head"),
    ),
    "stacked_cells": Kind(
        lambda: recurrent(
            layers.RNN([layers.GRUCell(4), layers.LSTMCell(4)], name="rnn")
        ),
        WORDS,
        Y,
        expected=("words", "rnn", "head"),
    ),
    "own_cell": Kind(
        lambda: recurrent(layers.RNN(OwnCell(name="cell"), name="rnn")),
        WORDS,
        Y,
        expected=("words", "rnn", "head"),
    ),
    "bidirectional": Kind(
        lambda: recurrent(
            layers.Bidirectional(layers.GRU(3, return_sequences=False), name="both")
        ),
        WORDS,
        Y,
        expected=("words", "both", "forward_gru", "backward_gru", "head"),
    ),
    "attention": Kind(
        attention, WORDS, Y, expected=("words", "attention", "td", "pool", "head")
    ),
    "mixed_float16": Kind(lambda: with_policy("mixed_float16"), X, Y, expected=ABC),
    "mixed_bfloat16": Kind(lambda: with_policy("mixed_bfloat16"), X, Y, expected=ABC),
    "frozen": Kind(frozen, X, Y, expected=ABC),
    "rematerialized": Kind(rematerialized, IMAGES, Y, expected=("head",)),
    "softmax_output": Kind(probabilities, X, Y, expected=("a", "p")),
    "mirrored_one_device": Kind(mirrored, X, Y, expected=ABC),
    "dataset": Kind(mlp, dataset, expected=ABC, fit={"batch_size": None}),
    "ragged_last_batch": Kind(
        mlp, lambda: dataset(ragged=True), expected=ABC, fit={"batch_size": None}
    ),
    "generator": Kind(
        mlp,
        generator,
        expected=ABC,
        fit={"batch_size": None, "steps_per_epoch": STEPS},
    ),
    "py_dataset": Kind(mlp, lambda: Batches(), expected=ABC, fit={"batch_size": None}),
    "weights": Kind(
        mlp,
        X,
        Y,
        fit={"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "sample_weight": None},
        expected=ABC,
    ),
    "validation": Kind(mlp, X, Y, fit={"validation_data": (X, Y)}, expected=ABC),
}
