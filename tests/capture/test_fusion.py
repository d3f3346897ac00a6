"""Which tensors are computed again, so that reading them changes nothing."""

from unittest import mock

import tensorflow as tf

from keras_initkit.capture import fusion


def is_read_as_it_is(tensor):
    return fusion.readable([tensor])[0] is tensor


def test_a_sum_that_arithmetic_reads_is_computed_again():
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [4])
        total = x + 1.0
        assert is_read_as_it_is(total)
        tf.identity(total) * 2.0
        assert not is_read_as_it_is(total)


def test_an_identity_passes_on_each_of_its_inputs_alone():
    """An optimizer may put all gradients into one identity."""
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [4])
        one, other = x + 1.0, x + 2.0
        passed, _ = tf.raw_ops.IdentityN(input=[one, other])
        passed * 2.0
        assert not is_read_as_it_is(one)
        assert is_read_as_it_is(other)


def test_a_tensor_is_looked_for_behind_its_own_place_of_an_identity_only():
    """To look behind all places for each tensor takes time that grows as a square."""
    count = 50
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [4])
        sums = [tf.raw_ops.AddV2(x=x, y=x) for _ in range(count)]
        for passed in tf.raw_ops.IdentityN(input=sums):
            tf.raw_ops.Relu(features=passed)
        with mock.patch.object(fusion, "_readers", wraps=fusion._readers) as look:
            fusion.readable(sums)
    assert look.call_count == 2 * count
