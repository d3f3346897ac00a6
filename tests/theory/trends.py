"""Published results in small: what trains at which depth, and what does not.

Short versions run by default, on handwritten digits; the long ones are marked `slow`
and take real MNIST where it is to be had. `python tests/theory/test_published_trends.py
DIRECTORY` draws the pictures of the long ones.
"""

import itertools
import math
import typing
import warnings

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import theory

k = keras.layers
LOG10 = math.log(10)


def digits(count, source="standin"):
    """Images scaled to mean 0 and std 1 over the set, and labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that the stand-in is one
        data = kik.data.load("mnist", limit=count, source=source, test_limit=10)
    x = data.x_train.reshape(len(data.x_train), 28, 28, 1).astype("float32")
    return (x - x.mean()) / x.std(), data.y_train


def draw(initializer, seed, path, shape):
    values = kik.initializers.seeded(initializer, seed, path)(shape)
    return keras.ops.convert_to_numpy(values)


ACTIVATIONS = {  # function, slope in terms of the value
    "relu": (lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(a.dtype)),
    "tanh": (np.tanh, lambda a: 1 - a**2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "softsign": (lambda z: z / (1 + np.abs(z)), lambda a: (1 - np.abs(a)) ** 2),
}


class Trained(typing.NamedTuple):
    """Loss, share of errors and hidden activations on the first 2000 examples."""

    loss: float
    error: float
    hidden: list


def train_mlp(
    depth, activation, initializer, x, y, steps, sigma_b=0.0, size=64, clip=1.0
):
    """Trains a deep MLP of width 100 by SGD in numpy, on batches of `size` examples.

    Plain back-propagation, as hundreds of layers take Keras longer to trace than this
    takes to train. Momentum 0.9, learning rate 0.01, gradients of norm `clip` at most.
    """
    phi, slope = ACTIVATIONS[activation]
    x = x.reshape(len(x), -1)
    sizes = [x.shape[1], *[100] * depth, 10]
    bias = keras.initializers.RandomNormal(0.0, sigma_b)
    weights = []
    for n, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        kind = initializer if n < depth else "lecun_normal"
        weights.append(draw(kind, 0, f"w{n}", (fan_in, fan_out)))
        weights.append(
            draw(bias, 0, f"b{n}", (fan_out,)) if n < depth else np.zeros(10, "float32")
        )
    velocity = [np.zeros_like(w) for w in weights]

    def forward(a):
        values = [a]
        for n in range(depth):
            values.append(phi(values[-1] @ weights[2 * n] + weights[2 * n + 1]))
        logits = values[-1] @ weights[-2] + weights[-1]
        return values, logits - logits.max(axis=1, keepdims=True)

    rng = np.random.default_rng(0)
    for _ in range(steps):
        batch = rng.integers(0, len(x), size)
        values, logits = forward(x[batch])
        delta = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        delta[np.arange(size), y[batch]] -= 1
        delta /= size
        gradients = [None] * len(weights)
        for n in reversed(range(depth + 1)):
            gradients[2 * n] = values[n].T @ delta
            gradients[2 * n + 1] = delta.sum(axis=0)
            if n:
                delta = delta @ weights[2 * n].T * slope(values[n])
        norm = math.sqrt(sum(np.sum(g.astype(float) ** 2) for g in gradients))
        for w, v, g in zip(weights, velocity, gradients, strict=True):
            v *= 0.9
            v -= 0.01 / max(1.0, norm / clip) * g
            w += v
    values, logits = forward(x[:2000])
    y = y[:2000]
    chosen = logits[np.arange(len(y)), y]
    loss = np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen)
    return Trained(float(loss), np.mean(logits.argmax(axis=1) != y), values[1:])


def he_against_glorot(depth, count, steps, source):
    x, y = digits(count, source)
    return {
        name: train_mlp(depth, "relu", name, x, y, steps).loss
        for name in ("he_normal", "glorot_normal")
    }


def test_he_trains_30_relu_layers_where_glorot_stalls():
    """He et al. 2015, section 3.4: with Glorot's rule 30 layers stall completely."""
    losses = he_against_glorot(30, 1000, 120, "standin")
    assert losses["he_normal"] < 1.5
    assert abs(losses["glorot_normal"] - LOG10) < 0.01


@pytest.mark.slow
@pytest.mark.realdata
def test_he_trains_30_relu_layers_where_glorot_stalls_on_mnist():
    losses = he_against_glorot(30, 20_000, 1000, "real")
    assert losses["he_normal"] < 0.4
    assert abs(losses["glorot_normal"] - LOG10) < 0.01


def standard_against_normalized(x, y, steps):
    """Networks of 5 hidden layers by `(activation, initializer)`, batches of 10.

    `"xavier"` is what Glorot and Bengio call the standard initialization,
    U(±1/√fan_in); `"glorot_uniform"` is their normalized one. As each of theirs has a
    learning rate of its own, the sigmoid's gradients are not clipped here.
    """
    return {
        (activation, name): train_mlp(
            5, activation, name, x, y, steps, size=10, clip=clip
        )
        for activation, name, clip in (
            ("sigmoid", "xavier", math.inf),
            ("tanh", "xavier", 1.0),
            ("tanh", "glorot_uniform", 1.0),
        )
    }


def check_saturation(trained, top):
    """The top sigmoid layer is driven to 0, the layers below it stay where they were.

    Glorot & Bengio 2010, section 3.1 and figure 2: learning waits meanwhile.
    """
    *below, last = [a.mean() for a in trained.hidden]
    assert last < top
    assert all(abs(mean - 0.5) < 0.15 for mean in below)
    assert trained.loss > LOG10 - 0.05


def test_top_sigmoid_layer_saturates_at_zero_and_normalized_tanh_leads():
    """Glorot & Bengio 2010, figure 2 and the order of table 1, in 400 steps."""
    nets = standard_against_normalized(*digits(1000), 400)
    check_saturation(nets["sigmoid", "xavier"], 0.4)
    assert nets["tanh", "xavier"].loss > 1.3 * nets["tanh", "glorot_uniform"].loss


@pytest.mark.slow
@pytest.mark.realdata
def test_top_sigmoid_layer_saturates_and_normalized_tanh_leads_on_cifar10():
    data = kik.data.load("cifar10", limit=10_000, source="real", test_limit=10)
    x = (data.x_train - data.x_train.mean()) / data.x_train.std()
    nets = standard_against_normalized(x.astype("float32"), data.y_train, 3000)
    check_saturation(nets["sigmoid", "xavier"], 0.15)
    errors = {key: net.error for key, net in nets.items()}
    assert errors["sigmoid", "xavier"] > 0.85  # chance is 0.9
    # 2000 examples: one standard error of a difference is 0.016.
    assert errors["tanh", "glorot_uniform"] < errors["tanh", "xavier"] - 0.02


def trainable_depth(grid, depths, count, steps, source, sigma_b2=0.05):
    """Final losses `{(sigma_w², depth): loss}` of tanh networks of width 100."""
    x, y = digits(count, source)
    losses = {}
    for sigma_w2 in grid:
        initializer = keras.initializers.VarianceScaling(
            sigma_w2, "fan_in", "untruncated_normal"
        )
        for depth in depths:
            losses[sigma_w2, depth] = train_mlp(
                depth, "tanh", initializer, x, y, steps, math.sqrt(sigma_b2)
            ).loss
    return losses


def test_networks_train_up_to_six_depth_scales():
    """Schoenholz et al. 2017, figure 5, at three points of the map."""
    limit = {
        w: theory.depth_scale("tanh", math.sqrt(w), math.sqrt(0.05)).trainable_depth
        for w in (1.0, 1.76)
    }
    assert limit[1.0] < 22
    assert limit[1.76] > 1000
    losses = trainable_depth([1.0, 1.76], [50], 1000, 150, "standin")
    losses |= trainable_depth([1.0], [10], 1000, 150, "standin")
    assert losses[1.0, 10] < 1.0
    assert losses[1.0, 50] > LOG10 - 0.05
    assert losses[1.76, 50] < 1.5


@pytest.mark.slow
@pytest.mark.realdata
def test_map_of_trainable_depth_on_mnist():
    losses = trainable_depth(MAP_SIGMA_W2, MAP_DEPTHS, 10_000, 400, "real")
    for (sigma_w2, depth), loss in losses.items():
        limit = theory.depth_scale("tanh", math.sqrt(sigma_w2), math.sqrt(0.05))
        # 160 layers do not train in 400 steps anywhere, on the critical line neither.
        if depth < min(limit.trainable_depth / 3, 100):
            assert loss < 1.5, (sigma_w2, depth, loss)
        if depth > 3 * limit.trainable_depth:
            assert loss > LOG10 - 0.1, (sigma_w2, depth, loss)


MAP_SIGMA_W2 = (0.5, 1.0, 1.3, 1.5, 1.76, 2.2, 3.0, 4.0)
MAP_DEPTHS = (5, 10, 20, 40, 80, 160)


def learning_time(depth, draw, width=20, limit=3000):
    """Steps of gradient descent until a deep linear net has lost 90 % of its loss.

    Whitened inputs, target `2 Q` with an orthogonal `Q`; learning rate 0.05 / depth,
    the scaling that keeps steps stable (Saxe et al. 2013, section 3).
    """
    rng = np.random.default_rng(0)
    target = 2 * np.linalg.qr(rng.normal(size=(width, width)))[0]
    weights = [draw(n, width) for n in range(depth)]
    start = None
    for step in range(limit):
        below = [np.eye(width)]
        for w in weights:
            below.append(w @ below[-1])
        error = below[-1] - target
        loss = np.sum(error**2)
        start = loss if start is None else start
        if loss < 0.1 * start:
            return step
        if not np.isfinite(loss):
            return limit
        above = error
        for n in reversed(range(depth)):
            gradient = above @ below[n].T
            above = weights[n].T @ above
            weights[n] = weights[n] - 0.05 / depth * gradient
    return limit


def orthogonal_draw(n, width):
    matrix = kik.initializers.GateOrthogonal(gates=1, seed=n)((width, width))
    return keras.ops.convert_to_numpy(matrix).astype(float)


def gaussian_draw(n, width):
    return np.random.default_rng(n).normal(size=(width, width)) / math.sqrt(width)


def test_orthogonal_linear_nets_learn_in_a_time_that_depth_does_not_change():
    """Saxe et al. 2013: flat for orthogonal weights, growing for Gaussian ones."""
    times = [learning_time(depth, orthogonal_draw) for depth in (5, 20, 80)]
    assert max(times) < 1.5 * min(times), times
    gaussian = [learning_time(depth, gaussian_draw) for depth in (5, 20, 80)]
    assert gaussian[-1] > 5 * times[-1], gaussian


def deep_cnn(depth, initializer, width=12, seed=0):
    """A tanh network of `depth` equal convolutions on images of 7 x 7."""
    x = inputs = keras.Input((7, 7, 1))
    x = k.Conv2D(
        width,
        3,
        padding="same",
        kernel_initializer=keras.initializers.LecunNormal(seed=seed),
    )(x)
    for n in range(depth):
        x = k.Conv2D(
            width,
            3,
            padding="same",
            activation="tanh",
            use_bias=False,
            kernel_initializer=kik.initializers.seeded(initializer, seed, f"{n}"),
        )(x)
    head = k.Dense(10, kernel_initializer=keras.initializers.LecunNormal(seed=seed))
    return keras.Model(inputs, head(k.Flatten()(x)))


def pooled(x, side):
    """Images of 28 x 28 averaged down to `side` x `side`, scaled to std 1."""
    step = 28 // side
    x = x.reshape(-1, side, step, side, step, 1).mean(axis=(2, 4))
    return (x - x.mean()) / x.std()


def delta_against_glorot(depth, count, steps, source, rate):
    """Losses after training; one model, traced once, starts from either's weights."""
    x, y = digits(count, source)
    x = pooled(x, 7)
    names = ("delta_orthogonal", "glorot_uniform")
    starts = {name: deep_cnn(depth, name).get_weights() for name in names}
    model = deep_cnn(depth, "zeros")
    model.compile(
        keras.optimizers.SGD(rate, 0.9, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    rest = [keras.ops.convert_to_numpy(v.value) for v in model.optimizer.variables]
    order = np.random.default_rng(0).integers(0, len(x), steps * 32)
    losses = {}
    for name, weights in starts.items():
        model.set_weights(weights)
        for variable, value in zip(model.optimizer.variables, rest, strict=True):
            variable.assign(value)
        model.fit(x[order], y[order], batch_size=32, verbose=0, shuffle=False)
        losses[name] = model.evaluate(x, y, batch_size=500, verbose=0)
    return losses


def test_tanh_cnn_of_100_layers_learns_by_delta_orthogonal_first():
    """Xiao et al. 2018, in 40 steps; deeper networks do not learn otherwise at all."""
    losses = delta_against_glorot(100, 1000, 40, "standin", 0.02)
    assert losses["delta_orthogonal"] < 1.0
    assert losses["glorot_uniform"] > 1.8


@pytest.mark.slow
@pytest.mark.realdata
def test_tanh_cnn_of_200_layers_trains_with_delta_orthogonal_only_on_mnist():
    """Seen: 0.82 against 2.303 = log 10, in 80 steps."""
    losses = delta_against_glorot(200, 2000, 80, "real", 0.01)
    assert losses["delta_orthogonal"] < 1.2
    assert abs(losses["glorot_uniform"] - LOG10) < 0.01


def test_gradients_cross_200_steps_of_an_identity_recurrence():
    """Le et al. 2015; Keras's default recurrence loses them."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 200, 8)).astype("float32")
    norms = {}
    for name, arguments in {
        "irnn": {
            "activation": "relu",
            "kernel_initializer": keras.initializers.RandomNormal(0, 0.001, seed=1),
            "recurrent_initializer": kik.initializers.RecurrentIdentity(),
        },
        "default": {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=1),
            "recurrent_initializer": keras.initializers.Orthogonal(seed=1),
        },
    }.items():
        layer = k.SimpleRNN(32, **arguments)
        state = tf.constant(rng.uniform(0.1, 1, size=(4, 32)).astype("float32"))
        with tf.GradientTape() as tape:
            tape.watch(state)
            total = tf.reduce_sum(layer(x, initial_state=[state]))
        norms[name] = np.linalg.norm(tape.gradient(total, state)) / math.sqrt(4 * 32)
    assert norms["irnn"] > 0.9
    assert norms["default"] < 1e-3


def draw_pictures(directory):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    losses = trainable_depth(MAP_SIGMA_W2, MAP_DEPTHS, 10_000, 400, "auto")
    shown = np.array([[losses[w, d] for w in MAP_SIGMA_W2] for d in MAP_DEPTHS])
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    mesh = axes.pcolormesh(
        np.arange(len(MAP_SIGMA_W2)), np.arange(len(MAP_DEPTHS)), shown, vmax=LOG10
    )
    limits = [
        theory.depth_scale("tanh", math.sqrt(w), math.sqrt(0.05)).trainable_depth
        for w in MAP_SIGMA_W2
    ]
    places = np.interp(np.log2(limits), np.log2(MAP_DEPTHS), np.arange(len(MAP_DEPTHS)))
    axes.plot(np.arange(len(MAP_SIGMA_W2)), places, "w--o", label="6 xi_c")
    axes.set_xticks(np.arange(len(MAP_SIGMA_W2)), MAP_SIGMA_W2)
    axes.set_yticks(np.arange(len(MAP_DEPTHS)), MAP_DEPTHS)
    axes.set_xlabel("sigma_w² (sigma_b² = 0.05)")
    axes.set_ylabel("layers")
    axes.set_title("Loss of tanh networks on MNIST after 400 steps")
    figure.colorbar(mesh, label="cross-entropy")
    axes.legend(loc="lower right", facecolor="gray", labelcolor="white")
    figure.savefig(f"{directory}/trainable_depth.png", dpi=120)


if __name__ == "__main__":
    import sys

    draw_pictures(sys.argv[1])
