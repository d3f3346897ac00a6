"""Recommendations: the right initializer for each place, for any kind of model."""

import json
import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.reinit.plan import label

layers = keras.layers


def value_of(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def sequential(*parts, shape=(16,)):
    return keras.Sequential([layers.Input(shape), *parts])


def chosen(plan, end):
    (name,) = [name for name in plan if name.endswith(end)]
    return plan[name]


class Attention(keras.Model):
    """Subclassed and nested: attention on a residual stream, layers of layers."""

    def __init__(self):
        super().__init__(name="stream")
        self.words = layers.Embedding(30, 8, name="words")
        self.blocks = [Block(name=f"block{n}") for n in range(4)]
        self.head = layers.Dense(5, name="head")

    def call(self, inputs):
        x = self.words(inputs)
        for block in self.blocks:
            x = block(x)
        return self.head(keras.ops.mean(x, axis=1))


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.LayerNormalization()
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.up = layers.Dense(16, name="up")
        self.down = layers.Dense(8, name="down")

    def call(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y)
        return x + self.down(keras.ops.silu(self.up(x)))


@pytest.mark.parametrize(
    ("activation", "expected", "gain"),
    [
        ("relu", "HeNormal", 2**0.5),
        ("selu", "LecunNormal", 1.0),
        ("gelu", "ActivationScaling(activation='gelu')", 1.533530),
        ("tanh", "GlorotNormal", 1.0),
        ("sigmoid", "ZeroSum(Orthogonal(gain=4))", 4.0),
        ("hard_sigmoid", "ZeroSum(Orthogonal(gain=6))", 6.0),
        ("softplus", "ZeroSum(Orthogonal(gain=1.919))", 1.919126),
        (None, "LecunNormal", 1.0),
    ],
)
def test_activation_decides_the_gain(activation, expected, gain):
    plan = kik.recommend(
        sequential(layers.Dense(8, activation, name="a"), layers.Dense(3))
    )
    choice = chosen(plan, "/a")
    assert label(choice.initializer) == expected
    assert choice.gain == pytest.approx(gain, rel=1e-5)
    assert choice.reason.startswith(activation or "no activation")
    assert ("unstable" in choice.reason) == (activation == "softplus")
    assert label(choice.bias) == "Zeros"


@pytest.mark.parametrize(
    "activation",
    [
        layers.LeakyReLU(0.3),
        layers.Activation(lambda x: keras.ops.where(x > 0, x, 0.3 * x)),
    ],
    ids=["layer", "function"],
)
def test_activation_layers_and_functions_count_too(activation):
    model = sequential(
        layers.Dense(8, name="a"), layers.Dropout(0.1), activation, layers.Dense(3)
    )
    choice = chosen(kik.recommend(model), "/a")
    assert choice.gain == pytest.approx((2 / 1.09) ** 0.5)
    values = choice.initializer((400, 50))
    error = 5 * 0.58 / 20000**0.5
    std = float(keras.ops.std(values))
    assert std == pytest.approx(choice.gain / 20, rel=error)


def test_raw_operations_of_a_subclassed_model_are_seen():
    model = Attention()
    model(np.zeros((2, 7), "int32"))
    plan = kik.recommend(model)
    assert next(iter(plan)) == "stream/words"
    assert plan["stream/block0/up"].gain == pytest.approx(1.676532, rel=1e-5)
    assert "silu" in plan["stream/block0/up"].reason
    # Eight branches: the last layer of each is scaled, no other.
    ends = {name for name, choice in plan.items() if "residual branch" in choice.reason}
    parts = ("attention/attention_output", "down")
    assert ends == {f"stream/block{n}/{part}" for n in range(4) for part in parts}
    assert plan["stream/block2/down"].gain == pytest.approx(8**-0.5)
    assert plan["stream/head"].reason.startswith("output")
    query = plan["stream/block0/attention/query"].initializer
    assert query.fans((8, 2, 4)) == (8, 8)
    assert plan.note == ""
    assert plan.skipped == ()


def test_normalization_right_behind_is_told_and_takes_the_scale_off():
    x = inputs = layers.Input((8, 8, 3))
    for n in range(2):
        y = layers.Conv2D(3, 3, padding="same", use_bias=False, name=f"conv{n}")(x)
        y = layers.BatchNormalization()(y)
        x = layers.ReLU()(layers.Add()([x, y]))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    plan = kik.recommend(model)
    assert "normalized right after" in plan["conv1"].reason
    assert label(plan["conv1"].initializer) == "HeNormal"
    assert plan["conv1"].bias is None


@pytest.mark.parametrize("depth", [19, 20])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_deep_plain_stacks_get_orthogonal_weights(kind, depth):
    def hidden(n):
        if kind == "dense":
            return layers.Dense(8, "tanh", name=f"h{n}")
        return layers.Conv2D(4, 3, padding="same", activation="tanh", name=f"h{n}")

    shape = (16,) if kind == "dense" else (6, 6, 3)
    stack = [hidden(n) for n in range(depth - 1)]
    model = sequential(*stack, layers.Flatten(), layers.Dense(3), shape=shape)
    deep = {"dense": "Orthogonal", "conv": "DeltaOrthogonal"}[kind]
    choice = chosen(kik.recommend(model), "/h7")
    assert label(choice.initializer) == (deep if depth == 20 else "GlorotNormal")
    assert choice.gain == 1


def test_fans_that_the_shape_does_not_tell():
    model = sequential(
        layers.DepthwiseConv2D(3, activation="relu", name="depth"),
        layers.SeparableConv2D(4, 3, name="separable"),
        layers.Conv2DTranspose(4, 3, strides=2, activation="relu", name="up"),
        layers.Conv2D(4, 3, groups=2, activation="relu", name="grouped"),
        layers.Flatten(),
        layers.Dense(3),
        shape=(9, 9, 4),
    )
    plan = kik.recommend(model)
    assert chosen(plan, "depth").initializer.fans((3, 3, 4, 1)) == (9, 9)
    assert chosen(plan, "up").initializer.fans((3, 3, 4, 4))[0] == 9
    assert chosen(plan, "grouped").initializer.fans((3, 3, 2, 4)) == (18, 18)
    separable = chosen(plan, "separable").weights
    assert set(separable) == {"depthwise_kernel", "pointwise_kernel", "bias"}
    assert separable["depthwise_kernel"].fans((3, 3, 4, 1)) == (9, 9)


LONG = "ChronoBias(max_steps=50)"


@pytest.mark.parametrize(
    ("steps", "bias"),
    [
        (49, "UnitForgetBias"),
        (50, "ChronoBias(max_steps=50)"),
        (None, "UnitForgetBias"),
    ],
)
def test_gates_open_for_as_long_as_the_sequence(steps, bias):
    model = sequential(
        layers.Bidirectional(layers.LSTM(4, name="lstm"), name="both"),
        layers.Dense(2),
        shape=(steps, 3),
    )
    plan = kik.recommend(model)
    choice = chosen(plan, "forward_lstm")
    assert label(choice.bias) == bias
    assert label(choice.weights["recurrent_kernel"]) == "GateOrthogonal(gates=4)"
    assert choice.initializer.fans((3, 16)) == (3, 4)
    assert chosen(plan, "backward_lstm").weights.keys() == choice.weights.keys()


def test_relu_recurrence_starts_from_the_identity():
    model = sequential(layers.SimpleRNN(4, activation="relu", name="rnn"), shape=(5, 3))
    within = chosen(kik.recommend(model), "rnn").weights["recurrent_kernel"]
    assert isinstance(within, kik.initializers.RecurrentIdentity)


def test_class_prior_sets_the_first_prediction():
    model = sequential(layers.Dense(8, "relu"), layers.Dense(3, name="out"))
    prior = [0.7, 0.2, 0.1]
    choice = chosen(kik.recommend(model, class_prior=prior), "out")
    probabilities = keras.ops.softmax(choice.bias((3,)))
    np.testing.assert_allclose(probabilities, prior, rtol=1e-5)
    model = sequential(layers.Dense(1, "sigmoid", name="out"))
    bias = chosen(kik.recommend(model, class_prior=0.01), "out").bias((1,))
    np.testing.assert_allclose(keras.ops.sigmoid(bias), 0.01, rtol=1e-4)
    message = (
        "`class_prior` must have as many entries as an output layer with a bias has "
        "units. Received: class_prior=[0.5, 0.5]."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.recommend(model, class_prior=[0.5, 0.5])


class Own(layers.Layer):
    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], 2), name="mix")

    def call(self, x):
        return x @ self.mix


def test_unknown_and_frozen_layers_are_named_and_left_alone():
    frozen = layers.Dense(4, "relu", name="frozen", trainable=False)
    model = sequential(frozen, Own(name="own"), layers.Dense(3, name="out"))
    plan = kik.recommend(model)
    assert [name.rpartition("/")[2] for name in plan] == ["out"]
    reasons = {one.layer.rpartition("/")[2]: one.reason for one in plan.skipped}
    assert reasons == {
        "frozen": "is not trainable; name it in a mapping to redraw it",
        "own": "Own is of an unknown kind, with mix (4, 2)",
    }
    assert "left alone" in str(plan)


class Stubborn(keras.Model):
    """Cannot be traced: it asks for a value."""

    def __init__(self):
        super().__init__(name="stubborn")
        self.a = layers.Dense(4, "relu", name="a")
        self.b = layers.Dense(2, name="b")

    def call(self, x):
        return self.b(self.a(x)) * float(np.asarray(x).mean())


def test_model_that_cannot_be_traced_is_judged_layer_by_layer():
    model = Stubborn()
    model(np.ones((2, 3), "float32"))
    plan = kik.recommend(model)
    assert plan.note.startswith("The forward pass could not be traced")
    assert label(plan["stubborn/a"].initializer) == "HeNormal"
    assert label(plan["stubborn/b"].initializer) == "LecunNormal"


def test_nothing_of_the_model_changes():
    model = sequential(
        layers.Dense(8, "relu", activity_regularizer="l2"),
        layers.BatchNormalization(),
        layers.GaussianNoise(0.1, seed=3),
        layers.Dense(2),
    )
    before = [value_of(v) for v in model.variables]
    kik.recommend(model)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(value_of(variable), value)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    assert model.losses == []


def test_unbuilt_model_is_refused_or_built_by_x():
    model = keras.Sequential([layers.Dense(4, "relu"), layers.Dense(2)], name="late")
    message = (
        "`model` must be built: give it an `Input`, call it on a batch, or pass `x`. "
        "Received: Sequential 'late', not built."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.recommend(model)
    assert len(kik.recommend(model, np.zeros((2, 3), "float32"))) == 2


def test_plan_as_table_and_as_json():
    model = sequential(
        *[layers.Dense(8, "relu", name=f"h{n}") for n in range(5)], layers.Dense(2)
    )
    plan = kik.recommend(model)
    text = str(plan)
    assert text.count("HeNormal") == 1
    assert "… 3 more" in text
    assert "<table" not in plan._repr_html_()
    assert "HeNormal" in plan._repr_html_()
    content = json.loads(json.dumps(plan.to_dict()))
    assert list(content["layers"]) == list(plan)
    first = next(iter(content["layers"].values()))
    kernel = keras.initializers.deserialize(first["weights"]["kernel"])
    assert isinstance(kernel, keras.initializers.HeNormal)


def test_reference_model_without_normalization_keeps_its_signal():
    """Nine branches that each add a ninth: the signal at most doubles."""
    model = kik.models.build(
        "cifar10_resnet", batch_norm=False, initializer="he_normal"
    )
    kik.reinitialize(model, kik.recommend(model), seed=0)
    found = kik.theory.predict(model).layers
    stem, last = found[0].activation, found[-2].activation
    assert 0.2 < last / stem < 5


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (layers.DepthwiseConv2D(3, activation="sigmoid"), "Blockwise"),
        (layers.Conv2DTranspose(4, 3, activation="sigmoid"), "Blockwise"),
        (layers.Conv2DTranspose(4, 3, 2, activation="sigmoid"), "FanCorrected"),
        (layers.Conv2D(4, 3, groups=2, activation="sigmoid"), "ZeroSum"),
    ],
)
def test_weights_of_each_unit_sum_to_zero_ahead_of_a_sigmoid(layer, kind):
    model = sequential(layer, layers.Flatten(), layers.Dense(2), shape=(9, 9, 4))
    plan = kik.recommend(model)
    choice = plan[layer.path]
    assert type(choice.initializer).__name__ == kind
    assert ("impossible for taps" in choice.reason) is (kind == "FanCorrected")
    kik.reinitialize(model, plan, seed=0)
    if kind != "FanCorrected":
        inside = layer(np.ones((1, 9, 9, 4), "float32") * 7)[0, 4, 4]
        np.testing.assert_allclose(inside, 0.5, atol=1e-4)
