"""What `lint` leaves alone: made so on purpose, or that of another output."""

import keras
import pytest

import keras_initkit as kik

k = keras.layers


def sequential(*layers, inputs=8):
    return keras.Sequential([keras.Input((inputs,)), *layers])


def test_copied_weights_are_equal_on_purpose():
    """A target network, a moving average: set from another, not drawn alike."""
    one, other = (sequential(k.Dense(8, "relu"), k.Dense(3)) for _ in range(2))
    inputs = keras.Input(one.input_shape[1:])
    both = keras.Model(inputs, [one(inputs), other(inputs)])
    other.set_weights(one.get_weights())
    assert kik.lint(both, rules=["EqualWeights"]) == []


def test_projection_without_bias_is_meant():
    inputs = keras.Input((8,))
    for bias, found in ((False, 0), (True, 1)):
        x = k.Dense(8, "relu")(inputs)
        x = k.Dense(4)(k.Dense(4, use_bias=bias)(x))
        model = keras.Model(inputs, x)
        assert len(kik.lint(model, rules=["UnsuitableHiddenActivation"])) == found


@pytest.mark.parametrize(("topics", "found"), [(5, 0), (64, 1)])
def test_few_shares_of_a_softmax_are_a_code(topics, found):
    model = sequential(
        k.Dense(16, "relu"), k.Dense(topics, "softmax"), k.Dense(40), inputs=40
    )
    assert len(kik.lint(model, rules=["UnsuitableHiddenActivation"])) == found


@pytest.mark.parametrize("as_list", [False, True])
def test_metric_is_that_of_its_output(as_list):
    inputs = keras.Input((8,))
    x = k.Dense(8, "relu")(inputs)
    outputs = {"box": k.Dense(4, name="box")(x), "kind": k.Dense(2, name="kind")(x)}
    losses = {
        "box": keras.losses.Huber(),
        "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    if as_list:
        model = keras.Model(inputs, list(outputs.values()))
        model.compile("adam", list(losses.values()), metrics=[["mae"], ["accuracy"]])
    else:
        model = keras.Model(inputs, outputs)
        model.compile("adam", losses, metrics={"box": "mae", "kind": ["accuracy"]})
    assert kik.lint(model, rules=["LossActivationMismatch"]) == []
    if not as_list:
        model.compile("adam", losses, metrics={"box": "accuracy"})
        (found,) = kik.lint(model, rules=["LossActivationMismatch"])
        assert found.layer == "box"
