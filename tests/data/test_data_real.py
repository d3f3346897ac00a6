"""The real data sets, where this machine has them."""

import os
import shutil

import keras
import numpy as np
import pytest

from keras_initkit import data

pytestmark = pytest.mark.realdata


def cached(name):
    home = os.environ.get("KERAS_HOME", "")
    path = os.path.join(home, "datasets", name)
    if not (home and os.path.isfile(path)):
        pytest.skip(f"KERAS_HOME names no Keras cache with datasets/{name}")
    return path


def own(name):
    folder = os.environ.get(data.DATA_DIR_VARIABLE, "")
    path = os.path.join(folder, name)
    if not (folder and os.path.isfile(path)):
        pytest.skip(f"{data.DATA_DIR_VARIABLE} names no folder with {name}")
    return path


def test_mnist_is_the_known_one(monkeypatch):
    cached("mnist.npz")
    monkeypatch.delenv(data.DATA_DIR_VARIABLE, raising=False)
    mnist = data.load("mnist", source="real")
    assert mnist.origin.startswith("keras.datasets.mnist")
    assert mnist.x_train.shape == (60_000, 28, 28, 1)
    assert mnist.x_test.shape == (10_000, 28, 28, 1)
    # The published mean and spread of the training pixels.
    assert np.mean(mnist.x_train, dtype=np.float64) == pytest.approx(0.1307, abs=1e-4)
    assert np.std(mnist.x_train, dtype=np.float64) == pytest.approx(0.3081, abs=1e-4)
    # The majority class of the test set, digit 1.
    assert np.bincount(mnist.y_test).max() == 1135


def test_imdb_from_keras_and_from_a_copy_agree(tmp_path, monkeypatch):
    path = cached("imdb.npz")
    cached("imdb_word_index.json")
    monkeypatch.delenv(data.DATA_DIR_VARIABLE, raising=False)
    imdb = data.load("imdb", source="real")
    assert imdb.origin.startswith("keras.datasets.imdb")
    assert imdb.x_train.shape == imdb.x_test.shape == (25_000, 200)
    assert np.bincount(imdb.y_test).tolist() == [12_500, 12_500]
    shutil.copy(path, tmp_path)
    copy = data.load("imdb", source=tmp_path)
    # Keras shuffles what the file holds.
    order = np.arange(25_000)
    np.random.RandomState(113).shuffle(order)
    np.testing.assert_array_equal(copy.x_train[order], imdb.x_train)
    np.testing.assert_array_equal(copy.y_train[order], imdb.y_train)
    words = imdb.decode(imdb.x_train[0])
    assert words == copy.decode(imdb.x_train[0])
    index = {i + 3: word for word, i in keras.datasets.imdb.get_word_index().items()}
    last = imdb.x_train[0, -1]
    assert words.split()[-1] == index[last]


def test_cifar10_of_any_size_is_balanced():
    path = own("cifar10.npz")
    cifar = data.load("cifar10", source="real", limit=1000)
    with np.load(path) as file:
        sizes = len(file["y_train"]), len(file["y_test"])
    assert cifar.origin == path
    assert np.bincount(cifar.y_train).tolist() == [100] * 10
    assert len(cifar.x_test) == sizes[1]
    assert len(data.load("cifar10").x_train) == sizes[0]


@pytest.mark.parametrize("name", ["imdb", "mnist"])
def test_truncated_copy_is_refused(name, tmp_path):
    path = cached(f"{name}.npz")
    with open(path, "rb") as file:
        (tmp_path / f"{name}.npz").write_bytes(file.read(1_000_000))
    with pytest.raises(data.DataFileError, match=r"must be an undamaged \.npz file"):
        data.load(name, source=tmp_path)
