"""Identifiers, aliases, seeds derived per layer, the catalogue's completeness."""

import re

import keras
import numpy as np
import pytest

from keras_initkit import initializers
from keras_initkit.initializers import _base, _registry


@pytest.mark.parametrize("name", [e.name for e in initializers.catalog()])
def test_get_builds_every_name_of_the_catalog_anew(name):
    entry = next(e for e in initializers.catalog() if e.name == name)
    first, second = initializers.get(name), initializers.get(name)
    assert type(first) is entry.cls
    assert first is not second


def test_catalog_names_every_public_initializer_once():
    names = [entry.name for entry in initializers.catalog()]
    assert len(names) == len(set(names))
    classes = {entry.cls for entry in initializers.catalog()}
    public = [getattr(initializers, name) for name in initializers.__all__]
    for obj in [*public, *vars(keras.initializers).values()]:
        if isinstance(obj, type) and issubclass(obj, keras.Initializer):
            assert obj in classes or obj is keras.Initializer
    for entry in initializers.catalog():
        assert all(isinstance(p, str) for p in entry.parameters)
        texts = (entry.formula, entry.reference, entry.good_for, entry.bad_for)
        assert all(texts), entry.name


@pytest.mark.parametrize("cls", _base.KIT_CLASSES, ids=lambda cls: cls.__name__)
def test_kit_classes_are_found_by_string_from_keras_too(cls):
    for identifier in (f"keras_initkit>{cls.__name__}", cls.identifier):
        assert type(keras.initializers.get(identifier)) is cls
    for identifier in (cls, cls(), cls.__name__, cls.identifier):
        assert type(initializers.get(identifier)) is cls
    layer = keras.layers.Dense(3, kernel_initializer=cls.identifier)
    assert type(layer.kernel_initializer) is cls


@pytest.mark.parametrize(
    ("alias", "minimum", "maximum"),
    [
        ("zero", 0.0, 0.0),
        ("random", -1.0, 1.0),
        ("slide_xavier", -((1 / 400) ** 0.5), (1 / 400) ** 0.5),
        ("slide_he", -((2 / 400) ** 0.5), (2 / 400) ** 0.5),
    ],
)
def test_alias_is_what_the_lessons_compute(alias, minimum, maximum):
    values = np.asarray(initializers.get(alias)((400, 100)))
    # The extreme of 40000 uniform values misses its limit by 1/40000 of the range
    # on average, and by 20 times that once in e^20 draws.
    slack = 20 / values.size * (maximum - minimum)
    np.testing.assert_allclose(values.min(), minimum, atol=slack)
    np.testing.assert_allclose(values.max(), maximum, atol=slack)


@pytest.mark.parametrize(
    ("alias", "name"), [("he", "he_normal"), ("xavier", "glorot_uniform")]
)
def test_short_name_is_keras_initializer(alias, name):
    ours, keras_s = initializers.get(alias), keras.initializers.get(name)
    assert type(ours) is type(keras_s)
    keras_s = type(keras_s)(seed=3)
    values = initializers.seeded(alias, None, "x").__class__(seed=3)((40, 30))
    np.testing.assert_array_equal(values, keras_s((40, 30)))


def test_get_passes_on_what_keras_takes():
    def ones(shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    config = keras.initializers.serialize(keras.initializers.HeNormal(seed=3))
    assert initializers.get(ones) is ones
    assert initializers.get(None) is None
    assert initializers.get(config).seed == 3
    assert np.asarray(initializers.get(np.eye(2))((2, 2))).tolist() == [[1, 0], [0, 1]]


def test_get_unknown_name_lists_choices_and_the_nearest():
    message = (
        "`identifier` must name a Keras or kit initializer. Did you mean "
        f"'he_normal'? Use one of {tuple(_registry._choices())}. "
        "Received: identifier='he_norml'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        initializers.get("he_norml")
    assert "glorot_uniform" in _registry._choices()
    assert _registry._choices() == sorted(_registry._choices())


@pytest.mark.parametrize("name", [e.name for e in initializers.catalog()])
def test_seeded_gives_a_new_instance_with_a_seed_of_its_own(name):
    first = initializers.seeded(name, 7, "a/kernel")
    again = initializers.seeded(first, 7, "a/kernel")
    other = initializers.seeded(first, 7, "b/kernel")
    assert isinstance(first, keras.Initializer)
    assert first is not again
    assert first.get_config() == again.get_config()
    if "seed" in first.get_config():
        assert first.seed == again.seed != other.seed
        assert initializers.seeded(first, None, "a").get_config()["seed"] is None


def test_seeded_seed_is_the_same_in_every_process():
    assert _registry.derive_seed(0, "dense_1/kernel") == 2113775746
    assert 0 <= _registry.derive_seed(1, "") < 2**31


def test_seeded_rejects_a_seed_that_is_no_integer():
    message = "`seed` must be an integer or None. Received: seed=0.5."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        initializers.seeded("he_normal", 0.5, "x")


def test_layers_with_seeded_initializers_differ_where_a_shared_one_repeats():
    shared = keras.initializers.HeNormal()

    def kernels(initializers_of_layers):
        layers = [
            keras.layers.Dense(4, kernel_initializer=initializer)
            for initializer in initializers_of_layers
        ]
        for layer in layers:
            layer.build((None, 4))
        return [keras.ops.convert_to_numpy(layer.kernel) for layer in layers]

    # Keras: identical weights, and no warning, which would fail the test.
    np.testing.assert_array_equal(*kernels([shared, shared]))
    ours = kernels([initializers.seeded(shared, 0, path) for path in ("a", "b")])
    assert not np.any(ours[0] == ours[1])
