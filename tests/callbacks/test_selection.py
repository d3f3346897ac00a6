"""Which layers a monitor watches, named in every way there is."""

import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.capture import Selection
from keras_initkit.capture.tapping.layers import choose_layers
from keras_initkit.structure.layers import named_layers, weight_names

layers = keras.layers


@pytest.fixture(scope="module")
def model():
    inside = [layers.Dense(5, name="conv[1]"), layers.LayerNormalization(name="norm")]
    block = keras.Sequential([layers.Input((4, 6)), *inside], name="block")
    inputs = layers.Input((4, 6))
    x = block(inputs)
    x = layers.LSTM(3, name="memory")(x)
    return keras.Model(inputs, layers.Dense(2, name="logits")(x), name="whole")


def tapped(model, *arguments, **options):
    return {
        name for name, _ in choose_layers(model, Selection(*arguments, **options))[0]
    }


EVERYTHING = {"conv[1]", "norm", "memory", "logits"}
INSIDE_BLOCK = {"conv[1]", "norm"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, EVERYTHING),
        ("logits", {"logits"}),
        ("conv[1]", {"conv[1]"}),
        ("*o*", EVERYTHING),
        ("block", INSIDE_BLOCK),
        (re.compile("(memo|logi)"), {"memory", "logits"}),
        (layers.Dense, {"conv[1]", "logits"}),
        (lambda layer: getattr(layer, "units", 0) > 3, {"conv[1]"}),
        (["logits", layers.RNN], {"memory", "logits"}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_layers_and_exclude_take_every_kind_of_name(model, selector, expected):
    chosen = tapped(model, selector)
    assert {name.rpartition("/")[2] for name in chosen} == expected
    if expected != EVERYTHING:
        assert tapped(model, exclude=selector) == tapped(model) - chosen


def test_layer_itself_is_named_by_identity(model):
    other = keras.models.clone_model(model)
    assert tapped(model, model.get_layer("logits")) == {"logits"}
    with pytest.raises(ValueError, match="which matches none of"):
        tapped(model, other.get_layer("logits"))


def test_weights_go_with_their_layers(model):
    def owners(*arguments, **options):
        names = weight_names(model, Selection(*arguments, **options)).values()
        return {owner for owner, _ in names}

    assert owners("memory") == {"memory/lstm_cell"}
    assert owners(exclude=["memory", layers.LayerNormalization]) == {
        "block/conv[1]",
        "logits",
    }


def test_what_matches_nothing_is_refused_with_what_there_is(model):
    names = [name for name, _ in named_layers(model)]
    for argument in ("layers", "exclude"):
        message = (
            f"`{argument}` must name layers of the model or match some. Received: "
            f"'dense*', which matches none of {names}."
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            tapped(model, **{argument: ["logits", "dense*"]})
    message = f"must leave at least one of the layers {names}. Received: "
    with pytest.raises(ValueError, match=re.escape(message)):
        tapped(model, "logits", exclude=layers.Dense)


def test_what_is_no_name_is_refused_at_once():
    message = (
        "`exclude` must be a name, shell pattern, compiled regular expression, layer "
        "class, function of a layer, layer, or a list of these. Received: 3"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        kik.SignalMonitor(None, exclude=["dense", 3])


def test_monitor_records_what_was_selected():
    parts = [layers.Dense(4, name="a"), layers.Dense(1, name="b")]
    model = keras.Sequential([layers.Input((3,)), *parts], name="sequential")
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor(None, layers=layers.Dense, exclude="b")
    model.fit(np.ones((4, 3)), np.ones(4), verbose=0, callbacks=[monitor])
    assert {s.tensors[0].layer for s in monitor.record.series.values()} == {
        "sequential/a"
    }
    assert {len(s.tensors) for s in monitor.record.series.values()} == {1, 2}
