"""Lint: every check trips on its fault, spares its near miss and healthy models."""

import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import diagnosis, models

k = keras.layers
MISMATCH, HIDDEN = "LossActivationMismatch", "UnsuitableHiddenActivation"


def sequential(*layers, shape=(8,), **compiled):
    model = keras.Sequential([keras.Input(shape), *layers])
    if compiled:
        model.compile(**{"optimizer": "adam", **compiled})
    return model


def ends_in(*layers, loss, **compiled):
    return sequential(k.Dense(6, "relu"), *layers, loss=loss, **compiled)


def deep(count, activation, initializer, width=32):
    layers = [
        k.Dense(
            width,
            activation,
            kernel_initializer=kik.initializers.seeded(initializer, i, "x"),
        )
        for i in range(count)
    ]
    return sequential(*layers, k.Dense(4, "softmax"), shape=(width,))


def residual(initializer):
    inputs = x = keras.Input((8,))
    x = k.add([x, k.Dense(8, kernel_initializer=initializer)(x)])
    return keras.Model(inputs, k.Dense(3)(x))


def logits(name):
    return getattr(keras.losses, name)(from_logits=True)


def with_bias(bias):
    layer = k.Dense(64, "relu", bias_initializer=keras.initializers.Constant(bias))
    return sequential(layer, k.Dense(2), shape=(64,))


def lstm(**options):
    return sequential(k.LSTM(6, **options), k.Dense(1), shape=(5, 3))


def simple_rnn(initializer, activation="tanh"):
    layer = k.SimpleRNN(8, activation, recurrent_initializer=initializer)
    return sequential(layer, k.Dense(1), shape=(40, 3))


def optimized(optimizer):
    return ends_in(k.Dense(1), loss="mse", optimizer=optimizer)


def frozen_norm(moved):
    model = sequential(k.Dense(4), k.BatchNormalization(), k.Dense(1), loss="mse")
    norm = model.layers[1]
    norm.trainable = False
    norm.moving_mean.assign(norm.moving_mean + moved)
    return model


def thawed(compiled_again):
    model = sequential(k.Dense(4, "relu"), k.Dense(1))
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    model.layers[0].trainable = True
    if compiled_again:
        model.compile("sgd", "mse")
    return model


def all_frozen(frozen):
    model = sequential(k.Dense(4, "relu"), k.Dense(1), loss="mse")
    model.trainable = not frozen
    return model


def twins(first, second):
    return sequential(
        k.Dense(8, "relu", kernel_initializer=first),
        k.Dense(8, "relu", kernel_initializer=second),
        k.Dense(2),
    )


def hidden_softmax(attention):
    inputs = keras.Input((8,))
    x = k.Dense(8, "softmax")(inputs)
    return keras.Model(inputs, k.Dense(2)(x * inputs if attention else x))


SPARSE = "sparse_categorical_crossentropy"
BINARY, CATEGORICAL = "binary_crossentropy", "categorical_crossentropy"
ADAM = keras.optimizers.Adam

# Name: the faulty model, the healthy one next to it, and rule, severity and place
# (index of the layer, `None` for the model) of the one finding.
CASES = {
    "softmax taken for logits": (
        lambda: ends_in(
            k.Dense(3, "softmax"), loss=logits("SparseCategoricalCrossentropy")
        ),
        lambda: ends_in(k.Dense(3), loss=logits("SparseCategoricalCrossentropy")),
        (MISMATCH, "warning", -1),
    ),
    "logits taken for probabilities": (
        lambda: ends_in(k.Dense(3), loss=SPARSE),
        lambda: ends_in(k.Dense(3, "softmax"), loss=SPARSE),
        (MISMATCH, "error", -1),
    ),
    "softmax of its own layer": (
        lambda: ends_in(
            k.Dense(3), k.Softmax(), loss=logits("CategoricalCrossentropy")
        ),
        lambda: ends_in(k.Dense(3), k.Softmax(), loss=CATEGORICAL),
        (MISMATCH, "warning", -1),
    ),
    "ReLU for logits": (
        lambda: ends_in(k.Dense(1, "relu"), loss=logits("BinaryCrossentropy")),
        lambda: ends_in(k.Dense(1), loss=logits("BinaryCrossentropy")),
        (MISMATCH, "warning", -1),
    ),
    "ReLU for probabilities": (
        lambda: ends_in(k.Dense(1, "relu"), loss=BINARY),
        lambda: ends_in(k.Dense(1, "sigmoid"), loss=BINARY),
        (MISMATCH, "error", -1),
    ),
    "softmax over one unit": (
        lambda: ends_in(k.Dense(1, "softmax"), loss=BINARY),
        lambda: ends_in(k.Dense(2, "softmax"), loss=CATEGORICAL),
        (MISMATCH, "error", -1),
    ),
    "one class": (
        lambda: ends_in(k.Dense(1, "sigmoid"), loss=SPARSE),
        lambda: ends_in(k.Dense(2, "softmax"), loss=SPARSE),
        (MISMATCH, "error", -1),
    ),
    "softmax for several labels": (
        lambda: ends_in(k.Dense(5, "softmax"), loss=BINARY),
        lambda: ends_in(k.Dense(5, "sigmoid"), loss=BINARY),
        (MISMATCH, "warning", -1),
    ),
    "sigmoid for one of several classes": (
        lambda: ends_in(k.Dense(5, "sigmoid"), loss=CATEGORICAL),
        lambda: ends_in(k.Dense(5, "softmax"), loss=CATEGORICAL),
        (MISMATCH, "warning", -1),
    ),
    "softmax twice": (
        lambda: ends_in(k.Dense(3, "softmax"), k.Softmax(), loss=CATEGORICAL),
        lambda: ends_in(k.Dense(3), k.Softmax(), k.Reshape((3,)), loss=CATEGORICAL),
        (MISMATCH, "error", -1),
    ),
    "squared error of a softmax": (
        lambda: ends_in(k.Dense(3, "softmax"), loss="mse"),
        lambda: ends_in(k.Dense(3, "sigmoid"), loss="mse"),
        (MISMATCH, "warning", -1),
    ),
    "squared error of classes": (
        lambda: ends_in(k.Dense(1), loss="mse", metrics=["accuracy"]),
        lambda: ends_in(k.Dense(1), loss="mse", metrics=["mae"]),
        (MISMATCH, "warning", -1),
    ),
    "hinge of a sigmoid": (
        lambda: ends_in(k.Dense(1, "sigmoid"), loss="hinge"),
        lambda: ends_in(k.Dense(1, "tanh"), loss="hinge"),
        (MISMATCH, "error", -1),
    ),
    "negative rates": (
        lambda: ends_in(k.Dense(1), loss="poisson"),
        lambda: ends_in(k.Dense(1, "sigmoid"), loss="poisson"),
        (MISMATCH, "error", -1),
    ),
    "linear layers": (
        lambda: sequential(k.Dense(16), k.Dropout(0.1), k.Dense(12), k.Dense(3)),
        lambda: sequential(k.Dense(16), k.ReLU(), k.Dense(12, "tanh"), k.Dense(3)),
        (HIDDEN, "error", 0),
    ),
    "one linear layer": (
        lambda: sequential(k.Dense(16), k.Dense(12, "relu"), k.Dense(3)),
        lambda: sequential(k.Dense(2), k.Dense(12, "relu"), k.Dense(3)),  # low rank
        (HIDDEN, "warning", 0),
    ),
    "linear convolutions": (
        lambda: sequential(
            k.Conv2D(4, 3),
            k.Conv2D(4, 3),
            k.ReLU(),
            k.Flatten(),
            k.Dense(3),
            shape=(8, 8, 1),
        ),
        lambda: sequential(
            k.Conv2D(4, 3),
            k.MaxPooling2D(),
            k.Conv2D(4, (1, 1)),
            k.Conv2D(4, 3),
            k.BatchNormalization(),
            k.Flatten(),
            k.Dense(3),
            shape=(8, 8, 1),
        ),
        (HIDDEN, "warning", 0),
    ),
    "hidden softmax": (
        lambda: hidden_softmax(attention=False),
        lambda: hidden_softmax(attention=True),
        (HIDDEN, "warning", 1),
    ),
    "four sigmoids": (
        lambda: deep(4, "sigmoid", "glorot_uniform"),
        lambda: deep(3, "sigmoid", "glorot_uniform"),
        (HIDDEN, "warning", 3),
    ),
    "many tanhs": (
        lambda: deep(12, "tanh", "orthogonal"),
        lambda: deep(11, "tanh", "orthogonal"),
        ("SaturatingStack", "info", 11),
    ),
    "zero kernel": (
        lambda: sequential(k.Dense(4, "relu", kernel_initializer="zeros"), k.Dense(1)),
        lambda: sequential(k.Dense(4, "relu"), k.Dense(3, kernel_initializer="zeros")),
        ("SymmetricUnits", "error", 0),
    ),
    "constant last kernel": (
        lambda: residual("ones"),
        lambda: residual("zeros"),
        ("SymmetricUnits", "error", 1),
    ),
    "one initializer": (
        lambda: twins(*[keras.initializers.HeNormal()] * 2),
        lambda: twins(keras.initializers.HeNormal(), keras.initializers.HeNormal()),
        ("EqualWeights", "warning", 1),
    ),
    "one seed": (
        lambda: twins(
            keras.initializers.HeNormal(seed=1), keras.initializers.HeNormal(seed=1)
        ),
        lambda: twins(
            keras.initializers.HeNormal(seed=1), keras.initializers.HeNormal(seed=2)
        ),
        ("EqualWeights", "warning", 1),
    ),
    "signal fades": (
        lambda: deep(30, "relu", "glorot_uniform"),
        lambda: deep(30, "relu", "he_normal"),
        ("PoorWeightInitialization", "warning", 29),
    ),
    "signal explodes": (
        lambda: deep(6, "relu", keras.initializers.VarianceScaling(64.0)),
        lambda: deep(6, "relu", "glorot_normal"),
        ("PoorWeightInitialization", "warning", 5),
    ),
    "SELU": (
        lambda: sequential(
            k.Dense(64, "selu", kernel_initializer="he_normal"), k.Dense(1), shape=(64,)
        ),
        lambda: sequential(
            k.Dense(64, "selu", kernel_initializer="lecun_normal"),
            k.Dense(1),
            shape=(64,),
        ),
        ("InitializerMismatch", "warning", 0),
    ),
    "depthwise fans": (
        lambda: sequential(k.DepthwiseConv2D(3), k.Flatten(), shape=(8, 8, 4)),
        lambda: sequential(
            k.DepthwiseConv2D(3), k.BatchNormalization(), k.Flatten(), shape=(8, 8, 4)
        ),
        ("FanDefect", "info", 0),
    ),
    "transposed fans": (
        lambda: sequential(
            k.Conv2DTranspose(4, 3, kernel_initializer="he_normal"),
            shape=(8, 8, 16),
        ),
        lambda: sequential(
            k.Conv2DTranspose(
                4,
                3,
                kernel_initializer=kik.initializers.for_layer(
                    k.Conv2DTranspose(4, 3), "he_normal"
                ),
            ),
            shape=(8, 8, 16),
        ),
        ("FanDefect", "info", 0),
    ),
    "dead biases": (
        lambda: with_bias(-10.0),
        lambda: with_bias(-1.0),
        ("DeadBias", "warning", 0),
    ),
    "state that fades at once": (
        lambda: simple_rnn(keras.initializers.Orthogonal(0.3)),
        lambda: simple_rnn(keras.initializers.Orthogonal(0.6)),
        ("RecurrentScale", "warning", 0),
    ),
    "no recurrence": (
        lambda: simple_rnn("zeros"),
        lambda: simple_rnn(keras.initializers.Orthogonal(3.0)),  # tanh bounds it
        ("RecurrentScale", "warning", 0),
    ),
    "state that blows up": (
        lambda: simple_rnn(keras.initializers.Identity(1.5), "relu"),
        lambda: simple_rnn("identity", "relu"),
        ("RecurrentScale", "warning", 0),
    ),
    "state that leaves all numbers": (
        lambda: simple_rnn(keras.initializers.Identity(1e4), "linear"),
        lambda: simple_rnn("orthogonal", "linear"),
        ("RecurrentScale", "warning", 0),
    ),
    "forget bias": (
        lambda: lstm(
            unit_forget_bias=False,
            kernel_initializer="he_normal",
            recurrent_initializer=kik.initializers.GateOrthogonal(gates=4),
        ),
        lambda: lstm(
            kernel_initializer="he_normal",
            recurrent_initializer=kik.initializers.GateOrthogonal(gates=4),
        ),
        ("ForgetBias", "warning", None),
    ),
    "negative learning rate": (
        lambda: optimized(ADAM(-1e-3)),
        lambda: optimized(ADAM(1e-3)),
        ("LearningRateRange", "error", None),
    ),
    "learning rate of 0": (
        lambda: optimized(ADAM(0.0)),
        lambda: optimized(
            ADAM(keras.optimizers.schedules.CosineDecay(0.0, 9, 0.0, "w", 1e-3, 5))
        ),
        ("LearningRateRange", "error", None),
    ),
    "large learning rate": (
        lambda: optimized(ADAM(1.0)),
        lambda: optimized(keras.optimizers.SGD(1.0)),
        ("LearningRateRange", "warning", None),
    ),
    "small learning rate": (
        lambda: optimized(ADAM(1e-8)),
        lambda: optimized(ADAM(1e-6)),
        ("LearningRateRange", "warning", None),
    ),
    "frozen": (
        lambda: all_frozen(True),
        lambda: all_frozen(False),
        ("NotTrainable", "error", None),
    ),
    "idle normalization": (
        lambda: frozen_norm(0.0),
        lambda: frozen_norm(0.1),
        ("NotTrainable", "warning", 1),
    ),
    "thawed after compile": (
        lambda: thawed(compiled_again=False),
        lambda: thawed(compiled_again=True),
        ("NotTrainable", "warning", None),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_check_trips_on_its_fault_and_names_the_layer(case):
    faulty, _, (rule, severity, index) = CASES[case]
    model = faulty()
    before = [w.copy() for w in model.get_weights()]
    found = [f for f in kik.lint(model) if f.rule == rule]
    if case in ("one linear layer", "zero kernel"):
        found = found[:1]
    (finding,) = found
    assert finding.severity == severity
    if index is not None:
        layer = model.layers[index]
        assert finding.layer == (layer.path or layer.name)
    elif rule != "ForgetBias":
        assert finding.layer is None
    assert finding.step is None
    assert finding.message[-1] == finding.remedy[-1] == "."
    assert finding.remedy.count("`") % 2 == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("case", CASES)
def test_check_spares_the_near_miss(case):
    _, healthy, (rule, *_) = CASES[case]
    assert [str(f) for f in kik.lint(healthy()) if f.rule == rule] == []


def test_every_check_has_a_case():
    assert {rule for _, _, (rule, *_) in CASES.values()} == set(diagnosis.LINTS)


def test_each_output_is_held_against_its_own_loss():
    inputs = keras.Input((8,))
    outputs = {"a": k.Dense(3, name="a")(inputs), "b": k.Dense(1, name="b")(inputs)}
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"a": SPARSE, "b": "mse"})
    assert [(f.rule, f.layer) for f in kik.lint(model)] == [(MISMATCH, "a")]
    model.compile("adam", {"a": logits("SparseCategoricalCrossentropy"), "b": "mse"})
    assert kik.lint(model) == []


def test_subclassed_model_is_checked_layer_by_layer():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            shared = keras.initializers.GlorotNormal()
            self.one = k.Dense(8, "relu", kernel_initializer=shared)
            self.two = k.Dense(8, "softmax", kernel_initializer=shared)

        def call(self, x):
            return self.two(self.one(x))

    model = Model()
    model.compile(ADAM(1.0), "mse")
    model(np.zeros((1, 8)))
    assert [f.rule for f in kik.lint(model)] == ["LearningRateRange", "EqualWeights"]


def parallel(count):
    """Towers side by side are no layers one behind another."""
    inputs = keras.Input((16,))
    scales = [10.0 ** (-n) for n in range(count)]
    towers = [
        k.Dense(16, "relu", kernel_initializer=keras.initializers.RandomNormal(0, s))(
            inputs
        )
        for s in scales
    ]
    return keras.Model(inputs, k.Dense(3)(k.concatenate(towers)))


def small_branches(depth):
    """The last layer of each residual branch is small on purpose, the head, too."""

    def small(units):
        normal = keras.initializers.RandomNormal(0, 1e-5)
        return k.Dense(units, kernel_initializer=normal)

    inputs = keras.Input((64,))
    x = k.Dense(64)(inputs)
    for _ in range(depth):
        x = k.add([x, small(64)(k.Dense(64, "relu")(x))])
    return keras.Model(inputs, small(3)(x))


def scaled_branches(depth):
    inputs = x = keras.Input((64,))
    for _ in range(depth):
        branch = k.Dense(64, kernel_initializer="he_normal")(k.ReLU()(x))
        x = x + 0.1 * branch
    return keras.Model(inputs, k.Dense(3)(x))


HEALTHY = {
    "parallel": lambda: parallel(6),
    "small branches": lambda: small_branches(12),
    "scaled branches": lambda: scaled_branches(30),
}


@pytest.mark.parametrize("case", HEALTHY)
def test_drift_follows_the_graph(case):
    assert [str(finding) for finding in kik.lint(HEALTHY[case]())] == []


def test_few_weights_may_vary_by_chance():
    """Of 40 draws of 2 x 5, none is told; of 64 x 64, one of 1.7 times is."""

    def scaled(shape, factor):
        kernel = keras.initializers.VarianceScaling(factor, "fan_in", "normal")
        layer = k.Dense(shape[1], "selu", kernel_initializer=kernel)
        return kik.lint(
            sequential(layer, k.Dense(1), shape=shape[:1]),
            rules=["InitializerMismatch"],
        )

    keras.utils.set_random_seed(0)
    assert [f for _ in range(40) for f in scaled((2, 5), 1.0)] == []
    assert len(scaled((64, 64), 2.2)) == 1


def test_fans_are_judged_by_the_kernel_that_is_there():
    transposed = k.Conv2DTranspose(8, 3, kernel_initializer="he_normal")
    model = sequential(transposed, k.Flatten(), shape=(8, 8, 64))
    assert [f.rule for f in kik.lint(model)] == ["FanDefect"]
    kik.reinitialize(model, kik.recommend(model), seed=0)
    assert kik.lint(model) == []
    model = sequential(k.GRU(8), k.Dense(1), shape=(5, 8))
    assert [f.rule for f in kik.lint(model)] == ["FanDefect"] * 2
    kik.reinitialize(model, kik.recommend(model), seed=0)
    assert kik.lint(model) == []


def of_probabilities(make):
    inputs = keras.Input((8,))
    one, other = (k.Dense(3, "sigmoid")(inputs) for _ in range(2))
    model = keras.Model(inputs, make(one, other))
    model.compile("adam", BINARY)
    return model


class Probabilities(k.Dense):
    def call(self, inputs):
        return keras.ops.sigmoid(super().call(inputs))


PROBABILITIES = {
    "average": lambda a, b: k.average([a, b]),
    "product": lambda a, b: k.multiply([a, b]),
    "complement": lambda a, b: 1 - a,
    "distance": lambda a, b: keras.ops.exp(-keras.ops.abs(a - b)),
    "clip": lambda a, b: keras.ops.clip(a, 1e-3, 0.999),
    "cosine": lambda a, b: (1 + k.Dot(1, normalize=True)([a, b])) / 2,
    "lambda": lambda a, b: k.Lambda(lambda x: x**2)(a),
    "class": lambda a, b: Probabilities(3)(a),
    "function": lambda a, b: k.Dense(3, lambda x: keras.ops.sigmoid(2 * x))(a),
    "maximum": lambda a, b: k.maximum([a, b]),
}


@pytest.mark.parametrize("case", PROBABILITIES)
def test_probabilities_by_construction_are_not_judged(case):
    found = kik.lint(of_probabilities(PROBABILITIES[case]))
    assert [f for f in found if f.rule == MISMATCH] == []


def test_copies_that_move_along_were_not_thawed():
    class Following(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.copy = k.Dense(2), k.Dense(2)

        def call(self, x):
            return self.one(x) + 0 * self.copy(x)

        def train_step(self, data):
            raise NotImplementedError

    model = Following()
    model(np.zeros((1, 3)))
    model.compile("sgd", "mse")
    model.optimizer.build(model.one.trainable_variables)
    assert [f for f in kik.lint(model) if f.rule == "NotTrainable"] == []


def test_drift_is_seen_behind_a_layer_without_a_rule_and_ahead_of_it():
    shallow = deep(8, "relu", keras.initializers.VarianceScaling(64.0))
    inputs = keras.Input((32,))
    inner = keras.Model(shallow.inputs[0], shallow.layers[-2].output)
    model = keras.Model(inputs, k.Dense(3)(k.Softmax()(inner(inputs))))
    found = [f for f in kik.lint(model) if f.rule == "PoorWeightInitialization"]
    assert [finding.layer for finding in found] == [inner.layers[-2].path]


def test_unbuilt_model_has_no_weights_to_check():
    model = keras.Sequential([k.Dense(4, "relu", kernel_initializer="zeros")])
    assert kik.lint(model) == []


class ForeignCell(keras.Layer):
    """A cell without what Keras's have: no `units`, no `activation`."""

    state_size = 4

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 4))
        self.recurrent_kernel = self.add_weight(name="recurrent_kernel", shape=(4, 4))

    def call(self, x, states):
        state = x @ self.kernel + states[0] @ self.recurrent_kernel
        return state, [state]


class ForeignLayer(keras.Layer):
    """A layer whose attributes mean something else than Keras's."""

    activation, units, cell, axis = "selu", "many", 3, "no"

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 4))
        self.bias = self.add_weight(name="bias", shape=(4,))

    def call(self, x):
        return x @ self.kernel + self.bias


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [keras.layers.RNN(ForeignCell())],
        lambda: [keras.layers.RNN([ForeignCell(), ForeignCell()])],
        lambda: [ForeignLayer(), keras.layers.ReLU(), ForeignLayer()],
    ],
)
def test_foreign_layers_raise_nothing(layers):
    model = keras.Sequential([keras.Input((5, 3)), *layers(), keras.layers.Dense(2)])
    assert not [f for f in kik.lint(model) if f.severity == "error"]


def test_nested_model_is_opened():
    inner = sequential(k.Dense(16), k.Dense(12, "relu"))
    model = sequential(inner, k.Dense(3))
    (finding,) = kik.lint(model)
    assert (finding.rule, finding.layer) == (HIDDEN, inner.layers[0].path)


def test_checks_can_be_chosen():
    model = optimized(ADAM(-1.0))
    assert kik.lint(model, rules=["EqualWeights"]) == []
    message = (
        f"`rules` must be among {tuple(sorted(diagnosis.LINTS))}. Received: ('A',)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.lint(model, rules=["A"])


def chain(activation, depth, initializer="glorot_uniform"):
    keras.utils.set_random_seed(0)
    layers = [k.Dense(8, activation, True, initializer) for _ in range(depth)]
    return keras.Sequential([k.Input((8,)), *layers, k.Dense(3)])


# A model, the threshold it is to be judged by, and one by which it is spared.
THRESHOLDS = {
    ("UnsuitableHiddenActivation", "sigmoids"): (lambda: chain("sigmoid", 3), 3, 4),
    ("SaturatingStack", "layers"): (lambda: chain("tanh", 5), 5, 6),
    ("LearningRateRange", "beyond"): (lambda: optimized(ADAM(0.05)), 0.1, 1),
    ("PoorWeightInitialization", "decades"): (lambda: chain("relu", 8), 0.2, 3),
    ("InitializerMismatch", "factor"): (
        lambda: chain("selu", 1, keras.initializers.RandomNormal(0, 1, 0)),
        1.6,
        99,
    ),
    ("FanDefect", "factor"): (lambda: keras.Sequential(depthwise()), 1.6, 1e4),
    ("DeadBias", "share"): (lambda: biased(-9.0), 0.5, 1.0),
    ("DeadBias", "stds"): (lambda: biased(-9.0), 3.0, 50.0),
    ("ForgetBias", "bias"): (lambda: recurrent(k.LSTM(4)), 2.0, 0.5),
    ("RecurrentScale", "left"): (lambda: recurrent(fading()), 1e-3, 1e-30),
    ("RecurrentScale", "reach"): (lambda: recurrent(fading()), 0.25, 0.0),
}


def depthwise():
    return [k.Input((9, 9, 16)), k.DepthwiseConv2D(3), k.Flatten(), k.Dense(2)]


def fading():
    return k.SimpleRNN(
        4, recurrent_initializer=keras.initializers.RandomNormal(0, 0.01)
    )


def recurrent(layer):
    return keras.Sequential([k.Input((40, 3)), layer, k.Dense(1)])


def biased(value):
    bias = keras.initializers.Constant(value)
    layers = [k.Dense(8, "relu", bias_initializer=bias), k.Dense(1)]
    return keras.Sequential([k.Input((8,)), *layers])


@pytest.mark.parametrize(("rule", "name"), THRESHOLDS)
def test_thresholds_can_be_replaced(rule, name):
    make, trips, spares = THRESHOLDS[rule, name]
    model = make()

    def found(limit):
        rules = dict.fromkeys(diagnosis.LINTS) | {rule: {name: limit}}
        return [f.rule for f in kik.lint(model, rules=rules)]

    assert found(trips) == [rule]
    assert found(spares) == []


def test_diagnose_takes_thresholds_of_rules_on_records_and_on_models():
    model, x = biased(-9.0), np.random.default_rng(0).normal(size=(64, 8))
    none = dict.fromkeys([*diagnosis.RULES, *diagnosis.LINTS])

    def found(**rules):
        return {f.rule for f in kik.diagnose(model, x, rules=none | rules).findings}

    assert found() == set()
    assert found(DeadBias={}, DeadRelu={}) == {"DeadBias", "DeadRelu"}
    assert found(DeadBias={"stds": 50.0}, DeadRelu={}) == {"DeadRelu"}
    loose = {"zero_fraction": 2.0, "dead_fraction": 2.0, "of_few": 2.0}
    assert found(DeadBias={}, DeadRelu=loose) == {"DeadBias"}


def test_every_threshold_of_a_rule_on_models_can_be_replaced():
    declared = {
        (name, threshold)
        for name, rule in diagnosis.LINTS.items()
        for threshold in rule.thresholds
    }
    assert declared == set(THRESHOLDS)


def test_what_no_rule_is_called_is_refused_by_diagnose_ahead_of_any_work():
    model = chain("relu", 1)
    with pytest.raises(ValueError, match=r"^`rules` must be among .*'A'"):
        kik.diagnose(model, None, rules={"A": None})
    with pytest.raises(ValueError, match=r"^`thresholds` of rule 'DeadRelu' must be"):
        kik.diagnose(model, None, rules={"DeadRelu": {"decades": 1.0}})


@pytest.mark.parametrize("initializer", ["he_normal", "glorot_uniform"])
@pytest.mark.parametrize("name", models.NAMES)
def test_reference_models_are_clean(name, initializer):
    model = models.build(name, initializer=initializer, seed=0)
    found = {(f.rule, f.severity) for f in kik.lint(model)}
    # Keras's own rule for fused gates is what the finding says it is.
    assert found == ({("FanDefect", "info")} if name == "imdb_lstm" else set())


def application(name, **options):
    model = getattr(keras.applications, name)(weights=None, classes=10, **options)
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    ("name", "options"),
    [("MobileNetV2", {"alpha": 0.35, "input_shape": (96, 96, 3)}), ("ResNet50", {})],
)
def test_applications_are_clean(name, options):
    assert [str(f) for f in kik.lint(application(name, **options))] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0",
        "InceptionV3", "MobileNet", "MobileNetV3Small", "NASNetMobile", "ResNet50V2",
        "VGG16", "VGG19", "Xception",
    ],
)  # fmt: skip
def test_more_applications_are_clean(name):
    assert [str(f) for f in kik.lint(application(name))] == []
