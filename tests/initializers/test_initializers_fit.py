"""The initializer that fits the layer, or a refusal: what once was silently wrong."""

import math
import random
import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_initkit as kik
from keras_initkit import initializers as I
from keras_initkit.initializers import _base

k = keras.layers


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def built(layer, *shapes):
    layer.build(*shapes)
    return layer


SEQUENCE, IMAGE = (None, 3, 8), (None, 8, 8, 16)


def lstm(cls=k.LSTM, **arguments):
    return built(cls(64, **arguments), SEQUENCE)


def gates(layer):
    """Returns the gates of a built recurrent layer's bias, in Keras's order."""
    bias = numpy(layer.cell.bias)
    row = bias[0] if bias.ndim == 2 else bias
    return np.split(row, 3 if isinstance(layer, k.GRU) else 4)


# 1. Gates.


@pytest.mark.parametrize("cls", [k.LSTM, k.ConvLSTM1D])
@pytest.mark.parametrize("bias", [I.ChronoBias(400), I.UnitForgetBias(3.0)])
def test_bias_of_gates_refuses_the_parts_that_an_lstm_asks_for(cls, bias):
    shape = SEQUENCE if cls is k.LSTM else (None, 3, 9, 8)
    arguments = {} if cls is k.LSTM else {"kernel_size": 3}
    for units in (2, 4, 64):
        layer = cls(units, bias_initializer=bias, **arguments)
        message = (
            f"{type(bias).__name__}: `shape` must be ({4 * units},), the bias of "
            f"{units} units; an LSTM must have unit_forget_bias=False"
        )
        with pytest.raises(ValueError, match=re.escape(message)):
            layer.build(shape)


def test_bias_of_gates_is_told_by_its_layer():
    for layer in (
        lstm(unit_forget_bias=False, bias_initializer=I.ChronoBias(400, seed=1)),
        lstm(unit_forget_bias=False, bias_initializer="chrono_bias"),
    ):
        inputs, forget, cell, output = gates(layer)
        assert np.all(forget > 0)
        np.testing.assert_array_equal(inputs, -forget)
        assert not np.any(cell)
        assert not np.any(output)
    for reset_after in (True, False):
        layer = lstm(
            k.GRU, reset_after=reset_after, bias_initializer=I.ChronoBias(400, seed=1)
        )
        update, reset, state = gates(layer)
        assert np.all(update > 0)
        assert not np.any(reset)
        assert not np.any(state)


@pytest.mark.parametrize(
    ("cls", "cell"), [(k.LSTM, "gru"), (k.GRU, "lstm"), (k.SimpleRNN, "lstm")]
)
@pytest.mark.parametrize("make", [I.ChronoBias, I.UnitForgetBias])
def test_bias_of_another_cell_is_refused(make, cls, cell):
    arguments = {"unit_forget_bias": False} if cls is k.LSTM else {}
    with pytest.raises(ValueError, match=f"^{make.__name__}: the weight must be the b"):
        lstm(cls, bias_initializer=make(cell=cell), **arguments)


@pytest.mark.parametrize("shape", [(64,), (128,), (256,), (192,), (2, 192)])
def test_bias_of_gates_does_not_guess_units_from_a_shape(shape):
    for make in (I.ChronoBias, I.UnitForgetBias):
        with pytest.raises(ValueError, match=f"^{make.__name__}: `units` must be giv"):
            make()(shape)
        right = {(256,): "lstm", (192,): "gru", (2, 192): "gru"}.get(shape)
        if right is None:
            with pytest.raises(ValueError, match=f"^{make.__name__}: `shape` must be "):
                make(units=64)(shape)
        else:
            np.testing.assert_array_equal(
                numpy(make(units=64)(shape)) != 0,
                numpy(make(units=64, cell=right)(shape)) != 0,
            )


def test_bias_that_keras_draws_later_is_refused_without_units():
    """In a symbolic build Keras tells no layer: nothing is guessed then."""

    def later(bias):
        layer = k.LSTM(64, unit_forget_bias=False, bias_initializer=bias)
        with keras.StatelessScope():
            layer.build(SEQUENCE)
        return layer

    with pytest.raises(ValueError, match="`units` must be given"):
        later(I.ChronoBias(400))
    keras.backend.clear_session()  # forgets what it could not draw
    assert np.all(gates(later(I.ChronoBias(400, units=64)))[1] > 0)


@pytest.mark.parametrize("inputs", [16, 32, 64, 128, 256])
@pytest.mark.parametrize(("cls", "count"), [(k.LSTM, 4), (k.GRU, 3), (k.SimpleRNN, 1)])
def test_gate_orthogonal_is_told_the_gates_of_every_kernel(cls, count, inputs):
    recurrent = built(
        cls(64, recurrent_initializer="gate_orthogonal"), (None, 3, inputs)
    )
    kernels = [numpy(recurrent.cell.recurrent_kernel)]
    if count > 1:
        layer = built(cls(64, kernel_initializer="gate_orthogonal"), (None, 3, inputs))
        kernels.append(numpy(layer.cell.kernel))
    for kernel in kernels:
        for block in np.split(kernel, count, axis=1):
            values = np.linalg.svd(block, compute_uv=False)
            np.testing.assert_allclose(values, 1, atol=1e-5)


# 2. Attention.


def attention(heads=8, key_dim=8, dim=64, cls=k.MultiHeadAttention, **arguments):
    layer = cls(heads, key_dim, **arguments)
    return built(layer, (None, 3, dim), (None, 3, dim))


@pytest.mark.parametrize(("heads", "dim"), [(8, 128), (1, 64), (4, 60)])
def test_mimetic_value_and_output_have_one_target(heads, dim):
    """Summed over all heads, the product is alpha Z + beta I, to rounding."""
    layer = attention(heads, dim // heads, dim)
    I.mimetic_attention(layer, seed=3)
    value, output = numpy(layer.value_dense.kernel), numpy(layer.output_dense.kernel)
    product = np.einsum("dhs,hse->de", value, output)
    noise = product + 0.4 * np.eye(dim)
    assert abs(np.diag(product).mean() + 0.4) < 5 * 0.4 / dim
    error = 5 * 0.71 / dim
    np.testing.assert_allclose(noise.std() * math.sqrt(dim), 0.4, rtol=error)
    query, key = numpy(layer.query_dense.kernel), numpy(layer.key_dense.kernel)
    for head in range(heads):
        product = query[:, head] @ key[:, head].T
        target = np.linalg.svd(product, compute_uv=False)
        assert np.count_nonzero(target > 1e-4) == dim // heads
        assert np.trace(product) > 0


def test_reinitialize_gives_an_attention_layer_its_mimetic_parts():
    inputs = keras.Input((3, 32))
    for name in ("first", "second"):
        x = k.MultiHeadAttention(4, 8, name=name)(inputs, inputs)
    both = keras.Model(inputs, [x, k.MultiHeadAttention(4, 8, name="other")(x, x)])
    for seed in (3, None):
        kik.reinitialize(both, {"*": "mimetic_attention"}, seed=seed)
        layers = [layer for layer in both.layers if hasattr(layer, "query_dense")]
        products = []
        for layer in layers:
            value, output = layer.value_dense.kernel, layer.output_dense.kernel
            product = np.einsum("dhs,hse->de", numpy(value), numpy(output))
            assert abs(np.diag(product).mean() + 0.4) < 5 * 0.4 / 32
            query, key = numpy(layer.query_dense.kernel), numpy(layer.key_dense.kernel)
            assert all(np.trace(query[:, n] @ key[:, n].T) > 0 for n in range(4))
            products.append(product)
        assert not np.allclose(*products)


@pytest.mark.parametrize("initializer", ["mimetic_attention", "delta_orthogonal"])
def test_attention_as_a_whole_refuses_structural_initializers(initializer):
    with pytest.raises(ValueError, match=r"EinsumDense 'query'|`part` must be given"):
        attention(kernel_initializer=initializer)
    if initializer == "mimetic_attention":
        with pytest.raises(ValueError, match="EinsumDense 'attention_output'"):
            attention(kernel_initializer=I.MimeticAttention("query"))


@pytest.mark.parametrize(
    ("part", "shape"),
    [("query", (8, 2, 16)), ("value", (8, 4, 4)), ("output", (8, 8, 8))],
)
def test_mimetic_refuses_heads_that_leave_features_zero(part, shape):
    with pytest.raises(ValueError, match="head_dim <= dim, or features stay zero"):
        I.MimeticAttention(part)(shape)


def test_mimetic_attention_refuses_a_layer_without_such_products():
    grouped = k.GroupQueryAttention(8, 4, 2)
    grouped.build((None, 3, 32), (None, 3, 32))
    before = [numpy(v) for v in grouped.variables]
    with pytest.raises(ValueError, match="the same number of heads"):
        I.mimetic_attention(grouped)
    for one, variable in zip(before, grouped.variables, strict=True):
        np.testing.assert_array_equal(one, numpy(variable))


# 3. Depthwise, grouped, transposed and einsum kernels.


def convolved(layer, initializer, x, weight="kernel"):
    """Returns what a layer without bias makes of `x` with a fitted kernel."""
    layer.build(x.shape)
    kernel = I.for_layer(layer, initializer, weight)(layer.kernel.shape)
    layer.kernel.assign(kernel)
    return numpy(layer(x))


def images(channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 6, 6, channels)).astype("float32")


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "make",
    [
        lambda size: k.DepthwiseConv2D(size, padding="same", use_bias=False),
        lambda size: k.Conv2D(16, size, padding="same", use_bias=False),
        lambda size: k.Conv2D(16, size, padding="same", groups=2, use_bias=False),
        lambda size: k.Conv2DTranspose(16, size, padding="same", use_bias=False),
    ],
    ids=["depthwise", "plain", "grouped", "transposed"],
)
def test_identities_copy_whatever_stores_the_kernel(make, size):
    x = images(16)
    for initializer in ("dirac", "zero_hadamard"):
        np.testing.assert_array_equal(convolved(make(size), initializer, x), x)
    np.testing.assert_allclose(
        np.linalg.norm(convolved(make(size), "delta_orthogonal", x)),
        np.linalg.norm(x),
        rtol=1e-5,
    )


@pytest.mark.parametrize("initializer", ["dirac", "zero_hadamard", "sparse_normal"])
@pytest.mark.parametrize(
    "make",
    [
        lambda i: k.DepthwiseConv2D(3, depthwise_initializer=i),
        lambda i: k.Conv2D(16, 3, groups=2, kernel_initializer=i),
        lambda i: k.Conv2DTranspose(16, 3, kernel_initializer=i),
    ],
    ids=["depthwise", "grouped", "transposed"],
)
def test_structural_initializers_refuse_such_a_kernel_untold(make, initializer):
    layer = make(initializer)
    if initializer == "sparse_normal" and isinstance(layer, k.Conv2D):
        layer.build(IMAGE)  # each unit has its connections
        return
    message = "must be that of a plain kernel (*spatial, in, out); fit the initializer"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.build(IMAGE)


def test_query_of_attention_sees_every_feature():
    query = attention().query_dense
    kernel = numpy(I.for_layer(query, "orthogonal")((64, 8, 8)))
    matrix = kernel.reshape(64, 64)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(64), atol=1e-5)
    x = np.random.default_rng(0).normal(size=(500, 64))
    np.testing.assert_allclose(np.mean((x @ matrix) ** 2), np.mean(x**2), rtol=1e-5)
    siren = numpy(I.for_layer(query, I.Siren(seed=1))((64, 8, 8)))
    error = 5 * 0.45 * 2 / math.sqrt(siren.size)
    np.testing.assert_allclose(siren.var(), 2 / 64 / 900, rtol=error)


@pytest.mark.parametrize("groups", [2, 4, 8])
def test_grouped_orthogonal_keeps_all_energy(groups):
    for initializer in ("orthogonal", "delta_orthogonal"):
        layer = k.Conv2D(16, 3, padding="same", groups=groups, use_bias=False)
        x = images(16)
        y = convolved(layer, initializer, x)
        np.testing.assert_allclose(np.linalg.norm(y), np.linalg.norm(x), rtol=1e-5)


@pytest.mark.parametrize("strides", [1, 2])
def test_convolution_orthogonal_of_a_transposed_convolution(strides):
    """An isometry inside: images that are zero near their borders."""
    x = np.pad(images(4), [(0, 0), (4, 4), (4, 4), (0, 0)])
    layer = k.Conv2DTranspose(6, 3, strides, padding="same", use_bias=False)
    y = convolved(layer, I.ConvolutionOrthogonal(seed=1), x)
    np.testing.assert_allclose(np.linalg.norm(y), np.linalg.norm(x), rtol=1e-5)


@pytest.mark.parametrize(
    "initializer", ["dirac", "delta_orthogonal", "sparse_normal", "zero_sum", "siren"]
)
def test_taps_that_take_turns_are_refused(initializer):
    layer = k.Conv2DTranspose(4, 3, strides=2)
    with pytest.raises(ValueError, match="transposed convolution at stride 1"):
        I.for_layer(layer, initializer)


@pytest.mark.parametrize(
    ("initializer", "size"),
    [
        ("delta_orthogonal", 3),
        ("convolution_orthogonal", 2),
        ("convolution_orthogonal", 3),
    ],
)
def test_dilated_convolutions_are_isometries_inside(initializer, size):
    x = np.pad(images(4), [(0, 0), (8, 8), (8, 8), (0, 0)])
    layer = k.Conv2D(6, size, padding="same", dilation_rate=2, use_bias=False)
    y = convolved(layer, initializer, x)
    np.testing.assert_allclose(np.linalg.norm(y), np.linalg.norm(x), rtol=1e-5)


def test_delta_without_a_centre_is_refused():
    for initializer in ("dirac", "delta_orthogonal", "zero_hadamard"):
        I.for_layer(k.Conv2D(4, 3, dilation_rate=2), initializer)
        with pytest.raises(ValueError, match="of odd size, or not dilated"):
            I.for_layer(k.Conv2D(4, 2, dilation_rate=2), initializer)


# 4. Initializers inside initializers.


@pytest.mark.parametrize(
    ("wrapper", "expected"),
    [
        (lambda base: I.DepthScaled(base, 1), 2.0),
        (lambda base: I.DepthScaled(I.DepthScaled(base, 1), 16, "gpt2"), 0.125),
        (lambda base: I.FanCorrected(I.DepthScaled(base, 1)), 2.0),
        (lambda base: I.MuPReadout(base, 9), 2.0),
        (I.ZeroSum, 2.0 * 8 / 9),
        (lambda base: I.DepthScaled(I.ZeroSum(base), 1), 2.0 * 8 / 9),
    ],
    ids=["depth", "depth of depth", "fan of depth", "readout", "zero sum", "sum"],
)
def test_for_layer_reaches_the_initializer_inside(wrapper, expected):
    layer = k.DepthwiseConv2D(3)
    initializer = I.for_layer(layer, wrapper(keras.initializers.HeNormal(seed=1)))
    kernel = numpy(initializer((3, 3, 256, 1)))
    error = 5 * 0.58 * 2 / math.sqrt(kernel.size)
    np.testing.assert_allclose(kernel.var() * 9, expected, rtol=error)
    again = I.for_layer(layer, initializer)
    np.testing.assert_array_equal(numpy(again((3, 3, 256, 1))), kernel)


def test_zero_sum_sums_over_the_inputs_of_each_unit():
    for layer, shape, axes in (
        (k.DepthwiseConv2D(3), (3, 3, 16, 2), (0, 1)),
        (k.Conv2DTranspose(4, 3), (3, 3, 4, 16), (0, 1, 3)),
        (k.Conv2D(4, 3, groups=2), (3, 3, 8, 4), (0, 1, 2)),
        (k.EinsumDense("abc,cde->abde", (None, 4, 3)), (5, 4, 3), 0),
        (k.EinsumDense("abcd,cde->abe", (None, 6)), (4, 3, 6), (0, 1)),
    ):
        base = keras.initializers.HeNormal(seed=1)
        kernel = numpy(I.for_layer(layer, I.ZeroSum(base))(shape))
        np.testing.assert_allclose(kernel.sum(axis=axes), 0, atol=1e-5)
        assert kernel.std() > 0.1


# 6. What cannot be known: `test_for_layer_refuses_what_it_cannot_know`.


# 7. Slopes and half precision.


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.3, 1.0])
def test_torch_gain_heeds_the_slope(slope):
    expected = math.sqrt(2 / (1 + slope**2))
    for layer in (k.LeakyReLU(slope), k.ReLU(negative_slope=slope)):
        found = I.ActivationScaling(layer, convention="torch")
        assert found.gain == pytest.approx(expected, rel=1e-12)
    # By its name, it is torch's.
    assert I.ActivationScaling("leaky_relu", convention="torch").gain == pytest.approx(
        math.sqrt(2 / 1.0001), rel=1e-12
    )
    with pytest.raises(ValueError, match=r"with kinks at \(0.0, 6.0\)"):
        I.ActivationScaling(k.ReLU(6.0), convention="torch")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_orthogonal_inside_an_initializer_in_half_precision(dtype):
    base = keras.initializers.Orthogonal(seed=1)
    for initializer, shape in (
        (I.ZeroSum(base), (8, 8)),
        (I.DepthScaled(base, 4), (8, 8)),
        (I.MuPReadout(base), (8, 8)),
        (I.ICNR(base), (3, 3, 4, 8)),
        (I.Blockwise(base, "blocks", blocks=2), (8, 16)),
    ):
        values = initializer(shape, dtype=dtype)
        assert keras.backend.standardize_dtype(values.dtype) == dtype
        exact = numpy(initializer(shape))
        found = numpy(ops.cast(values, "float32"))
        # Two roundings, and what they leave of a mean that is subtracted.
        np.testing.assert_allclose(found, exact, rtol=2.0**-8, atol=2.0**-8)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_models_of_bfloat16_are_planned_drawn_and_scaled(activation):
    layers = [
        k.Dense(16, activation, name=f"d{n}", dtype="bfloat16") for n in range(25)
    ]
    model = keras.Sequential([k.Input((16,)), *layers, k.Dense(2, name="head")])
    done = kik.reinitialize(model, kik.recommend(model), seed=0)
    assert len({drawn.layer for drawn in done.weights}) == 26
    x = np.random.default_rng(0).normal(size=(64, 16))
    fitted = kik.lsuv(model, x, seed=0)
    assert len(fitted.layers) == 26


# 8. Arguments and names.


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: I.DepthScaled(None), "base"),
        (lambda: I.ZeroSum(None), "base"),
        (lambda: I.ICNR(None), "base"),
        (lambda: I.MuPReadout(None), "base"),
        (lambda: I.FanCorrected(None), "base"),
        (lambda: I.Blockwise(None), "base"),
        (lambda: I.SparseNormal(0.5), "connections"),
        (lambda: I.SparseNormal(True), "connections"),
        (lambda: I.SparseNormal(stddev=math.inf), "stddev"),
        (lambda: I.GateOrthogonal(2.5), "gates"),
        (lambda: I.GateOrthogonal(0), "gates"),
        (lambda: I.ICNR(scale=2.5), "scale"),
        (lambda: I.Dirac(groups=1.5), "groups"),
        (lambda: I.Dirac(gain=math.nan), "gain"),
        (lambda: I.RecurrentIdentity(math.inf), "gain"),
        (lambda: I.FanInUniform(math.inf), "scale"),
        (lambda: I.FanInUniform("2"), "scale"),
        (lambda: I.DeltaOrthogonal(math.inf), "gain"),
        (lambda: I.ConvolutionOrthogonal(math.nan), "gain"),
        (lambda: I.Siren(w0=math.inf), "w0"),
        (lambda: I.MimeticAttention(alpha=math.nan), "alpha"),
        (lambda: I.MimeticAttention(heads=0.5), "heads"),
        (lambda: I.ChronoBias(math.inf), "max_steps"),
        (lambda: I.ChronoBias(units=2.5), "units"),
        (lambda: I.UnitForgetBias(math.nan), "value"),
        (lambda: I.UnitForgetBias(units=0), "units"),
        (lambda: I.PriorBias(math.nan), "class_prior"),
        (lambda: I.PriorBias([1.0, math.inf], "softmax"), "class_prior"),
        (lambda: I.DepthScaled("he_normal", 2.5), "depth"),
        (lambda: I.DepthScaled("he_normal", 2, branch_layers=2.5), "branch_layers"),
        (lambda: I.MuPReadout(base_fan_in=math.nan), "base_fan_in"),
        (lambda: I.FanCorrected(rule="axes"), "input_axes"),
        (lambda: I.FanCorrected(rule="axes", input_axes=[0]), "input_axes"),
        (lambda: I.FanCorrected(input_axes=[0], output_axes=[1]), "input_axes"),
        (lambda: I.FanCorrected(rule="grouped", groups=0), "groups"),
        (lambda: I.FanCorrected(rule="transposed", stride=0.5), "stride"),
        (lambda: I.Blockwise(rule="blocks", blocks=-1), "blocks"),
    ],
)
def test_arguments_are_checked_when_they_are_given(make, argument):
    with pytest.raises(ValueError, match=rf"^`{argument}` .*Received: |`{argument}`"):
        make()


EMPTY = [(0, 4), (4, 0), (0, 0), (3, 3, 0, 4), (3, 3, 4, 0), (0, 2, 4), (0,)]


@pytest.mark.parametrize("cls", _base.KIT_CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_empty_shapes_are_filled_or_refused_by_name(cls, shape):
    arguments = {
        I.GateOrthogonal: {"gates": 2},
        I.MimeticAttention: {"part": "key", "heads": 1},
        I.ChronoBias: {"units": 1},
        I.UnitForgetBias: {"units": 1},
        I.FanInUniformBias: {"fan_in": 1},
    }.get(cls, {})
    initializer = cls(**arguments)
    try:
        values = initializer(shape)
    except ValueError:
        with pytest.raises(ValueError, match=f"^{cls.__name__}: `shape` must"):
            initializer(shape)
    else:
        assert tuple(values.shape) == shape


@pytest.mark.parametrize("cls", _base.KIT_CLASSES, ids=lambda cls: cls.__name__)
def test_class_names_work_in_keras(cls):
    assert type(keras.initializers.get(cls.__name__)) is cls


def test_custom_objects_go_ahead_of_our_names():
    class Mine(keras.initializers.Zeros):
        pass

    for name in ("he", "xavier", "dirac", "Dirac", "mup_readout"):
        with keras.saving.custom_object_scope({name: Mine}):
            assert type(I.get(name)) is Mine
        assert type(I.get(name)) is not Mine


def test_a_seed_makes_every_matrix_of_its_own():
    grouped = I.for_layer(k.Conv2D(16, 3, groups=4), I.DeltaOrthogonal(seed=3))
    sparse = I.for_layer(k.Conv2DTranspose(4, 3), I.SparseNormal(seed=3))
    einsum = I.for_layer(
        k.EinsumDense("abc,bcd->abd", (None, 4)), keras.initializers.Orthogonal(seed=3)
    )
    for initializer, shape in (
        (grouped, (3, 3, 4, 16)),
        (sparse, (3, 3, 4, 16)),
        (einsum, (5, 4, 4)),
    ):
        values = numpy(initializer(shape))
        np.testing.assert_array_equal(values, numpy(initializer(shape)))
    blocks = np.split(numpy(grouped((3, 3, 4, 16)))[1, 1], 4, axis=1)
    batches = list(numpy(einsum((5, 4, 4))))
    for matrices in (blocks, batches):
        assert len({matrix.tobytes() for matrix in matrices}) == len(matrices)
    generator = keras.random.SeedGenerator(3)
    moving = I.for_layer(k.Conv2D(16, 3, groups=4), I.DeltaOrthogonal(seed=generator))
    first, second = (numpy(moving((3, 3, 4, 16))) for _ in range(2))
    assert not np.array_equal(first, second)


def operators(layer, shape, axes):
    """Returns the matrices of a layer without bias, by what it makes of unit vectors.

    One for each place of the first `axes` axes of an example, which it keeps apart.
    """
    count, size = math.prod(shape[:axes]), math.prod(shape)
    units = np.eye(size, dtype="float32").reshape(size, *shape)
    made = numpy(layer(units)).reshape(count, size // count, count, -1)
    return [made[n, :, n] for n in range(count)]


def einsums(count=60):
    """Generates `(equation, inputs, outputs, batch axes)` with axes in any order."""
    rng = random.Random(0)
    for _ in range(count):
        batch = "p" * rng.choice([0, 1])
        inputs, outputs = "ij"[: rng.choice([1, 2])], "xy"[: rng.choice([1, 2])]
        kernel = [*batch, *inputs, *outputs]
        rng.shuffle(kernel)
        sizes = {axis: rng.choice([2, 3, 4]) for axis in kernel}
        equation = f"a{batch}{inputs},{''.join(kernel)}->a{batch}{outputs}"
        shapes = [
            tuple(sizes[axis] for axis in batch + axes) for axes in (inputs, outputs)
        ]
        yield equation, *shapes, len(batch)


@pytest.mark.parametrize(
    "initializer", ["orthogonal", "dirac", "identity", "zero_sum", "sparse_normal"]
)
def test_einsums_with_axes_in_any_order(initializer):
    for equation, inputs, outputs, axes in einsums():
        layer = k.EinsumDense(equation, outputs)
        layer.build((None, *inputs))
        kernel = I.for_layer(layer, initializer)(tuple(layer.kernel.shape))
        layer.kernel.assign(kernel)
        for matrix in operators(layer, inputs, axes):
            if initializer == "orthogonal":
                values = np.linalg.svd(matrix, compute_uv=False)
                np.testing.assert_allclose(values, 1, atol=1e-4, err_msg=equation)
            elif initializer == "zero_sum":
                np.testing.assert_allclose(matrix.sum(axis=0), 0, atol=1e-5)
            elif initializer == "sparse_normal":
                connections = np.count_nonzero(matrix, axis=0)
                np.testing.assert_array_equal(connections, min(15, len(matrix)))
            else:
                np.testing.assert_array_equal(matrix, np.eye(*matrix.shape), equation)
