"""Images that replace MNIST and CIFAR-10 if these are not available."""

from collections.abc import Callable

import numpy as np

from keras_initkit.data._arrays import RawArrays
from keras_initkit.data._reviews import standin_reviews
from keras_initkit.data._specs import CIFAR10, IMDB, MNIST

# Made images: classes, patterns a class, room for shifts in pixels.
_CLASSES, _PATTERNS, _SHIFTS = 10, 3, 6
_TRAIN, _TEST = 5000, 1000


def standin_mnist(seed: int) -> RawArrays:
    """The 1,797 handwritten 8x8 digits of scikit-learn, scaled to 28x28."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The stand-in for 'mnist' needs scikit-learn. Install it with "
            "`pip install keras-initkit[data]`, or give real data."
        ) from error
    digits = load_digits()
    resize = _resize_matrix(8, 28)
    images = resize @ digits.images @ resize.T * (255 / 16)
    images = np.rint(images).astype(np.uint8)[..., np.newaxis]
    labels = digits.target.astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = np.split(order, [len(order) // 5])
    return RawArrays(images[train], labels[train], images[test], labels[test])


def standin_cifar10(seed: int) -> RawArrays:
    """Ten classes of coloured patterns, shifted, mixed and noisy.

    A class has three smooth random patterns. An image shows one of them at a
    random place, perhaps mirrored, at a random contrast, over a weaker pattern
    of any class and pixel noise.
    """
    rng = np.random.default_rng(seed)
    small = rng.standard_normal((_CLASSES * _PATTERNS, 6, 6, 3)).astype(np.float32)
    resize = _resize_matrix(6, 32 + _SHIFTS).astype(np.float32)
    patterns = np.einsum("ai,pijc,bj->pabc", resize, small, resize)
    x_train, y_train = _made_images(patterns, _TRAIN, rng)
    x_test, y_test = _made_images(patterns, _TEST, rng)
    return RawArrays(x_train, y_train, x_test, y_test)


def _made_images(
    patterns: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.arange(n, dtype=np.int32) % _CLASSES)
    kind = labels * _PATTERNS + rng.integers(_PATTERNS, size=n)
    contrast = rng.uniform(0.4, 1.0, (n, 1, 1, 1)).astype(np.float32)
    images = contrast * _windows(patterns, kind, rng)
    other = rng.integers(len(patterns), size=n)
    images += np.float32(0.4) * _windows(patterns, other, rng)
    images += np.float32(0.5) * rng.standard_normal(images.shape, dtype=np.float32)
    np.clip(images * 50 + 128, 0, 255, out=images)
    return images.astype(np.uint8), labels


def _windows(
    patterns: np.ndarray, kind: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Cuts a 32x32 window at a random place out of each pattern, half mirrored."""
    n = len(kind)
    rows = rng.integers(_SHIFTS + 1, size=(n, 1)) + np.arange(32)
    columns = rng.integers(_SHIFTS + 1, size=(n, 1)) + np.arange(32)
    mirrored = rng.random((n, 1)) < 0.5
    columns = np.where(mirrored, columns[:, ::-1], columns)
    windows: np.ndarray = patterns[
        kind[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return windows


def _resize_matrix(old: int, new: int) -> np.ndarray:
    """Weights of linear interpolation from `old` to `new` evenly spaced points."""
    place = np.linspace(0, old - 1, new)
    weights: np.ndarray = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(old)))
    return weights


STANDINS: dict[str, tuple[Callable[[int], RawArrays], str]] = {
    MNIST.name: (standin_mnist, "handwritten digits of scikit-learn, scaled to 28x28"),
    CIFAR10.name: (standin_cifar10, "generated images of ten kinds of pattern"),
    IMDB.name: (standin_reviews, "generated reviews with good and bad words"),
}
