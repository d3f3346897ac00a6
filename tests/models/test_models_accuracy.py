"""What the reference models reach with their defaults; minutes, so marked slow."""

import os

import keras
import numpy as np
import pytest

from keras_initkit import data, models

SEED = 0


def train(name, source="real", **arguments):
    """Returns the test accuracy and the losses of the first and last epoch."""
    keras.utils.set_random_seed(SEED)
    spec = models.spec_of(name)
    dataset = data.load(spec.data, source=source)
    model = models.build(name, seed=SEED, **arguments)
    history = model.fit(
        dataset.x_train,
        dataset.y_train,
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        verbose=0,
    )
    _, accuracy = model.evaluate(
        dataset.x_test, dataset.y_test, batch_size=512, verbose=0
    )
    return accuracy, history.history["loss"]


def real(name):
    folder = os.environ.get(data.DATA_DIR_VARIABLE, "")
    cache = os.path.join(os.environ.get("KERAS_HOME", ""), "datasets")
    if not any(os.path.isfile(os.path.join(d, f"{name}.npz")) for d in (folder, cache)):
        pytest.skip(
            f"neither {data.DATA_DIR_VARIABLE} nor KERAS_HOME leads to {name}.npz"
        )


def test_mnist_standin_can_be_learned_but_not_to_the_end():
    accuracy, _ = train("mnist_mlp", source="standin", initializer="he_normal")
    assert 0.7 < accuracy < 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lowest"),
    [("cifar10_mlp", 0.3), ("cifar10_cnn", 0.6), ("imdb_lstm", 0.7)],
)
def test_standin_can_be_learned_but_not_to_the_end(name, lowest):
    accuracy, _ = train(name, source="standin", initializer="glorot_uniform")
    assert lowest < accuracy < 0.99


@pytest.mark.slow
@pytest.mark.realdata
def test_mnist_mlp_learns():
    real("mnist")
    accuracy, _ = train("mnist_mlp", initializer="he_normal")
    assert accuracy >= 0.975


@pytest.mark.slow
@pytest.mark.realdata
def test_mnist_mlp_with_zero_weights_stays_at_the_majority_class():
    real("mnist")
    accuracy, losses = train("mnist_mlp", initializer="zero")
    assert accuracy == pytest.approx(0.1135, abs=1e-6)
    # The output bias learns how often each class occurs: that entropy is the floor.
    counts = np.bincount(data.load("mnist").y_train) / 60_000
    assert losses[-1] == pytest.approx(-np.sum(counts * np.log(counts)), abs=1e-3)


@pytest.mark.slow
@pytest.mark.realdata
def test_cifar10_cnn_learns_from_a_part_of_the_set():
    real("cifar10")
    accuracy, _ = train("cifar10_cnn", initializer="he_normal")
    assert accuracy >= 0.60


@pytest.mark.slow
@pytest.mark.realdata
def test_imdb_lstm_learns():
    real("imdb")
    accuracy, _ = train("imdb_lstm")
    assert accuracy >= 0.83
