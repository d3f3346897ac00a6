"""The monitor on every reference model, read back by TensorBoard's own reader.

The values are compared with those of the same model built and run in float64.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

import keras_initkit as kik
from keras_initkit import models, schema

STEPS, BATCH, EVERY = 30, 4, 25
# What float32 layers, not the statistics, may add to the values of a deep model.
TOLERANCE = 2e-4
SHOWN = ["mean", "std", "rms", "zero_fraction", "nonfinite_count"]


def data(name):
    rng = np.random.default_rng(5)
    count = STEPS * BATCH
    spec = models.spec_of(name)
    if spec.data == "imdb":
        return rng.integers(1, 10_000, (count, 200)), rng.integers(0, 2, count)
    if spec.data == "xor":
        x = rng.integers(0, 2, (count, 2))
        return x.astype("float32"), (x[:, 0] ^ x[:, 1]).astype("float32")
    shape = (28, 28, 1) if spec.data == "mnist" else (32, 32, 3)
    return rng.random((count, *shape), np.float32), rng.integers(0, 10, count)


def build(name, **options):
    keras.utils.set_random_seed(0)
    return models.build(name, initializer="he_normal", seed=1, **options)


def train(model, name, *callbacks):
    x, y = data(name)
    model.fit(
        x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=list(callbacks)
    )


# A block of each stage stands for the three of ResNet-20, which is slow.
MODELS = {name: (name, {}) for name in models.NAMES}
MODELS["cifar10_resnet"] = "cifar10_resnet", {"blocks": 1}
SLOW = {"ResNet-20": ("cifar10_resnet", {"blocks": 3})}


# The tests of one model share a worker, so that it is trained once.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            model,
            id=name,
            marks=[pytest.mark.xdist_group(f"trained_{name}")]
            + [pytest.mark.slow] * (name in SLOW),
        )
        for name, model in (MODELS | SLOW).items()
    ],
)
def trained(request, tmp_path_factory):
    """A model, how it is built, a bare and a watched one after training, the run."""
    name, options = request.param
    bare, watched = build(name, **options), build(name, **options)
    train(bare, name)
    log_dir = tmp_path_factory.mktemp(name)
    train(watched, name, kik.SignalMonitor(log_dir, every=EVERY))
    return request.param, bare, watched, log_dir


def test_weights_are_bit_equal_after_training(trained):
    _, bare, watched, _ = trained
    assert len(bare.weights) == len(watched.weights)
    for one, other in zip(bare.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def scalars_of(log_dir):
    """`{tag: {step: value}}` of the stock dashboard, by TensorBoard's reader."""
    accumulator = event_accumulator.EventAccumulator(
        str(log_dir), size_guidance={"tensors": 0}
    ).Reload()
    found = {}
    for tag in accumulator.Tags()["tensors"]:
        try:
            schema.parse_tag(tag)
        except ValueError:
            continue
        found[tag] = {
            event.step: float(tf.make_ndarray(event.tensor_proto))
            for event in accumulator.Tensors(tag)
        }
    return found


def weight_layers(model):
    return [layer for layer in model.layers if layer.trainable_weights]


def test_every_weight_layer_is_found_at_every_step(trained):
    _, _, model, log_dir = trained
    record = kik.RunRecord.load(log_dir)
    frame = record.to_dataframe()
    for step in range(0, STEPS, EVERY):
        at = frame[frame.step == step]
        for layer in weight_layers(model):
            outputs = at[(at.signal == "activation") & (at.layer == layer.path)]
            assert len(outputs) == 1, (layer.path, step)
            assert outputs[SHOWN].notna().to_numpy().all()
        for variable in model.trainable_variables:
            owner, _, tensor = variable.path.rpartition("/")
            for signal in ("gradient", "weight", "update"):
                rows = at[
                    (at.signal == signal) & (at.layer == owner) & (at.tensor == tensor)
                ]
                assert len(rows) == 1, (signal, variable.path, step)
                assert rows[SHOWN].notna().to_numpy().all()
    # The stock dashboard has, of each tensor but vectors, at least the first statistic.
    found, roles = scalars_of(log_dir), record.roles()
    for signal, statistic in (
        ("activation", "std"),
        ("gradient", "rms"),
        ("weight", "rms"),
    ):
        series = record.signal(signal)
        for key, values in zip(
            series.tensors, series.statistic(statistic).T, strict=True
        ):
            if roles.get((key.layer, key.tensor)) in schema.VECTORS:
                continue
            tag = schema.tag(signal, key, statistic)
            assert found[tag] == dict(zip(series.steps.tolist(), values, strict=True))


def in_float64(name, options):
    """Activations, gradients and weights of the first step, all in float64."""
    keras.config.set_floatx("float64")
    try:
        model = build(name, **options)
        weights = build_float32(name, options)
        model.set_weights([w.astype("float64") for w in weights])
        x, y = (array[:BATCH] for array in data(name))
        layers = weight_layers(model)
        inner = keras.Model(model.input, [layer.output for layer in layers])
        with tf.GradientTape() as tape:
            outputs = inner(x, training=True)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            loss = model.compute_loss(x, y, outputs[-1])
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        return (
            {layer.path: o.numpy() for layer, o in zip(layers, outputs, strict=True)},
            {
                v.path: tf.convert_to_tensor(g).numpy()
                for v, g in zip(variables, gradients, strict=True)
            },
            {v.path: v.numpy() for v in variables},
        )
    finally:
        keras.config.set_floatx("float32")


def build_float32(name, options):
    keras.config.set_floatx("float32")
    weights = build(name, **options).get_weights()
    keras.config.set_floatx("float64")
    return weights


def test_values_agree_with_a_float64_run(trained):
    (name, options), _, _, log_dir = trained
    activations, gradients, weights = in_float64(name, options)
    record = kik.RunRecord.load(log_dir)
    checked = 0
    for signal, expected in (
        ("activation", activations),
        ("gradient", gradients),
        ("weight", weights),
    ):
        series = record.signal(signal)
        for key, row in zip(series.tensors, series.values[0], strict=True):
            path = key.layer if signal == "activation" else f"{key.layer}/{key.tensor}"
            if path not in expected:
                continue
            x = expected[path].astype(np.float64)
            got = dict(zip(series.statistics, row, strict=True))
            rms = float(np.sqrt(np.mean(x**2, dtype=np.float64)))
            slack = TOLERANCE * rms + 1e-30
            assert got["mean"] == pytest.approx(x.mean(), rel=0, abs=slack), path
            assert got["std"] == pytest.approx(x.std(), rel=TOLERANCE, abs=slack), path
            assert got["rms"] == pytest.approx(rms, rel=TOLERANCE), path
            assert got["nonfinite_count"] == 0
            # A pre-activation within rounding of 0 may fall on either side.
            zeros = np.mean(x == 0)
            assert got["zero_fraction"] == pytest.approx(zeros, abs=1e-3), path
            checked += 1
    assert checked == len(activations) + len(gradients) + len(weights)
