"""Under XLA watching may change how it rounds: on which kinds of model, counted.

    python -m tests.kinds.xla [KIND ...]

trains each kind of model, compiled by XLA, bare and watched, with and without
`backprop`, and prints where bits part. A kind that XLA does not compile, or that
differs from itself, is told apart.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit import schema

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import kinds

SIGNALS = tuple(schema.SIGNALS)
WITHOUT = tuple(one for one in SIGNALS if one != "backprop")


def compiled(build):
    """Returns what a kind builds, its steps compiled by XLA."""

    def built():
        model = build()
        model.jit_compile = True
        return model

    return built


def bits(kind, *monitors):
    """Trains a kind; returns the bits of all variables of its models."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    models = kind.train(kind, compiled(kind.build)(), monitors)
    return [
        np.asarray(variable).tobytes()
        for model in models
        for variable in model.variables
    ]


def outcome(kind):
    """Returns what becomes of one kind, in a word."""
    try:
        bare = bits(kind)
    except Exception as error:
        return f"not compiled: {type(error).__name__}"
    if bits(kind) != bare:
        return "differs from itself"
    for signals, word in ((SIGNALS, "same"), (WITHOUT, "parts by backprop")):
        options = {"signals": signals, "every": kind.every, "rules": None}
        monitor = kik.SignalMonitor(None, **options)
        same = bits(kind, monitor) == bare
        if monitor.guard.failed or not monitor.record.series:
            return "not watched"
        if same:
            return word
    return "PARTS WITHOUT BACKPROP"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    names = parser.parse_args().kinds or [
        name
        for name, kind in kinds.KINDS.items()
        # Eager steps are not compiled.
        if "eager" not in name
    ]
    found = {}
    for name in names:
        found[name] = outcome(kinds.KINDS[name])
        print(f"{name:40} {found[name]}", flush=True)
    for word in dict.fromkeys(found.values()):
        of_it = [name for name, one in found.items() if one == word]
        print(f"{len(of_it):3} {word}: {', '.join(of_it)}")


if __name__ == "__main__":
    main()
