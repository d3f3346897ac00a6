"""The weights that a layer computes with, against what the layer makes of them."""

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.structure import values

k = keras.layers
WIDTH = 512


def dense():
    return k.Dense(WIDTH, use_bias=False), np.eye(WIDTH)


def einsum():
    return k.EinsumDense("abc,cde->abde", (None, 16, WIDTH // 16)), np.eye(WIDTH)[None]


def turned():
    """The kernel's axes are in another order than those of inputs and outputs."""
    layer = k.EinsumDense("abc,dce->abed", (None, 16, WIDTH // 16))
    return layer, np.eye(WIDTH)[None]


def embedding():
    return k.Embedding(64, WIDTH), np.arange(64)


def convolution():
    """A kernel of one tap is a matrix."""
    layer = k.Conv2D(WIDTH, 1, use_bias=False)
    return layer, np.eye(WIDTH)[None]


KINDS = {f.__name__: f for f in (dense, einsum, turned, embedding, convolution)}
QUANTIZED = ["dense", "einsum", "turned", "embedding"]
CASES = [
    *[(kind, None, lora) for kind in KINDS for lora in (False, True)],
    *[
        (kind, mode, lora)
        for kind in QUANTIZED
        for mode in ("int8", "int4")
        for lora in (False, True)
        # Keras cannot call this one: it takes the last axes to be those of LoRA.
        if not (kind == "turned" and lora)
    ],
]


def built(kind, mode, lora):
    """Returns a layer of that kind, what tells its kernel, and its weight's name."""
    keras.utils.set_random_seed(0)
    layer, x = KINDS[kind]()
    x = x[:, None] if kind == "convolution" else x
    x = x.astype("int32" if kind == "embedding" else "float32")
    layer(x)
    name = "embeddings" if kind == "embedding" else "kernel"
    if mode is not None:
        layer.quantize(mode)
    if lora:
        layer.enable_lora(4, lora_alpha=8, b_initializer="he_normal")
    return layer, x, name


@pytest.mark.parametrize(("kind", "mode", "lora"), CASES)
def test_effective_weights_are_what_the_layer_computes_with(kind, mode, lora):
    layer, x, name = built(kind, mode, lora)
    weight = values.effective(layer, name)
    outputs = np.asarray(layer(x), np.float64)
    if kind == "einsum":
        outputs = outputs[0]
    elif kind == "turned":
        outputs, weight = outputs[0], weight.transpose(1, 2, 0)
    elif kind == "convolution":
        outputs, weight = outputs[0, 0], weight[0, 0]
    assert weight.dtype == np.float64
    assert weight.shape == outputs.shape
    # One row of the identity picks one weight, which float32 rounds a few times.
    np.testing.assert_allclose(outputs, weight, atol=1e-6 * np.abs(weight).max())


@pytest.mark.parametrize("block", [None, 3])
def test_int4_of_odd_sizes_in_blocks_of_any_size(block):
    config = keras.quantizers.Int4QuantizationConfig(block_size=block)
    for layer in (k.Dense(7, use_bias=False), k.EinsumDense("ab,bc->ac", 7)):
        layer(np.eye(5, dtype="float32"))
        layer.quantize("int4", config=config)
        outputs = np.asarray(layer(np.eye(5, dtype="float32")))
        np.testing.assert_allclose(outputs, values.effective(layer), atol=1e-6)
    table = k.Embedding(5, 7)
    table(np.arange(5))
    table.quantize("int4", config=config)
    rows = values.effective(table, "embeddings")
    np.testing.assert_allclose(np.asarray(table(np.arange(5))), rows, atol=1e-6)


@pytest.mark.parametrize(("kind", "mode", "lora"), CASES)
def test_theory_expects_what_is_measured(kind, mode, lora):
    layer, x, _ = built(kind, mode, lora)
    rng = np.random.default_rng(0)
    if kind != "embedding":
        x = rng.normal(size=(64, *x.shape[1:])).astype("float32")
    inputs = k.Input(x.shape[1:], dtype=x.dtype.name)
    (row,) = kik.theory.predict(keras.Model(inputs, layer(inputs))).layers
    measured = np.mean(np.square(layer(x)))
    # 64 x 512 and more outputs of sums over 512 weights, of which no two are alike.
    np.testing.assert_allclose(np.sqrt(row.activation), np.sqrt(measured), rtol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_weight_is_its_variable(kind):
    layer, _, name = built(kind, None, False)
    assert values.sole_variable(layer, name) is getattr(layer, name)
    np.testing.assert_array_equal(
        values.effective(layer, name), getattr(layer, name).numpy()
    )


@pytest.mark.parametrize(
    ("kind", "mode", "lora"), [case for case in CASES if case[1] or case[2]]
)
def test_no_variable_alone_makes_a_mixed_weight(kind, mode, lora):
    layer, _, name = built(kind, mode, lora)
    assert values.sole_variable(layer, name) is None


def test_what_cannot_be_had_is_none():
    layer, _, _ = built("dense", None, False)
    assert values.effective(layer, "depthwise_kernel") is None
    layer.quantize("int8")
    del layer.kernel_scale
    assert values.effective(layer) is None


def test_layers_of_float8_have_the_weights_that_are_rounded_in_each_call():
    layer, x, _ = built("dense", None, False)
    layer.quantize("float8")
    outputs = np.asarray(layer(x), np.float64)
    # Three bits behind the point: half a step is a sixteenth.
    weight = values.effective(layer)
    assert np.sqrt(np.mean((outputs - weight) ** 2) / np.mean(weight**2)) < 1 / 16


def test_phases_know_the_part_of_lora():
    keras.utils.set_random_seed(0)
    stack = [k.Dense(64, "tanh", name=f"d{n}") for n in range(4)]
    model = keras.Sequential([k.Input((64,)), *stack], name="net")
    x = np.random.default_rng(0).normal(size=(16, 64)).astype("float32")
    (before,) = kik.diagnose(model, x).phases
    for layer in stack:
        layer.enable_lora(8, lora_alpha=64, b_initializer="he_normal")
    (after,) = kik.diagnose(model, x).phases
    assert len(after.layers) == 3  # the last one is a head
    sizes = [8 * np.sqrt(np.mean(np.square(d.kernel))) for d in stack[:-1]]
    np.testing.assert_allclose(after.sigma_w, np.median(sizes), rtol=1e-5)
    assert after.sigma_w > 2 * before.sigma_w


def test_models_of_float8_are_diagnosed():
    """Keras's own eager gradient raised: too many values to unpack."""
    stack = [k.Dense(16, "relu", name="a"), k.Dense(2, name="b")]
    model = keras.Sequential([k.Input((8,)), *stack], name="net")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    exact = kik.diagnose(model, x).record.signal("gradient")
    for layer in stack:
        layer.quantize("float8")
    before = [v.numpy() for v in model.variables]
    found = kik.diagnose(model, x).record.signal("gradient")
    assert found.tensors == exact.tensors
    np.testing.assert_allclose(
        found.statistic("rms"), exact.statistic("rms"), rtol=1 / 8
    )
    for kept, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(kept, variable.numpy())
    reasons = {skip.reason for skip in kik.lsuv(model, x).skipped}
    (reason,) = reasons
    assert "is quantized (float8)" in reason
