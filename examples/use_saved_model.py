"""A model saved with the kit's initializers and loaded in another process.

    python examples/use_saved_model.py

`import keras_initkit` is all that the other process needs; `load_model` then finds the
initializers by the names they are registered under.
"""

import argparse
import pathlib
import subprocess
import sys

import keras
import numpy as np

import keras_initkit as kik

OTHER_PROCESS = """
import sys
import keras, numpy as np
import keras_initkit

model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model(np.ones((1, 16, 16, 3))))
print(*(layer.kernel_initializer.__class__.__name__ for layer in model.layers[::2]))
"""


def build():
    """A small network with two of the kit's initializers."""
    orthogonal = kik.initializers.get("delta_orthogonal")
    return keras.Sequential(
        [
            keras.layers.Input((16, 16, 3)),
            keras.layers.Conv2D(8, 3, kernel_initializer=orthogonal),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_initializer="fan_in_uniform"),
        ]
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log-dir", default="logdir/examples/saved_model")
    args = parser.parse_args(argv)

    directory = pathlib.Path(args.log_dir)
    directory.mkdir(parents=True, exist_ok=True)
    file, outputs = directory / "model.keras", directory / "outputs.npy"
    model = build()
    model.save(file)

    command = [sys.executable, "-c", OTHER_PROCESS, str(file), str(outputs)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(f"The other process has a model with the initializers {found.strip()}.")
    same = np.array_equal(np.load(outputs), model(np.ones((1, 16, 16, 3))))
    print(f"Its outputs are the same bits: {same}")
    return same


if __name__ == "__main__":
    main()
