"""The data of the published programs: real sets, the posts' own rules, stand-ins.

A stand-in has the shape, the scales and the kind of relation of the data that are not
to be had; the figures it is made of stand in `programs.json`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_initkit import data as real_data

SEED = 7
_LONGEST_REVIEW = 2500  # words
Arrays = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Examples:
    """What a program learns from.

    Attributes:
        x: Inputs, float32 of shape `(examples, ...)`.
        y: Targets as the program gives them to `fit`.
        truth: What predictions are compared with: class numbers, labels of 0 and 1, or
            numbers in the unit of `y`.
        asks: `"classes"`, `"labels"` or `"numbers"`.
    """

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    asks: str


def examples_of(spec: Mapping[str, Any], figures: Mapping[str, Any]) -> Examples:
    """Returns the examples of a program.

    Args:
        spec: `data`, `input` and `target` of a program in `programs.json`.
        figures: The file's `columns` and `iris`.
    """
    given = dict(spec["data"])
    make, asks = MAKERS[given.pop("name")]
    rng = np.random.default_rng(SEED)
    x, truth = make(rng, figures, **given)
    as_input, as_target = spec.get("input", {}), spec.get("target", {})
    x = _scaled(np.asarray(x, np.float64), as_input.get("scaling"))
    if as_input.get("flatten"):
        x = x.reshape(len(x), -1)
    if asks == "numbers":
        truth = _scaled(truth.astype(np.float64), as_target.get("scaling"))
        truth = truth.reshape(len(x), -1)
    y = _as_targets(truth, as_target.get("type"), as_target.get("classes"))
    y = y / as_target.get("divide", 1)
    whole = as_target.get("type") == "int" and "divide" not in as_target
    return Examples(
        x.astype(np.float32), y.astype("int64" if whole else "float32"), truth, asks
    )


def _as_targets(truth: np.ndarray, kind: str | None, classes: int | None) -> np.ndarray:
    if kind == "onehot":
        return np.eye(classes or int(truth.max()) + 1)[truth.reshape(-1)]
    return truth.reshape(len(truth), -1) if kind == "column" else truth


def _scaled(x: np.ndarray, how: str | None) -> np.ndarray:
    if how in (None, "0-255"):
        return x
    if how == "0-1":
        return x / 255
    if how.startswith("/"):
        return x / float(how[1:])
    if how == "log-standard":
        x = np.log10(1 + x)
    elif how != "standard":
        raise ValueError(f"`scaling` is not known. Received: scaling={how!r}")
    std = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(std > 0, std, 1)


def _images(rng, figures, *, name: str, n: int) -> Arrays:
    found = real_data.load(name, limit=n, test_limit=1)
    return 255 * found.x_train, found.y_train


def _reviews(rng, figures, *, n: int, dim: int) -> Arrays:
    found = real_data.load(
        "imdb", limit=n, test_limit=1, vocabulary=dim, maxlen=_LONGEST_REVIEW
    )
    words = np.zeros((len(found.x_train), dim))
    np.put_along_axis(words, found.x_train, 1, axis=1)
    words[:, 0] = 0  # the padding
    return words, found.y_train


def _xor(rng, figures, *, rows: str = "four") -> Arrays:
    corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    if rows == "six":
        corners = [corners[n] for n in (3, 0, 2, 1, 3, 0)]
    x = np.array(corners)
    return x, x[:, 0] ^ x[:, 1]


def _two_boxes(rng, figures) -> Arrays:
    y = rng.permutation(np.repeat([0, 1], 100))
    return rng.uniform(0.2, 0.4, (200, 2)) + 0.3 * y[:, None], y


def _ones_or_zeros(rng, figures) -> Arrays:
    y = rng.permutation(np.repeat([0, 1], 1000))
    return np.tile(y[:, None], (1, 128)), y


def _bits(rng, figures) -> Arrays:
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return bits, bits


def _book(rng, figures) -> Arrays:
    x = rng.normal([0.71, 0.57], [0.98, 0.74], (17, 2))
    slope = (x - [0.7, 0.6]) @ [0.6, -0.7]
    return x, 0.01 + slope + rng.normal(0, 0.3, 17)


def _word_counts(rng, figures, *, classes: int, features: int, n: int = 4000) -> Arrays:
    y = rng.integers(0, 2, (n, classes))
    words = rng.dirichlet(np.full(features, 0.3), classes + 1)
    weights = np.hstack([y, np.full((n, 1), 0.2)])
    shares = weights @ words / weights.sum(axis=1, keepdims=True)
    return rng.multinomial(50, shares), y


def _plane(rng, figures) -> Arrays:
    x = rng.uniform(0, 10_000, (4000, 3))
    return x, x @ [2.0, 1.0, 0.5] + 2.2


def _codes(rng, figures) -> Arrays:
    x = rng.integers([65, 66, 67], [69, 70, 71], (210, 3))
    return x, (x[:, 0] + x[:, 2] > 135).astype(int)


def _noisy_parabola(rng, figures) -> Arrays:
    x = np.arange(50) / 10
    return x[:, None], 5 * x**2 + rng.normal(size=50) ** 3


def _power(rng, figures, *, low, high, step, exponent, offset=0.0) -> Arrays:
    x = np.arange(low, high, step, dtype=np.float64)
    return x[:, None], x**exponent + offset


def _line(rng, figures, *, range, slope, offset) -> Arrays:
    x = np.arange(*range, dtype=np.float64)
    return x[:, None], slope * x + offset


def _polynomial(rng, figures, *, n: int) -> Arrays:
    x = rng.uniform(size=n)
    return x[:, None], x**4 + x**3 - x


def _sine(rng, figures, *, n: int, half_periods: float) -> Arrays:
    x = np.arange(n)
    return x[:, None], np.sin(half_periods * np.pi * x / n)


def _rising_sine(rng, figures, *, n: int) -> Arrays:
    # Two neighbours of a sine, where it rises; the file of the post holds no others.
    angle = 2 * np.pi * np.arange(1000) / 100
    now, before = np.sin(angle), np.sin(angle - 2 * np.pi / 100)
    x = np.stack([now, before], axis=1)[now > before][:n]
    return x, np.ones(len(x), int)


def _threshold(rng, figures) -> Arrays:
    x = rng.integers(15_040, 24_990, (1000, 1))
    return x, (x[:, 0] < 20_000).astype(int)


def _numbers(rng, figures) -> Arrays:
    # The class tells how many digits a number has and which comes first.
    digits = rng.integers(1, 9, 2000)
    first = rng.uniform(1, 10, 2000)
    x = np.floor(10.0 ** (digits - 1) * first)
    return x[:, None], np.minimum(9 * (digits - 1) + first.astype(int) - 1, 68)


def _iris(rng, figures) -> Arrays:
    y = rng.permutation(np.repeat(np.arange(3), 50))
    mean, std = (np.array(figures["iris"][name])[y] for name in ("mean", "std"))
    return rng.normal(mean, std), y


def _life(rng, figures, *, n: int, size: int) -> Arrays:
    board = rng.integers(0, 2, (n, size, size))
    padded = np.pad(board, ((0, 0), (1, 1), (1, 1)), mode="wrap")
    around = sum(
        padded[:, i : i + size, j : j + size]
        for i, j in np.ndindex(3, 3)
        if (i, j) != (1, 1)
    )
    lives = (around == 3) | ((board == 1) & (around == 2))
    return padded[..., None], lives.astype(int)[..., None]


def _columns(rng, figures: list, n: int, shared: float = 0.0) -> Arrays:
    """Returns table columns with given mean, std and kind, and what drives them."""
    own, common = rng.normal(size=(n, len(figures))), rng.normal(size=(n, 1))
    driver = np.sqrt(1 - shared**2) * own + shared * common
    made = []
    for (mean, std, kind), z in zip(figures, driver.T, strict=True):
        if kind == "binary":
            made.append(z > 0)
        elif kind == "positive":  # log-normal
            width = np.sqrt(np.log1p((std / mean) ** 2))
            made.append(mean * np.exp(width * z - width**2 / 2))
        else:
            column = mean + std * z
            if mean > 0:
                column = np.maximum(column, 0)
            made.append(np.round(column) if kind == "whole" else column)
    return np.stack(made, axis=1), driver


def _table(rng, figures, *, table: str, n: int) -> Arrays:
    x, driver = _columns(rng, figures["columns"][table], n)
    score = driver @ rng.normal(size=driver.shape[1]) + driver[:, 0] * driver[:, 1] / 2
    return x, (score > 0).astype(int)


def _houses(rng, figures, *, n: int, features: int) -> Arrays:
    kinds = figures["columns"]["houses"]
    table = [kinds[column % len(kinds)] for column in range(features)]
    x, driver = _columns(rng, table, n, shared=0.5)
    score = driver @ rng.normal(size=features)
    return x, 180_921 + 79_442 * score / score.std()


def _pictures(rng, figures, *, n: int, shape: list[int], classes: int) -> Arrays:
    """Returns coarse pictures, one a class, under noise, in 0 to 255."""
    height, width, channels = shape
    coarse = rng.uniform(size=(classes, -(-height // 4), -(-width // 4), channels))
    fine = np.kron(coarse, np.ones((1, 4, 4, 1)))[:, :height, :width]
    y = rng.integers(0, classes, n)
    return 255 * (0.6 * fine[y] + 0.4 * rng.uniform(size=(n, *shape))), y


def _faces(rng, figures) -> Arrays:
    """Returns smooth fields of eight amplitudes, and 30 linear functions of these."""
    amplitudes = rng.uniform(-1, 1, (500, 8))
    line = np.linspace(-1, 1, 96)
    fields = [np.outer(np.sin(k * line + k), np.cos(k * line + line)) for k in range(8)]
    x = 0.5 + 0.12 * np.tensordot(amplitudes, np.stack(fields), 1)
    x += rng.normal(0, 0.05, x.shape)
    return np.clip(x, 0, 1).reshape(500, -1), 0.3 * amplitudes @ rng.normal(
        size=(8, 30)
    )


def _padded_steps(rng, figures, *, n: int, merge_labels: bool = False) -> Arrays:
    # Five series a sequence, of mean 0 at steps of label 1 and of mean 2 at those of
    # label 2; padded with 0 to 20 steps, and reshaped where it had to be transposed.
    x, y = np.zeros((n, 5, 20)), np.zeros((n, 20), int)
    for row, length in enumerate(np.clip(rng.normal(12.7, 3.8, n), 5, 19).astype(int)):
        y[row, :length] = rng.integers(1, 3, length)
        noise = rng.normal(0, 0.93, (5, length))
        x[row, :, :length] = 2 * (y[row, :length] - 1) + noise
    labels = np.maximum(y - 1, 0) if merge_labels else y
    return x.reshape(n, 20, 5), labels[..., None]


def _cubes(rng, figures, *, n: int, shape: tuple = (6, 16, 16, 16, 3)) -> Arrays:
    y = rng.permutation(np.repeat([0, 1], n // 2))
    return np.broadcast_to(y.reshape(-1, *[1] * len(shape)), (n, *shape)), y


def _autoencoder(rng, figures, *, n: int, features: int) -> Arrays:
    x = rng.normal(size=(n, features))
    return x, x


# Name of the data: how they are made, and what is asked of them.
MAKERS: dict[str, tuple[Callable[..., Arrays], str]] = {
    "mnist": (functools.partial(_images, name="mnist"), "classes"),
    "cifar10": (functools.partial(_images, name="cifar10"), "classes"),
    "imdb": (_reviews, "labels"),
    "xor": (_xor, "labels"),
    "two-boxes": (_two_boxes, "classes"),
    "ones-or-zeros": (_ones_or_zeros, "labels"),
    "bits": (_bits, "labels"),
    "book": (_book, "numbers"),
    "word-counts": (_word_counts, "labels"),
    "plane": (_plane, "numbers"),
    "codes": (_codes, "labels"),
    "noisy-parabola": (_noisy_parabola, "numbers"),
    "power": (_power, "numbers"),
    "line": (_line, "numbers"),
    "polynomial": (_polynomial, "numbers"),
    "sine": (_sine, "numbers"),
    "rising-sine": (_rising_sine, "labels"),
    "threshold": (_threshold, "labels"),
    "numbers": (_numbers, "classes"),
    "iris": (_iris, "classes"),
    "life": (_life, "labels"),
    "table": (_table, "classes"),
    "houses": (_houses, "numbers"),
    "pictures": (_pictures, "classes"),
    "faces": (_faces, "numbers"),
    "padded-steps": (_padded_steps, "classes"),
    "cubes": (_cubes, "classes"),
    "autoencoder": (_autoencoder, "numbers"),
}
