"""The comparisons on real data that docs/compare.md tells of, and their pictures.

    PYTHONPATH=docs python -m _generate.comparisons [NAME ...]

Each prints its table and verdict and writes docs/images/compare_NAME.png. Runs that
have finished in `--log-dir` are kept.
"""

import argparse
import pathlib
from typing import Any, NamedTuple

import keras_initkit as kik
from keras_initkit.experiments.threads import compute_with
from keras_initkit.report import drawing

IMAGES = pathlib.Path(__file__).parents[1] / "images"


class Comparison(NamedTuple):
    """What is compared, on which part of a data set."""

    model: str
    data: str
    initializers: tuple[str, ...]
    examples: int
    tested: int
    epochs: int
    grid: dict[str, Any] | None = None
    seeds: int = 5


COMPARISONS = {
    "depth": Comparison(
        "mnist_mlp",
        "mnist",
        ("glorot_uniform", "he_normal", "lsuv", "recommended"),
        examples=6000,
        tested=10_000,
        epochs=3,
        grid={"depth": [30]},
    ),
    "cifar10": Comparison(
        "cifar10_cnn",
        "cifar10",
        ("random_normal", "glorot_uniform", "he_normal", "lsuv"),
        examples=3000,
        tested=2000,
        epochs=3,
    ),
    "imdb": Comparison(
        "imdb_rnn",
        "imdb",
        ("random_normal", "glorot_uniform", "he_normal", "orthogonal"),
        examples=5000,
        tested=5000,
        epochs=3,
    ),
}


def compare(name, log_dir):
    """Makes a comparison of `COMPARISONS`."""
    what = COMPARISONS[name]
    data = kik.data.load(
        what.data, source="real", limit=what.examples, test_limit=what.tested
    )
    return kik.compare(
        what.model,
        data,
        what.initializers,
        grid=what.grid,
        seeds=what.seeds,
        epochs=what.epochs,
        log_dir=log_dir / name,
        progress=False,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(COMPARISONS), metavar="NAME")
    parser.add_argument("--log-dir", default="logdir/comparisons", type=pathlib.Path)
    given = parser.parse_args()
    compute_with(1)
    for name in given.names:
        found = compare(name, given.log_dir)
        print(found, flush=True)
        *_, (_, figure) = found.pictures()  # of the only point, where there is a grid
        drawing.save(figure, IMAGES / f"compare_{name}.png")


if __name__ == "__main__":
    main()
