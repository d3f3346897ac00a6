"""One run: its numbers, its curve, its directory."""

import json
import math
import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import experiments
from keras_initkit.experiments import run_log
from keras_initkit.experiments.data import as_data
from keras_initkit.recording.record import RunRecord
from tests.experiments.results import result_of


def xor_run(**arguments):
    defaults = dict(epochs=3, batch_size=4, every=1)
    return experiments.train_run(
        lambda i, s: kik.models.build("xor_mlp", initializer=i, seed=s),
        kik.data.load("xor"),
        "glorot_uniform",
        1,
        **{**defaults, **arguments},
    )


def test_numbers_agree_with_keras_alone():
    result = xor_run()
    data = kik.data.load("xor")
    keras.utils.set_random_seed(1)
    model = kik.models.build("xor_mlp", initializer="glorot_uniform", seed=1)
    loss_initial = model.evaluate(data.x_train, data.y_train, verbose=0)[0]
    model.fit(data.x_train, data.y_train, batch_size=4, epochs=3, verbose=0)
    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    assert result.loss_initial == pytest.approx(loss_initial, rel=1e-6)
    assert result.loss_final == pytest.approx(loss, rel=1e-6)
    assert result.accuracy == accuracy
    assert (result.steps, result.epochs, result.batch_size) == (3, 3, 4)
    assert result.log_dir is None
    assert result.nonfinite_step is None


def test_depth_slopes_are_those_of_the_initial_weights():
    result = xor_run()
    keras.utils.set_random_seed(1)
    model = kik.models.build("xor_mlp", initializer="glorot_uniform", seed=1)
    layers = [layer for layer in model.layers if layer.weights]
    x = kik.data.load("xor").x_train.astype("float64")
    stds = []
    for layer in layers:
        kernel, bias = (w.numpy().astype("float64") for w in layer.weights)
        x = 1 / (1 + np.exp(-(x @ kernel + bias)))
        stds.append(x.std())
    # The sigmoid of the output layer gives a probability and does not count.
    profile = result.profile("activation", "std")
    assert profile.values == pytest.approx(stds[:1], rel=1e-5)
    assert math.isnan(result.activation_slope)
    gradients = result.profile("gradient", "rms").values
    assert result.gradient_slope == pytest.approx(np.diff(np.log10(gradients))[0])


def test_a_run_that_becomes_nan_is_a_result():
    def build(initializer, seed):
        model = kik.models.build("xor_mlp", initializer=initializer, seed=seed)
        model.compile("sgd", keras.losses.MeanSquaredError(), metrics=["accuracy"])
        model.optimizer.learning_rate = np.inf
        return model

    data = kik.data.load("xor")
    result = experiments.train_run(
        build, data, "he", 0, epochs=3, batch_size=4, every=1
    )
    assert math.isnan(result.loss_final)
    assert result.nonfinite_step == 0  # the first update
    assert "NonFinite" in [finding.rule for finding in result.findings]
    as_json = result.to_dict()
    assert as_json["loss_final"] is None
    json.dumps(as_json, allow_nan=False)


def test_loss_curve_takes_running_means_apart():
    losses = np.array([4.0, 3.0, 2.0, 1.0, 9.0, 8.0, 7.0, 6.0])  # 2 epochs of 4 steps
    record = RunRecord()
    for step in (0, 3, 6):
        first = step // 4 * 4
        record.add_scalars(step, {"loss": losses[first : step + 1].mean()})
    result = result_of(record=record, epochs=2, steps=8)
    steps, values = result.loss_curve()
    assert steps.tolist() == [0, 3, 6]
    assert values.tolist() == [4, losses[1:4].mean(), losses[4:7].mean()]


def test_loss_curve_weighs_a_smaller_last_batch_by_its_examples():
    def build(initializer, seed):
        zeros = keras.layers.Dense(1, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((1,)), zeros])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        return model

    x = np.ones((33, 1), "float32")
    y = np.arange(33, dtype="float32")[:, None]  # the loss of an example is its square
    data = as_data(((x, y), (x, y)))
    arguments = dict(epochs=2, batch_size=32, every=1)
    result = experiments.train_run(build, data, "he", 0, **arguments)
    steps, (first, last, *second) = result.loss_curve()
    assert steps.tolist() == [0, 1, 2, 3]
    total = float((y.astype("float64") ** 2).sum())
    for batch, single in ((first, last), second):
        # Float32 means over 32 and 33 examples: one rounding or so for each of them.
        error = 2 * 33 * total * float(np.finfo("float32").eps)
        number = round(math.sqrt(single))
        assert single == pytest.approx(number**2, abs=error)
        assert batch * 32 == pytest.approx(total - number**2, abs=error)


def test_loss_curve_of_an_empty_record_is_empty():
    steps, values = result_of().loss_curve()
    assert len(steps) == len(values) == 0


def test_log_directory_says_what_the_run_was(tmp_path):
    result = xor_run(log_dir=tmp_path / "run", hyperparameters={"model": "xor_mlp"})
    content = json.loads((tmp_path / "run" / run_log.RUN_FILE).read_text())
    assert content["status"] == "finished"
    assert content["model"] == "xor_mlp"
    assert content["data"] == "xor"
    assert content["origin"] == kik.data.load("xor").origin
    assert content["loss_final"] == result.loss_final
    record = kik.RunRecord.load(tmp_path / "run")
    assert record.signal("gradient").steps.tolist() == [0, 1, 2]


def test_second_run_replaces_the_first(tmp_path):
    xor_run(log_dir=tmp_path, epochs=5)
    files = set(tmp_path.rglob("events*"))
    xor_run(log_dir=tmp_path, epochs=2)
    assert files.isdisjoint(tmp_path.rglob("events*"))
    record = kik.RunRecord.load(tmp_path)
    assert record.signal("gradient").steps.tolist() == [0, 1]


def test_event_files_of_others_are_left_alone(tmp_path):
    other = tmp_path / "events.out.tfevents.1.other"
    other.write_bytes(b"")
    message = (
        "`log_dir` must be a new directory or one of an earlier run of "
        f"keras_initkit. Received: log_dir={str(tmp_path)!r}, which holds event files "
        "of another program (events.out.tfevents.1.other)."
    )
    with pytest.raises(experiments.LogDirError, match=f"^{re.escape(message)}$"):
        xor_run(log_dir=tmp_path)
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.parametrize("part", ["", "initkit"])
def test_event_files_of_others_in_a_run_of_ours_are_left_alone(tmp_path, part):
    xor_run(log_dir=tmp_path)
    (tmp_path / part).mkdir(exist_ok=True)
    other = tmp_path / part / "events.out.tfevents.1.host.v2"
    other.write_bytes(b"theirs")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(experiments.LogDirError, match=re.escape(f"({other.name})")):
        xor_run(log_dir=tmp_path)
    assert set(tmp_path.rglob("*")) == before
    assert other.read_bytes() == b"theirs"


@pytest.mark.parametrize("content", ['{"epochs": 3}', "[]", "no JSON"])
@pytest.mark.parametrize("events", [["events.out.tfevents.1.host.initkit"], []])
def test_run_json_of_others_makes_no_run_of_ours(tmp_path, content, events):
    (tmp_path / run_log.RUN_FILE).write_text(content)
    for name in events:
        (tmp_path / name).write_bytes(b"theirs")
    message = f"which holds a {run_log.RUN_FILE} of another program."
    with pytest.raises(experiments.LogDirError, match=re.escape(message)):
        xor_run(log_dir=tmp_path)
    assert (tmp_path / run_log.RUN_FILE).read_text() == content
    assert [p.name for p in tmp_path.glob("events*")] == events


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (OSError, "failed")]
)
def test_a_run_without_end_says_so(tmp_path, error, status):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise error

    with pytest.raises(error):
        xor_run(log_dir=tmp_path, callbacks=[Stop()], epochs=10)
    content = json.loads((tmp_path / run_log.RUN_FILE).read_text())
    assert content["status"] == status
    record = kik.RunRecord.load(tmp_path)
    assert record.signal("gradient").steps.tolist() == [0, 1]


@pytest.mark.parametrize("broken", [False, True])
def test_ctrl_c_before_training_begins_is_ctrl_c(tmp_path, monkeypatch, broken):
    class Stop(keras.callbacks.Callback):
        def set_model(self, model):
            raise KeyboardInterrupt

    def no_space(*_, **__):
        raise OSError(28, "No space left on device")

    if broken:
        monkeypatch.setattr(run_log.hparams, "write_session_end", no_space)
    with pytest.raises(KeyboardInterrupt):
        xor_run(log_dir=tmp_path, callbacks=[Stop()])
    content = json.loads((tmp_path / run_log.RUN_FILE).read_text())
    assert content["status"] == ("running" if broken else "interrupted")


def test_ctrl_c_while_the_log_starts_marks_the_run(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_log.hparams, "write_session_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        xor_run(log_dir=tmp_path)
    content = json.loads((tmp_path / run_log.RUN_FILE).read_text())
    assert content["status"] == "interrupted"


@pytest.mark.parametrize("below", ["", "run"])
def test_log_directory_that_cannot_be_is_named(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    path = file / below
    message = (
        "`log_dir` must be a directory that can be created and written to; choose "
        f"another one. Received: log_dir={str(path)!r} ("
    )
    with pytest.raises(experiments.LogDirError, match=f"^{re.escape(message)}"):
        xor_run(log_dir=path)
    assert file.read_text() == "mine"
