"""Where layers stand in the graph: network, depth, what follows, on a branch or not."""

import keras
import numpy as np

from keras_initkit.structure import description
from keras_initkit.structure.graph import places_of

k = keras.layers


def named(model):
    places = places_of(model)
    return {
        layer.name: places[id(layer)] for layer in model.layers if id(layer) in places
    }


def test_layers_side_by_side_have_one_depth():
    inputs = keras.Input((4,))
    towers = [k.Dense(4, "relu", name=f"tower{n}")(inputs) for n in range(3)]
    x = k.Dense(4, name="second")(towers[0])
    outputs = k.Dense(2, name="head")(k.concatenate([x, *towers[1:]]))
    places = named(keras.Model(inputs, outputs))
    depths = {name: place.depth for name, place in places.items()}
    assert depths == {"tower0": 0, "tower1": 0, "tower2": 0, "second": 1, "head": 2}
    assert {place.net for place in places.values()} == {0}


def test_what_is_handed_on_and_what_is_not():
    inputs = keras.Input((4,))
    x = k.Dense(4, "relu", name="plain")(inputs)
    x = k.ReLU()(k.BatchNormalization()(k.Dense(4, name="normalized")(x)))
    gate = k.Dense(4, "sigmoid", name="gate")(x)
    x = k.multiply([x, gate])
    y = k.Dense(4, name="inside")(x)
    x = k.add([x, k.Dense(4, name="last")(k.ReLU()(y))])
    places = named(keras.Model(inputs, k.Dense(2, name="head")(x)))
    assert {name for name, place in places.items() if place.hands_on} == {
        "plain",
        "inside",
    }
    assert {name for name, place in places.items() if place.branch} == {
        "inside",
        "last",
    }


def test_function_of_ones_own_may_be_of_any_scale():
    inputs = keras.Input((4,))
    x = k.Dense(4, lambda x: keras.ops.sin(30 * x), name="sine")(inputs)
    x = k.Dense(4, keras.ops.sin, name="sine_of_keras")(x)
    x = k.Activation(lambda x: 3 * x)(k.Dense(4, name="ahead")(x))
    x = k.Dense(4, keras.activations.gelu, name="known")(x)
    x = k.Dense(4, k.LeakyReLU(0.1), name="by_layer")(x)
    places = named(keras.Model(inputs, k.Dense(2, name="head")(x)))
    handed_on = {name for name, place in places.items() if place.hands_on}
    assert handed_on == {"known", "by_layer"}


def test_layers_that_take_the_inputs_as_they_are():
    inputs = keras.Input((4,))
    nested = keras.Sequential([k.Embedding(9, 2, name="inner")])
    words = k.Embedding(9, 2, name="words")(inputs)
    whole = k.Embedding(9, 2, name="whole")(keras.ops.floor(9 * inputs))
    moved = keras.ops.expand_dims(k.Reshape((2, 2))(k.Dropout(0.1)(inputs)), 1)
    behind = k.Flatten()(k.Embedding(9, 2, name="behind")(moved))
    column = k.Flatten()(k.Embedding(9, 2, name="column")(inputs[:, :1]))
    scaled = k.Flatten()(k.Embedding(9, 2, name="scaled")(k.Rescaling(9)(inputs)))
    x = k.Flatten()(k.concatenate([words, whole, nested(inputs)]))
    x = k.concatenate([x, behind, column, scaled])
    model = keras.Model(inputs, k.Dense(2, name="head")(x))
    places = places_of(model)
    fed = [
        layer.name
        for layer in [*model.layers, *nested.layers]
        if id(layer) in places and places[id(layer)].fed
    ]
    assert sorted(fed) == ["behind", "inner", "words"]


def test_shortcut_with_weights_of_its_own_is_no_branch():
    inputs = keras.Input((4,))
    x = k.Dense(8, name="stem")(inputs)
    both = [k.Dense(4, name="one")(x), k.Dense(4, name="other")(x)]
    model = keras.Model(inputs, k.Dense(2, name="head")(k.add(both)))
    assert not any(place.branch for place in named(model).values())


def test_parts_of_a_layer_are_where_it_is():
    inputs = keras.Input((4, 8))
    x = k.Dense(8, name="first")(inputs)
    attention = k.MultiHeadAttention(2, 4, name="attend")
    x = k.add([x, attention(x, x)])
    x = k.Bidirectional(k.GRU(3))(x)
    model = keras.Model(inputs, k.Dense(2, name="head")(x), name="net")
    entries = {e["path"]: e for e in description.of_layers(model) if "place" in e}
    depths = {path: entry["place"]["depth"] for path, entry in entries.items()}
    parts = [path for path in depths if path.startswith("attend/")]
    assert len(parts) == 4
    assert all(entries[path]["place"]["branch"] for path in parts)
    assert {depths[path] for path in parts} == {1}
    assert [depth for path, depth in depths.items() if "cell" in path] == [2, 2]
    assert depths["head"] == 3


def test_networks_of_a_model_without_a_graph_are_apart():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.other = (
                keras.Sequential([keras.Input((4,)), k.Dense(4), k.Dense(4)])
                for _ in range(2)
            )
            self.loose = k.Dense(4)

        def call(self, x):
            return self.loose(self.one(x) + self.other(x))

    model = Pair()
    model(np.zeros((1, 4)))
    found = [e.get("place") for e in description.of_layers(model) if e["weights"]]
    assert sorted((p["net"], p["depth"]) for p in found if p) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert found.count(None) == 1


def test_what_leads_to_an_output_of_the_whole_model():
    inputs = keras.Input((4,))
    x = k.Dense(4, name="inside")(inputs)
    pooled = k.Dense(4, name="pooled")(x)
    backbone = keras.Model(inputs, {"sequence": x, "pooled": pooled})
    outer = keras.Input((4,))
    model = keras.Model(outer, k.Dense(2, name="head")(backbone(outer)["sequence"]))
    places = {
        **named(model),
        **{
            n: places_of(model)[id(backbone.get_layer(n))] for n in ("inside", "pooled")
        },
    }
    leading = {name: place.leads for name, place in places.items()}
    assert leading == {"inside": True, "pooled": False, "head": True}


def test_nothing_is_known_to_lead_on_inside_a_subclassed_model():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = keras.Sequential([keras.Input((4,)), k.Dense(4)])

        def call(self, x):
            return self.body(x)

    assert not any(place.leads for place in places_of(Own()).values())
