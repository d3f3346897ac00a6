"""What counts of a batch for theory, and what theory says of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_initkit import schema, theory

k = keras.layers
RNG = np.random.default_rng(0)


def two_branches(struct=list):
    first = k.Input((8,), name="first")
    second = k.Input((8,), name="second")
    outputs = [
        k.Dense(4, name="one")(first),
        k.Dense(4, name="other")(second),
    ]
    inputs = [second, first]
    if struct is dict:
        inputs = {"second": second, "first": first}
    return keras.Model(inputs, k.Add(name="sum")(outputs))


def activations(expected):
    return {row.layer.rpartition("/")[2]: row.activation for row in expected.layers}


@pytest.fixture
def x():
    """Inputs of the names they have in the model, of unlike size."""
    return {
        "first": RNG.normal(1, 1, (64, 8)).astype("float32"),
        "second": RNG.normal(0, 30, (64, 8)).astype("float32"),
    }


@pytest.mark.parametrize(
    ("struct", "names"), [(list, False), (list, True), (dict, True)]
)
def test_each_input_counts_by_its_own_moments_however_it_is_given(x, struct, names):
    batch = x if names else [x["second"], x["first"]]
    model = two_branches(struct)
    found = activations(theory.expect(model, batch))
    for layer, name in {"one": "first", "other": "second"}.items():
        kernel = model.get_layer(layer).kernel.numpy()
        second = np.mean(x[name].astype(float) ** 2)
        assert found[layer] == pytest.approx(np.sum(kernel**2) / 4 * second, rel=1e-6)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_a_dict_goes_by_the_keys_that_the_model_was_built_with(x):
    """Not by the names of its inputs, nor by their order."""
    left, right = k.Input((8,), name="second"), k.Input((8,), name="first")
    one, other = k.Dense(4, name="one")(left), k.Dense(4, name="other")(right)
    model = keras.Model({"z": left, "a": right}, k.Add()([one, other]))
    batch = {"a": x["second"], "z": x["first"], "unused": x["first"]}
    found = activations(theory.expect(model, batch))
    for layer, key in {"one": "z", "other": "a"}.items():
        kernel = model.get_layer(layer).kernel.numpy()
        second = np.mean(batch[key].astype(float) ** 2)
        assert found[layer] == pytest.approx(np.sum(kernel**2) / 4 * second, rel=1e-6)
    missed = theory.expect(model, x)
    assert not missed.layers
    assert missed.notes == (
        "Theory's expectation needs all inputs: the model takes ['a', 'z'], which the "
        "batch, with ['first', 'second'], does not have.",
    )


NONE = {
    "is sparse": tf.sparse.from_dense(np.eye(8, dtype="float32")),
    "is ragged": tf.ragged.constant([[1.0, 2.0], [3.0]]),
    "holds no numbers": np.array([["a"] * 8] * 4),
    "is empty": np.zeros((0, 8), "float32"),
    "has no finite entry": np.full((4, 8), np.nan, "float32"),
}


@pytest.mark.parametrize("reason", NONE)
def test_what_depends_on_an_input_without_moments_is_not_judged(x, reason):
    expected = theory.expect(two_branches(), [NONE[reason], x["first"]])
    assert list(activations(expected)) == ["one"]
    assert expected.notes == (
        "Theory's expectation excludes everything that depends on the input 'second', "
        "which "
        f"{reason}.",
    )


def test_an_input_of_zeros_counts_as_zeros(x):
    model = two_branches()
    found = activations(theory.expect(model, [0 * x["second"], x["first"]]))
    assert found["other"] == 0
    assert found["sum"] == pytest.approx(found["one"])
    model.get_layer("other").bias.assign([1.0, 2.0, 0.0, 0.0])
    found = activations(theory.expect(model, [0 * x["second"], 0 * x["first"]]))
    assert found == pytest.approx({"one": 0, "other": 1.25, "sum": 1.25})


def test_a_batch_of_another_number_of_inputs_is_not_judged(x):
    expected = theory.expect(two_branches(), x["first"])
    assert expected.layers == ()
    assert expected.notes == (
        "Theory's expectation needs all inputs: the model has 2, the batch 1.",
    )


def test_a_model_without_a_graph_is_not_judged(x):
    class Code(keras.Model):
        pass

    expected = theory.expect(Code(), x["first"])
    assert expected.layers == ()
    assert expected.notes == (
        "Theory's expectation needs a Functional or Sequential model.",
    )
    assert expected.second_moments("activation", {}) == {}


def test_a_layer_without_a_rule_is_named(x):
    model = keras.Sequential([k.Input((8,)), k.Softmax(name="soft")], name="net")
    (note,) = theory.expect(model, x["first"]).notes
    assert note.startswith("Theory's expectation ends at soft: ")


def test_backward_the_last_layer_that_is_known_is_as_measured(x):
    stack = [k.Dense(8, name=f"d{n}") for n in range(3)]
    model = keras.Sequential([k.Input((8,)), *stack], name="net")
    expected = theory.expect(model, x["first"])
    keys = [schema.TensorKey(row.layer, "output", 0) for row in expected.layers]
    backs = [row.backprop for row in expected.layers]
    measured = dict(zip(keys, [7.0, 3.0, np.inf], strict=True))
    found = expected.second_moments("backprop", measured)
    assert found[keys[1]] == pytest.approx(9)
    assert found[keys[0]] / found[keys[1]] == pytest.approx(backs[0] / backs[1])
    assert expected.second_moments("backprop", dict.fromkeys(keys, np.nan)) == {}


@pytest.mark.parametrize("moments", [[1.0], [1.0, (2.0, 1.0)], [1.0, -1.0]])
def test_predict_rejects_lists_that_are_no_moments(moments):
    with pytest.raises(ValueError, match="`input_moments`"):
        theory.predict(two_branches(), moments)


def test_predict_takes_moments_for_each_input():
    model = two_branches()
    found = {row.layer: row for row in theory.predict(model, [4.0, (1.0, 2.0)]).layers}
    alike = {row.layer: row for row in theory.predict(model, 1.0).layers}
    assert found["one"].activation == pytest.approx(2 * alike["one"].activation)
    assert found["other"].activation == pytest.approx(4 * alike["other"].activation)
    found = theory.predict(model, [None, 1.0])
    assert [row.layer for row in found.layers] == ["one"]
