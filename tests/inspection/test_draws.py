"""Many draws of a model's weights, against closed forms."""

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.inspection import Estimate


@pytest.fixture
def stack():
    """Three linear layers of 64 units."""
    layers = [keras.layers.Dense(64, name=f"d{n}") for n in range(3)]
    return keras.Sequential([keras.layers.Input((64,)), *layers], name="stack")


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(8, 64)).astype("float32")


@pytest.mark.parametrize(
    ("initializer", "factor"),
    [("slide_xavier", 1 / 3), ("slide_he", 2 / 3), ("glorot_uniform", 1)],
)
def test_factors_are_those_of_the_variance(stack, x, initializer, factor):
    draws = kik.over_draws(stack, x, initializer, draws=60)
    assert draws.factor().agrees(factor)
    # The error is small enough to tell the rules apart.
    assert draws.factor().standard_error < 0.02
    np.testing.assert_allclose(
        draws.expected / draws.second_moments.mean(axis=0), 1, rtol=0.1
    )


def test_second_moments_are_those_of_the_layers_outputs(stack, x):
    draws = kik.over_draws(stack, x, "glorot_uniform", draws=2, seed=5)
    kik.reinitialize(stack, "glorot_uniform", seed=6)
    h, expected = x, []
    for layer in stack.layers:
        h = h @ layer.kernel.numpy()
        expected.append(np.mean(np.square(h)))
    assert [name.rpartition("/")[2] for name in draws.layers] == ["d0", "d1", "d2"]
    np.testing.assert_allclose(draws.second_moments[1], expected, rtol=1e-5)
    np.testing.assert_allclose(draws.outputs[1], h, rtol=1e-4, atol=1e-5)
    assert draws.input_second_moment == pytest.approx(np.mean(np.square(x)))
    np.testing.assert_allclose(
        draws.factors[1, 1:], np.array(expected[1:]) / expected[:-1], rtol=1e-5
    )


def test_the_model_is_what_it_was(stack, x):
    before = [weight.numpy() for weight in stack.weights]
    kik.over_draws(stack, x, "slide_he", draws=2)
    for old, new in zip(before, stack.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert all("call" not in vars(layer) for layer in stack.layers)


def test_subclassed_models_have_draws_and_no_expectation(x):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(64)

        def call(self, inputs):
            return self.inner(inputs)

    model = Model()
    model(x)
    draws = kik.over_draws(model, x, "slide_xavier", draws=20)
    assert draws.factor().agrees(1 / 3)
    assert np.isnan(draws.expected).all()


def test_factors_behind_zeros_are_not_defined(stack, x):
    draws = kik.over_draws(stack, x, "zero", draws=2)
    assert (draws.factors[:, 0] == 0).all()
    assert np.isnan(draws.factors[:, 1:]).all()


def test_one_draw_is_refused(stack, x):
    with pytest.raises(
        ValueError, match=r"^`draws` must be an integer of at least 2\. Received"
    ):
        kik.over_draws(stack, x, "slide_he", draws=1)


def test_estimate_agrees_within_its_standard_errors():
    estimate = Estimate.of([1.0, 2.0, 3.0])
    assert estimate.mean == 2
    assert estimate.standard_error == pytest.approx(1 / 3**0.5)
    assert estimate.agrees(2 + 4.9 / 3**0.5)
    assert not estimate.agrees(2 + 5.1 / 3**0.5)


def test_what_is_not_drawn_is_named(stack, x):
    first = stack.layers[0]
    first.trainable = False
    draws = kik.over_draws(stack, x, "he_normal", draws=2)
    assert [skip.layer for skip in draws.skipped] == [first.path]
    assert draws.skipped[0].reason.startswith("is not trainable")
