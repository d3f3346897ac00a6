"""Ray Tune tries initializers in parallel; a trial stops when it has a fault.

pip install "ray[tune]"
python examples/use_with_ray_tune.py
tensorboard --logdir logdir/examples/ray_tune
"""

import argparse
import pathlib

from ray import tune

import keras_initkit as kik

INITIALIZERS = ["zero", "random", "glorot_uniform", "he_normal"]


def train(config, *, data, epochs, log_dir):
    """One trial, in a process of its own."""
    (x, y), held_out = data, len(data[0]) // 5
    model = kik.models.build(
        "mnist_mlp", depth=8, width=64, initializer=config["initializer"], seed=0
    )
    # Ends `fit` as soon as something is wrong that no later epoch would mend.
    monitor = kik.SignalMonitor(
        log_dir / config["initializer"], on_finding="stop", severity="error"
    )
    model.fit(
        x[:-held_out], y[:-held_out], epochs=epochs, callbacks=[monitor], verbose=0
    )
    _, accuracy = model.evaluate(x[-held_out:], y[-held_out:], verbose=0)
    faults = [one.rule for one in monitor.findings if one.severity == "error"]
    steps = int(model.optimizer.iterations)
    tune.report({"accuracy": accuracy, "steps": steps, "faults": ", ".join(faults)})


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=5000, help="training examples")
    parser.add_argument("--source", default="auto", help="auto, real or standin")
    parser.add_argument("--log-dir", default="logdir/examples/ray_tune")
    args = parser.parse_args(argv)

    log_dir = pathlib.Path(args.log_dir).resolve()
    data = kik.data.load("mnist", source=args.source, limit=args.limit)
    trainable = tune.with_parameters(
        train, data=(data.x_train, data.y_train), epochs=args.epochs, log_dir=log_dir
    )
    tuner = tune.Tuner(
        trainable,
        param_space={"initializer": tune.grid_search(INITIALIZERS)},
        run_config=tune.RunConfig(
            storage_path=str(log_dir / "trials"), name="initializers", verbose=0
        ),
    )
    results = tuner.fit()
    for result in results:
        metrics = result.metrics
        print(
            f"{result.config['initializer']:>15}  accuracy {metrics['accuracy']:.3f} "
            f"after {metrics['steps']} steps  {metrics['faults']}"
        )
    return results


if __name__ == "__main__":
    main()
