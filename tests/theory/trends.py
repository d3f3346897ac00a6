"""Published results in small: what trains at which depth, and what does not.

The experiments alone; `test_published_trends.py` holds them to what was published, and
`draw_trends.py` draws the long ones, whose sizes stand here in upper case.
"""

import itertools
import math
import typing
import warnings

import keras
import numpy as np

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
}


class Trained(typing.NamedTuple):
    """What training led to, and how.

    Attributes:
        loss: Cross-entropy of the first 2000 examples, at the end.
        error: Share of them that is classified wrongly.
        hidden: Their activations, one array a layer.
        losses: Cross-entropy of each step's batch, before the step.
        means: Mean activation of each step's batch, shape `(steps, depth)`.
    """

    loss: float
    error: float
    hidden: list
    losses: list
    means: np.ndarray


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
        logits -= logits.max(axis=1, keepdims=True)
        return values, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    rng = np.random.default_rng(0)
    losses, means = [], np.empty((steps, depth))
    for step in range(steps):
        batch = rng.integers(0, len(x), size)
        values, scores = forward(x[batch])
        losses.append(-scores[np.arange(size), y[batch]].mean())
        means[step] = [a.mean() for a in values[1:]]
        delta = np.exp(scores)
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
    values, scores = forward(x[:2000])
    y = y[:2000]
    return Trained(
        loss=float(-scores[np.arange(len(y)), y].mean()),
        error=np.mean(scores.argmax(axis=1) != y),
        hidden=values[1:],
        losses=losses,
        means=means,
    )


RELU = {"count": 20_000, "steps": 1000, "source": "real"}


def he_against_glorot(depth, count, steps, source):
    x, y = digits(count, source)
    return {
        name: train_mlp(depth, "relu", name, x, y, steps)
        for name in ("he_normal", "glorot_normal")
    }


def standard_against_normalized(x, y, steps):
    """Networks of 5 hidden layers by `(activation, initializer)`, batches of 10.

    `"slide_xavier"` is what Glorot and Bengio call the standard initialization,
    U(±1/√fan_in); `"glorot_uniform"` is their normalized one. As each of theirs has a
    learning rate of its own, the sigmoid's gradients are not clipped here.
    """
    return {
        (activation, name): train_mlp(
            5, activation, name, x, y, steps, size=10, clip=clip
        )
        for activation, name, clip in (
            ("sigmoid", "slide_xavier", math.inf),
            ("tanh", "slide_xavier", 1.0),
            ("tanh", "glorot_uniform", 1.0),
        )
    }


def saturation_on_cifar10():
    data = kik.data.load("cifar10", limit=10_000, source="real", test_limit=10)
    x = (data.x_train - data.x_train.mean()) / data.x_train.std()
    return standard_against_normalized(x.astype("float32"), data.y_train, 3000)


MAP = {
    "grid": (0.5, 1.0, 1.3, 1.5, 1.76, 2.2, 3.0, 4.0),
    "depths": (5, 10, 20, 40, 80, 160),
    "count": 10_000,
    "steps": 400,
    "source": "real",
}


def depth_limit(sigma_w2, sigma_b2=0.05):
    """Six depth scales of tanh networks."""
    scale = theory.depth_scale("tanh", math.sqrt(sigma_w2), math.sqrt(sigma_b2))
    return scale.trainable_depth


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


LINEAR = {"depths": (2, 5, 10, 20, 50, 100), "count": 20_000, "source": "real"}
LINEAR_RATES = tuple(2.0 ** (n / 2) for n in range(-16, 3))
LINEAR_LIMIT = 500


def learning_time(weights, target, rate, limit):
    """Steps of gradient descent until a linear net explains 90 % of what it can.

    The inputs are white, so that all data enters through the best linear map, `target`:
    the loss above its minimum is `sum((product of weights - target)²) / 2`.
    """
    weights = list(weights)
    goal = 0.1 * np.sum(target**2)
    for step in range(limit):
        below = [np.eye(weights[0].shape[1])]
        for w in weights:
            below.append(w @ below[-1])
        error = below[-1] - target
        loss = np.sum(error**2)
        if loss < goal:
            return step
        if not np.isfinite(loss):
            return limit
        above = error
        for n in reversed(range(len(weights))):
            gradient = above @ below[n].T
            above = weights[n].T @ above
            weights[n] = weights[n] - rate * gradient
    return limit


def orthogonal_draw(seed, shape):
    matrix = kik.initializers.GateOrthogonal(gates=1, seed=seed)(shape)
    return keras.ops.convert_to_numpy(matrix).astype(float)


def gaussian_draw(seed, shape):
    return np.random.default_rng(seed).normal(size=shape) / math.sqrt(shape[1])


def map_of_digits(count, source, width=50):
    """Best linear map, `(10, width)`, of whitened digits to their centred classes.

    The inputs are the first `width` principal components, each of variance 1.
    """
    x, y = digits(count, source)
    x = x.reshape(len(x), -1)
    u = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[0][:, :width]
    classes = np.eye(10)[y] - np.eye(10)[y].mean(axis=0)
    return classes.T @ u.astype(float) / math.sqrt(len(x))


def learning_times(depths, count, source, draws=3):
    """Shortest learning times over all rates, `{name: array (draws, depths)}`.

    As in the paper, each network has the rate that suits it best.
    """
    target = map_of_digits(count, source)
    width = target.shape[1]
    times = {}
    for name, draw_one in (("orthogonal", orthogonal_draw), ("normal", gaussian_draw)):
        times[name] = np.full((draws, len(depths)), LINEAR_LIMIT)
        for i, (j, depth) in itertools.product(range(draws), enumerate(depths)):
            shapes = [(width, width)] * (depth - 1) + [target.shape]
            weights = [draw_one(1000 * i + n, s) for n, s in enumerate(shapes)]
            for rate in LINEAR_RATES:
                # No rate that needs longer than the best so far is followed further.
                with np.errstate(over="ignore", invalid="ignore"):
                    taken = learning_time(weights, target, rate, times[name][i, j])
                times[name][i, j] = taken
    return times


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
