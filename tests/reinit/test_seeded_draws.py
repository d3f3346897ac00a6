"""What is drawn of a seed, however many models Keras has numbered before."""

import keras
import numpy as np
import pytest

import keras_initkit as kik

k = keras.layers
X = np.random.default_rng(0).standard_normal((16, 6)).astype(np.float32)


def net():
    """A model whose layers have the names that Keras makes up."""
    inputs = keras.Input((6,))
    x = k.Dense(6, activation="relu")(inputs)
    for _ in range(2):
        inner = k.Dense(6, activation="relu")(x)
        x = k.Add()([x, k.Dense(6)(inner)])
    inside = keras.Sequential([keras.Input((6,)), k.Dense(6, activation="relu")])
    model = keras.Model(inputs, k.Dense(3, activation="softmax")(inside(x)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def attending():
    inputs = keras.Input((5, 8))
    x = k.MultiHeadAttention(2, 4)(inputs, inputs)
    return keras.Model(inputs, k.MultiHeadAttention(2, 4)(x, x))


def mimetic(model):
    for layer in model.layers:
        if isinstance(layer, k.MultiHeadAttention):
            plan = {
                f"{layer.path}/{part}": kik.initializers.get("mimetic_attention")
                for part in ("query", "key")
            }
            kik.reinitialize(model, plan, seed=1)


CHANGES = {
    "reinitialize": (net, lambda m: kik.reinitialize(m, "orthogonal", seed=1)),
    "recommend": (net, lambda m: kik.reinitialize(m, kik.recommend(m), seed=1)),
    "lsuv": (net, lambda m: kik.lsuv(m, X, seed=1)),
    "fixup": (net, lambda m: kik.fixup(m, seed=1, zero_head=False)),
    "mimetic": (attending, mimetic),
}


@pytest.mark.parametrize("name", CHANGES)
def test_like_models_get_like_weights(name):
    build, change = CHANGES[name]
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        model = build()
        change(model)
        found.append([(v.name, v.numpy()) for v in model.trainable_variables])
    assert model.layers[1].name != build().layers[1].name
    for (weight, one), (_, other) in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=weight)
    kernels = [
        v for n, v in found[0] if n == "kernel" and v.shape == (6, 6) and v.any()
    ]
    assert len({value.tobytes() for value in kernels}) == len(kernels)


def test_names_that_no_other_model_has_a_say_in():
    def names():
        model = net()
        same = kik.structure.layers.lasting_names(model)
        assert list(same) == [n for n, _ in kik.structure.layers.named_layers(model)]
        return list(same.values())

    assert names() == names()
    assert len(set(names())) == len(names())
    assert kik.structure.layers.unnumbered("a_1/b_2/c_3#2") == "a/b/c#2"
