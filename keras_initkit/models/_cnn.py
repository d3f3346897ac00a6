"""Convolutional reference models."""

import keras


def mnist_cnn(layers):
    """Two convolutions with pooling and a dense layer: 32, 64, 128, 10."""
    inputs = keras.Input((28, 28, 1), name="inputs")
    x = inputs
    for i, filters in enumerate((32, 64), start=1):
        x = layers.conv(f"conv_{i}", filters, activation=layers.activation)(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{i}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = layers.hidden("hidden_1", 128)(x)
    return keras.Model(inputs, layers.dense("logits", 10)(x), name="mnist_cnn")


def cifar10_cnn(layers):
    """VGG-like: three blocks of two convolutions, a dense layer, no BatchNorm.

    Only the initializer keeps the signal in range through its eight weight layers.
    """
    inputs = keras.Input((32, 32, 3), name="inputs")
    x = inputs
    for block, filters in enumerate((32, 64, 128), start=1):
        for i in (1, 2):
            name = f"block{block}_conv{i}"
            x = layers.conv(name, filters, activation=layers.activation)(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = layers.hidden("hidden_1", 128)(x)
    return keras.Model(inputs, layers.dense("logits", 10)(x), name="cifar10_cnn")


def cifar10_resnet(layers, batch_norm=True, blocks=3):
    """ResNet-20: three stages of three residual blocks with 16, 32, 64 filters.

    With another number of blocks per stage, ResNet-(6·blocks + 2). Where a stage
    changes the shape, a 1x1 convolution carries the shortcut. Without BatchNorm the
    convolutions have biases instead.

    Reference:
    - [He et al., 2016](https://arxiv.org/abs/1512.03385), section 4.2
    """
    if blocks < 1:
        raise ValueError(f"`blocks` must be at least 1. Received: blocks={blocks!r}.")
    inputs = keras.Input((32, 32, 3), name="inputs")
    x = _conv_norm(layers, inputs, "stem", 16, 1, batch_norm)
    x = layers.act("stem_activation")(x)
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            name = f"stage{stage}_block{block}"
            x = _residual(layers, x, name, filters, strides, batch_norm)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.dense("logits", 10)(x), name="cifar10_resnet")


def _residual(layers, x, name, filters, strides, batch_norm):
    shortcut = x
    if strides != 1:
        shortcut = layers.conv(
            f"{name}_shortcut", filters, size=1, strides=strides, use_bias=False
        )(x)
    x = _conv_norm(layers, x, f"{name}_conv1", filters, strides, batch_norm)
    x = layers.act(f"{name}_activation1")(x)
    x = _conv_norm(layers, x, f"{name}_conv2", filters, 1, batch_norm)
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.act(f"{name}_activation2")(x)


def _conv_norm(layers, x, name, filters, strides, batch_norm):
    x = layers.conv(name, filters, strides=strides, use_bias=not batch_norm)(x)
    if batch_norm:
        x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
    return x
