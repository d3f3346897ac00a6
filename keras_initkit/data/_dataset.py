"""The loaded data set: arrays, class names, and their origin."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

PAD, START, OOV = 0, 1, 2  # ids that are no words, as in keras.datasets.imdb
FIRST_WORD = 4  # keras.datasets.imdb leaves id 3 unused
SPECIAL_WORDS = {START: "[START]", OOV: "[OOV]"}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set in memory, ready for `model.fit`.

    | name      | `x_train`, `x_test`                     | classes |
    |-----------|-----------------------------------------|---------|
    | `mnist`   | float32 `(n, 28, 28, 1)` in [0, 1]      | 10      |
    | `cifar10` | float32 `(n, 32, 32, 3)` in [0, 1]      | 10      |
    | `imdb`    | int32 `(n, maxlen)` in [0, vocabulary)  | 2       |
    | `xor`     | float32 `(4, 2)`, zeros and ones        | 2       |

    Attributes:
        name: Name the set was loaded by.
        x_train: Training inputs, see the table.
        y_train: int32 `(n,)`, class numbers from 0.
        x_test: Test inputs. The same four points as `x_train` for `xor`.
        y_test: int32 `(n,)`.
        class_names: One name per class, in the order of the class numbers.
        origin: Where the arrays come from, and for a stand-in, why.
        is_standin: Whether a stand-in took the place of the real set.
        vocabulary: Number of token ids (texts only, otherwise `None`).
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    origin: str
    is_standin: bool
    vocabulary: int | None = None
    _words: Callable[[], Mapping[int, str]] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        return self.x_train.shape[1:]

    def decode(self, ids: Any) -> str:
        """Turns one row of token ids back into words.

        Padding is left out; the start of a review reads `[START]` and a word
        outside the vocabulary `[OOV]`.

        Args:
            ids: Integer array of shape `(length,)`, for example `x_test[0]`.

        Returns:
            The words, joined by spaces.

        Raises:
            TypeError: If the data set holds no text.
            ValueError: If `ids` is not one row of integers.
            DataUnavailableError: If the word list of the real reviews can
                neither be found nor downloaded.
        """
        if self._words is None:
            raise TypeError(f"`decode` is for texts, and {self.name!r} holds none.")
        row = np.asarray(ids)
        if row.ndim != 1 or not np.issubdtype(row.dtype, np.integer):
            raise ValueError(
                "`ids` must be one row of integers. Received: "
                f"shape={row.shape}, dtype={row.dtype}."
            )
        words = {**self._words(), **SPECIAL_WORDS}
        oov = SPECIAL_WORDS[OOV]
        return " ".join(words.get(int(i), oov) for i in row if i != PAD)

    def __repr__(self) -> str:
        shape, dtype = self.input_shape, self.x_train.dtype
        return (
            f"<Dataset {self.name}: {len(self.x_train):,} training and "
            f"{len(self.x_test):,} test examples of {shape} {dtype}, "
            f"{len(self.class_names)} classes, origin: {self.origin}>"
        )
