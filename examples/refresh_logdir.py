"""Refresh the sample runs that come with a clone: four initializers on MNIST.

    python examples/refresh_logdir.py
    tensorboard --logdir logdir

Five layers of 64 ReLU units see the training set once, starting from zero weights,
"random" weights (uniform in ±1), and what introductory slides call Xavier and He. Event
file names normally contain the name of the machine; here they are numbered instead.
"""

import argparse
import pathlib

import keras_initkit as kik
from keras_initkit_light.format.files import LogFile

INITIALIZERS = ("zero", "random", "slide_xavier", "slide_he")


def mnist_mlp(initializer, seed):
    return kik.models.build(
        "mnist_mlp", depth=5, width=64, initializer=initializer, seed=seed
    )


def number_event_files(run):
    """Renames the event files of a run, in order."""
    for number, file in enumerate(sorted(run.glob("events.out.tfevents.*"))):
        record = LogFile.of(file.name)
        tail = "sample" if record is None else f"{record.run}.{record.number:04d}"
        name = f"events.out.tfevents.{number:010d}.{tail}.initkit"
        file.rename(file.with_name(name))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="training examples (default: all)")
    parser.add_argument("--source", default="real", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/sample")
    args = parser.parse_args(argv)

    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    comparison = kik.compare(
        mnist_mlp,
        data,
        INITIALIZERS,
        seeds=1,
        epochs=1,
        batch_size=128,
        every=39,
        log_dir=args.log_dir,
    )
    print(comparison)
    for run in comparison.runs:
        number_event_files(pathlib.Path(run.log_dir))
    return comparison


if __name__ == "__main__":
    main()
