"""Every example runs, with tiny settings."""

import pathlib
import runpy

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_initkit as kik

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
TINY = ["--source", "standin", "--limit", "256", "--epochs", "1"]
ARGUMENTS = {
    "train_mnist.py": [*TINY, "--initializer", "he"],
    "mend_a_model.py": [*TINY, "--depth", "2"],
    "train_cifar10.py": [*TINY, "--model", "cifar10_mlp"],
    "train_imdb.py": [*TINY, "--model", "imdb_rnn", "--maxlen", "20"],
    "use_in_your_model.py": ["--epochs", "1"],
    "use_saved_model.py": [],
    "use_with_applications.py": TINY,
    "use_with_custom_train_step.py": TINY,
    "use_with_keras_tuner.py": TINY,
    "use_with_optuna.py": [*TINY, "--trials", "4"],
    "use_with_ray_tune.py": TINY,
    "use_with_tensorboard_callback.py": TINY,
}
OWN_TESTS = {
    "use_saved_model.py",
    "use_with_applications.py",
    "use_with_keras_tuner.py",
    "use_with_optuna.py",
    "use_with_ray_tune.py",
    "use_with_tensorboard_callback.py",
}
# Run by a test of its own: tests/tensorboard_tab/test_tab_sample.py.
ELSEWHERE = {"refresh_logdir.py"}


def test_every_example_is_run():
    assert set(ARGUMENTS) | ELSEWHERE == {path.name for path in EXAMPLES.glob("*.py")}


def run(name, log_dir):
    main = runpy.run_path(str(EXAMPLES / name))["main"]
    return main([*ARGUMENTS[name], "--log-dir", str(log_dir)])


# Draws pictures of three trainings, a minute of work.
SLOW = {"mend_a_model.py"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
        for name in sorted(ARGUMENTS.keys() - OWN_TESTS)
    ],
)
@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_example_runs(name, tmp_path, capsys):
    run(name, tmp_path / "log")
    assert capsys.readouterr().out
    assert list((tmp_path / "log").rglob("events.out.tfevents.*"))


def test_saved_model_is_the_same_in_another_process(tmp_path, capsys):
    assert run("use_saved_model.py", tmp_path / "log")
    assert "DeltaOrthogonal FanInUniform" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_gradients_are_beside_what_the_tensorboard_callback_writes(tmp_path):
    monitor = run("use_with_tensorboard_callback.py", tmp_path)
    runs = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert runs == {"train"}
    events = EventAccumulator(str(tmp_path), {"tensors": 0}).Reload()
    kernels = {"gradient/hidden_1:kernel", "gradient/hidden_2:kernel"}
    assert kernels <= set(events.Tags()["tensors"])
    assert monitor.record.series.keys() == {"backprop", "gradient"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_only_the_new_head_of_a_pretrained_model_is_drawn_and_trained(tmp_path, capsys):
    base, model = run("use_with_applications.py", tmp_path / "log")
    assert "pretrained weights are as they were: True" in capsys.readouterr().out
    assert not base.trainable
    assert {v.path.split("/")[0] for v in model.trainable_variables} == {
        "head_hidden",
        "head_logits",
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_keras_tuner_gives_each_initializer_a_run(tmp_path):
    pytest.importorskip("keras_tuner")
    tuner = run("use_with_keras_tuner.py", tmp_path)
    initializers = {"zero", "glorot_uniform", "he_normal"}
    trials = tuner.oracle.get_best_trials(num_trials=10)
    assert {
        trial.hyperparameters.get("initializer") for trial in trials
    } == initializers
    for name in initializers:
        assert kik.RunRecord.load(tmp_path / name).signal("gradient") is not None


@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_optuna_prunes_trials_by_their_faults(tmp_path):
    pytest.importorskip("optuna")
    study = run("use_with_optuna.py", tmp_path)
    ends = {trial.params["initializer"]: trial.state.name for trial in study.trials}
    assert ends["zero"] == "PRUNED"
    assert ends["he_normal"] == "COMPLETE"
    assert study.best_trial.params["initializer"] != "zero"


# Two seconds of training, and half a minute of Ray's processes.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_tune_stops_trials_by_their_faults(tmp_path):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.tune")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        results = run("use_with_ray_tune.py", tmp_path)
    finally:
        ray.shutdown()
    found = {one.config["initializer"]: one.metrics for one in results}
    assert "SymmetricUnits" in found["zero"]["faults"]
    assert found["he_normal"]["faults"] == ""
    assert found["zero"]["steps"] < found["he_normal"]["steps"]


@pytest.mark.slow
@pytest.mark.realdata
def test_three_models_fail_on_real_mnist_and_learn_it_once_mended(tmp_path):
    main = runpy.run_path(str(EXAMPLES / "mend_a_model.py"))["main"]
    try:
        cases = main(["--source", "real", "--log-dir", str(tmp_path)])
    except kik.data.DataUnavailableError as error:
        pytest.skip(str(error))
    named = {
        "sigmoid_30": "VanishingGradient",
        "relu_30_glorot": "VanishingGradient",
        "zero_cnn": "SymmetricUnits",
    }
    assert cases.keys() == named.keys()
    for name, (failed, mended) in cases.items():
        assert named[name] in {finding.rule for finding in failed[0].findings}
        assert named[name] not in {finding.rule for finding in mended[0].findings}
        assert failed[2] < 0.15
        assert mended[2] > 0.7
    assert (tmp_path / "mend_a_model.png").stat().st_size < 200_000
