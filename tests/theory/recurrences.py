"""Published results on recurrent networks in small: what remembers over many steps.

The experiments alone, trained by Keras; `test_recurrent_trends.py` holds them to what
was published, `draw_trends.py` draws the long ones, whose sizes stand in upper case.
"""

import keras
import numpy as np

import keras_initkit as kik

k = keras.layers


def adding_problem(count, steps, seed):
    """Random numbers, two of them marked; the target is the sum of these two.

    To answer 1 always has the mean squared error 1/6, the variance of the sum.

    Returns:
        Arrays `(count, steps, 2)` and `(count, 1)`.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(size=(count, steps))
    first = rng.integers(0, steps // 2, count)
    second = rng.integers(steps // 2, steps, count)
    rows = np.arange(count)
    marks = np.zeros((count, steps))
    marks[rows, first] = marks[rows, second] = 1
    sums = numbers[rows, first] + numbers[rows, second]
    return np.stack([numbers, marks], axis=-1).astype("float32"), sums[:, None]


def recall_problem(count, steps, seed, symbols=8):
    """One of `symbols` in the first step, random numbers from then on; which was it?

    Returns:
        Arrays `(count, steps, symbols + 1)` and `(count,)`.
    """
    rng = np.random.default_rng(seed)
    symbol = rng.integers(0, symbols, count)
    x = np.zeros((count, steps, symbols + 1), "float32")
    x[np.arange(count), 0, symbol] = 1
    x[..., -1] = rng.uniform(size=(count, steps))
    return x, symbol


def pixels(count, steps, seed):
    """MNIST read pixel by pixel: part `seed` of a shuffled training set.

    Returns:
        Arrays `(count, steps, 1)` in [0, 1] and `(count,)`.
    """
    data = kik.data.load("mnist", source="real", test_limit=10)
    order = np.random.default_rng(0).permutation(len(data.x_train))
    rows = order[seed * count : (seed + 1) * count]
    return data.x_train[rows].reshape(count, steps, 1), data.y_train[rows]


def layer(name, units, steps, seed=1):
    """A recurrent layer: IRNN, tanh recurrences by two rules, LSTMs by two biases.

    `"orthogonal"` and `"lstm"` are Keras's defaults; `"normal"` has the variance 1/n.
    """
    initializers = keras.initializers
    if name == "irnn":
        return k.SimpleRNN(
            units,
            activation="relu",
            kernel_initializer=initializers.RandomNormal(0, 0.001, seed=seed),
            recurrent_initializer=kik.initializers.RecurrentIdentity(),
        )
    if name == "normal":
        recurrent = initializers.VarianceScaling(
            1.0, "fan_in", "untruncated_normal", seed=seed
        )
    else:
        recurrent = initializers.Orthogonal(seed=seed)
    arguments = {
        "kernel_initializer": initializers.GlorotUniform(seed=seed),
        "recurrent_initializer": recurrent,
    }
    if name in ("normal", "orthogonal"):
        return k.SimpleRNN(units, **arguments)
    if name == "chrono":
        bias = kik.initializers.ChronoBias(steps, seed=seed)
        arguments |= {"unit_forget_bias": False, "bias_initializer": bias}
    return k.LSTM(units, **arguments)


def train(name, problem, steps, updates, units, rate, outputs, chunks=1, size=64):
    """Trains a recurrent layer with a linear head by Adam, each example seen once.

    Args:
        name: Name of the layer.
        problem: Function of `(count, steps, seed)` that returns inputs and targets.
        steps: Length of a sequence.
        updates: Number of batches.
        units: Units of the layer.
        rate: Learning rate; gradients have a norm of 1 at most.
        outputs: 1 for numbers, or the number of classes.
        chunks: Number of parts of the training.
        size: Examples a batch.

    Returns:
        Mean squared error, or share of right answers, one value a chunk: means over
        batches that the network had not seen.
    """
    updates //= chunks
    x, y = problem(size, steps, 0)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layer(name, units, steps),
            k.Dense(outputs, kernel_initializer=keras.initializers.LecunNormal(seed=1)),
        ]
    )
    if outputs > 1:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metric = "accuracy"
    else:
        loss = metric = "mse"
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    model.compile(optimizer, loss, metrics=[metric], jit_compile=True)
    found = []
    for chunk in range(chunks):
        x, y = problem(size * updates, steps, chunk)
        fit = model.fit(x, y, batch_size=size, shuffle=False, verbose=0)
        found.append(fit.history[metric][-1])
    return found


ADDING = {
    "steps": 100,
    "updates": 2000,
    "units": 100,
    "rate": 0.001,
    "outputs": 1,
    "chunks": 20,
}
RECALL = {
    "steps": 200,
    "updates": 240,
    "units": 32,
    "rate": 0.01,
    "outputs": 8,
    "chunks": 12,
}
PIXELS = {"steps": 784, "updates": 400, "units": 100, "outputs": 10, "chunks": 4}
PIXEL_RATES = {"irnn": (1e-5, 3e-5), "normal": (1e-4, 1e-3)}


def adding(names=("irnn", "orthogonal", "normal")):
    return {name: train(name, adding_problem, **ADDING) for name in names}


def recall(names=("chrono", "lstm")):
    return {name: train(name, recall_problem, **RECALL) for name in names}


def read_pixels():
    """Share of images named right in each chunk, by layer and learning rate."""
    return {
        (name, rate): train(name, pixels, rate=rate, **PIXELS)
        for name, rates in PIXEL_RATES.items()
        for rate in rates
    }
