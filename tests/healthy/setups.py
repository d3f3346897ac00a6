"""Models as they are published or usual, each with data that it learns."""

import keras
import numpy as np
from keras import ops

import keras_initkit as kik
from tests.healthy import data

k = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SETUPS = {}
# Those that every run of the tests goes through.
DEFAULT = set()
# What is told of a set-up, and why it is right: {name: {rule: reason}}.
EXPLAINED = {}


def setup(function=None, *, default=False, explained=None):
    """Declares a set-up: a function of no arguments that returns `(model, x, y)`."""

    def declare(build):
        add(build.__name__, build, default=default, explained=explained)
        return build

    return declare if function is None else declare(function)


def add(name, build, *, default=False, explained=None):
    SETUPS[name] = build
    if default:
        DEFAULT.add(name)
    if explained:
        EXPLAINED[name] = explained


def compiled(model, loss=LOGITS, rate=1e-3):
    model.compile(keras.optimizers.Adam(rate), loss)
    return model


def classifier(inputs, outputs, data, units=4):
    model = keras.Model(inputs, k.Dense(units, name="head")(outputs))
    return compiled(model), *data


# keras.applications, at the smallest size that they take.
def application(name, size=32, low=-1.0, high=1.0, classes=4, **options):
    def build():
        model = getattr(keras.applications, name)(
            weights=None, input_shape=(size, size, 3), classes=classes, **options
        )
        x, y = data.images(8, size, classes=classes, low=low, high=high)
        return compiled(model, "sparse_categorical_crossentropy"), x, y

    return build


def is_large(name):
    """Whether a set-up is judged before training alone."""
    return hasattr(keras.applications, name)


FAN_OUT = {
    "TensorVariance": "its head is drawn by the number of classes, 1000 and not 4",
    "LossAtInit": "the same",
}
GLOROT = {
    "PoorWeightInitialization": "ReLU layers without normalization from Glorot's rule",
    "TrainableDepth": "the same",
    "VanishingGradient": "the same",
    "TensorVariance": "the same",
    "RankCollapse": "the same",
}
for _name, _options in {
    "MobileNet": {},
    "MobileNetV2": {},
    "MobileNetV3Small": {"low": 0.0, "high": 255.0},
    "MobileNetV3Large": {"low": 0.0, "high": 255.0},
    "EfficientNetB0": {"low": 0.0, "high": 255.0},
    "EfficientNetB1": {"low": 0.0, "high": 255.0},
    "EfficientNetV2B0": {"low": 0.0, "high": 255.0},
    "EfficientNetV2B1": {"low": 0.0, "high": 255.0},
    "ResNet50": {},
    "ResNet50V2": {},
    "ResNet101V2": {},
    "DenseNet121": {},
    "DenseNet169": {},
    "InceptionV3": {"size": 75},
    "InceptionResNetV2": {"size": 75},
    "Xception": {"size": 71},
    "NASNetMobile": {},
    "ConvNeXtTiny": {"low": 0.0, "high": 255.0},
    "VGG16": {},
    "VGG19": {},
}.items():
    add(
        _name,
        application(_name, **_options),
        explained={"V": GLOROT, "E": FAN_OUT}.get(_name[0]),
    )


# Programs whose step is their own.
def published(name):
    def build():
        import tests.capture.test_published as programs

        make, (x, y) = programs.PROGRAMS[name]
        return make(), x, y

    return build


for _name in ("siamese", "seq2seq", "vision_transformer", "distillation"):
    add(f"published_{_name}", published(_name))


# The reference models.
def reference(name, shape, **options):
    def build():
        model = kik.models.build(name, seed=0, **options)
        units = model.output_shape[-1]
        if name.startswith("imdb"):
            x, y = data.tokens(64, shape[0], 10_000, classes=2)
        elif name.startswith("xor"):
            x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 16, "float32")
            y = (x[:, :1] != x[:, 1:]).astype("float32")
        elif len(shape) == 3:
            x, y = data.images(
                32, shape[0], shape[-1], classes=max(units, 2), low=0.0, high=1.0
            )
        else:
            x, y = data.vectors(64, *shape, classes=max(units, 2))
        return model, x, y

    return build


for _name, _shape, _options in (
    ("mnist_cnn", (28, 28, 1), {}),
    ("cifar10_cnn", (32, 32, 3), {}),
    ("cifar10_resnet", (32, 32, 3), {}),
    ("imdb_rnn", (200,), {}),
    ("imdb_lstm", (200,), {}),
):
    add(_name, reference(_name, _shape, **_options), default=_name == "mnist_cnn")


# Transformers with the initializations of their papers.
def normal(std):
    return keras.initializers.RandomNormal(0.0, std)


class Positions(keras.Layer):
    """Adds a vector of its own at each place."""

    def build(self, shape):
        self.table = self.add_weight(
            name="positions", shape=shape[1:], initializer=normal(0.02)
        )

    def call(self, x):
        return x + self.table


class ClassToken(keras.Layer):
    """Puts a learned token ahead of the others."""

    def build(self, shape):
        self.token = self.add_weight(
            name="token", shape=(1, 1, shape[-1]), initializer=normal(0.02)
        )

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, ops.shape(x)[2]))
        return ops.concatenate([token, x], axis=1)


class LayerScale(keras.Layer):
    """Multiplies each feature of a branch by a small number of its own."""

    def build(self, shape):
        self.gamma = self.add_weight(
            name="gamma",
            shape=shape[-1:],
            initializer=keras.initializers.Constant(1e-4),
        )

    def call(self, x):
        return x * self.gamma


class Attention(keras.Layer):
    """Attention of one's own, with the initializers of GPT-2, BERT or T5."""

    def __init__(self, heads, inits, causal=False, scaled=True, **options):
        super().__init__(**options)
        self.heads, self.causal, self.scaled = heads, causal, scaled
        self.inits = inits

    def build(self, shape):
        width = shape[-1]
        for part in ("query", "key", "value", "output"):
            layer = k.Dense(width, kernel_initializer=self.inits[part], name=part)
            layer.build(shape)
            setattr(self, f"{part}_dense", layer)

    def split(self, x):
        length, width = x.shape[1:]
        x = ops.reshape(x, (-1, length, self.heads, width // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def call(self, x):
        length, width = x.shape[1:]
        q, key, v = (
            self.split(dense(x))
            for dense in (self.query_dense, self.key_dense, self.value_dense)
        )
        scores = ops.matmul(q, ops.transpose(key, (0, 1, 3, 2)))
        if self.scaled:
            scores = scores / np.sqrt(width / self.heads)
        if self.causal:
            scores = scores - 1e9 * (1 - np.tri(length, dtype="float32"))
        mixed = ops.matmul(ops.softmax(scores), v)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, length, width))
        return self.output_dense(mixed)


def parts(std, last=None):
    kinds = dict.fromkeys(("query", "key", "value"), normal(std))
    inits = {name: one.clone() for name, one in kinds.items()}
    return {**inits, "output": normal(std if last is None else last)}


def gpt2_like(blocks=4, width=64, words=50):
    """Pre-norm; 0.02 for all, last layers of branches by the number of branches."""
    last = 0.02 / np.sqrt(2 * blocks)
    inputs = keras.Input((12,), dtype="int32")
    x = k.Embedding(words, width, embeddings_initializer=normal(0.02))(inputs)
    x = Positions(name="positions")(x)
    for _ in range(blocks):
        normed = k.LayerNormalization(epsilon=1e-5)(x)
        x = k.add([x, Attention(4, parts(0.02, last), causal=True)(normed)])
        normed = k.LayerNormalization(epsilon=1e-5)(x)
        hidden = k.Dense(4 * width, "gelu", kernel_initializer=normal(0.02))(normed)
        x = k.add([x, k.Dense(width, kernel_initializer=normal(last))(hidden)])
    x = k.LayerNormalization(epsilon=1e-5)(x)
    outputs = k.Dense(words, kernel_initializer=normal(0.02), use_bias=False)(x)
    x, _ = data.tokens(64, 12, words)
    return compiled(keras.Model(inputs, outputs), rate=3e-4), x, np.roll(x, -1, axis=1)


def bert_like(blocks=4, width=64, words=50):
    """Post-norm; 0.02 for all, a pooler that reads token 0."""

    def small(units, activation=None):
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        return k.Dense(units, activation, kernel_initializer=initializer)

    inputs = keras.Input((12,), dtype="int32")
    x = k.Embedding(words, width, embeddings_initializer=normal(0.02))(inputs)
    x = k.LayerNormalization(epsilon=1e-12)(Positions(name="positions")(x))
    for _ in range(blocks):
        attended = Attention(4, parts(0.02))(x)
        x = k.LayerNormalization(epsilon=1e-12)(k.add([x, attended]))
        hidden = small(width)(small(4 * width, "gelu")(x))
        x = k.LayerNormalization(epsilon=1e-12)(k.add([x, hidden]))
    pooled = small(width, "tanh")(x[:, 0])
    return compiled(keras.Model(inputs, small(4)(pooled)), rate=3e-4), *data.tokens()


def t5_like(blocks=4, width=64, words=50):
    """RMS norms; attention without a scale, its queries drawn that much smaller."""
    head = width // 4
    inits = lambda: {  # noqa: E731
        "query": normal((width * head) ** -0.5),
        "key": normal(width**-0.5),
        "value": normal(width**-0.5),
        "output": normal(width**-0.5),
    }
    inputs = keras.Input((12,), dtype="int32")
    x = k.Embedding(words, width, embeddings_initializer=normal(1.0))(inputs)
    for _ in range(blocks):
        normed = k.RMSNormalization()(x)
        x = k.add([x, Attention(4, inits(), scaled=False)(normed)])
        normed = k.RMSNormalization()(x)
        hidden = k.Dense(
            4 * width, "relu", use_bias=False, kernel_initializer=normal(width**-0.5)
        )(normed)
        last = normal((4 * width) ** -0.5)
        x = k.add([x, k.Dense(width, use_bias=False, kernel_initializer=last)(hidden)])
    x = k.GlobalAveragePooling1D()(k.RMSNormalization()(x))
    return classifier(inputs, x, data.tokens())


add("gpt2", gpt2_like)
add("gpt2_small", lambda: gpt2_like(2, 32))
add("gpt2_narrow", lambda: gpt2_like(8, 32))
add("bert", bert_like)
add("bert_small", lambda: bert_like(2, 32), default=True)
add("bert_narrow", lambda: bert_like(6, 32))
add("t5", t5_like)
add("t5_narrow", lambda: t5_like(6, 32))


def patches(size=16, patch=4, width=32):
    inputs = keras.Input((size, size, 3))
    x = k.Conv2D(width, patch, strides=patch, name="patches")(inputs)
    return inputs, k.Reshape((-1, width))(x)


def vit_block(x, scale=None):
    def branch(y):
        return y if scale is None else scale()(y)

    normed = k.LayerNormalization()(x)
    x = k.add([x, branch(k.MultiHeadAttention(4, 8)(normed, normed))])
    hidden = k.Dense(64, "gelu")(k.LayerNormalization()(x))
    return k.add([x, branch(k.Dense(32)(hidden))])


@setup
def vit_with_class_token():
    inputs, x = patches()
    x = Positions(name="positions")(ClassToken(name="class_token")(x))
    for _ in range(4):
        x = vit_block(x)
    return classifier(inputs, k.LayerNormalization()(x)[:, 0], data.images())


@setup
def vit_with_layer_scale():
    inputs, x = patches()
    x = Positions(name="positions")(x)
    for _ in range(4):
        x = vit_block(x, LayerScale)
    x = k.GlobalAveragePooling1D()(k.LayerNormalization()(x))
    return classifier(inputs, x, data.images())


@setup
def mlp_mixer():
    inputs, x = patches()
    for _ in range(4):
        y = k.Permute((2, 1))(k.LayerNormalization()(x))
        y = k.Dense(16)(k.Dense(32, "gelu")(y))
        x = k.add([x, k.Permute((2, 1))(y)])
        y = k.Dense(32)(k.Dense(64, "gelu")(k.LayerNormalization()(x)))
        x = k.add([x, y])
    x = k.GlobalAveragePooling1D()(k.LayerNormalization()(x))
    return classifier(inputs, x, data.images())


@setup
def encoder_decoder():
    source, target = (keras.Input((12,), dtype="int32", name=n) for n in "ab")
    embed = k.Embedding(50, 32)
    encoded = embed(source)
    for _ in range(2):
        attended = k.MultiHeadAttention(4, 8)(encoded, encoded)
        encoded = k.LayerNormalization()(k.add([encoded, attended]))
        encoded = k.add([encoded, k.Dense(32)(k.Dense(64, "relu")(encoded))])
        encoded = k.LayerNormalization()(encoded)
    decoded = embed(target)
    for _ in range(2):
        attended = k.MultiHeadAttention(4, 8)(decoded, decoded, use_causal_mask=True)
        decoded = k.LayerNormalization()(k.add([decoded, attended]))
        attended = k.MultiHeadAttention(4, 8)(decoded, encoded)
        decoded = k.LayerNormalization()(k.add([decoded, attended]))
        decoded = k.add([decoded, k.Dense(32)(k.Dense(64, "relu")(decoded))])
        decoded = k.LayerNormalization()(decoded)
    model = keras.Model([source, target], k.Dense(50)(decoded))
    x, _ = data.tokens()
    return compiled(model), [x, np.roll(x, 1, axis=1)], x


class Scorer(keras.Layer):
    """Additive attention over positions, with one score each."""

    def build(self, shape):
        self.v = self.add_weight(name="v", shape=(shape[-1], 64))
        self.w = self.add_weight(name="w", shape=(64, 1))

    def call(self, h):
        scores = ops.matmul(ops.tanh(ops.matmul(h, self.v)), self.w)
        return ops.softmax(scores, axis=1)


@setup(default=True)
def attention_pooling():
    inputs = keras.Input((16, 4))
    h = k.Dense(32, "relu")(inputs)
    pooled = ops.sum(h * Scorer(name="score")(h), axis=1)
    return classifier(inputs, pooled, data.series())


@setup
def dense_attention_pooling():
    inputs = keras.Input((16, 4))
    h = k.Bidirectional(k.LSTM(16, return_sequences=True))(inputs)
    score = k.Softmax(axis=1)(k.Dense(1)(k.Dense(32, "tanh")(h)))
    return classifier(inputs, k.Flatten()(k.Dot(1)([score, h])), data.series())


# Convolutions.
@setup
def squeeze_and_excite():
    inputs = x = keras.Input((16, 16, 3))
    for _ in range(8):
        x = k.Conv2D(16, 3, padding="same", use_bias=False)(x)
        x = k.ReLU()(k.BatchNormalization()(x))
        gate = k.GlobalAveragePooling2D(keepdims=True)(x)
        gate = k.Conv2D(4, 1, activation="silu")(gate)
        x = k.multiply([x, k.Conv2D(16, 1, activation="sigmoid")(gate)])
    return classifier(inputs, k.GlobalAveragePooling2D()(x), data.images())


@setup(default=True)
def two_convolutions_and_a_mean():
    inputs = keras.Input((32, 32, 3))
    x = k.Conv2D(32, 3, activation="relu")(inputs)
    x = k.Conv2D(64, 3, activation="relu")(x)
    return classifier(inputs, k.GlobalAveragePooling2D()(x), data.images(size=32))


@setup
def lenet():
    inputs = x = keras.Input((28, 28, 1))
    for filters in (6, 16):
        x = k.Conv2D(filters, 5, activation="tanh")(x)
        x = k.AveragePooling2D(2)(x)
    x = k.Dense(84, "tanh")(k.Dense(120, "tanh")(k.Flatten()(x)))
    return classifier(inputs, x, data.images(size=28, channels=1))


@setup
def unet():
    inputs = keras.Input((16, 16, 3))

    def block(x, filters):
        for _ in range(2):
            x = k.Conv2D(filters, 3, padding="same", activation="relu")(x)
        return x

    one = block(inputs, 16)
    two = block(k.MaxPooling2D()(one), 32)
    x = block(k.MaxPooling2D()(two), 64)
    x = k.Conv2DTranspose(32, 2, 2)(x)
    x = block(k.concatenate([x, two]), 32)
    x = k.UpSampling2D()(x)
    x = block(k.concatenate([x, one]), 16)
    model = keras.Model(inputs, k.Conv2D(1, 1, activation="sigmoid")(x))
    x, _ = data.images()
    mask = (x.mean(axis=-1, keepdims=True) > 0).astype("float32")
    return compiled(model, "binary_crossentropy"), x, mask


@setup(
    explained={
        "PoorWeightInitialization": "Glorot's rule under ReLU, of 16 units to 512 most"
    }
)
def convolutional_autoencoder():
    inputs = keras.Input((16, 16, 3))
    x = k.Conv2D(16, 3, strides=2, padding="same", activation="relu")(inputs)
    x = k.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    x = k.Dense(16)(k.Flatten()(x))
    x = k.Reshape((4, 4, 32))(k.Dense(512, "relu")(x))
    x = k.Conv2DTranspose(16, 3, 2, padding="same", activation="relu")(x)
    x = k.Conv2DTranspose(3, 3, 2, padding="same")(x)
    x_, _ = data.images()
    return compiled(keras.Model(inputs, x), "mse"), x_, x_


@setup
def generator_of_a_small_latent():
    inputs = keras.Input((2,))
    x = k.Reshape((7, 7, 64))(k.Dense(3136, "relu")(inputs))
    x = k.Conv2DTranspose(32, 3, 2, padding="same", activation="relu")(x)
    x = k.Conv2DTranspose(1, 3, 2, padding="same", activation="sigmoid")(x)
    x_, _ = data.vectors(64, 2)
    y, _ = data.images(64, 28, 1, low=0.0, high=1.0)
    return compiled(keras.Model(inputs, x), "binary_crossentropy"), x_, y


@setup
def separable():
    inputs = x = keras.Input((16, 16, 3))
    for filters in (16, 32, 32):
        x = k.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        x = k.ReLU()(k.BatchNormalization()(x))
    return classifier(inputs, k.GlobalAveragePooling2D()(x), data.images())


@setup
def dense_connections():
    inputs = x = keras.Input((16, 16, 3))
    x = k.Conv2D(16, 3, padding="same")(x)
    for _ in range(6):
        y = k.ReLU()(k.BatchNormalization()(x))
        x = k.concatenate([x, k.Conv2D(8, 3, padding="same")(y)])
    x = k.GlobalAveragePooling2D()(k.ReLU()(k.BatchNormalization()(x)))
    return classifier(inputs, x, data.images())


@setup
def inception():
    inputs = x = keras.Input((16, 16, 3))
    for _ in range(3):
        branches = [
            k.Conv2D(8, 1, activation="relu")(x),
            k.Conv2D(8, 3, padding="same", activation="relu")(
                k.Conv2D(4, 1, activation="relu")(x)
            ),
            k.Conv2D(8, 5, padding="same", activation="relu")(x),
            k.Conv2D(8, 1)(k.MaxPooling2D(3, 1, padding="same")(x)),
        ]
        x = k.concatenate(branches)
    return classifier(inputs, k.GlobalAveragePooling2D()(x), data.images())


# Residual networks without normalization.
@setup
def zero_branches():
    inputs = keras.Input((16,))
    x = k.Dense(32, "relu", kernel_initializer="he_normal")(inputs)
    for _ in range(8):
        y = k.Dense(32, "relu", kernel_initializer="he_normal")(x)
        x = k.add([x, k.Dense(32, kernel_initializer="zeros")(y)])
    return classifier(inputs, x, data.vectors())


class Gain(keras.Layer):
    """Multiplies by one number that starts at zero."""

    def build(self, shape):
        self.alpha = self.add_weight(name="alpha", shape=(), initializer="zeros")

    def call(self, x):
        return self.alpha * x


@setup
def rezero():
    inputs = keras.Input((16,))
    x = k.Dense(32)(inputs)
    for _ in range(8):
        y = k.Dense(32, "relu", kernel_initializer="he_normal")(x)
        x = k.add([x, Gain()(k.Dense(32)(y))])
    return classifier(inputs, x, data.vectors())


@setup
def scaled_branches():
    inputs = keras.Input((16,))
    x = k.Dense(32)(inputs)
    for _ in range(20):
        y = k.Dense(32, kernel_initializer="he_normal")(k.ReLU()(x))
        x = x + 0.2 * y
    return classifier(inputs, x, data.vectors())


@setup
def highway():
    inputs = keras.Input((16,))
    x = k.Dense(32, "relu")(inputs)
    for _ in range(6):
        bias = keras.initializers.Constant(-2.0)
        gate = k.Dense(32, "sigmoid", bias_initializer=bias)(x)
        x = gate * k.Dense(32, "relu")(x) + (1 - gate) * x
    return classifier(inputs, x, data.vectors())


@setup
def batch_norm_zero_gamma():
    inputs = keras.Input((16, 16, 3))
    x = k.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
    x = k.ReLU()(k.BatchNormalization()(x))
    for _ in range(4):
        y = k.Conv2D(16, 3, padding="same", use_bias=False)(x)
        y = k.ReLU()(k.BatchNormalization()(y))
        y = k.Conv2D(16, 3, padding="same", use_bias=False)(y)
        x = k.ReLU()(k.add([x, k.BatchNormalization(gamma_initializer="zeros")(y)]))
    return classifier(inputs, k.GlobalAveragePooling2D()(x), data.images())


# Dense networks.
@setup(default=True)
def small_selu():
    inputs = x = keras.Input((2,))
    for units in (5, 5):
        x = k.Dense(units, "selu", kernel_initializer="lecun_normal")(x)
    return classifier(inputs, x, data.vectors(features=2, classes=2), units=2)


@setup
def deep_selu():
    inputs = x = keras.Input((16,))
    for _ in range(12):
        x = k.Dense(32, "selu", kernel_initializer="lecun_normal")(x)
    return classifier(inputs, x, data.vectors())


@setup
def deep_he():
    inputs = x = keras.Input((16,))
    for _ in range(12):
        x = k.Dense(64, "relu", kernel_initializer="he_normal")(x)
    return classifier(inputs, x, data.vectors())


@setup(default=True)
def towers():
    inputs = keras.Input((16,))
    parts_ = [k.Dense(8, "relu", name=f"tower{n}")(inputs) for n in range(12)]
    return classifier(inputs, k.concatenate(parts_), data.vectors())


@setup(default=True)
def heads_side_by_side():
    inputs = keras.Input((16,))
    x = k.Dense(32, "relu")(inputs)
    outputs = {
        "kind": k.Dense(4, "softmax", name="kind")(x),
        "size": k.Dense(1, name="size")(x),
        "sign": k.Dense(1, "sigmoid", name="sign")(x),
    }
    model = keras.Model(inputs, outputs)
    losses = {
        "kind": "sparse_categorical_crossentropy",
        "size": "mse",
        "sign": "binary_crossentropy",
    }
    model.compile("adam", losses)
    x, y = data.vectors()
    size = x[:, :1].astype("float32")
    return model, x, {"kind": y, "size": size, "sign": (size > 0).astype("float32")}


@setup(default=True)
def head_from_zero():
    inputs = x = keras.Input((16,))
    for _ in range(3):
        x = k.Dense(64, "relu")(x)
    outputs = k.Dense(4, kernel_initializer="zeros", name="head")(x)
    return compiled(keras.Model(inputs, outputs)), *data.vectors()


@setup
def averaged_members():
    inputs = keras.Input((16,))
    members = [
        k.Dense(4, "softmax")(k.Dense(32, "relu")(k.Dense(32, "relu")(inputs)))
        for _ in range(3)
    ]
    model = keras.Model(inputs, k.average(members))
    return compiled(model, "sparse_categorical_crossentropy"), *data.vectors()


@setup
def mixture_of_experts():
    inputs = keras.Input((16,))
    shares = k.Dense(4, "softmax", name="router")(inputs)
    experts = ops.stack(
        [k.Dense(32, "relu", name=f"expert{n}")(inputs) for n in range(4)], axis=1
    )
    x = ops.sum(ops.expand_dims(shares, -1) * experts, axis=1)
    return classifier(inputs, x, data.vectors())


@setup
def distance_as_probability():
    one, other = keras.Input((16,)), keras.Input((16,))
    encoder = keras.Sequential([k.Dense(32, "relu"), k.Dense(8)])
    apart = ops.sum(ops.square(encoder(one) - encoder(other)), axis=1, keepdims=True)
    model = keras.Model([one, other], ops.exp(-0.1 * apart))
    x, y = data.vectors()
    order = np.random.default_rng(0).permutation(len(x))
    alike = (y == y[order]).astype("float32")[:, None]
    return compiled(model, "binary_crossentropy"), [x, x[order]], alike


@setup
def low_rank_adapter():
    inputs = x = keras.Input((16,))
    layers = [k.Dense(32, "relu") for _ in range(3)]
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, k.Dense(4)(x))
    for layer in layers:
        layer.enable_lora(2)
    return compiled(model), *data.vectors()


# Sequences and tables.
@setup
def text_cnn():
    inputs = keras.Input((12,), dtype="int32")
    x = k.Embedding(50, 32)(inputs)
    found = [
        k.GlobalMaxPooling1D()(k.Conv1D(16, n, activation="relu")(x)) for n in (2, 3, 4)
    ]
    return classifier(inputs, k.concatenate(found), data.tokens())


@setup
def bag_of_words():
    inputs = keras.Input((12,), dtype="int32")
    x = k.GlobalAveragePooling1D()(k.Embedding(50, 16)(inputs))
    return classifier(inputs, k.Dense(16, "relu")(x), data.tokens())


@setup
def stacked_recurrent():
    inputs = keras.Input((16, 4))
    x = k.GRU(16, return_sequences=True, reset_after=True)(inputs)
    return classifier(inputs, k.LSTM(16)(x), data.series())


@setup
def gated_convolutions():
    inputs = x = keras.Input((16, 4))
    x = k.Conv1D(16, 1)(x)
    skips = []
    for rate in (1, 2, 4):
        wide = {"dilation_rate": rate, "padding": "causal"}
        y = k.Conv1D(16, 2, activation="tanh", **wide)(x)
        y = k.multiply([y, k.Conv1D(16, 2, activation="sigmoid", **wide)(x)])
        skips.append(k.Conv1D(16, 1)(y))
        x = k.add([x, k.Conv1D(16, 1)(y)])
    x = k.GlobalAveragePooling1D()(k.ReLU()(k.add(skips)))
    return classifier(inputs, x, data.series())


@setup
def collaborative():
    one, other = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    user, item = k.Embedding(40, 8)(one), k.Embedding(30, 8)(other)
    rating = k.Flatten()(k.Dot(2)([user, item]))
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 40, (128, 1)), rng.integers(0, 30, (128, 1))
    taste, kind = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    y = np.sum(taste[users[:, 0]] * kind[items[:, 0]], axis=1, keepdims=True)
    model = compiled(keras.Model([one, other], rating), "mse")
    return model, [users.astype("int32"), items.astype("int32")], y.astype("float32")


@setup
def wide_and_deep():
    numbers, word = keras.Input((16,)), keras.Input((1,), dtype="int32")
    x = k.concatenate([numbers, k.Flatten()(k.Embedding(20, 4)(word))])
    deep = k.Dense(16, "relu")(k.Dense(32, "relu")(k.BatchNormalization()(x)))
    x, y = data.vectors()
    words = (y * 5 + np.arange(len(y)) % 5)[:, None].astype("int32")
    model, _, _ = classifier([numbers, word], k.concatenate([numbers, deep]), (x, y))
    return model, [x, words], y
