"""Reinitializing in place: what is named is drawn anew, all else stays bit for bit."""

import re

import keras
import numpy as np
import pytest

import keras_initkit as kik

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 6)).astype("float32")
INSIDE = ("query", "key", "value", "attention_output")
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def value_of(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def values(model):
    return {id(v): value_of(v) for v in model.variables}


def by_path(model):
    return {v.path: value_of(v) for v in model.variables}


def assert_equal(before, after, but=()):
    assert before.keys() == after.keys()
    changed = {k for k in before if not np.array_equal(before[k], after[k])}
    assert changed == set(but)


class Own(layers.Layer):
    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], 6), name="mix")

    def call(self, x):
        return x @ self.mix


class Everything(keras.Model):
    """Recurrent, wrapped, shared, attention, einsum, nested, own, and states."""

    def __init__(self):
        super().__init__(name="all")
        self.words = layers.Embedding(20, 6, name="words")
        self.both = layers.Bidirectional(
            layers.GRU(3, return_sequences=True, name="gru"), name="both"
        )
        self.attention = layers.MultiHeadAttention(2, 3, name="attention")
        self.shared = layers.Dense(6, "tanh", name="shared")
        self.own = Own(name="own")
        self.norm = layers.BatchNormalization(name="norm")
        self.drop = layers.Dropout(0.5, name="drop")
        self.einsum = layers.EinsumDense("btd,de->bte", (None, 4), name="einsum")
        deep = layers.Dense(5, "relu", name="deep")
        self.inner = keras.Sequential([deep], name="inner")
        self.head = layers.Dense(3, name="head")

    def call(self, x, training=None):
        x = self.both(self.words(x))
        x = self.norm(x + self.attention(x, x), training=training)
        x = self.drop(self.own(self.shared(self.shared(x))), training=training)
        return self.head(keras.ops.mean(self.inner(self.einsum(x)), axis=1))


@pytest.fixture(scope="module")
def trained():
    """Trained one step, so that moving averages, seeds and momenta have moved."""
    keras.utils.set_random_seed(0)
    model = Everything()
    model.compile(keras.optimizers.Adam(), CLASSES)
    words = RNG.integers(0, 20, (8, 5))
    model.fit(words, RNG.integers(0, 3, 8), batch_size=8, verbose=0)
    return model


def test_plan_draws_what_it_names_and_nothing_else(trained):
    before, optimizer = by_path(trained), values_of(trained.optimizer)
    plan = kik.recommend(trained)
    report = kik.reinitialize(trained, plan, seed=0)
    drawn = {f"{one.layer}/{one.weight}" for one in report.weights}
    assert set(report.layers) == set(plan)
    cells = {"both/forward_gru": "gru_cell", "both/backward_gru": "gru_cell"}
    paths = set()
    for path in drawn:
        owner, _, weight = path.rpartition("/")
        cell = cells.get(owner.removeprefix("all/"))
        paths.add(f"{owner}/{cell}/{weight}" if cell else path)
    after = by_path(trained)
    changed = {p for p in before if not np.array_equal(before[p], after[p])}
    assert changed == paths
    assert [one.layer for one in report.skipped] == ["all/own"]
    assert "Own is of an unknown kind" in report.skipped[0].reason
    states = [p for p in before if "norm" in p or "seed" in p or "own" in p]
    assert len(states) == 8
    assert not changed & set(states)
    for one, other in zip(optimizer, values_of(trained.optimizer), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(trained.predict(np.ones((2, 5), int), verbose=0)).all()


def values_of(optimizer):
    return [value_of(v) for v in optimizer.variables]


def test_one_initializer_for_all_kernels(trained):
    before = by_path(trained)
    report = kik.reinitialize(trained, "ones")
    after = by_path(trained)
    kernels = {p for p in before if p.endswith("kernel")}
    assert len(kernels) == 12
    for path, value in after.items():
        if path in kernels:
            np.testing.assert_array_equal(value, 1)
        else:
            np.testing.assert_array_equal(value, before[path])
    assert {one.layer: one.reason for one in report.skipped} == {
        "all/own": "Own is of an unknown kind, with mix (6, 6)",
        "all/words": "has a table, not a kernel; name it in `layers` to redraw it",
    }
    kik.reinitialize(trained, "ones", layers="words")
    np.testing.assert_array_equal(by_path(trained)["all/words/embeddings"], 1)


def mlp(extra=False):
    x = inputs = layers.Input((6,))
    x = layers.Dense(6, "relu", name="a")(x)
    if extra:
        x = layers.Dense(6, "relu", name="between")(x)
    x = layers.Dense(6, "relu", name="b")(x)
    model = keras.Model(inputs, layers.Dense(3, name="head")(x))
    model.compile("adam", CLASSES)
    return model


def kernel(model, name):
    return value_of(model.get_layer(name).kernel)


def test_values_depend_on_seed_and_path_alone():
    one, other, more = mlp(), mlp(), mlp(extra=True)
    for model in (one, other, more):
        kik.reinitialize(model, kik.recommend(model), seed=3)
    for name in ("a", "b", "head"):
        np.testing.assert_array_equal(kernel(one, name), kernel(other, name))
        np.testing.assert_array_equal(kernel(one, name), kernel(more, name))
    assert not np.array_equal(kernel(one, "a"), kernel(one, "b"))
    kik.reinitialize(other, kik.recommend(other), seed=4)
    assert not np.array_equal(kernel(one, "a"), kernel(other, "a"))


def test_shared_instance_gives_each_layer_values_of_its_own():
    model = mlp()
    kik.reinitialize(model, keras.initializers.HeNormal(seed=1), seed=0)
    assert not np.array_equal(kernel(model, "a"), kernel(model, "b"))
    kik.reinitialize(model, "he_normal")
    first = kernel(model, "a")
    kik.reinitialize(model, "he_normal")
    assert not np.array_equal(kernel(model, "a"), first)


def test_mapping_draws_the_layers_it_names():
    model = mlp()
    before = by_path(model)
    report = kik.reinitialize(model, {"a": "zeros", "b": keras.initializers.Ones()})
    assert_equal(before, by_path(model), but={"a/kernel", "b/kernel"})
    assert kernel(model, "a").sum() == 0
    assert kernel(model, "b").sum() == 36
    assert [(one.layer, one.initializer) for one in report.weights] == [
        ("a", "Zeros"),
        ("b", "Ones"),
    ]
    assert [(s.layer, s.reason) for s in report.skipped] == [
        ("head", "is not in the plan")
    ]


def test_layers_narrow_the_plan_and_reach_into_nested_ones(trained):
    before = by_path(trained)
    kik.reinitialize(trained, "he_normal", layers=["inner", "attention"], seed=1)
    after = by_path(trained)
    changed = {p for p in before if not np.array_equal(before[p], after[p])}
    expected = {f"all/attention/{part}/kernel" for part in INSIDE}
    assert changed == {*expected, "all/inner/deep/kernel"}


@pytest.mark.parametrize(
    ("chosen", "drawn"),
    [
        ("all/in*", {"all/inner/deep"}),
        (re.compile("^all/(head|shared)$"), {"all/shared", "all/head"}),
        (layers.Embedding, {"all/words"}),
        (layers.MultiHeadAttention, {f"all/attention/{name}" for name in INSIDE}),
        (lambda layer: getattr(layer, "units", 0) == 5, {"all/inner/deep"}),
    ],
    ids=["pattern", "regex", "class", "holder", "function"],
)
def test_layers_are_named_as_for_monitors(trained, chosen, drawn):
    report = kik.reinitialize(trained, "he_normal", layers=chosen, seed=1)
    assert set(report.layers) == drawn
    named = kik.reinitialize(trained, {"all/*": "ones", "head": "zeros"}, seed=1)
    kinds = {row.layer: row.initializer for row in named.weights}
    assert (kinds["all/shared"], kinds["all/head"]) == ("Ones", "Zeros")


def test_layers_that_are_no_names_are_refused(trained):
    message = "`layers` must be a name, shell pattern, compiled regular expression, "
    with pytest.raises(TypeError, match=re.escape(message)):
        kik.reinitialize(trained, "he_normal", layers=[3])
    unknown = "Received: 'all/o?n', which Own is of an unknown kind, with mix (6, 6)."
    with pytest.raises(ValueError, match=re.escape(unknown)):
        kik.reinitialize(trained, "he_normal", layers="all/o?n")


def test_plan_tells_layers_of_the_same_name_apart():
    inside = keras.Sequential(
        [layers.Input((6,)), layers.Dense(6, "relu", name="a")], name="block"
    )
    inputs = layers.Input((6,))
    model = keras.Model(inputs, layers.Dense(3, name="a")(inside(inputs)))
    report = kik.reinitialize(model, kik.recommend(model), seed=0)
    drawn = {row.layer: row.initializer for row in report.weights[::2]}
    assert drawn == {"block/a": "HeNormal", "a": "LecunNormal"}


def test_frozen_layers_are_drawn_where_they_are_named():
    model = mlp()
    model.get_layer("a").trainable = False
    first = kernel(model, "a")
    report = kik.reinitialize(model, "he_normal", seed=0)
    np.testing.assert_array_equal(kernel(model, "a"), first)
    assert report.skipped[0].layer == "a"
    kik.reinitialize(model, "he_normal", seed=0, layers=["a"])
    assert not np.array_equal(kernel(model, "a"), first)


@pytest.mark.parametrize(
    ("plan", "layers", "message"),
    [
        (
            {"a": "he_normal", "z": "zeros"},
            None,
            "`plan_or_initializer` must name layers with weights of a known kind, "
            "among ('a', 'b', 'head'). Received: 'z'.",
        ),
        (
            "he_normal",
            ["b", "c"],
            "`layers` must name layers with weights of a known kind, "
            "among ('a', 'b', 'head'). Received: 'c'.",
        ),
        (
            {"a": "zeros", "head": "identity", "b": lambda shape, dtype: np.nan},
            None,
            "`plan_or_initializer` must give 'b/kernel' finite values of shape (6, 6). "
            "Received: <lambda>, which gives NaN or infinite values.",
        ),
        (
            {"a": "zeros", "head": lambda shape, dtype: np.zeros((2, 2))},
            None,
            "`plan_or_initializer` must give 'head/kernel' finite values of shape "
            "(6, 3). Received: <lambda>, which gives shape (2, 2).",
        ),
        (
            {"a": "zeros", "b": kik.initializers.DeltaOrthogonal()},
            None,
            "`plan_or_initializer` must fit 'b/kernel'. Received: DeltaOrthogonal. "
            "DeltaOrthogonal: the weight must be the kernel of a convolution; "
            "`orthogonal` and `identity` fill matrices. Received: kernel of Dense 'b'.",
        ),
    ],
)
def test_errors_come_before_anything_is_changed(plan, layers, message):
    model = mlp()
    before = values(model)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.reinitialize(model, plan, seed=0, layers=layers)
    assert_equal(before, values(model))


def test_unknown_identifier_and_unbuilt_model_are_refused():
    with pytest.raises(ValueError, match="must name a Keras or kit initializer"):
        kik.reinitialize(mlp(), "he_norml")
    model = keras.Sequential([layers.Dense(2)], name="late")
    message = (
        "`model` must be built: give it an `Input` or call it on a batch first. "
        "Received: Sequential 'late', not built."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.reinitialize(model, "zeros")


def test_plan_of_another_model_is_refused():
    plan = kik.recommend(mlp())
    other = keras.Sequential(
        [layers.Input((6,)), layers.Dense(6, use_bias=False, name="a")], name="other"
    )
    message = (
        "`plan_or_initializer` must fit the model. Received: a choice of ('bias',) "
        "for 'other/a', which has ('kernel',)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.reinitialize(other, {"a": plan["a"]})


def test_half_precision_variables_get_values_of_their_dtype():
    model = keras.Sequential(
        [layers.Input((6,)), layers.Dense(6, dtype="bfloat16", name="a")]
    )
    kik.reinitialize(model, kik.recommend(model), seed=0)
    assert model.get_layer("a").kernel.dtype == "bfloat16"
    assert float(keras.ops.std(model.get_layer("a").kernel)) > 0
