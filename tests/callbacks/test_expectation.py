"""What theory expects stands in the log beside what was measured."""

import json
import logging

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.util import tensor_util

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit_light.format import packing

layers = keras.layers


def deep(width=256, depth=4, softmax=True):
    """Wide enough that a draw is close to the average that theory tells of."""
    keras.utils.set_random_seed(0)
    stack = [
        layers.Dense(width, "relu", kernel_initializer="he_normal", name=f"d{i}")
        for i in range(depth)
    ]
    head = layers.Dense(10, "softmax" if softmax else None, name="head")
    model = keras.Sequential([layers.Input((width,)), *stack, head], name="net")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


def train(model, monitor, **options):
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 2.0, (64, 256)).astype(np.float32)
    y = rng.integers(0, 10, 64)
    model.fit(x, y, 32, verbose=0, callbacks=[monitor], **options)


def expected(log_dir):
    """Returns `[(step, signal, {layer: rms})]` as they stand in the event files."""
    found = []
    for file in sorted(log_dir.glob("*tfevents*")):
        for event in event_file_loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                is_again = value.tag.endswith(schema.FIRST_SUFFIX)
                if is_again or not value.tag.startswith(schema.prediction_tag("")):
                    continue
                content = json.loads(value.metadata.plugin_data.content)
                assert (content["kind"], content["columns"]) == ("prediction", ["rms"])
                packed = tensor_util.make_ndarray(value.tensor).tobytes()
                chunk = packing.unpack(value.tag, packed, len(content["tensors"]), 1)
                rms = chunk.values(column=0)[0].tolist()
                rows = dict(zip(content["tensors"], rms, strict=True))
                found.append((event.step, content["signal"], rows))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained model's log, its record, and theory's word on its first weights."""
    path = tmp_path_factory.mktemp("run")
    model = deep()
    told = kik.theory.predict(model, (0.5, 0.25 + 4.0)).by_call()
    monitor = kik.SignalMonitor(path, every=1)
    train(model, monitor, epochs=2)
    return expected(path), monitor.record, told


@pytest.mark.parametrize("signal", ["activation", "preactivation"])
def test_forward_signals_are_expected_as_theory_says(run, signal):
    found, record, told = run
    ((step, rms),) = [(step, rows) for step, name, rows in found if name == signal]

    assert step == 0
    assert list(rms) == [f"net/d{i}" for i in range(4)]  # softmax has no rule
    # The batch's moments are those of 8,192 draws: within 5 standard errors.
    for layer, value in rms.items():
        moment = getattr(told[layer, 0], signal)
        np.testing.assert_allclose(value, np.sqrt(moment), rtol=5 / np.sqrt(2 * 8192))
    measured = record.signal(signal).statistic("rms")[0, :4]
    # A layer of 256 units is off by about 1 / sqrt(256); four of them add up.
    np.testing.assert_allclose(list(rms.values()), measured, rtol=5 * np.sqrt(4 / 256))


def test_backward_signal_ends_at_what_was_measured(run):
    found, record, told = run
    ((_, rms),) = [(step, rows) for step, name, rows in found if name == "backprop"]
    measured = record.signal("backprop").statistic("rms")[0, :4]

    values = list(rms.values())
    assert values[-1] == pytest.approx(measured[-1], rel=1e-6)
    ratios = [
        np.sqrt(told[f"net/d{i}", 0].backprop / told["net/d3", 0].backprop)
        for i in (0, 1)
    ]
    np.testing.assert_allclose(np.array(values[:2]) / values[-1], ratios, rtol=1e-6)
    # He's initialization: gradients keep their size.
    np.testing.assert_allclose(values, measured, rtol=5 * np.sqrt(4 / 256))


def test_expectation_is_written_once(run, tmp_path):
    found, _, _ = run
    assert [(step, signal) for step, signal, _ in found] == [
        (0, "activation"),
        (0, "preactivation"),
        (0, "backprop"),
    ]
    model, monitor = deep(depth=1), kik.SignalMonitor(tmp_path, every=1)
    for _ in range(2):
        train(model, monitor)
    assert [step for step, _, _ in expected(tmp_path)] == [0, 0, 0]


def test_monitor_of_gradients_expects_gradients(tmp_path):
    train(deep(depth=1, softmax=False), kik.GradientMonitor(tmp_path))
    ((_, signal, rms),) = expected(tmp_path)
    assert (signal, list(rms)) == ("backprop", ["net/d0", "net/head"])


def test_model_without_a_theory_is_monitored_in_silence(tmp_path, caplog):
    class Code(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = deep(depth=1)

        def call(self, x):
            return self.body(x)

    model = Code()
    model.compile("sgd", "sparse_categorical_crossentropy")
    caplog.set_level(logging.INFO, "keras_initkit.callbacks.predicting")
    train(model, kik.SignalMonitor(tmp_path, rules=None))
    assert expected(tmp_path) == []
    ours = [one for one in caplog.record_tuples if one[0].startswith("keras_initkit")]
    assert ours == []


def test_token_numbers_are_no_matter_to_embeddings(tmp_path):
    ones = {"embeddings_initializer": "ones", "name": "words"}
    stack = [layers.Embedding(5, 4, **ones), layers.Flatten(), layers.Dense(1)]
    model = keras.Sequential([layers.Input((3,), dtype="int32"), *stack], name="net")
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor(tmp_path, rules=None)
    tokens = np.full((8, 3), 4, np.int32)
    model.fit(tokens, np.ones(8), verbose=0, callbacks=[monitor])
    rms = {signal: rows for _, signal, rows in expected(tmp_path)}
    assert rms["activation"]["net/words"] == 1


def two_inputs():
    """An image of small values beside one large number."""
    image, number = layers.Input((16, 16, 4)), layers.Input((1,))
    flat = layers.Flatten(name="flat")(image)
    sides = [
        layers.Dense(512, "relu", name="image")(flat),
        layers.Dense(512, "relu", name="number")(number),
    ]
    both = layers.Concatenate(name="both")(sides)
    return keras.Model([image, number], layers.Dense(3, name="head")(both), name="net")


def words_and_numbers():
    words, numbers = layers.Input((4,), dtype="int32"), layers.Input((64,))
    table = layers.Embedding(1000, 64, "lecun_normal", name="table")(words)
    flat = layers.Flatten(name="flat")(table)
    both = layers.Concatenate(name="both")([flat, numbers])
    wide = layers.Dense(512, "relu", name="wide")(both)
    return keras.Model([words, numbers], layers.Dense(3, name="head")(wide), name="net")


def plain():
    wide = layers.Dense(512, "relu", name="wide")
    stack = [layers.Input((256,)), wide, layers.Dense(3, name="head")]
    return keras.Sequential(stack, name="net")


RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (64, 256)).astype("int32")
BATCHES = {
    "whole numbers": (plain, PIXELS),
    "bytes": (plain, PIXELS.astype("uint8")),
    "two sizes": (
        two_inputs,
        [
            RNG.normal(0, 0.1, (64, 16, 16, 4)).astype("float32"),
            RNG.normal(500, 20, (64, 1)).astype("float32"),
        ],
    ),
    "words": (
        words_and_numbers,
        [
            RNG.integers(0, 1000, (64, 4)).astype("int32"),
            RNG.normal(0, 1, (64, 64)).astype("float32"),
        ],
    ),
}


@pytest.mark.parametrize("case", BATCHES)
def test_monitor_and_diagnosis_expect_the_same_and_it_is_right(case, tmp_path):
    build, x = BATCHES[case]
    keras.utils.set_random_seed(0)
    model = build()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    y = RNG.integers(0, 3, 64)
    profile = {row.layer: row for row in kik.diagnose(model, x, y).profile}
    monitor = kik.SignalMonitor(tmp_path, rules=None)
    model.fit(x, y, 64, shuffle=False, verbose=0, callbacks=[monitor])
    (tab,) = [rows for _, signal, rows in expected(tmp_path) if signal == "activation"]
    for layer, row in profile.items():
        assert tab[layer] == pytest.approx(row.expected_activation, rel=1e-6)
        if "head" not in layer:  # three units are too few to be average
            # 512 units are off by 1 / sqrt(512), the root of their moment by half.
            assert tab[layer] == pytest.approx(row.activation, rel=5 / np.sqrt(512))


@pytest.mark.parametrize("case", BATCHES)
def test_draws_average_to_what_is_expected(case):
    build, x = BATCHES[case]
    model = build()
    draws = kik.over_draws(model, x, "glorot_uniform", draws=30)
    for n, layer in enumerate(draws.layers):
        if layer == "table":  # which is drawn once
            continue
        estimate = kik.inspection.Estimate.of(draws.second_moments[:, n])
        assert estimate.agrees(draws.expected[n]), (layer, estimate, draws.expected[n])


def test_one_nan_among_the_inputs_takes_no_expectation_away(tmp_path):
    x = RNG.normal(0, 2, (64, 256)).astype("float32")
    model = plain()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    y = RNG.integers(0, 3, 64)
    whole = {row.layer: row for row in kik.diagnose(model, x, y).profile}
    x[3, 5] = np.nan
    found = kik.diagnose(model, x, y)
    assert found.notes == [
        "Theory's expectation is that of the finite entries of the input "
        f"{model.inputs[0].name!r}: 1 are not."
    ]
    monitor = kik.SignalMonitor(tmp_path, rules=None)
    model.fit(x, y, 64, shuffle=False, verbose=0, callbacks=[monitor])
    (tab,) = [rows for _, signal, rows in expected(tmp_path) if signal == "activation"]
    for row in found.profile:
        assert row.expected_activation == pytest.approx(tab[row.layer], rel=1e-6)
        before = whole[row.layer].expected_activation
        assert row.expected_activation == pytest.approx(before, rel=1e-2)
