"""Optuna chooses an initializer and a learning rate; faulty trials are pruned early.

pip install optuna
python examples/use_with_optuna.py
tensorboard --logdir logdir/examples/optuna
"""

import argparse
import pathlib

import optuna

import keras_initkit as kik

INITIALIZERS = ["zero", "random", "glorot_uniform", "he_normal"]


def make_objective(data, epochs, log_dir):
    held_out = len(data.x_train) // 5

    def objective(trial):
        model = kik.models.build(
            "mnist_mlp",
            depth=8,
            width=64,
            initializer=trial.suggest_categorical("initializer", INITIALIZERS),
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            seed=0,
        )
        monitor = kik.SignalMonitor(
            log_dir / f"trial{trial.number}", on_finding="raise", severity="error"
        )
        try:
            history = model.fit(
                data.x_train[:-held_out],
                data.y_train[:-held_out],
                epochs=epochs,
                validation_data=(data.x_train[-held_out:], data.y_train[-held_out:]),
                callbacks=[monitor],
                verbose=0,
            )
        except kik.callbacks.TrainingFault as fault:
            # No later epoch would mend identical units or a gradient of 0.
            trial.set_user_attr("fault", str(fault))
            raise optuna.TrialPruned(str(fault)) from fault
        return history.history["val_accuracy"][-1]

    return objective


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--limit", type=int, default=5000, help="training examples")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/optuna")
    args = parser.parse_args(argv)

    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0)
    )
    # Each initializer is tried, whatever the sampler would begin with.
    for name in INITIALIZERS:
        study.enqueue_trial({"initializer": name})
    objective = make_objective(data, args.epochs, pathlib.Path(args.log_dir))
    study.optimize(objective, n_trials=args.trials)
    for trial in study.trials:
        outcome = trial.user_attrs.get("fault") or f"accuracy {trial.value:.3f}"
        print(f"{trial.params['initializer']:>15}  {outcome}")
    return study


if __name__ == "__main__":
    main()
