"""Data that a healthy model learns: each class has a pattern of its own."""

import numpy as np


def vectors(count=128, features=16, classes=4, seed=0):
    """Vectors about one centre a class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    centres = rng.normal(size=(classes, features))
    x = centres[y] + rng.normal(size=(count, features))
    return (x / np.sqrt(2)).astype("float32"), y


def images(count=64, size=16, channels=3, classes=4, low=-1.0, high=1.0, seed=0):
    """Smooth pictures, one a class, with noise, within limits."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    coarse = rng.uniform(size=(classes, 4, 4, channels))
    scale = -(-size // 4)
    pattern = coarse.repeat(scale, axis=1).repeat(scale, axis=2)[:, :size, :size]
    noise = rng.uniform(size=(count, size, size, channels))
    x = low + (high - low) * (pattern[y] + noise) / 2
    return x.astype("float32"), y


def tokens(count=128, length=12, words=50, classes=4, seed=0):
    """Sentences of whose words a half are those of the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    own = rng.integers(1, words // classes, (count, length))
    own += (y * (words // classes))[:, None]
    other = rng.integers(1, words, (count, length))
    chosen = rng.random((count, length)) < 0.5
    return np.where(chosen, own, other).astype("int32"), y


def series(count=128, length=16, features=4, classes=4, seed=0):
    """Waves of one frequency a class, with noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    time = np.arange(length)[None, :, None]
    phase = rng.uniform(0, 2 * np.pi, (count, 1, features))
    wave = np.sin((1 + y)[:, None, None] * time * np.pi / length * 2 + phase)
    x = 1.2 * wave + 0.5 * rng.normal(size=(count, length, features))
    return x.astype("float32"), y
