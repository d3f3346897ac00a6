"""Which tensors of a step that XLA compiles are computed again for a tap."""

import numpy as np
import pytest
import tensorflow as tf

from keras_initkit.capture.tapping import compiled
from tests.kinds import xla

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


def test_a_training_that_xla_compiles_ends_at_the_same_bits():
    """Its branch, its sum and a dropout are one loop for XLA."""
    assert xla.outcome(xla.kinds.KINDS["subclassed"]) == "same"
