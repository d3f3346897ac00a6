"""`activations` and `gradients` give what the layers and the loss have, no more."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik

k = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5)).astype("float32")
IMAGES = RNG.normal(size=(3, 8, 8, 2)).astype("float32")
WORDS = RNG.integers(0, 20, (4, 7))
MSE = keras.losses.MeanSquaredError()


class Subclassed(keras.Model):
    """Calls one layer twice, and one of two."""

    def __init__(self):
        super().__init__(name="sub")
        self.shared = k.Dense(5, "tanh", name="shared")
        self.out = k.Dense(2, name="out")
        self.unused = k.Dense(2, name="unused")

    def build(self, shape):
        for layer in (self.shared, self.out, self.unused):
            layer.build(shape)

    def call(self, x):
        return self.out(self.shared(self.shared(x)))


def functional():
    one, two = k.Input((5,), name="one"), k.Input((5,), name="two")
    shared = k.Dense(4, "relu", name="shared")
    both = k.Concatenate(name="both")([shared(one), shared(two)])
    norm = k.BatchNormalization(name="norm")(both)
    outs = {"p": k.Dense(1, name="p")(norm), "q": k.Dense(2, name="q")(both)}
    return keras.Model({"one": one, "two": two}, outs, name="net")


def nested():
    inner = keras.Sequential([k.Input((5,)), k.Dense(3, "relu", name="h")], name="in")
    return keras.Sequential([k.Input((5,)), inner, k.Dense(2, name="o")], name="net")


def convolutional():
    stack = [
        k.Conv2D(3, 3, activation="relu", name="conv"),
        k.Flatten(name="flat"),
        k.Dropout(0.5, name="drop"),
        k.Dense(2, name="o"),
    ]
    return keras.Sequential([k.Input((8, 8, 2)), *stack], name="net")


def recurrent():
    stack = [
        k.Embedding(20, 6, name="words"),
        k.LSTM(4, return_sequences=True, name="lstm"),
        k.GlobalAveragePooling1D(name="mean"),
        k.Dense(2, name="o"),
    ]
    return keras.Sequential([k.Input((7,)), *stack], name="net")


def seeded(build, x):
    keras.utils.set_random_seed(0)
    model = build()
    model(x)
    return model


def test_outputs_are_those_of_the_layers_as_predict_has_them():
    x = {"one": X, "two": X + 1}
    model = seeded(functional, x)
    found = kik.activations(model, x)
    layers = ("both", "norm", "p", "q")
    wanted = [model.get_layer(name).output for name in layers]
    truth = keras.Model(model.inputs, wanted).predict(x, verbose=0)
    for name, value in zip(layers, truth, strict=True):
        np.testing.assert_allclose(found[f"{name}"], value, rtol=1e-5, atol=1e-6)
    shared = model.get_layer("shared")
    np.testing.assert_array_equal(found["shared"], shared(X).numpy())
    np.testing.assert_array_equal(found["shared@1"], shared(X + 1).numpy())


def test_a_layer_called_twice_and_one_that_is_not_called():
    model = seeded(Subclassed, X)
    found = kik.activations(model, X)
    once = model.shared(X)
    np.testing.assert_array_equal(found["shared"], once.numpy())
    np.testing.assert_array_equal(found["shared@1"], model.shared(once).numpy())
    np.testing.assert_array_equal(found["out"], model(X).numpy())
    assert not any("unused" in label for label in found)


def test_forward_order_dtype_and_chosen_layers():
    model = seeded(convolutional, IMAGES)
    found = kik.activations(model, IMAGES)
    assert [label.rpartition("/")[2] for label in found] == ["conv", "drop", "o"]
    assert {array.dtype for array in found.values()} == {np.dtype("float32")}
    np.testing.assert_array_equal(  # inference: nothing is dropped
        found["drop"], found["conv"].reshape(len(IMAGES), -1)
    )
    (conv,) = kik.activations(model, IMAGES, layers="conv").values()
    np.testing.assert_array_equal(conv, found["conv"])


def test_what_cannot_be_looked_at_is_named_with_the_reason():
    model = seeded(convolutional, IMAGES)
    found = kik.activations(model, IMAGES)
    assert "flat" not in found
    with pytest.raises(KeyError, match="'net/flat' is missing: it only rearranges"):
        found["flat"]
    with pytest.raises(ValueError, match="'net/flat' only rearranges its input"):
        kik.activations(model, IMAGES, layers="flat")
    with pytest.raises(ValueError, match="`layers` must name layers of the model"):
        kik.activations(model, IMAGES, layers="nowhere")


def test_the_end_of_a_path_must_be_that_of_one():
    twins = [
        keras.Sequential([k.Input((5,)), k.Dense(5, name="h")], name=name)
        for name in ("a", "b")
    ]
    model = seeded(lambda: keras.Sequential([k.Input((5,)), *twins], name="net"), X)
    found = kik.activations(model, X)
    with pytest.raises(KeyError, match=r"'h' is the end of .*a/h.*b/h"):
        found["h"]
    np.testing.assert_array_equal(found["a/h"], twins[0](X).numpy())


@pytest.mark.parametrize("build", [Subclassed, nested])
def test_gradients_of_weights_are_those_of_a_tape(build):
    model = seeded(build, X)
    y = np.ones((len(X), 2), "float32")
    found = kik.gradients(model, X, y, loss="mse")
    with tf.GradientTape() as tape:
        loss = MSE(y, model(X, training=True))
    variables = [v for v in model.trainable_variables if "unused" not in v.path]
    truth = tape.gradient(loss, [v.value for v in variables])
    assert found.loss == pytest.approx(float(loss), rel=1e-6)
    assert len(found.weights) == len(variables)
    for variable, gradient in zip(variables, truth, strict=True):
        layer, name = variable.path.split("/")[-2:]
        np.testing.assert_allclose(
            found.weights[f"{layer}:{name}"], gradient, rtol=1e-5, atol=1e-7
        )


def test_gradients_with_respect_to_outputs():
    model = seeded(Subclassed, X)
    y = np.ones((len(X), 2), "float32")
    found = kik.gradients(model, X, y, loss="mse").outputs
    out = model(X).numpy()
    back = 2 * (out - y) / out.size
    np.testing.assert_allclose(found["out"], back, rtol=1e-5)
    through = back @ model.out.kernel.numpy().T
    np.testing.assert_allclose(found["shared@1"], through, rtol=1e-5, atol=1e-8)
    second = model.shared(model.shared(X)).numpy()
    first = (through * (1 - second**2)) @ model.shared.kernel.numpy().T
    np.testing.assert_allclose(found["shared"], first, rtol=1e-4, atol=1e-8)


def test_gradients_are_those_by_which_a_step_of_sgd_moves():
    model = seeded(recurrent, WORDS)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    y = RNG.normal(size=(len(WORDS), 2)).astype("float32")
    found = kik.gradients(model, WORDS, y)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    model.fit(WORDS, y, batch_size=len(WORDS), epochs=1, verbose=0)
    for variable in model.trainable_variables:
        layer, _, name = variable.path.rpartition("/")
        moved = before[variable.path] - variable.numpy()
        (label,) = (one for one in found.weights if one.endswith(f"{layer}:{name}"))
        np.testing.assert_allclose(found.weights[label], moved, rtol=2e-4, atol=1e-6)


def test_the_loss_scale_is_none_of_the_gradients():
    model = seeded(nested, X)
    y = np.ones((len(X), 2), "float32")
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), "mse")
    scaled = kik.gradients(model, X, y)
    model.compile("sgd", "mse")
    plain = kik.gradients(model, X, y)
    for label in plain.weights:
        np.testing.assert_array_equal(scaled.weights[label], plain.weights[label])


def test_a_weight_without_a_gradient_is_named():
    model = seeded(Subclassed, X)
    found = kik.gradients(model, X, np.ones((len(X), 2)), loss="mse")
    assert "unused:kernel" not in found.weights
    (reason,) = (r for name, r in found.weights.unseen.items() if "unused" in name)
    assert "the loss does not depend on 'kernel'" in reason


def test_data_sets_give_their_first_batch_with_its_targets():
    model = seeded(nested, X)
    y = np.ones((len(X), 2), "float32")
    data = tf.data.Dataset.from_tensor_slices((X, y)).batch(4)
    (whole, batch) = (
        kik.gradients(model, *given, loss="mse") for given in ((X[:4], y[:4]), (data,))
    )
    assert batch.loss == whole.loss
    assert kik.activations(model, data)["h"].shape == (4, 3)


def test_all_examples_are_seen_also_of_many():
    model = seeded(nested, X)
    assert kik.activations(model, np.ones((300, 5)))["h"].shape == (300, 3)


STATES = {
    "two_inputs": (
        functional,
        {"one": X, "two": X + 1},
        {"p": X[:, :1], "q": X[:, :2]},
    ),
    "subclassed": (Subclassed, X, X[:, :2]),
    "nested": (nested, X, X[:, :2]),
    "dropout": (convolutional, IMAGES, IMAGES[:, 0, 0]),
    "recurrent": (recurrent, WORDS, X[:4, :2]),
}


def everything(model):
    layers = model._flatten_layers()
    return (
        [v.numpy() for v in (*model.variables, *model.optimizer.variables)],
        [sorted(vars(layer)) for layer in layers],
        [v.numpy() for m in model.metrics for v in m.variables],
    )


@pytest.mark.parametrize("kind", STATES)
def test_the_model_is_left_to_the_bit(kind):
    build, x, y = STATES[kind]
    model = seeded(build, x)
    model.compile("adam", "mse")
    with warnings.catch_warnings():  # of the weights that the loss does not depend on
        warnings.simplefilter("ignore")
        model.fit(x, y, epochs=1, verbose=0)
    before = everything(model)
    kik.activations(model, x)
    kik.gradients(model, x, y)
    after = everything(model)
    np.testing.assert_equal(after, before)


def test_the_model_is_left_when_its_pass_raises():
    model = seeded(nested, X)
    model.compile("adam", "mse")
    before = everything(model)
    for look in (kik.activations, kik.gradients):
        with pytest.raises(ValueError, match="incompatible with the layer"):
            look(model, X[:, :3])
    np.testing.assert_equal(everything(model), before)


def test_what_is_not_built_is_not_built():
    model = keras.Sequential([k.Dense(2)], name="bare")
    for look in (kik.activations, kik.gradients):
        with pytest.raises(ValueError, match="`model` must be built, since"):
            look(model, X)
    assert not model.built


def test_gradients_need_targets_that_the_loss_takes():
    model = seeded(nested, X)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for y in (None, np.full(len(X), 7)):
        with pytest.raises(
            ValueError, match="`y` must be targets that the loss accepts"
        ):
            kik.gradients(model, X, y)


def test_each_kind_of_output_has_its_picture():
    images = kik.activations(seeded(convolutional, IMAGES), IMAGES)
    conv, drop, out = (a for a in images.plot(example=2).axes if a.get_title())
    shown = np.asarray(conv.images[0].get_array())
    assert shown.shape == (2 * 6 + 1, 2 * 6 + 1)
    np.testing.assert_allclose(shown[:6, :6], images["conv"][2, :, :, 0])
    np.testing.assert_allclose(shown[7:, :6], images["conv"][2, :, :, 2])
    np.testing.assert_allclose(out.images[0].get_array(), images["o"])
    assert drop.get_xlabel() == "unit"
    words = kik.activations(seeded(recurrent, WORDS), WORDS)
    lstm = words.plot(example=1).axes[1]
    np.testing.assert_allclose(lstm.images[0].get_array(), words["lstm"][1].T)
    assert lstm.get_xlabel() == "time step"
    with pytest.raises(ValueError, match="`example` must be one of the 4 examples"):
        words.plot(example=4)


def test_channels_ahead_are_drawn_as_channels():
    keys = {kik.schema.TensorKey("conv", "output"): IMAGES.transpose(0, 3, 1, 2)}
    values = kik.inspection.Values("activation", keys, {}, frozenset({"conv"}))
    shown = values.plot().axes[0].images[0].get_array()
    np.testing.assert_allclose(shown[:8, :8], IMAGES[0, :, :, 0])


def test_arrays_without_a_value_are_not_drawn():
    model = seeded(nested, X)
    values = kik.activations(model, X[:1])
    keys = {key: array[:, :0] for key, array in values.arrays.items()}
    with pytest.raises(ValueError, match="There is nothing to plot: no array holds"):
        kik.inspection.Values("activation", keys, {}).plot()


def test_values_print_as_a_table():
    found = kik.activations(seeded(convolutional, IMAGES), IMAGES)
    assert "3 × 6 × 6 × 3" in str(found)
    assert "missing: net/flat, only rearranges its input" in str(found)
    assert "<pre" in found._repr_html_()
