"""Train steps of one's own: the same taps, and training undisturbed."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import schema

RNG = np.random.default_rng(3)
X = RNG.standard_normal((8, 8, 6)).astype(np.float32)
Y = RNG.integers(0, 3, (8, 8))


def small_model(name="small"):
    inputs = keras.layers.Input((6,))
    x = keras.layers.Dense(8, activation="tanh", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x), name=name)


class Classifier:
    """A training loop as people write them."""

    def __init__(self, optimizer="adam", **options):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        self.model = small_model()
        self.optimizer = keras.optimizers.get(optimizer)
        self.traces = 0
        self.step = tf.function(self._step, **options) if options else self._step

    def _step(self, x, y, weight=1.0):
        self.traces += 1
        if tf.reduce_sum(x) > 1e9:
            x = tf.zeros_like(x)
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                y, self.model(x, training=True)
            )
            loss = weight * tf.reduce_mean(losses)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss, "examples": tf.shape(x)[0]}

    def train(self, step):
        return [
            {name: value.numpy() for name, value in step(x, y, weight=0.5).items()}
            for x, y in zip(X, Y, strict=True)
        ]


def assert_equal_weights(one, other):
    assert len(one.weights) == len(other.weights)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "options",
    [
        {"autograph": True},
        {"jit_compile": True},
        {"reduce_retracing": True, "optimizer": "sgd"},
        {},
    ],
    ids=["function", "xla", "sgd", "eager"],
)
def test_loop_does_not_notice(options):
    bare, watched = Classifier(**options), Classifier(**options)
    monitor = kik.SignalMonitor(None, every=3, histograms=1)
    step = monitor.instrument(watched.step, watched.model, watched.optimizer)
    expected = bare.train(bare.step)
    assert watched.train(step) == expected
    assert_equal_weights(bare.model, watched.model)
    for signal in schema.SIGNALS:
        assert monitor.record.signal(signal).steps.tolist() == [0, 3, 6]
        assert monitor.record.histograms[signal].steps.tolist() == [0, 3, 6]
    loss = [logs["loss"] for logs in expected]
    assert monitor.record.scalars["loss"] == ([0, 3, 6], [loss[i] for i in (0, 3, 6)])
    for layer in watched.model.layers:
        assert "call" not in vars(layer)
    assert "apply" not in vars(watched.optimizer)


def test_unmonitored_calls_run_the_very_function():
    loop = Classifier(autograph=True)
    step = kik.SignalMonitor(None, every=3).instrument(
        loop.step, loop.model, loop.optimizer
    )
    loop.train(step)
    traces = loop.traces
    bare = Classifier(autograph=True)
    bare.train(bare.step)
    counts = [one.step.experimental_get_tracing_count() for one in (loop, bare)]
    assert counts[0] == counts[1]
    loop.train(step)
    assert loop.traces == traces


def test_values_are_those_of_fit():
    loop = Classifier("sgd", autograph=True)
    monitor = kik.SignalMonitor(None, every=1)
    step = monitor.instrument(loop.step, loop.model, loop.optimizer)
    for x, y in zip(X, Y, strict=True):
        step(x, y)
    fitted = Classifier("sgd").model
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    fitted.compile("sgd", loss)
    other = kik.SignalMonitor(None, every=1)
    fitted.fit(
        X.reshape(-1, 6),
        Y.ravel(),
        batch_size=8,
        shuffle=False,
        verbose=0,
        callbacks=[other],
    )
    for name, series in other.record.series.items():
        found = monitor.record.series[name]
        assert found.tensors == series.tensors
        finite = np.isfinite(series.values)
        np.testing.assert_array_equal(np.isfinite(found.values), finite)
        # Keras divides the sum of the losses, the loop takes their mean.
        size = 1 + series.statistic("rms")[..., None] + np.abs(series.values)
        apart = np.abs(found.values[finite] - series.values[finite])
        assert (apart <= 1e-5 * size[finite]).all(), name


class Adversaries:
    """A generative adversarial network: two models, two optimizers, one step."""

    def __init__(self):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        self.generator = small_model("generator")
        inputs = keras.layers.Input((3,))
        x = keras.layers.Dense(5, activation="relu", name="hidden")(inputs)
        outputs = keras.layers.Dense(1, name="judge")(x)
        self.discriminator = keras.Model(inputs, outputs, name="discriminator")
        self.optimizers = [keras.optimizers.Adam(1e-2), keras.optimizers.SGD(0.1)]

    @tf.function
    def step(self, noise, real):
        with tf.GradientTape() as fooling, tf.GradientTape() as judging:
            fake = self.generator(noise, training=True)
            of_real = self.discriminator(real, training=True)
            of_fake = self.discriminator(fake, training=True)
            fooling_loss = tf.reduce_mean(tf.nn.softplus(-of_fake))
            judging_loss = tf.reduce_mean(tf.nn.softplus(-of_real)) + tf.reduce_mean(
                tf.nn.softplus(of_fake)
            )
        losses = (fooling_loss, judging_loss)
        models = (self.generator, self.discriminator)
        for tape, loss, model, optimizer in zip(
            (fooling, judging), losses, models, self.optimizers, strict=True
        ):
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
        return losses

    def train(self, step):
        return [[float(v) for v in step(x, 2 * x[:, :3])] for x in X[:4]]


def test_adversaries_are_kept_apart():
    bare, watched = Adversaries(), Adversaries()
    monitor = kik.SignalMonitor(None, every=2)
    models = [watched.generator, watched.discriminator]
    step = monitor.instrument(watched.step, models, watched.optimizers)
    before = {id(v): v.numpy() for m in models for v in m.trainable_variables}
    assert bare.train(bare.step) == watched.train(step)
    assert_equal_weights(bare.generator, watched.generator)
    assert_equal_weights(bare.discriminator, watched.discriminator)

    record = monitor.record
    assert [key.label for key in record.signal("activation").tensors] == [
        "generator/hidden",
        "generator/head",
        "discriminator/hidden",
        "discriminator/hidden@1",
        "discriminator/judge",
        "discriminator/judge@1",
    ]
    # Through the second call of the discriminator, and what is behind, both losses
    # flow back.
    backprops = [key.label for key in record.signal("backprop").tensors]
    assert sorted(backprops) == [
        "discriminator/hidden",
        "discriminator/hidden:output#2@1",
        "discriminator/hidden@1",
        "discriminator/judge",
        "discriminator/judge:output#2@1",
        "discriminator/judge@1",
        "generator/head",
        "generator/head:output#2",
        "generator/hidden",
        "generator/hidden:output#2",
    ]
    for signal in ("weight", "gradient", "update"):
        labels = [key.label for key in record.signal(signal).tensors]
        assert labels == [
            f"{name}:{variable}"
            for name in (
                "generator/hidden",
                "generator/head",
                "discriminator/hidden",
                "discriminator/judge",
            )
            for variable in ("kernel", "bias")
        ]
    keys, norms = record.profile("weight", "norm", step=0)
    for model in models:
        for layer in model.layers[1:]:
            key = schema.TensorKey(f"{model.name}/{layer.name}", "kernel")
            expected = np.linalg.norm(before[id(layer.kernel)])
            assert norms[keys.index(key)] == pytest.approx(expected, rel=1e-6)
    # The discriminator's optimizer is plain gradient descent, the generator's is not.
    gradients = record.profile("gradient", "norm", step=0)[1]
    updates = record.profile("update", "norm", step=0)[1]
    np.testing.assert_allclose(updates[4:], 0.1 * gradients[4:], rtol=1e-4)
    assert (np.abs(updates[:4] / (0.1 * gradients[:4]) - 1) > 0.01).all()
    assert record.metadata["model"] == "generator+discriminator"
    assert {one["path"] for one in record.metadata["layers"]} == {
        key.layer for key in keys
    }


def test_second_monitor_joins_and_a_closed_one_leaves(tmp_path):
    loop = Classifier(autograph=True)
    first = kik.SignalMonitor(tmp_path, every=2, signals=("activation",))
    second = kik.SignalMonitor(None, every=3, signals=("weight",), layers="head")
    step = first.instrument(loop.step, loop.model, loop.optimizer)
    assert second.instrument(step, loop.model, loop.optimizer) is step
    loop.train(step)
    first.close()
    loop.train(step)
    second.close()
    traces = loop.traces
    loop.train(step)
    assert loop.traces == traces
    assert first.record.signal("activation").steps.tolist() == [0, 2, 4, 6]
    assert list(first.record.series) == ["activation"]
    assert second.record.signal("weight").steps.tolist() == [0, 3, 6, 9, 12, 15]
    assert {key.layer for key in second.record.signal("weight").tensors} == {"head"}
    loaded = kik.RunRecord.load(tmp_path)
    np.testing.assert_array_equal(
        loaded.series["activation"].values, first.record.series["activation"].values
    )


def test_steps_go_on_from_the_iterations_done():
    loop = Classifier(autograph=True)
    loop.train(loop.step)
    monitor = kik.SignalMonitor(None, every=6)
    loop.train(monitor.instrument(loop.step, loop.model, loop.optimizer))
    assert monitor.record.signal("weight").steps.tolist() == [12]


def test_models_that_cannot_be_told_apart_or_watched_are_refused():
    monitor, optimizer = kik.SignalMonitor(None), keras.optimizers.SGD()
    with pytest.raises(ValueError, match=re.escape("Received models named ['a', 'a']")):
        monitor.instrument(print, [small_model("a"), small_model("a")], optimizer)
    late = keras.Sequential([keras.layers.Dense(2)], name="late")
    message = "Received: the model 'late', which is not"
    with pytest.raises(ValueError, match=message):
        monitor.instrument(print, late, optimizer)


def test_step_that_raises_leaves_nothing():
    loop = Classifier(autograph=True)
    step = kik.SignalMonitor(None, every=1).instrument(
        loop.step, loop.model, loop.optimizer
    )
    loop.train(step)
    with pytest.raises(ValueError, match="rank"):
        step(X[0, 0], Y[0])
    for layer in loop.model.layers:
        assert "call" not in vars(layer)
    assert "apply" not in vars(loop.optimizer)
    loop.train(step)
