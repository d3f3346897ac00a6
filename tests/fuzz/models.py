"""Random small models, built of recipes that are drawn from seeds."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

ACTIVATIONS = (
    "relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign tanh sigmoid "
    "hard_sigmoid hard_silu hard_tanh exponential linear softmax log_softmax "
    "log_sigmoid squareplus soft_shrink hard_shrink tanh_shrink sparse_plus "
    "sparsemax"
).split()

# Those that are fused into kernels are drawn more often.
COMMON = "relu relu6 leaky_relu elu gelu silu tanh sigmoid linear".split()

VECTOR = (
    "dense residual two_dense gate average maximum subtract concatenate shared chain "
    "multiply_chain dropout batch_norm layer_norm activation prelu"
).split()
IMAGE = (
    "conv depthwise separable transposed pool residual_conv gate_conv dropout "
    "batch_norm activation two_conv shared_conv average_conv"
).split()
SEQUENCE = (
    "conv1d lstm gru simple_rnn attention layer_norm rms_norm group_norm dense gate "
    "residual feed_forward dropout average_pool bidirectional"
).split()
RAW = (
    "swish gelu_by_hand sum_chain product_chain squared root normed dense gate "
    "tanh_gate residual clipped square_sum"
).split()
BLOCKS = {"vector": VECTOR, "image": IMAGE, "sequence": SEQUENCE, "raw": RAW}
SHAPES = {"vector": (6,), "image": (6, 6, 3), "sequence": (5, 4), "raw": (6,)}
OPTIMIZERS = (
    "SGD Adam AdamW RMSprop Adagrad Adadelta Adamax Nadam Ftrl Lion Adafactor Lamb"
).split()
LOSSES = "mse mae huber log_cosh cosine_similarity crossentropy root".split()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a model, its data, its training and what is watched."""

    seed: int
    family: str
    blocks: tuple
    units: int
    policy: str
    data: str
    optimizer: tuple
    loss: str
    frozen: int
    eager: bool
    execution: int
    signals: tuple
    batch: int
    histograms: bool
    # "arrays", whose batches are of one size, a "dataset" of batches of any, or one of
    # an "unknown" number.
    fed: str
    evaluates: bool
    # "full", "norms", or "both": norms at every step, all else at every second.
    detail: str

    def __str__(self):
        blocks = " ".join(f"{kind}:{act}" for kind, act in self.blocks)
        return (
            f"{self.family} [{blocks}] units={self.units} {self.policy} {self.data} "
            f"{self.optimizer[0]} {dict(self.optimizer[1])} {self.loss} "
            f"frozen={self.frozen} eager={self.eager} spe={self.execution} "
            f"batch={self.batch} fed={self.fed} evaluates={self.evaluates} "
            f"detail={self.detail} "
            f"{','.join(self.signals)}"
        )


def draw(seed):
    """Draws the recipe of a seed."""
    rng = np.random.default_rng([18, seed])

    def one_of(these, p=None):
        return these[rng.choice(len(these), p=p)]

    family = one_of(list(BLOCKS), [0.25, 0.25, 0.3, 0.2])
    blocks = tuple(
        (
            one_of(BLOCKS[family]),
            one_of(COMMON if rng.random() < 0.6 else ACTIVATIONS),
        )
        for _ in range(rng.integers(1, 5))
    )
    settings: dict = {}
    if rng.random() < 0.2:
        settings[one_of(["clipnorm", "global_clipnorm", "clipvalue"])] = 0.5
    if rng.random() < 0.15:
        settings["weight_decay"] = 0.01
    if rng.random() < 0.1:
        settings["use_ema"] = True
    optimizer = one_of(OPTIMIZERS)
    if optimizer == "SGD" and rng.random() < 0.5:
        settings["momentum"] = 0.9
    signals = ("activation", "preactivation", "backprop", "gradient", "weight")
    signals = (*signals, "update")
    if rng.random() < 0.5:
        signals = tuple(s for s in signals if rng.random() < 0.4) or ("activation",)
    return Recipe(
        seed,
        family,
        blocks,
        int(one_of([3, 4, 8, 17])),
        one_of(["float32", "mixed_bfloat16", "mixed_float16"], [0.7, 0.15, 0.15]),
        one_of(["finite", "nan", "inf", "huge"], [0.55, 0.15, 0.15, 0.15]),
        (optimizer, tuple(settings.items())),
        one_of(LOSSES),
        int(one_of([0, 2, 4], [0.8, 0.1, 0.1])),
        bool(rng.random() < 0.1),
        int(one_of([1, 3], [0.75, 0.25])),
        signals,
        int(one_of([2, 5, 8])),
        bool(rng.random() < 0.2),
        ("arrays", "arrays", "unknown", "dataset", "dataset")[seed % 5],
        seed % 3 == 1,
        ("full", "full", "norms", "both")[seed % 4],
    )


def data(recipe):
    """Returns three batches of inputs and targets."""
    rng = np.random.default_rng([19, recipe.seed])
    count = 3 * recipe.batch
    x = rng.standard_normal((count, *SHAPES[recipe.family])).astype("float32")
    y = rng.random((count, 2)).astype("float32")
    where = rng.random(x.shape) < 0.03
    if recipe.data == "nan":
        x[where] = np.nan
    elif recipe.data == "inf":
        x[where] = np.inf
    elif recipe.data == "huge":
        x *= 1e4
    return x, y


def feed(recipe):
    """Returns the arguments by which `fit` gets the data."""
    x, y = data(recipe)
    arguments = {"x": x, "y": y, "batch_size": recipe.batch, "shuffle": False}
    if recipe.fed != "arrays":
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(recipe.batch)
        if recipe.fed == "unknown":
            batches = batches.filter(lambda x, y: True)
        arguments = {"x": batches}
    if recipe.evaluates:
        arguments["validation_data"] = x[::-1].copy(), y[::-1].copy()
        arguments["validation_batch_size"] = recipe.batch
    return arguments


def build(recipe):
    """Builds and compiles the model of a recipe, the same each time."""
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.policy)
    try:
        if recipe.family == "raw":
            model = Raw(recipe)
            model(np.zeros((2, 6), "float32"))
        else:
            model = _functional(recipe)
        weighted = [layer for layer in model.layers if layer.weights]
        for layer in weighted[: min(recipe.frozen, len(weighted) - 1)]:
            layer.trainable = False
        name, settings = recipe.optimizer
        settings = {"learning_rate": 0.01, **dict(settings)}
        losses = {
            "crossentropy": keras.losses.CategoricalCrossentropy(from_logits=True),
            "root": _root_loss,
        }
        model.compile(
            getattr(keras.optimizers, name)(**settings),
            losses.get(recipe.loss, recipe.loss),
            run_eagerly=recipe.eager,
            steps_per_execution=1 if recipe.eager else recipe.execution,
            jit_compile=False,
        )
    finally:
        keras.config.set_dtype_policy("float32")
    return model


def _root_loss(y, predicted):
    difference = keras.ops.cast(predicted, "float32") - y
    return keras.ops.sqrt(keras.ops.mean(difference * difference, axis=-1) + 1e-6)


def _functional(recipe):
    x = keras.Input(SHAPES[recipe.family])
    h = x
    for kind, activation in recipe.blocks:
        h = globals()["_" + recipe.family](h, kind, activation, recipe.units)
    if recipe.family == "image":
        h = keras.layers.GlobalAveragePooling2D()(h)
    elif recipe.family == "sequence":
        h = keras.layers.GlobalAveragePooling1D()(h)
    return keras.Model(x, keras.layers.Dense(2, dtype="float32")(h))


def _vector(h, kind, act, units):
    k = keras.layers

    def dense(a=act):
        return k.Dense(units, a)

    def same(a=act):
        return k.Dense(h.shape[-1], a)

    made = {
        "dense": lambda: dense()(h),
        "residual": lambda: k.Add()([h, same()(h)]),
        "two_dense": lambda: k.Activation(act)(
            k.Add()([dense(None)(h), dense(None)(h)])
        ),
        "gate": lambda: k.Multiply()([dense("sigmoid")(h), dense()(h)]),
        "average": lambda: k.Average()([dense()(h), dense("relu")(h)]),
        "maximum": lambda: k.Maximum()([dense()(h), dense(None)(h)]),
        "subtract": lambda: k.Subtract()([h, same()(h)]),
        "concatenate": lambda: k.Concatenate()([dense()(h), dense("relu")(h)]),
        "chain": lambda: k.Add()([same()(h), h, same(None)(h), same("tanh")(h)]),
        "multiply_chain": lambda: k.Multiply()([same()(h), h, same(None)(h)]),
        "dropout": lambda: k.Dropout(0.3)(h),
        "batch_norm": lambda: k.BatchNormalization()(h),
        "layer_norm": lambda: k.LayerNormalization()(h),
        "activation": lambda: k.Activation(act)(h),
        "prelu": lambda: k.PReLU()(h),
    }
    if kind == "shared":
        shared = same()
        return k.Add()([shared(h), shared(shared(h))])
    return made[kind]()


def _image(h, kind, act, units):
    k = keras.layers
    same = {"padding": "same"}

    def conv(a=act, n=None, size=3):
        return k.Conv2D(n or units, size, activation=a, **same)

    channels = h.shape[-1]
    made = {
        "conv": lambda: conv()(h),
        "depthwise": lambda: k.DepthwiseConv2D(3, activation=act, **same)(h),
        "separable": lambda: k.SeparableConv2D(units, 3, activation=act, **same)(h),
        "transposed": lambda: k.Conv2DTranspose(units, 3, activation=act, **same)(h),
        "pool": lambda: (k.MaxPooling2D if units % 2 else k.AveragePooling2D)(
            2, padding="same"
        )(h),
        "residual_conv": lambda: k.Activation(act)(
            k.Add()([h, conv(None, channels)(conv()(h))])
        ),
        "gate_conv": lambda: k.Multiply()(
            [
                h,
                k.Dense(channels, "sigmoid")(k.AveragePooling2D(6, padding="same")(h)),
            ]
        ),
        "dropout": lambda: k.SpatialDropout2D(0.3)(h),
        "batch_norm": lambda: k.Activation(act)(
            k.BatchNormalization()(conv(None, size=1)(h))
        ),
        "activation": lambda: k.Activation(act)(h),
        "two_conv": lambda: k.Activation(act)(k.Add()([conv(None)(h), conv(None)(h)])),
        "average_conv": lambda: k.Average()([conv()(h), conv(None, size=1)(h)]),
    }
    if kind == "shared_conv":
        shared = conv(act, channels)
        return k.Add()([shared(h), shared(shared(h))])
    return made[kind]()


def _sequence(h, kind, act, units):
    k = keras.layers
    keep = {"return_sequences": True}
    width = h.shape[-1]
    # Recurrences blow up, and stop at NaN, with what is not bounded; this is no fault.
    inner = act if act in ("relu", "tanh", "sigmoid", "elu") else "tanh"
    made = {
        "conv1d": lambda: k.Conv1D(units, 3, padding="causal", activation=act)(h),
        "lstm": lambda: k.LSTM(units, inner, **keep)(h),
        "gru": lambda: k.GRU(units, inner, **keep)(h),
        "simple_rnn": lambda: k.SimpleRNN(units, inner, **keep)(h),
        "bidirectional": lambda: k.Bidirectional(k.SimpleRNN(units, **keep))(h),
        "attention": lambda: k.Add()([h, k.MultiHeadAttention(2, 3)(h, h)]),
        "layer_norm": lambda: k.LayerNormalization()(h),
        "rms_norm": lambda: k.RMSNormalization()(h),
        "group_norm": lambda: k.GroupNormalization(1)(h),
        "dense": lambda: k.Dense(units, act)(h),
        "residual": lambda: k.Add()([h, k.Dense(width, act)(h)]),
        "feed_forward": lambda: k.Add()(
            [h, k.Dense(width)(k.Dense(units, act)(k.LayerNormalization()(h)))]
        ),
        "dropout": lambda: k.Dropout(0.2)(h),
        "average_pool": lambda: k.AveragePooling1D(2, padding="same")(h),
        "gate": lambda: k.Multiply()([k.Dense(units, "sigmoid")(h), k.Dense(units)(h)]),
    }
    return made[kind]()


class Raw(keras.Model):
    """A subclassed model that computes with `keras.ops` between its layers."""

    def __init__(self, recipe):
        super().__init__()
        self.recipe = recipe
        self.steps = [
            [keras.layers.Dense(recipe.units, act), keras.layers.Dense(recipe.units)]
            for _, act in recipe.blocks
        ]
        self.last = keras.layers.Dense(2, dtype="float32")

    def call(self, h):
        o = keras.ops
        for (kind, act), (one, other) in zip(
            self.recipe.blocks, self.steps, strict=True
        ):
            a, b = one(h), other(h)
            activation = keras.activations.get(act)
            made = {
                "swish": lambda a, b: b * o.sigmoid(b) + a,
                "gelu_by_hand": lambda a, b: (
                    0.5 * b * (1.0 + o.erf(b * 0.7071067811865476)) + a
                ),
                "sum_chain": lambda a, b: a + b + a * 2.0 + b + 1.0,
                "product_chain": lambda a, b: a * b * a * 0.5,
                "squared": lambda a, b: o.square(a - b),
                "root": lambda a, b: o.sqrt(o.abs(a) + 1e-3) + b,
                "normed": lambda a, b: (
                    (a - o.mean(a, -1, keepdims=True)) / (o.std(b) + 0.1)
                ),
                "dense": lambda a, b: a,
                "gate": lambda a, b: a * o.sigmoid(b),
                "tanh_gate": lambda a, b: o.tanh(a) * o.sigmoid(b) + o.tanh(b),
                "residual": lambda a, b: a + activation(b),  # noqa: B023
                "clipped": lambda a, b: o.clip(a + b, -1.0, 1.0),
                "square_sum": lambda a, b: a * b + a * o.tanh(b),
            }
            h = made[kind](a, b)
        return self.last(h)
