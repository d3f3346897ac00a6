"""Kinds by how a model is put together."""

import pathlib
import tempfile
import warnings

import keras
import numpy as np
import tensorflow as tf
from kinds_base import (
    BATCH,
    CLASSES,
    IMAGES,
    STEPS,
    WORDS,
    Kind,
    T,
    X,
    Y,
    compiled,
    layers,
    mlp,
    train_once,
)


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


class OwnStep(Subclassed):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}


class OwnOptimizer(OwnStep):
    """Trained by an optimizer that `compile` knows nothing of."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = CLASSES(y, self(x, training=True))
        variables = self.trainable_variables
        if not hasattr(self, "own"):
            self.own = keras.optimizers.SGD(0.01)
        self.own.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


class NoOptimizer(OwnStep):
    """Trained by hand."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = CLASSES(y, self(x, training=True))
        variables = self.trainable_variables
        for variable, gradient in zip(
            variables, tape.gradient(loss, variables), strict=True
        ):
            variable.assign_sub(0.01 * gradient)
        return {"loss": loss}


def subclassed(kind=Subclassed, optimizer="adam"):
    model = kind()
    model.compile(optimizer, CLASSES)
    return model


def nested():
    inputs = layers.Input((6,))
    inner = keras.Sequential(
        [layers.Input((6,)), layers.Dense(6, "relu", name="deep")], name="inner"
    )
    y = middle = layers.Input((6,))
    functional = keras.Model(middle, layers.Dense(5, "elu", name="deep")(y), name="f")
    x = functional(inner(inputs))
    return compiled(inputs, layers.Dense(3, name="head")(x))


def shared():
    inputs = layers.Input((6,))
    layer = layers.Dense(6, "tanh", name="shared")
    x = layer(layer(layer(inputs)))
    return compiled(inputs, layers.Dense(3, name="head")(x))


def shared_model():
    inputs = layers.Input((6,))
    tower = keras.Sequential(
        [layers.Input((6,)), layers.Dense(6, "relu", name="deep")], name="tower"
    )
    x = layers.Subtract(name="both")([tower(inputs), tower(-inputs)])
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


class Parts(layers.Layer):
    """Returns several tensors, one of them of integers."""

    def __init__(self):
        super().__init__(name="parts")
        self.dense = layers.Dense(6, name="dense")

    def call(self, x):
        h = self.dense(x)
        return {"low": h[:, :2], "high": h[:, 2:], "best": keras.ops.argmax(h, -1)}


def parts():
    inputs = layers.Input((6,))
    both = Parts()(inputs)
    chosen = layers.CategoryEncoding(6, "one_hot", name="chosen")(both["best"])
    x = layers.Concatenate(name="joined")([both["low"], both["high"], chosen])
    return compiled(inputs, layers.Dense(3, name="head")(x))


class Tied(layers.Layer):
    """Reads words out by the table that read them in."""

    def __init__(self, table):
        super().__init__(name="tied")
        self.table = table

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.table.embeddings))


def tied():
    inputs = layers.Input((7,), dtype="int32")
    table = layers.Embedding(30, 5, name="words")
    x = layers.GlobalAveragePooling1D(name="pool")(table(inputs))
    return compiled(inputs, Tied(table)(x), optimizer="sgd")


def operations():
    inputs = layers.Input((6,))
    x = layers.Dense(8, name="a")(inputs)
    x = keras.ops.sin(x) * 2.0 + keras.ops.relu(x)
    x = layers.Lambda(lambda z: keras.ops.square(z) - 1.0, name="lambda")(x)
    return compiled(inputs, layers.Dense(3, name="head")(x))


def same_again():
    """Layers that return their very input, which others read, too."""
    inputs = layers.Input((6,))
    x = layers.Dense(8, "tanh", name="a")(inputs)
    y = layers.Activation("linear", name="same")(x)
    y = layers.Dropout(0.0, name="drop")(y)
    return compiled(
        inputs, layers.Dense(3, name="head")(layers.Add(name="add")([x, y]))
    )


def frozen():
    model = mlp()
    model.get_layer("a").trainable = False
    model.compile("sgd", CLASSES)
    return model


def untrained():
    model = mlp()
    model.trainable = False
    model.compile("sgd", CLASSES)
    return model


def train_in_vain(kind, model, callbacks):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The model does not have any trainab")
        return train_once(kind, model, callbacks)


def unused():
    """A weight that the loss does not depend on."""

    class Unused(layers.Dense):
        def build(self, shape):
            super().build(shape)
            self.spare = self.add_weight(shape=(2,), name="spare")

    inputs = layers.Input((6,))
    x = Unused(8, "relu", name="a")(inputs)
    return compiled(inputs, layers.Dense(3, name="head")(x))


def train_unused(kind, model, callbacks):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gradients do not exist")
        return train_once(kind, model, callbacks)


def adapted():
    model = mlp(optimizer="sgd")
    for layer in model.layers[1:]:
        layer.enable_lora(2)
    model.compile("sgd", CLASSES)
    return model


def quantized():
    model = mlp()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Layer InputLayer does not have")
        model.quantize("int8")
    for layer in model.layers[1:]:
        layer.enable_lora(2)
    model.compile("sgd", CLASSES)
    return model


def cloned():
    model = keras.models.clone_model(mlp())
    model.compile("adam", CLASSES)
    return model


def reloaded():
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model.keras"
        model = mlp()
        model.optimizer.build(model.trainable_variables)
        model.save(path)
        return keras.models.load_model(path)


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


def regularized():
    inputs = layers.Input((6,))
    x = layers.Dense(
        8, "relu", kernel_regularizer="l2", activity_regularizer="l1", name="a"
    )(inputs)
    x = layers.Dense(8, kernel_constraint="unit_norm", name="b")(x)
    return compiled(inputs, layers.Dense(3, name="c")(x))


class Repeated(layers.Layer):
    """Calls a layer in the body of a loop."""

    def __init__(self):
        super().__init__(name="repeated")
        self.inner = layers.Dense(6, "tanh", name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return keras.ops.fori_loop(0, 3, lambda i, h: self.inner(h), x)


def repeated():
    inputs = layers.Input((6,))
    return compiled(inputs, layers.Dense(3, name="head")(Repeated()(inputs)))


def deep(**options):
    """More tensors than are reduced one by one, most of them of like shape."""
    inputs = x = layers.Input((6,))
    for number in range(24):
        units, activation = (8, "relu") if number % 3 else (6, "tanh")
        x = layers.Dense(units, activation, name=f"d{number}")(x)
    return compiled(inputs, layers.Dense(3, name="head")(x), **options)


def of_any_length():
    """Time steps whose number changes, and a tensor without entries."""
    inputs = layers.Input((None, 3))
    x = layers.Dense(4, "relu", name="each")(inputs)
    nothing = layers.Lambda(lambda z: z[:, :0], name="nothing")(x)
    x = layers.Concatenate(axis=1, name="both")([nothing, x])
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return compiled(inputs, layers.Dense(3, name="head")(x))


def lengths():
    rng = np.random.default_rng(1)

    def batches():
        for index in range(STEPS):
            part = slice(index * BATCH, (index + 1) * BATCH)
            x = rng.standard_normal((BATCH, 3 + index % 4, 3))
            yield x.astype(np.float32), Y[part]

    signature = (
        tf.TensorSpec((BATCH, None, 3), tf.float32),
        tf.TensorSpec((BATCH,), tf.int64),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


LONE = {"batch_size": None}

KINDS = {
    "functional": Kind(mlp, X, Y, histograms=True),
    "sequential_deferred": Kind(sequential, X, Y),
    "subclassed": Kind(subclassed, X, Y, again="eager"),
    "nested": Kind(nested, X, Y, untapped=("inner", "f")),
    "shared_layer": Kind(shared, X, Y),
    "shared_model": Kind(shared_model, X, Y, untapped=("tower",)),
    "dicts_in_and_out": Kind(
        several,
        {"left": X, "right": X[::-1]},
        {"class": Y, "value": T},
        untapped=("both",),
    ),
    "layer_of_several_outputs": Kind(parts, X, Y, untapped=("chosen",)),
    "weights_shared_by_layers": Kind(tied, WORDS, WORDS[:, 0]),
    "operations_and_lambda": Kind(operations, X, Y),
    "input_returned": Kind(same_again, X, Y),
    "frozen": Kind(frozen, X, Y),
    "nothing_to_train": Kind(
        untrained, X, Y, train=train_in_vain, untapped=("a", "b", "c")
    ),
    "weight_without_gradient": Kind(unused, X, Y, train=train_unused, untapped=("a",)),
    "lora": Kind(adapted, X, Y),
    "quantized_int8": Kind(quantized, X, Y, again="eager"),
    "cloned": Kind(cloned, X, Y),
    "reloaded": Kind(reloaded, X, Y, again="eager"),
    "rematerialized": Kind(rematerialized, IMAGES, Y, untapped=("again", "flatten")),
    # The loss goes back to the logits.
    "softmax_output": Kind(probabilities, X, Y, untapped=("p",)),
    "regularized": Kind(regularized, X, Y),
    "layer_in_a_loop": Kind(repeated, X, Y, untapped=("inner",)),
    "changing_and_zero_sizes": Kind(
        of_any_length, lengths, fit={**LONE, "steps_per_epoch": STEPS}
    ),
    "deep": Kind(deep, X, Y, histograms=True),
    "deep_eager": Kind(lambda: deep(run_eagerly=True), X, Y),
    "deep_xla": Kind(lambda: deep(jit_compile=True), X, Y, histograms=True),
    "own_train_step": Kind(lambda: subclassed(OwnStep, "sgd"), X, Y, again="eager"),
    # An optimizer that the first step makes is watched, too.
    "own_optimizer": Kind(
        lambda: subclassed(OwnOptimizer, "rmsprop"), X, Y, again="eager"
    ),
    "no_optimizer": Kind(
        lambda: subclassed(NoOptimizer, None),
        X,
        Y,
        again="eager",
        no_weights=True,
        untapped=("subclassed",),
    ),
}
