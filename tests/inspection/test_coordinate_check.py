"""The coordinate check tells μP from the standard parametrization."""

import keras
import numpy as np
import pytest

import keras_initkit as kik


def builder(mup):
    def build(width):
        def named(base, name):
            return kik.initializers.seeded(base, 0, name)

        head = (
            kik.initializers.MuPReadout("lecun_normal", 32) if mup else "lecun_normal"
        )
        model = keras.Sequential(
            [
                keras.Input((16,)),
                keras.layers.Dense(
                    width, "relu", kernel_initializer=named("he_normal", "a"), name="a"
                ),
                keras.layers.Dense(
                    width, "relu", kernel_initializer=named("he_normal", "b"), name="b"
                ),
                keras.layers.Dense(
                    1, kernel_initializer=named(head, "head"), name="head"
                ),
            ]
        )
        rate = 0.02 * 32 / width if mup else 0.02
        model.compile(keras.optimizers.Adam(rate), "mse", run_eagerly=True)
        return model

    return build


def test_standard_parametrization_grows_with_width_and_mup_does_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 16)).astype("float32")
    y = rng.normal(size=(32, 1)).astype("float32")
    slopes = {
        mup: kik.coordinate_check(
            builder(mup), x, y, widths=(32, 128, 512), steps=2
        ).slopes(2)
        for mup in (False, True)
    }
    assert set(slopes[True]) == {"a", "b", "head"}
    assert slopes[False]["head"] > 0.5
    assert slopes[True]["head"] < 0.25


def test_coordinate_check_needs_two_widths():
    with pytest.raises(ValueError, match="`widths` must hold at least two widths"):
        kik.coordinate_check(builder(True), None, None, widths=(32,))
