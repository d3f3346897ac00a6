"""Diagnosis: right about what it sees, and the model bit for bit as before."""

import json
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.capture.tapping import collector
from keras_initkit.inspection import targets

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 16)).astype("float32")
Y = RNG.integers(0, 3, 64)
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def state(model):
    """All that training moves, by identity and value."""
    parts = [*model.variables, *model.metrics_variables]
    parts += model.optimizer.variables if model.optimizer else []
    return [(id(v), np.array(keras.ops.convert_to_numpy(v))) for v in parts]


def assert_as_before(model, before):
    after = state(model)
    assert [one for one, _ in before] == [one for one, _ in after[: len(before)]]
    for (_, one), (_, other) in zip(before, after, strict=False):
        np.testing.assert_array_equal(one, other)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    assert "apply" not in vars(model.optimizer or model)


def rules_of(diagnosis):
    return {finding.rule for finding in diagnosis.findings}


def stack(depth, activation, initializer="glorot_uniform", width=32):
    hidden = [
        layers.Dense(width, activation, kernel_initializer=initializer, name=f"h{n}")
        for n in range(depth)
    ]
    model = keras.Sequential(
        [layers.Input((16,)), *hidden, layers.Dense(3, name="out")], name="stack"
    )
    model.compile(keras.optimizers.Adam(1e-3), CLASSES)
    return model


class Block(layers.Layer):
    def __init__(self):
        super().__init__(name="block")
        self.inner = layers.Dense(16, activation="gelu", name="inner")
        self.norm = layers.BatchNormalization(name="norm")

    def call(self, x, training=None):
        return x + self.norm(self.inner(x), training=training)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.block = Block()
        self.drop = layers.Dropout(0.3, name="drop")
        self.head = layers.Dense(3, name="head")

    def call(self, x, training=None):
        x = self.block(x, training=training)
        return self.head(self.drop(x, training=training))


class OwnStep(Subclassed):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}


def compiled(model, loss=CLASSES, **options):
    model.compile(keras.optimizers.Adam(1e-3), loss, **options)
    return model


def nested():
    inner = keras.Sequential(
        [layers.Input((16,)), layers.Dense(8, "relu"), layers.Dropout(0.5)], name="in"
    )
    inputs = layers.Input((16,))
    return compiled(keras.Model(inputs, layers.Dense(3)(inner(inputs))))


def convolutional():
    x = inputs = layers.Input((4, 4, 1))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.SpatialDropout2D(0.2)(x)
    return compiled(
        keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))), metrics=["accuracy"]
    )


def two_outputs():
    inputs = layers.Input((16,))
    outputs = {"a": layers.Dense(3, name="a")(inputs), "b": layers.Dense(3)(inputs)}
    return compiled(keras.Model(inputs, outputs), {"a": CLASSES, "b": CLASSES})


def half():
    model = compiled(
        keras.Sequential([layers.Input((16,)), layers.Dense(3, dtype="mixed_float16")])
    )
    model.optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    return model


KINDS = {
    "subclassed": lambda: compiled(Subclassed()),
    "own_train_step": lambda: compiled(OwnStep()),
    "nested": nested,
    "convolutional": convolutional,
    "two_outputs": two_outputs,
    "half": half,
}


SLOW = ("own_train_step", "half")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in KINDS],
)
def test_state_is_bit_equal_and_record_is_that_of_training(name):
    keras.utils.set_random_seed(1)
    model = KINDS[name]()
    x, y = X, {"a": Y, "b": Y} if name == "two_outputs" else Y
    if name == "convolutional":
        x = X.reshape(-1, 4, 4, 1)
    # One step, so that moving averages, seeds and momenta have moved.
    model.fit(x, y, batch_size=64, verbose=0)
    before = state(model)
    found = kik.diagnose(model, x, y)
    assert_as_before(model, before)
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(x, y, batch_size=64, verbose=0, shuffle=False, callbacks=[monitor])
    for signal in kik.schema.SIGNALS:
        expected, there = monitor.record.signal(signal), found.record.signal(signal)
        if expected is None:
            assert there is None
            continue
        assert there.tensors == expected.tensors
        # Dropout draws the same numbers: its seed is where it was.
        loose = {"rtol": 2e-2 if name == "half" else 1e-3, "atol": 1e-6}
        for statistic in ("rms", "max"):
            np.testing.assert_allclose(
                there.statistic(statistic)[0], expected.statistic(statistic)[0], **loose
            )


def test_tensors_may_be_reduced_one_by_one_or_together(monkeypatch):
    x = inputs = layers.Input((5, 4))
    x = layers.Conv1D(6, 2, activation="tanh")(layers.GRU(3, return_sequences=True)(x))
    x = layers.Dense(3)(layers.Flatten()(layers.BatchNormalization()(x)))
    model = compiled(keras.Model(inputs, x))
    x, y = RNG.standard_normal((8, 5, 4)), RNG.integers(0, 3, 8)
    together = kik.diagnose(model, x, y).record
    monkeypatch.setattr(collector, "HELD_BYTES", 0)
    apart = kik.diagnose(model, x, y).record
    assert together.series.keys() == apart.series.keys()
    assert together.time_steps
    for store in ("series", "histograms", "time_steps"):
        for name, one in getattr(together, store).items():
            other = getattr(apart, store)[name]
            assert one.tensors == other.tensors
            np.testing.assert_array_equal(one.values, other.values)


def test_state_is_bit_equal_when_the_loss_raises():
    class Late(keras.losses.Loss):
        def call(self, y_true, y_pred):
            raise RuntimeError("no loss today")

    model = compiled(Subclassed())
    model.fit(X, Y, verbose=0)
    before = state(model)
    found = kik.diagnose(model, X, Y, loss=Late())
    assert any("raised RuntimeError (no loss today)" in note for note in found.notes)
    assert_as_before(model, before)


def test_deep_sigmoid_stack_is_named_and_theory_agrees_with_what_is_measured():
    keras.utils.set_random_seed(0)
    found = kik.diagnose(stack(30, "sigmoid", width=64), X, Y)
    assert {"VanishingGradient", "TrainableDepth"} <= rules_of(found)
    (deep,) = [f for f in found.findings if f.rule == "TrainableDepth"]
    assert deep.layer.endswith("h0")
    assert deep.measured == 30
    (phase,) = found.phases
    assert (phase.activation, phase.phase, len(phase.layers)) == (
        "sigmoid",
        "ordered",
        30,
    )
    # At the fixed point the gradient's second moment falls by chi_1 a layer.
    backs = [row.backprop for row in found.profile if "/h" in row.layer]
    slope = np.polyfit(range(30), np.log(backs), 1)[0]
    np.testing.assert_allclose(np.exp(-slope), math.sqrt(phase.chi_1), rtol=0.1)
    for row in found.profile[:-1]:
        np.testing.assert_allclose(row.activation, row.expected_activation, rtol=0.2)
        error = math.log10(row.backprop / row.expected_backprop)
        assert abs(error) < 0.5


def test_plan_takes_the_findings_away():
    for activation in ("sigmoid", "relu"):
        keras.utils.set_random_seed(0)
        model = stack(30, activation, width=64)
        bad = kik.diagnose(model, X, Y)
        assert {"VanishingGradient", "TrainableDepth"} <= rules_of(bad)
        kik.reinitialize(model, kik.recommend(model), seed=0)
        good = kik.diagnose(model, X, Y)
        assert not rules_of(good) & {"VanishingGradient", "TrainableDepth"}
        ratio = good.profile[0].backprop / good.profile[-2].backprop
        assert 0.05 < ratio < 20


def test_zero_initialised_model_is_named_layer_by_layer():
    found = kik.diagnose(stack(2, "relu", "zeros"), X, Y)
    by_layer = {(f.rule, f.layer) for f in found.findings}
    assert ("SymmetricUnits", "stack/h0") in by_layer
    assert ("DeadRelu", "stack/h1") in by_layer
    assert found.findings[0].severity == "error"
    assert found.loss == pytest.approx(math.log(3), rel=1e-6)
    assert found.chance == pytest.approx(math.log(3))


def test_healthy_model_is_silent():
    keras.utils.set_random_seed(0)
    found = kik.diagnose(stack(3, "relu", "he_normal", width=64), X, Y)
    assert found.findings == []
    assert "nothing found" in str(found)
    assert found.notes == []


def test_step_forecast_is_what_the_optimizer_does():
    keras.utils.set_random_seed(0)
    model = stack(2, "tanh")
    model.optimizer.learning_rate = 0.01
    found = kik.diagnose(model, X, Y)
    before = model.get_layer("h0").kernel.numpy()
    model.fit(X, Y, batch_size=64, verbose=0)
    step = model.get_layer("h0").kernel.numpy() - before
    ratio = np.linalg.norm(step) / np.linalg.norm(before)
    assert found.profile[0].update_ratio == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize(
    ("head", "y", "name", "chance"),
    [
        ({"units": 3}, Y, "SparseCategoricalCrossentropy", math.log(3)),
        ({"units": 3}, np.eye(3)[Y], "CategoricalCrossentropy", math.log(3)),
        (
            {"units": 1, "activation": "sigmoid"},
            Y[:, None] > 0,
            "BinaryCrossentropy",
            math.log(2),
        ),
        ({"units": 1}, X[:, :1], "MeanSquaredError", None),
    ],
)
def test_model_that_is_not_compiled_gets_the_loss_its_targets_suggest(
    head, y, name, chance
):
    model = keras.Sequential([layers.Input((16,)), layers.Dense(**head, name="out")])
    found = kik.diagnose(model, X, np.asarray(y, "float32"))
    assert found.notes == [f"Not compiled: the loss is assumed to be {name}."]
    assert found.chance == (None if chance is None else pytest.approx(chance))
    assert math.isfinite(found.loss)
    assert found.record.signal("update") is None
    if name != "SparseCategoricalCrossentropy":
        given = kik.diagnose(model, X, np.asarray(y, "float32"), loss="mae")
        assert given.notes == []
        assert given.loss != found.loss


def test_probabilities_are_not_taken_for_logits():
    p = tf.constant([[0.2, 0.8], [0.5, 0.5]])
    assert not targets.default_loss(p, np.array([0, 1])).get_config()["from_logits"]
    z = tf.constant([[0.2, -0.8], [2.0, 0.5]])
    assert targets.default_loss(z, np.array([0, 1])).get_config()["from_logits"]


def test_without_targets_gradients_flow_and_the_loss_is_not_judged():
    found = kik.diagnose(stack(3, "tanh"), X)
    assert found.loss is None
    assert "No targets" in found.notes[0]
    assert all(row.backprop > 0 for row in found.profile)
    assert "LossAtInit" in found.not_judged


@pytest.mark.parametrize("made", [True, False], ids=["compiled", "given"])
def test_targets_that_the_loss_does_not_take_are_named_where_fit_raises(made):
    model = stack(2, "relu")
    before = state(model)
    loss = None if made else CLASSES
    diagnosis = kik.diagnose(model, X, Y + 1, loss=loss)
    (finding,) = (f for f in diagnosis.findings if f.rule == "DamagedTargets")
    assert (finding.severity, finding.layer, finding.measured) == (
        "error",
        "stack/out",
        3,
    )
    assert diagnosis.loss is None
    assert diagnosis.notes == [
        "Targets that the loss does not accept: gradients are those of random targets, "
        "and the loss is not judged."
    ]
    assert diagnosis.record.signal("gradient") is not None
    assert_as_before(model, before)


def test_first_batch_of_a_data_set_and_long_arrays():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    found = kik.diagnose(stack(1, "relu"), data)
    assert found.record.metadata["input"][0]["shape"] == [8, 16]
    many = np.tile(X, (5, 1))
    found = kik.diagnose(stack(1, "relu"), many, np.tile(Y, 5))
    assert found.notes == ["The batch is the first 256 of 320 examples."]
    message = (
        "`x` and `y` must hold the same number of examples, at least one. "
        "Received: (63, 64) examples."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.diagnose(stack(1, "relu"), X, Y[1:])


def test_jacobian_of_a_linear_model_is_its_kernel():
    model = keras.Sequential([layers.Input((16,)), layers.Dense(4)])
    model.layers[0].kernel.assign(keras.initializers.Orthogonal(2.0, seed=0)((16, 4)))
    found = kik.diagnose(model, X, jacobian=True).jacobian
    np.testing.assert_allclose(found.singular_values, np.full((4, 4), 2.0), rtol=1e-5)
    assert found.mean_square == pytest.approx(4)
    assert found.condition == pytest.approx(1)


def test_report_reads_well_everywhere(tmp_path):
    keras.utils.set_random_seed(0)
    found = kik.diagnose(stack(30, "sigmoid"), X, Y, jacobian=True)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert {row["layer"] for row in content["profile"]} >= {"stack/h0", "stack/out"}
    text = str(found)
    for words in (
        "What to do:",
        "follow from it: ",
        "VanishingGradient",
        "…",
        "Jacobian",
    ):
        assert words in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120
    assert "VanishingGradient" in found._repr_html_()
    path = tmp_path / "new" / "depth.png"
    assert len(found.plot(path).axes) == 2
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize("name", ["mnist_cnn", "imdb_lstm"])
def test_reference_models(name):
    keras.utils.set_random_seed(0)
    model = kik.models.build(name)
    shape = (32, *model.input_shape[1:])
    x = (
        RNG.random(shape, "float32")
        if name == "mnist_cnn"
        else RNG.integers(1, 99, shape)
    )
    y = RNG.integers(0, 2, 32)
    found = kik.diagnose(model, x, y)
    assert not [f for f in found.findings if f.severity == "error"]
    assert len(found.profile) == len(kik.diagnosis.weight_layers(found.record))


def test_gates_and_layers_side_by_side_are_no_stack():
    """Ten gates, each behind a mean over positions, do not follow one another."""
    inputs = x = keras.Input((8, 8, 4))
    for _ in range(8):
        x = keras.layers.BatchNormalization()(
            keras.layers.Conv2D(4, 3, padding="same")(x)
        )
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(
            keras.layers.ReLU()(x)
        )
        gate = keras.layers.Conv2D(2, 1, activation="tanh")(gate)
        x = keras.layers.multiply(
            [x, keras.layers.Conv2D(4, 1, activation="sigmoid")(gate)]
        )
    heads = [keras.layers.Dense(3, "tanh")(keras.layers.Flatten()(x)) for _ in range(6)]
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.concatenate(heads)))
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 4)).astype("float32")
    assert kik.diagnose(model, x).phases == []
