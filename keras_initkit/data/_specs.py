"""What is fixed about each data set: shapes, classes, Keras's cache file."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """One data set that `load` knows.

    Attributes:
        name: Name, the same as in `keras.datasets` where it is there.
        class_names: In the order of the class numbers.
        input_shape: Shape of an image, or `()` for texts.
        cache_file: What Keras keeps in its cache folder.
    """

    name: str
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...] = ()
    cache_file: str = ""

    @property
    def is_text(self) -> bool:
        """Whether the inputs are rows of token ids."""
        return not self.input_shape


MNIST = DataSpec("mnist", tuple("0123456789"), (28, 28, 1), "mnist.npz")
CIFAR10 = DataSpec(
    "cifar10",
    (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    (32, 32, 3),
    "cifar-10-batches-py-target_archive",
)
IMDB = DataSpec("imdb", ("negative", "positive"), cache_file="imdb.npz")
XOR = DataSpec("xor", ("0", "1"), (2,))

SPECS = {spec.name: spec for spec in (CIFAR10, IMDB, MNIST, XOR)}
