"""What a graph does with weights: their roles are told right, or not at all."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_initkit.structure import roles
from keras_initkit.structure.forward_graph import learn_roles

k, ops = keras.layers, keras.ops
N = 4


class Own(k.Layer):
    """A layer with the weights of some shapes and a function of them."""

    def __init__(self, shapes, use, frozen=(), inside=()):
        super().__init__()
        self.shapes, self.use, self.frozen = shapes, use, frozen
        self.inside = [make() for make in inside]

    def build(self, shape):
        for layer in self.inside:
            layer.build((None, N))
        self.w = {
            name: self.add_weight(name=name, shape=size, trainable=name not in "C")
            for name, size in self.shapes.items()
        }
        for name in self.frozen:
            self.w[name].trainable = False

    def call(self, x):
        return self.use(x, *self.inside, **self.w)


def told(shapes, use, shape=(6, N), frozen=(), inside=()):
    layer = Own(shapes, use, frozen, inside)
    model = keras.Sequential([k.Input(shape, batch_size=None), layer])
    learn_roles(model)
    return roles.roles_of(layer)


def frozen_dense():
    layer = k.Dense(N)
    layer.trainable = False
    return layer


def query(x, dense, w):
    return ops.softmax(dense(w) @ ops.transpose(x, (0, 2, 1))) @ x


def class_token(x, norm, w):
    token = norm(ops.broadcast_to(w, (ops.shape(x)[0], 1, N)))
    return ops.concatenate([token, x], axis=1)


def hypernetwork(x, dense, w):
    return x @ ops.reshape(dense(w), (N, N))


def bjorck(x, w):
    return x @ (1.5 * w - 0.5 * w @ (ops.transpose(w) @ w))


def states(x, h0, u):
    state = h0 @ u
    for n in range(2):
        state = ops.tanh(x[:, n]) + (state if n == 0 else state @ u)
    return state


def first_state_alone(x, h0, u):
    return x[:, 0] + h0 @ u


def zero_state(x, u, v):
    state = ops.zeros((1, N)) @ u
    return x[:, 0] @ v + state


def bayesian(x, mu, rho):
    return x @ (mu + ops.softplus(rho) * keras.random.normal((N, N), seed=3))


def noisy_places(x, mu, rho):
    return x + (mu + ops.softplus(rho) * keras.random.normal((6, N), seed=3))


def slots(x, mu, sigma, wq):
    slot = mu + sigma * keras.random.normal((ops.shape(x)[0], 3, N), seed=3)
    for _ in range(2):
        slot = ops.softmax((slot @ wq) @ ops.transpose(x, (0, 2, 1))) @ x
    return slot


def loop(x, h0, u):
    def body(n, state):
        return n + 1, ops.tanh(state @ u)

    start = ops.broadcast_to(h0, (ops.shape(x)[0], N))
    return x[:, 0] + ops.while_loop(lambda n, _: n < 3, body, (0, start))[1]


def loop_over_kept(x, w, s):
    def body(n, state, kept):
        return n + 1, ops.tanh(state @ kept) * s, kept

    return ops.while_loop(lambda n, *_: n < 3, body, (0, x, w + 0.0))[1]


def weight_norm(x, v, g):
    return x @ (g * v / ops.sqrt(ops.sum(v**2, axis=0)))


def weight_norm_column(x, v, g):
    return x @ (g * v / ops.sqrt(ops.sum(v**2)))


def conv_norm(x, v, g):
    return ops.conv(x, g * ops.normalize(v, axis=2), padding="same")


def called(x, w, g):
    function = tf.function(lambda v: v / tf.norm(v))
    return (x @ function(w + 0.0)) * function(g + 0.0)


ATTEND = {"w": "other"}
M = (N, N)
CASES = {
    # Weights that meet those of layers of known kinds.
    "learned query": (query, {"w": (3, N)}, ATTEND, lambda: k.Dense(N)),
    "class token": (class_token, {"w": (1, 1, N)}, ATTEND, k.LayerNormalization),
    "hypernetwork": (hypernetwork, {"w": (1, N)}, ATTEND, lambda: k.Dense(N * N)),
    "constant": (
        lambda x, dense, w: x * dense(w),
        {"w": (6, N)},
        ATTEND,
        lambda: k.Dense(N),
    ),
    "adapter": (
        lambda x, base, a, b: x @ (base.kernel + a @ b),
        {"a": (N, 2), "b": (2, N)},
        {"a": "low_rank", "b": "low_rank"},
        frozen_dense,
    ),
    # Products of weights alone.
    "meets itself": (bjorck, {"w": M}, {"w": "kernel"}),
    "regularized": (
        lambda x, w: x @ w + 0 * ops.sum(ops.square(w @ ops.transpose(w))),
        {"w": M},
        {"w": "kernel"},
    ),
    "no sum": (
        lambda x, a, b: x @ (a @ b),
        {"a": (N, 2), "b": (2, N)},
        {"a": "other", "b": "other"},
    ),
    "low rank": (
        lambda x, w, a, b, s: x @ (w + s * (a @ b)),
        {"w": M, "a": (N, 2), "b": (2, N), "s": ()},
        {"w": "kernel", "a": "low_rank", "b": "low_rank", "s": "scale"},
    ),
    "fixed factor": (
        lambda x, w, C, b: x @ (w + C @ b),
        {"w": M, "C": (N, 2), "b": (2, N)},
        {"w": "kernel", "C": "other", "b": "other"},
    ),
    "first state": (states, {"h0": (1, N), "u": M}, {"h0": "other", "u": "kernel"}),
    "first state alone": (
        first_state_alone,
        {"h0": (1, N), "u": M},
        {"h0": "other", "u": "other"},
    ),
    "zero state": (zero_state, {"u": M, "v": M}, {"u": "kernel", "v": "kernel"}),
    # Random numbers.
    "bayesian": (bayesian, {"mu": M, "rho": M}, {"mu": "kernel", "rho": "kernel"}),
    "noisy places": (
        noisy_places,
        {"mu": (6, N), "rho": (6, N)},
        {"mu": "position", "rho": "other"},
    ),
    "noise strength": (
        lambda x, s: x + s * keras.random.normal((6, N), seed=3),
        {"s": ()},
        {"s": "other"},
    ),
    "slots": (
        slots,
        {"mu": (1, 1, N), "sigma": (1, 1, N), "wq": M},
        {"mu": "other", "sigma": "other", "wq": "kernel"},
    ),
    # Loops and functions.
    "loop": (loop, {"h0": (1, N), "u": M}, {"h0": "other", "u": "kernel"}),
    "kept in a loop": (
        loop_over_kept,
        {"w": M, "s": (N,)},
        {"w": "kernel", "s": "scale"},
    ),
    "function": (called, {"w": M, "g": (N,)}, {"w": "kernel", "g": "scale"}),
    # Sums and products, entry by entry.
    "places": (lambda x, w: x + w, {"w": (1, 6, N)}, {"w": "position"}),
    "a column": (lambda x, w: x + w, {"w": (6, 1)}, {"w": "offset"}),
    "taken away": (lambda x, w: x - w, {"w": (6, N)}, {"w": "other"}),
    "a row taken away": (lambda x, w: x - w, {"w": (N,)}, {"w": "offset"}),
    "spread to the batch": (
        lambda x, w: x + ops.broadcast_to(w, ops.shape(x)),
        {"w": (6, N)},
        {"w": "position"},
    ),
    "one row of many": (lambda x, w: x + w[2], {"w": (6, N)}, {"w": "offset"}),
    "beside maps": (
        lambda x, w: ops.expand_dims(x, 1) + w,
        {"w": (6, N)},
        {"w": "other"},
    ),
    "entries": (lambda x, w: x * w, {"w": (6, N)}, {"w": "other"}),
    "weight norm": (
        weight_norm,
        {"v": M, "g": (1, N)},
        {"v": "kernel", "g": "scale"},
    ),
    "weight norm of one unit": (
        weight_norm_column,
        {"v": (N, 1), "g": (1,)},
        {"v": "kernel", "g": "scale"},
    ),
    "weight norm, rows": (
        lambda x, v, g: x @ (g * v),
        {"v": M, "g": (N, 1)},
        {"v": "kernel", "g": "scale"},
    ),
    "convolution": (
        conv_norm,
        {"v": (3, N, N), "g": (1, 1, N)},
        {"v": "kernel", "g": "scale"},
    ),
    "masked": (
        lambda x, w, m: x @ (w * m),
        {"w": M, "m": M},
        {"w": "other", "m": "other"},
    ),
    # Look-ups.
    "table": (
        lambda x, w: ops.take(w, ops.cast(x[..., 0], "int32"), axis=0),
        {"w": (7, N)},
        {"w": "table"},
    ),
    "experts": (
        lambda x, w: ops.take(w, ops.cast(x[..., 0], "int32"), axis=0),
        {"w": (7, N, N)},
        {"w": "other"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_roles_are_right_or_not_told(case):
    use, shapes, expected, *inside = CASES[case]
    assert told(shapes, use, inside=inside) == expected


@pytest.mark.parametrize("case", ["learned query", "first state alone", "class token"])
def test_a_train_step_tells_no_more_than_the_forward_pass(case):
    """What flows back, and what the optimizer does, is no use of a weight."""
    import keras_initkit as kik

    use, shapes, expected, *inside = CASES[case]
    layer = Own(shapes, use, inside=inside)
    model = keras.Sequential(
        [k.Input((6, N)), layer, k.Flatten(), k.Dense(2, name="head")]
    )
    model.compile(keras.optimizers.AdamW(), "mse")
    x = np.zeros((4, 6, N), "float32")
    model.fit(
        x, np.zeros((4, 2)), verbose=0, callbacks=[kik.SignalMonitor(None, every=1)]
    )
    assert roles.roles_of(layer) == expected


def test_kernels_of_a_generator_that_draws_its_inputs():
    class Generator(keras.Model):
        def build(self, shape):
            self.a = self.add_weight(name="a", shape=M)
            self.b = self.add_weight(name="b", shape=(N,))
            self.c = self.add_weight(name="c", shape=M)

        def call(self, x):
            z = keras.random.normal((ops.shape(x)[0], N), seed=2)
            return ops.relu(z @ self.a + self.b) @ self.c

    model = Generator()
    model.build((None, N))
    learn_roles(model, np.zeros((2, N)))
    assert roles.roles_of(model) == {"a": "kernel", "b": "other", "c": "kernel"}
