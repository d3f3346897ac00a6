"""Keras Tuner chooses among initializers; each trial is a run to look at.

pip install keras-tuner
python examples/use_with_keras_tuner.py
tensorboard --logdir logdir/examples/keras_tuner
"""

import argparse
import pathlib

import keras_tuner

import keras_initkit as kik


class Mnist(keras_tuner.HyperModel):
    """A deep network whose initializer is searched."""

    def __init__(self, log_dir):
        super().__init__()
        self.log_dir = pathlib.Path(log_dir)

    def build(self, hp):
        return kik.models.build(
            "mnist_mlp",
            depth=8,
            width=64,
            initializer=hp.Choice(
                "initializer", ["zero", "glorot_uniform", "he_normal"]
            ),
            seed=0,
        )

    def fit(self, hp, model, *args, callbacks, **kwargs):
        # The tuner copies the callbacks of `search` for each trial; a monitor made
        # here has a run of its own, named by what was chosen.
        monitor = kik.SignalMonitor(self.log_dir / hp.get("initializer"))
        return model.fit(*args, callbacks=[*callbacks, monitor], **kwargs)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=5000, help="training examples")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/keras_tuner")
    args = parser.parse_args(argv)

    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    held_out = args.limit // 5
    tuner = keras_tuner.GridSearch(
        Mnist(args.log_dir),
        objective="val_accuracy",
        directory=args.log_dir,
        project_name="trials",
        overwrite=True,
    )
    tuner.search(
        data.x_train[:-held_out],
        data.y_train[:-held_out],
        epochs=args.epochs,
        validation_data=(data.x_train[-held_out:], data.y_train[-held_out:]),
        verbose=0,
    )
    for trial in tuner.oracle.get_best_trials(num_trials=10):
        print(f"{trial.score:.3f}  {trial.hyperparameters.get('initializer')}")
    return tuner


if __name__ == "__main__":
    main()
