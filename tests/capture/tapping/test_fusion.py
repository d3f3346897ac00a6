"""Which tensors are computed again, so that reading them changes nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.capture.tapping import fusion

PLACEHOLDER = tf.compat.v1.placeholder


def is_read_as_it_is(tensor, *outputs):
    """Whether a tensor of the graph at hand is itself read, for these outputs."""
    (read,) = fusion.reading(outputs)([tensor])
    return read.op.type == "EnsureShape" and read.op.inputs[0] is tensor


def broadcast_axes(x):
    """Returns over which axes the gradient of a sum of `x` and `x` is added up."""
    shape = tf.shape(x)
    return tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=shape).r0


@pytest.fixture
def x():
    with tf.Graph().as_default():
        yield PLACEHOLDER(tf.float32, [4, 4])


def test_a_sum_that_is_returned_is_read_as_it_is(x):
    total = x + 1.0
    assert is_read_as_it_is(total, total)


@pytest.mark.parametrize(
    "reader",
    [
        lambda h: tf.identity(h) * 2.0,
        tf.nn.relu,
        lambda h: h * tf.sigmoid(h),
        lambda h: 0.5 * h * (1.0 + tf.math.erf(h * 0.7)),
        lambda h: tf.reduce_max(h, axis=1),
        lambda h: h * h,
        lambda h: tf.square(h) + tf.square(h),  # merged into one
        lambda h: tf.square(h) + tf.cast(tf.shape(h)[0], tf.float32),
    ],
)
def test_what_may_be_merged_with_its_readers_is_computed_again(x, reader):
    total = x + 1.0
    assert not is_read_as_it_is(total, reader(total))


def test_what_is_read_in_places_that_do_not_meet_is_read_as_it_is(x):
    total = x + 1.0
    assert is_read_as_it_is(total, tf.nn.relu(total), total * 2.0)


@pytest.mark.parametrize(
    "made",
    [
        lambda x: tf.reshape(x, tf.shape(x)),
        lambda x: tf.raw_ops.Sum(input=x, axis=broadcast_axes(x)),
        lambda x: x * tf.ones_like(x),
        lambda x: x + tf.fill(tf.shape(x), 0.0),
    ],
)
def test_what_may_turn_out_to_pass_on_is_computed_again(made):
    with tf.Graph().as_default():
        x = PLACEHOLDER(tf.float32, [None, 4])
        passed = made(tf.nn.relu(x))
        assert not is_read_as_it_is(passed, tf.nn.relu(passed), passed * 2.0)


def test_a_gradient_that_two_read_is_watched_without_regrouping_them():
    """How many read a sum over no axes decides whether they wait for its shapes."""

    def trained(callbacks):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((7,))
        hidden = keras.layers.Dense(17)(inputs)
        gate = keras.layers.Dense(17, "hard_silu", name="gate")(hidden)
        mean = keras.layers.Average()([hidden, gate])
        model = keras.Model(inputs, keras.layers.Dense(3)(mean))
        model.compile("sgd", "mse")
        x, y = np.random.default_rng(0).normal(size=(2, 10, 7)).astype("float32")
        data = tf.data.Dataset.from_tensor_slices((x, y[:, :3])).batch(5)
        model.fit(data, verbose=0, shuffle=False, callbacks=callbacks)
        return [weight.numpy().tobytes() for weight in model.weights]

    monitor = kik.SignalMonitor(every=1, signals=["backprop"], rules=None)
    assert trained([monitor]) == trained([])
    assert monitor.record.signal("backprop").steps.tolist() == [0, 1]


def test_a_reader_that_nothing_needs_is_none(x):
    total = x + 1.0
    tf.exp(total)
    assert not is_read_as_it_is(total, tf.nn.relu(total))


def test_what_nothing_needs_is_computed_from_what_may_be_read(x):
    total = x + 1.0
    unused = total * 3.0
    outputs = [tf.nn.relu(total)]
    (read,) = fusion.reading(outputs)([unused])
    assert read.op.type == "Mul"
    assert read.op is not unused.op
    sums = [op for op in x.graph.get_operations() if op.type == "AddV2"]
    assert len(sums) == 2


@pytest.mark.parametrize("compiled", [True, False])
def test_what_xla_computes_is_read_as_it_is(x, compiled):
    called = tf.function(lambda y: tf.nn.relu(y + 1.0), jit_compile=compiled)(x)
    assert is_read_as_it_is(called, called * 2.0) is compiled


def test_gradients_that_only_xla_computes_are_watched():
    """A grouped Conv3D on CPU, which Keras has XLA compile."""
    model = keras.Sequential(
        [keras.Input((3, 3, 3, 4)), keras.layers.Conv3D(2, 2, groups=2)]
    )
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor(None, 1, rules=None)
    x, y = np.ones((2, 3, 3, 3, 4), "float32"), np.ones((2, 2, 2, 2, 2), "float32")
    model.fit(x, y, verbose=0, callbacks=[monitor])
    assert monitor.record.signal("gradient").statistic("rms").min() > 0


def test_no_copy_waits_for_an_op_of_the_step(x):
    """The gradient of a square has its factor wait for what it multiplies."""
    total = x + 1.0
    with tf.control_dependencies([total]):
        factor = tf.constant(2.0)
    (read,) = fusion.reading([tf.nn.relu(total)])([x * factor])
    assert read.op.inputs[1].op.type == "Const"
    assert not read.op.inputs[1].op.control_inputs


def test_an_identity_passes_on_each_of_its_inputs_alone(x):
    """An optimizer may put all gradients into one identity."""
    one, other = x + 1.0, x + 2.0
    passed, _ = tf.raw_ops.IdentityN(input=[one, other])
    assert not is_read_as_it_is(one, passed * 2.0, other)
    assert is_read_as_it_is(other, passed * 2.0, other)


@pytest.mark.parametrize("made_by", [tf.raw_ops.MatMul, tf.raw_ops.BatchMatMulV2])
def test_a_product_of_the_backward_pass_is_read_as_it_is(x, made_by):
    names = ("a", "b") if made_by is tf.raw_ops.MatMul else ("x", "y")
    product = made_by(**dict.fromkeys(names, x))
    assert is_read_as_it_is(product, tf.raw_ops.ReluGrad(gradients=product, features=x))


def test_each_op_is_copied_once_however_deep_the_sums(x):
    depth = 2000
    sums = [x]
    for _ in range(depth):
        sums.append(sums[-1] + 1.0)
    before = len(x.graph.get_operations())
    fusion.reading(sums[-1])(sums)
    # Each has a constant.
    assert len(x.graph.get_operations()) - before <= 2 * depth + 2


def test_no_copy_reads_constants_or_shapes_of_the_step():
    """What the step simplifies away must not be kept, nor what waits for it."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4])
        scaled = tf.tanh(x) * 0.5 / tf.cast(tf.size(x), tf.float32)
        gate = tf.sigmoid(x[:1])
        with tf.GradientTape() as tape:
            tape.watch([scaled, gate])
            y = tf.exp(scaled * gate + 1.0)
        slope = tape.gradient(y, [scaled, gate])
        outputs = [y, *(0.1 * one for one in slope)]
        of_the_step = {op.name for op in graph.get_operations()}
        fusion.reading(outputs)([scaled, y, *slope])
        for op in graph.get_operations():
            if op.name not in of_the_step:
                for read in (one.op for one in op.inputs):
                    is_known_ahead = read.type in ("Const", "Shape", "Size")
                    is_known_ahead |= read.type == "BroadcastGradientArgs"
                    assert read.name not in of_the_step or not is_known_ahead, op


def test_a_step_repeats_the_forward_pass_of_fused_layers_alone(monkeypatch):
    """A product for the gradients is none that an activation is fused with."""
    made, reading = [], fusion.reading

    def counting(outputs):
        graph = tf.compat.v1.get_default_graph()
        readable = reading(outputs)

        def counted(tensors):
            before = len(graph.get_operations())
            result = readable(tensors)
            made.extend(op.type for op in graph.get_operations()[before:])
            return result

        return counted

    monkeypatch.setattr(fusion, "reading", counting)
    layers = [keras.layers.Dense(4, "relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2)])
    model.compile("adam", "mse")
    monitor = kik.SignalMonitor(histograms=False, rules=None)
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0, callbacks=[monitor])
    assert len(monitor.record.signal("gradient").tensors) == 8
    assert made.count("MatMul") == 3


@pytest.mark.parametrize("activation", ["relu", "relu6", "tanh"])
@pytest.mark.parametrize("layer", ["Dense", "Conv2D", "DepthwiseConv2D"])
def test_a_fused_activation_of_nan_is_what_it_is_unwatched(layer, activation):
    """The kernel that a Relu is fused into makes 0 of NaN."""

    def trained(*callbacks):
        keras.utils.set_random_seed(1)
        sizes = {"Dense": (4,), "Conv2D": (4, 3), "DepthwiseConv2D": (3,)}[layer]
        fused = getattr(keras.layers, layer)(*sizes, activation=activation)
        model = keras.Sequential(
            [keras.Input((5, 5, 2)[-1:] if layer == "Dense" else (5, 5, 2)), fused]
        )
        model.add(keras.layers.Flatten())
        model.add(keras.layers.Dense(1))
        model.compile("adam", "mse")
        inputs = np.random.default_rng(0).standard_normal((8, *model.input_shape[1:]))
        inputs[0] = np.nan
        model.fit(inputs, np.ones((8, 1)), verbose=0, epochs=3, callbacks=callbacks)
        return [w.tobytes() for w in model.get_weights()]

    monitor = kik.SignalMonitor(every=1, histograms=False, rules=None)
    assert trained(monitor) == trained()
    assert set(monitor.record.series) == set(monitor.signals)
