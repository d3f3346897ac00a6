"""What every reference model promises, over the list of them."""

import inspect
import itertools
import re

import keras
import numpy as np
import pytest

from keras_initkit import data, models

# Small variants, for speed; every model is here.
OPTIONS = {
    "cifar10_cnn": {},
    "cifar10_mlp": {},
    "cifar10_resnet": {},
    "imdb_lstm": {"vocabulary": 50, "maxlen": 6},
    "imdb_rnn": {"vocabulary": 50, "maxlen": 6},
    "mnist_cnn": {},
    "mnist_mlp": {},
    "xor_mlp": {},
}
# Dense and convolutional kernels, word vectors and recurrent kernels aside.
KERNELS = {
    "cifar10_cnn": 8,
    "cifar10_mlp": 3,
    "cifar10_resnet": 1 + 18 + 2 + 1,
    "imdb_lstm": 2,
    "imdb_rnn": 2,
    "mnist_cnn": 4,
    "mnist_mlp": 3,
    "xor_mlp": 2,
}
# Loss of a model that gives every class the same chance; of XOR, (1/2)^2.
START_LOSS = {"classes": np.log(10), "two_classes": np.log(2), "squared_error": 0.25}

every_model = pytest.mark.parametrize("name", sorted(OPTIONS))


def build(name, **arguments):
    return models.build(name, **{**OPTIONS[name], **arguments})


def batch(name, n=8):
    rng = np.random.default_rng(0)
    spec = models.spec_of(name)
    if spec.data == "xor":
        xor = data.load("xor")
        return xor.x_train, xor.y_train
    if spec.data == "imdb":
        shape = (n, OPTIONS[name]["maxlen"])
        x = rng.integers(0, OPTIONS[name]["vocabulary"], shape).astype(np.int32)
        return x, (np.arange(n) % 2).astype(np.int32)
    shape = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}[spec.data]
    x = rng.random((n, *shape), dtype=np.float32)
    return x, (np.arange(n) % 10).astype(np.int32)


def weights_of(model, *names):
    return {w.path: w.numpy() for w in model.weights if w.name in names}


def initializers_of(model):
    """Yields (layer, argument, instance) for every initializer of the model."""
    for layer in model.layers:
        for attribute in ("kernel", "bias", "recurrent", "embeddings"):
            cell = getattr(layer, "cell", layer)
            instance = getattr(cell, f"{attribute}_initializer", None)
            if instance is not None:
                yield layer.name, attribute, instance


def test_list_of_models_is_complete():
    assert models.NAMES == tuple(sorted(OPTIONS))


@every_model
def test_model_is_compiled_for_its_data(name):
    model = build(name)
    x, y = batch(name)
    spec = models.spec_of(name)
    outputs = model(x).numpy()
    assert model.name == name
    assert outputs.shape == (len(x), 10 if spec.loss == "classes" else 1)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(spec.learning_rate)
    assert np.isfinite(float(model.loss(y, outputs)))
    kernels = weights_of(model, "kernel")
    assert len(kernels) == KERNELS[name]


@every_model
def test_zero_weights_start_at_the_loss_of_chance(name):
    model = build(name, initializer="zero")
    x, y = batch(name)
    loss = float(model.loss(y, model(x)))
    assert loss == pytest.approx(START_LOSS[models.spec_of(name).loss], rel=1e-6)


@every_model
def test_layer_names_do_not_depend_on_what_was_built_before(name):
    first = [w.path for w in build(name).weights]
    assert [w.path for w in build(name).weights] == first
    assert len(set(first)) == len(first)
    # Keras gives inputs and some layers without weights no path at all.
    layers = [layer for layer in build(name).layers if layer.weights]
    assert [layer.path for layer in layers] == [layer.name for layer in layers]


@every_model
@pytest.mark.parametrize("seed", [0, None], ids=["seeded", "unseeded"])
@pytest.mark.parametrize(
    "given", ["he_normal", keras.initializers.HeNormal(seed=7)], ids=["name", "object"]
)
def test_every_weight_has_an_initializer_of_its_own(name, given, seed):
    model = build(name, initializer=given, seed=seed)
    instances = [instance for *_, instance in initializers_of(model)]
    assert len({id(instance) for instance in instances}) == len(instances)
    assert all(instance is not given for instance in instances)
    seeds = [
        instance.get_config()["seed"]
        for *_, instance in initializers_of(model)
        if "seed" in instance.get_config()
    ]
    assert len(set(seeds)) == (1 if seed is None else len(seeds))
    kernels = weights_of(model, "kernel", "recurrent_kernel").values()
    for a, b in itertools.combinations(kernels, 2):
        assert a.shape != b.shape or np.mean(a == b) < 0.01


@every_model
def test_initializer_reaches_every_kernel_and_bias(name):
    ones = keras.initializers.Constant(0.25)
    model = build(name, initializer=ones, bias_initializer=keras.initializers.Ones())
    for path, kernel in weights_of(model, "kernel").items():
        assert np.all(kernel == 0.25), path
    for path, bias in weights_of(model, "bias").items():
        assert np.all(bias == 1.0), path


@every_model
def test_seed_decides_the_weights(name):
    first, again, other = (
        weights_of(build(name, seed=s), "kernel", "recurrent_kernel", "embeddings")
        for s in (3, 3, 4)
    )
    fresh = [weights_of(build(name), "kernel") for _ in range(2)]
    for path, value in first.items():
        np.testing.assert_array_equal(value, again[path], err_msg=path)
        assert not np.array_equal(value, other[path]), path
    for path, value in fresh[0].items():
        assert not np.array_equal(value, fresh[1][path]), path


@every_model
def test_model_survives_saving(name, tmp_path):
    model = build(name, initializer="fan_in_uniform", seed=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x, y = batch(name)
    np.testing.assert_array_equal(loaded(x).numpy(), model(x).numpy())
    assert float(loaded.loss(y, loaded(x))) == float(model.loss(y, model(x)))
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]


@every_model
def test_one_epoch_moves_every_weight(name):
    model = build(name, initializer="he_normal", seed=0)
    # Tracing ResNet-20 takes ten times as long as one eager epoch of it.
    model.run_eagerly = name == "cifar10_resnet"
    x, y = batch(name, n=16)
    before = [w.numpy() for w in model.trainable_weights]
    history = model.fit(x, y, batch_size=8, verbose=0)
    assert set(history.history) == {"accuracy", "loss"}
    assert np.isfinite(history.history["loss"][0])
    for weight, value in zip(model.trainable_weights, before, strict=True):
        assert not np.array_equal(weight.numpy(), value), weight.path


@every_model
def test_loss_is_the_one_of_logits(name):
    model = build(name)
    raw = np.linspace(-2, 3, 10)
    if models.spec_of(name).loss == "classes":
        expected = np.log(np.sum(np.exp(raw))) - raw[4]
        got = model.loss(np.array([4]), raw[np.newaxis].astype(np.float32))
    elif models.spec_of(name).loss == "two_classes":
        expected = np.log1p(np.exp(-1.5))
        got = model.loss(np.array([1]), np.array([[1.5]], np.float32))
    else:
        expected = 0.3**2
        got = model.loss(np.array([1]), np.array([[0.7]], np.float32))
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_two_class_accuracy_judges_logits_at_zero():
    model = build("imdb_rnn")
    model.get_layer("logits").set_weights([np.zeros((64, 1)), np.array([0.3])])
    x, _ = batch("imdb_rnn")
    # A logit of 0.3 says "positive"; read as a probability it would not.
    accuracy = model.evaluate(x, np.ones(len(x)), verbose=0, return_dict=True)
    assert accuracy["accuracy"] == 1.0


def test_xor_with_zero_weights_stays_where_it_is():
    model = models.build("xor_mlp", initializer="zero")
    xor = data.load("xor")
    history = model.fit(xor.x_train, xor.y_train, batch_size=4, epochs=5, verbose=0)
    assert history.history["loss"] == [0.25] * 5
    assert all(np.all(w.numpy() == 0.0) for w in model.trainable_weights)


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({}, [(784, 256), (256, 128), (128, 10)]),
        ({"depth": 3}, [(784, 256), (256, 256), (256, 256), (256, 10)]),
        ({"width": 5}, [(784, 5), (5, 5), (5, 10)]),
        ({"depth": 1, "width": 7}, [(784, 7), (7, 10)]),
    ],
    ids=["default", "depth", "width", "both"],
)
def test_mnist_mlp_takes_depth_and_width(options, shapes):
    model = models.build("mnist_mlp", **options)
    assert [k.shape for k in weights_of(model, "kernel").values()] == shapes


def test_other_mlps_are_the_documented_ones():
    shapes = [
        [k.shape for k in weights_of(models.build(name), "kernel").values()]
        for name in ("cifar10_mlp", "xor_mlp")
    ]
    assert shapes == [[(3072, 64), (64, 32), (32, 10)], [(2, 4), (4, 1)]]


def test_activation_reaches_hidden_layers_only():
    model = models.build("mnist_mlp", activation="tanh")
    used = [
        layer.activation.__name__
        for layer in model.layers
        if hasattr(layer, "activation")
    ]
    assert used == ["tanh", "tanh", "linear"]


def test_resnet_without_batch_norm_has_biases_instead():
    with_norm, without = (
        models.build("cifar10_resnet", batch_norm=flag) for flag in (True, False)
    )
    norms = [
        sum(isinstance(x, keras.layers.BatchNormalization) for x in m.layers)
        for m in (with_norm, without)
    ]
    assert norms == [19, 0]
    assert len(weights_of(with_norm, "bias")) == 1
    assert len(weights_of(without, "bias")) == 20


def test_resnet_has_as_many_blocks_a_stage_as_asked_for():
    model = models.build("cifar10_resnet", blocks=1)
    # 6 · 1 + 2, and the two convolutions that carry shortcuts.
    assert len(weights_of(model, "kernel")) == 8 + 2
    with pytest.raises(ValueError, match=re.escape("Received: blocks=0.")):
        models.build("cifar10_resnet", blocks=0)


def test_recurrent_initializer_is_an_argument():
    model = build("imdb_lstm", recurrent_initializer="zeros")
    assert np.all(model.get_layer("lstm").cell.recurrent_kernel.numpy() == 0)
    model = build("imdb_rnn", seed=0)
    recurrent = model.get_layer("rnn").cell.recurrent_kernel.numpy()
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(64), atol=1e-5)


def test_word_vectors_keep_an_initializer_of_their_own():
    zero = build("imdb_rnn", initializer="zero")
    assert np.std(zero.get_layer("embedding").embeddings.numpy()) > 0
    both = build("imdb_rnn", embeddings_initializer="zero")
    assert np.all(both.get_layer("embedding").embeddings.numpy() == 0)


def test_optimizer_and_learning_rate_can_be_chosen():
    model = models.build("xor_mlp", optimizer="sgd", learning_rate=2.0)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == 2.0
    assert float(
        models.build("xor_mlp", optimizer="sgd").optimizer.learning_rate
    ) == pytest.approx(0.01)  # Keras's own default


@pytest.mark.parametrize("dataset", data.NAMES)
def test_every_data_set_has_a_default_model(dataset):
    spec = models.default_for(dataset)
    assert spec.data == dataset
    assert spec.batch_size > 0
    assert spec.epochs > 0


def test_spec_lists_the_options_of_its_builder():
    for name in models.NAMES:
        spec = models.spec_of(name)
        assert (
            list(spec.options) == list(inspect.signature(spec.builder).parameters)[1:]
        )
        assert set(OPTIONS[name]) <= set(spec.options)
        assert spec.data in data.NAMES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "mnist"},
            "`name` must be one of ('cifar10_cnn', 'cifar10_mlp', 'cifar10_resnet', "
            "'imdb_lstm', 'imdb_rnn', 'mnist_cnn', 'mnist_mlp', 'xor_mlp'). "
            "Received: name='mnist'. Did you mean 'mnist_mlp'?",
        ),
        (
            {"depht": 3},
            "`depht` is not an option of 'mnist_mlp'. Its options are ('depth', "
            "'width'). "
            "Received: depht=3.",
        ),
        (
            {"name": "xor_mlp", "depth": 3},
            "`depth` is not an option of 'xor_mlp'. It has no options. "
            "Received: depth=3.",
        ),
        (
            {"depth": 0},
            "`depth` must be a positive integer. Received: depth=0.",
        ),
        (
            {"width": 2.5},
            "`width` must be a positive integer. Received: width=2.5.",
        ),
        (
            {"name": "imdb_rnn", "maxlen": -1},
            "`maxlen` must be a positive integer. Received: maxlen=-1.",
        ),
        (
            {"recurrent_initializer": "zeros"},
            "`recurrent_initializer` is for ('imdb_lstm', 'imdb_rnn'); 'mnist_mlp' "
            "has no recurrent kernel. Received: 'zeros'.",
        ),
        (
            {"initializer": None},
            "`initializer` must be an initializer. Received: None.",
        ),
        (
            {"seed": 1.5},
            "`seed` must be an integer or None. Received: seed=1.5.",
        ),
        (
            {"learning_rate": 0},
            "`learning_rate` must be a finite number above 0. Received: "
            "learning_rate=0.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        models.build(**{"name": "mnist_mlp", **arguments})


def test_unknown_initializer_lists_the_choices():
    with pytest.raises(ValueError, match=r"'he_normal', .*identifier='he_norml'"):
        models.build("mnist_mlp", initializer="he_norml")


def test_unknown_data_set_has_no_default_model():
    message = (
        "`data` must be one of ('cifar10', 'imdb', 'mnist', 'xor'). "
        "Received: data='reuters'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        models.default_for("reuters")
