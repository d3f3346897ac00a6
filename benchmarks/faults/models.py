"""The models of the suite, small, with every layer named."""

import dataclasses
from typing import Any

import keras

from benchmarks.faults.settings import Setting
from benchmarks.faults.tasks import Task
from keras_initkit import initializers

layers = keras.layers


def build(setting: Setting, task: Task) -> keras.Model:
    """Returns the compiled model of a setting."""
    inputs = keras.Input(task.x.shape[1:], dtype="int32" if task.tokens else None)
    make = _Layers(setting)
    x = BUILDERS[setting.model](make, inputs, task)
    units = setting.units or task.units
    # Whatever the policy: losses are computed in float32.
    x = make.dense("logits", units, setting.last, bias="zeros", dtype="float32")(x)
    model = keras.Model(inputs, x)
    for layer in model.layers:
        layer.trainable = not {layer.name, "all"} & set(setting.frozen)
    loss = LOSSES[task.asks] if setting.loss is None else setting.loss
    model.compile(
        _optimizer(setting),
        loss,
        loss_weights=setting.loss_weight,
        auto_scale_loss=setting.loss_scaling,
    )
    return model


LOSSES = {
    "classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "two classes": keras.losses.BinaryCrossentropy(from_logits=True),
    "numbers": "mean_squared_error",
}


def _optimizer(setting: Setting) -> keras.optimizers.Optimizer:
    return keras.optimizers.get(
        {
            "class_name": setting.optimizer,
            "config": {"learning_rate": setting.rate, **setting.options},
        }
    )


@dataclasses.dataclass(frozen=True)
class _Layers:
    """Makes layers as a setting wants them."""

    setting: Setting

    def dense(self, name, units, activation=None, **given):
        return self._make(layers.Dense, name, units, activation, **given)

    def conv(self, name, filters, activation=None, strides=1):
        return self._make(
            layers.Conv2D,
            name,
            filters,
            activation,
            kernel_size=3,
            strides=strides,
            padding="same",
        )

    def hidden(self, x, name, kind, units, **given):
        """A layer with its activation, and what the setting puts in between."""
        setting = self.setting
        if setting.normalized:
            x = kind(name, units, **given)(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = layers.Activation(setting.activation, name=f"{name}_activation")(x)
        else:
            x = kind(name, units, setting.activation, **given)(x)
        return self.dropout(x, name)

    def dropout(self, x, name):
        if not self.setting.dropout:
            return x
        return layers.Dropout(self.setting.dropout, name=f"{name}_dropout")(x)

    def other(self, kind, name, *shape, **given):
        """A layer whose initializers are Keras's own."""
        return kind(*shape, name=name, **given, **self.setting.at.get(name, {}))

    def _make(self, kind, name, units, activation, bias=None, **given):
        setting = self.setting
        given |= {
            "activation": activation,
            "kernel_initializer": setting.kernel,
            "bias_initializer": setting.bias if bias is None else bias,
            **setting.at.get(name, {}),
        }
        for role in ("kernel_initializer", "bias_initializer"):
            given[role] = initializers.get(given[role])
        if setting.penalty:
            given["kernel_regularizer"] = keras.regularizers.L2(setting.penalty)
        return kind(units, name=name, **given)


def _mlp(make, x, task):
    setting = make.setting
    if len(x.shape) > 2:
        x = layers.Flatten(name="flatten")(x)
    for n in range(setting.depth):
        x = make.hidden(x, f"hidden_{n}", make.dense, setting.width)
    return x


def _cnn(make, x, task):
    """Convolutions, the first two with pooling, and a dense layer."""
    for n in range(make.setting.depth):
        x = make.hidden(x, f"conv_{n}", make.conv, make.setting.width)
        if n < 2:
            x = layers.MaxPooling2D(name=f"pool_{n}")(x)
    x = layers.Flatten(name="flatten")(x)
    return make.hidden(x, "hidden", make.dense, 64)


def _resnet(make, x, task):
    """A stem and blocks of two convolutions at one size."""
    setting = make.setting
    x = make.hidden(x, "stem", make.conv, setting.width, strides=2)
    for n in range(setting.depth):
        shortcut = x
        x = make.hidden(x, f"block_{n}_conv_0", make.conv, setting.width)
        x = make.conv(f"block_{n}_conv_1", setting.width)(x)
        if setting.normalized:
            x = layers.BatchNormalization(momentum=0.9, name=f"block_{n}_norm")(x)
        if setting.residual:
            x = layers.Add(name=f"block_{n}_add")([shortcut, x])
        x = layers.Activation(setting.activation, name=f"block_{n}_activation")(x)
    return layers.GlobalAveragePooling2D(name="pool")(x)


def _rnn(make, x, task):
    """Recurrent layers, the last of which gives its last state."""
    setting = make.setting
    if task.tokens:
        x = make.other(layers.Embedding, "words", task.tokens, 32)(x)
    kind: Any = getattr(layers, setting.cell)
    for n in range(setting.depth):
        more = n < setting.depth - 1
        x = make.other(kind, f"rnn_{n}", setting.width, return_sequences=more)(x)
        x = make.dropout(x, f"rnn_{n}")
    return x


def _attention(make, x, task):
    """Blocks of attention and two dense layers, normalization ahead of each."""
    setting = make.setting
    width = setting.width
    if task.tokens:
        x = make.other(layers.Embedding, "words", task.tokens, width)(x)
    else:
        x = make.dense("words", width)(x)
    for n in range(setting.depth):
        name = f"block_{n}"

        def part(x, kind, inner, name=name):
            y = x
            if setting.normalized:
                y = layers.LayerNormalization(name=f"{name}_{kind}_norm")(x)
            y = make.dropout(inner(y), f"{name}_{kind}")
            return layers.add([x, y]) if setting.residual else y

        attend = make.other(
            layers.MultiHeadAttention, f"{name}_attention", 4, width // 4
        )
        expand = make.dense(f"{name}_expand", 2 * width, setting.activation)
        contract = make.dense(f"{name}_contract", width)
        x = part(x, "attention", lambda y, attend=attend: attend(y, y))
        x = part(x, "dense", lambda y, a=expand, b=contract: b(a(y)))
    return layers.GlobalAveragePooling1D(name="pool")(x)


BUILDERS = {
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet": _resnet,
    "rnn": _rnn,
    "attention": _attention,
}
