"""Facts of a training: what the record tells of loss, optimizer, outputs and data."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.structure import description


def small(activation="softmax", **compiled):
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5)),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(3, activation),
        ]
    )
    model.compile(**compiled)
    return model


LOSSES = {
    "string": ("mse", ("mean_squared_error", None)),
    "object": (
        keras.losses.BinaryCrossentropy(from_logits=True),
        ("binary_crossentropy", True),
    ),
    "function": (
        keras.losses.categorical_crossentropy,
        ("categorical_crossentropy", False),
    ),
    "list of one": (["mae"], ("mean_absolute_error", None)),
}


@pytest.mark.parametrize("case", LOSSES)
def test_loss_is_named_however_it_was_given(case):
    loss, (name, from_logits) = LOSSES[case]
    assert description.loss_of(small(optimizer="sgd", loss=loss)) == {
        "name": name,
        "from_logits": from_logits,
        "reduction": "sum_over_batch_size",
        "weighted": False,
    }


@pytest.mark.parametrize("loss", [None, lambda y, p: p, {"a": "mse", "b": "mse"}])
def test_loss_that_is_not_one_of_keras_is_not_known(loss):
    assert description.loss_of(small(optimizer="sgd", loss=loss)) is None


def test_optimizer_is_seen_through_loss_scaling():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    inner = keras.optimizers.AdamW(schedule, weight_decay=0.01)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
    assert description.optimizer_of(small(optimizer=optimizer, loss="mse")) == {
        "name": "adam_w",
        "learning_rate": 0.5,
        "scheduled": True,
        "weight_decay": 0.01,
        "gradient_accumulation_steps": None,
        "loss_scale": 1024.0,
    }


def test_training_is_described():
    model = small(optimizer="sgd", loss="mse")
    kernel = model.layers[0].kernel.numpy()
    told = description.of_training(model, {"steps": 7, "epochs": 2}, 3)
    assert told["penalty"] == pytest.approx(0.5 * np.sum(kernel**2), rel=1e-6)
    assert told["dropout"] == [[model.layers[2].name, 0.25]]
    assert told["fit"] == {"first_step": 3, "steps_per_epoch": 7, "epochs": 2}
    last = model.layers[-1].path
    assert told["outputs"] == [{"layer": last, "activation": "softmax", "units": 3}]


def test_outputs_are_those_of_the_innermost_layers():
    inner = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(2), keras.layers.Softmax()]
    )
    model = keras.Sequential([keras.layers.Input((4,)), inner])
    (output,) = description.outputs_of(model)
    assert output["layer"].endswith(inner.layers[-1].name)
    assert (output["activation"], output["units"]) == ("softmax", 2)


def test_outputs_of_an_operation_are_not_known():
    inputs = keras.Input((4,))
    assert description.outputs_of(keras.Model(inputs, inputs * 2.0)) is None


def test_moments_leave_out_what_is_not_finite():
    told = description.moments(np.array([[3.0, -4.0], [np.nan, np.inf]], np.float32))
    assert told == {
        "shape": [2, 2],
        "dtype": "float32",
        "mean": -0.5,
        "std": 3.5,
        "rms": pytest.approx(math.sqrt(12.5)),
        "min": -4.0,
        "max": 3.0,
        "nonfinite": 2,
        "integral": True,
        "alike": False,
    }
    assert description.moments(np.full(3, np.nan))["mean"] is None


ENTROPIES = {
    "classes": (np.array([0, 0, 1, 1, 2, 2, 3, 3]), math.log(4)),
    "column": (np.array([[0.0], [1.0]]), math.log(2)),
    "one class": (np.zeros(5), 0.0),
    "one-hot": (np.eye(3), math.log(3)),
    "multi-label": (np.array([[1, 1], [0, 1]]), math.log(2) / 2),
    "numbers": (np.array([0.5, 1.0]), None),
    "negative": (np.array([-1, 1]), None),
    "counts": (np.array([[2, 3]]), None),
    "missing": (np.array([np.nan, 1.0]), None),
}


@pytest.mark.parametrize("case", ENTROPIES)
def test_entropy_of_labels(case):
    y, expected = ENTROPIES[case]
    if expected is None:
        assert description.label_entropy(y) is None
    else:
        assert description.label_entropy(y) == pytest.approx(expected, abs=1e-12)


def test_batch_of_several_inputs_is_described():
    x = {"a": tf.zeros((2, 3), tf.bfloat16), "text": tf.constant(["a", "b"])}
    told = description.of_batch((x, None))
    assert [one["shape"] for one in told["input"]] == [[2, 3]]
    assert told["weighted"] is False
    assert "target" not in told


def test_monitor_records_the_facts_of_the_first_batch(tmp_path):
    model = small(optimizer="sgd", loss="sparse_categorical_crossentropy")
    x = np.arange(48, dtype="float32").reshape(12, 4)
    y = np.array([0, 1, 2, 0] * 3)
    monitor = kik.SignalMonitor(tmp_path, every=2)
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[monitor])
    told = monitor.record.metadata
    assert told["input"][0]["max"] == 15.0
    assert told["target"]["entropy"] == pytest.approx(1.5 * math.log(2))
    assert told["fit"] == {"first_step": 0, "steps_per_epoch": 3, "epochs": 1}
    assert told["loss"]["name"] == "sparse_categorical_crossentropy"
    activations = {e["class_name"]: e["activation"] for e in told["layers"]}
    assert activations["ReLU"] == "relu"
    assert {entry["dtype"] for entry in told["layers"]} == {"float32"}
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_fact_that_raises_is_left_out():
    model = small(optimizer="sgd", loss="mse")
    model.layers[0].kernel.regularizer = lambda w: 1 / 0
    told = description.gather(model, (tf.zeros((2, 4)), tf.zeros((2, 3))))
    assert "penalty" not in told
    assert told["target"]["entropy"] == 0.0


def test_a_long_array_is_read_in_all_its_channels():
    pixels = np.zeros((3 * 2**16, 8, 8, 3), np.uint8)  # nine times what is read
    pixels[..., 1], pixels[..., 2] = 100, 200
    told = description.moments(pixels)
    assert told["mean"] == pytest.approx(100, rel=1e-3)
    assert (told["min"], told["max"]) == (0, 200)
