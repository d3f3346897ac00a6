"""Published results on recurrent networks: short versions, and long ones."""

import math

import numpy as np
import pytest
import recurrences


def test_gradients_cross_200_steps_of_an_identity_recurrence():
    """Le et al. 2015; tanh recurrences lose them."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 200, 8)).astype("float32")
    norms = {}
    for name in ("irnn", "orthogonal", "normal"):
        layer = recurrences.layer(name, 32, 200)
        state = tf.constant(rng.uniform(0.1, 1, size=(4, 32)).astype("float32"))
        with tf.GradientTape() as tape:
            tape.watch(state)
            total = tf.reduce_sum(layer(x, initial_state=[state]))
        norms[name] = np.linalg.norm(tape.gradient(total, state)) / math.sqrt(4 * 32)
    assert norms["irnn"] > 0.9
    assert max(norms["orthogonal"], norms["normal"]) < 1e-3, norms


@pytest.mark.slow
def test_chrono_lstm_recalls_over_60_steps_what_the_default_forgets():
    """Tallec & Ollivier 2018. A forget gate at sigmoid(1) keeps 7e-9 of 60 steps ago.

    Chance is 1/8; the last 20 batches have 1280 examples, a standard error of 0.009.
    """
    found = {
        name: recurrences.train(name, recurrences.recall_problem, **SHORT)[-1]
        for name in ("chrono", "lstm")
    }
    assert found["chrono"] > 0.5, found
    assert abs(found["lstm"] - 1 / 8) < 5 * 0.009, found


SHORT = {
    "steps": 60,
    "updates": 100,
    "units": 32,
    "rate": 0.01,
    "outputs": 8,
    "chunks": 5,
}


@pytest.mark.slow
def test_irnn_adds_over_100_steps_where_tanh_does_not():
    """Le et al. 2015: the adding problem, beside the error 1/6 of a constant answer.

    Seen: 0.058 for IRNN.
    """
    errors = recurrences.adding()
    assert errors["irnn"][-1] < 0.1, errors
    # The squared error of 6400 sums has a standard error of 0.003.
    for name in ("orthogonal", "normal"):
        assert min(errors[name][-5:]) > 1 / 6 - 5 * 0.003, errors


@pytest.mark.slow
@pytest.mark.realdata
def test_irnn_reads_784_pixels_where_a_gaussian_tanh_recurrence_does_not():
    """Le et al. 2015, the first 400 steps, each at the better of its rates.

    Seen: 0.24 of the last 6400 images right (a standard error of 0.005), against 0.10.
    """
    right = recurrences.read_pixels()
    best = {
        name: max(found[-1] for (other, _), found in right.items() if other == name)
        for name in recurrences.PIXEL_RATES
    }
    assert best["irnn"] > 0.2, right
    assert best["normal"] < 0.15, right


@pytest.mark.slow
def test_chrono_lstm_recalls_over_200_steps_what_the_default_forgets():
    """Seen: 0.94 right, against 0.14 at most."""
    right = recurrences.recall()
    assert right["chrono"][-1] > 0.9, right
    assert max(right["lstm"]) < 0.2, right
