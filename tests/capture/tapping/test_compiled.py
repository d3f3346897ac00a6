"""Which tensors of a step that XLA compiles are computed again for a tap."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.capture.tapping import compiled

k = keras.layers
PLACEHOLDER = tf.compat.v1.placeholder


@pytest.fixture(scope="module")
def one():
    return tf.Variable(1.0, trainable=False)


@pytest.fixture
def x():
    with tf.Graph().as_default():
        yield PLACEHOLDER(tf.float32, [4, 4])


def types_behind(tensor, end):
    """Types of the ops that lead from one tensor to another, the latter's not."""
    found, left = set(), [tensor.op]
    while left:
        op = left.pop()
        if op is not end.op:
            found.add(op.type)
            left += [one.op for one in op.inputs]
    return found


def test_contractions_are_read_as_they_are_and_the_rest_is_copied(x):
    with x.graph.as_default():
        one = PLACEHOLDER(tf.float32, [])
        product = tf.matmul(x, x)
        shifted = tf.nn.relu(product + 1.0)
        read_product, read_shifted = compiled.reading(one)([product, shifted])
    assert read_product.op.type == "Mul"
    assert product in read_product.op.inputs
    assert shifted not in read_shifted.op.inputs
    # None of the copies reads what the step computes from the product on.
    assert {"Relu", "AddV2", "Mul"} <= types_behind(read_shifted, product)
    copies = [op for op in x.graph.get_operations() if op.type in ("Relu", "AddV2")]
    assert len(copies) == 4


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64", "int32", "bool"])
def test_times_one_is_the_same_to_the_bit(one, kind):
    # No denormals: XLA takes those of bfloat16 for 0 in any arithmetic.
    values = np.array([0.0, -0.0, 1e-30, 3.0, np.inf, -np.inf]).astype("float32")
    kinds = {"int32": [0, -7, 2**31 - 1], "bool": [True, False]}
    given = tf.cast(tf.constant(kinds.get(kind, values)), kind)

    @tf.function(jit_compile=True)
    def passed(tensor):
        return compiled._times(tensor, one)

    assert passed(given).dtype == given.dtype
    if kind in ("int32", "bool"):
        assert passed(given).numpy().tolist() == given.numpy().tolist()
    else:
        assert passed(given).numpy().tobytes() == given.numpy().tobytes()


class Block(k.Layer):
    """Its branch and its sum are one loop for XLA."""

    def __init__(self):
        super().__init__(name="block")
        self.inner = k.Dense(6, activation="gelu", name="inner")
        self.norm = k.LayerNormalization(name="norm")

    def call(self, x):
        return x + self.norm(self.inner(x))


def test_a_training_that_xla_compiles_ends_at_the_same_bits():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((160, 6)).astype("float32"), rng.integers(0, 3, 160)

    def trained(*monitors):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        drop = k.Dropout(0.3, seed=3, name="drop")
        model = keras.Sequential([Block(), drop, k.Dense(3, name="head")])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=True)
        options = {"batch_size": 8, "shuffle": False, "verbose": 0}
        model.fit(x, y, callbacks=list(monitors), **options)
        return [np.asarray(one).tobytes() for one in model.variables]

    monitor = kik.SignalMonitor(None, every=3, rules=None)
    assert trained(monitor) == trained()
    assert monitor.record.signal("backprop").steps.tolist() == list(range(0, 20, 3))
    assert not monitor.guard.failed
