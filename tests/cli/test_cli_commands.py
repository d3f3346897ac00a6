"""The commands: exit codes, what goes to standard output and what to standard error."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from keras_initkit import __version__
from keras_initkit_light.cli import _console, _names
from keras_initkit_light.cli._closing import tensorboard

ARGUMENTS = ["--source", "standin", "--limit", "200", "--epochs", "2"]


def start(*arguments, cwd, **options):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, "-m", "keras_initkit_light", *arguments],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--help"], ("train", "compare", "diagnose", "recommend", "catalog")),
        (["lesson"], ("zero_trap", "symmetry", "references")),
    ],
    ids=lambda value: value[0],
)
def test_help_and_lists_import_no_keras(arguments, told):
    code = (
        f"import sys; sys.argv = {['keras-initkit', *arguments]}\n"
        "from keras_initkit_light.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert 'keras' not in sys.modules, 'keras'\n"
        "assert 'tensorflow' not in sys.modules, 'tensorflow'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for word in told:
        assert word in done.stdout


def test_version(tmp_path):
    process = start("--version", cwd=tmp_path)
    assert process.communicate() == (f"keras-initkit {__version__}\n", "")
    assert process.returncode == 0


def test_tensorboard_is_named_as_it_can_be_typed(monkeypatch, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.with_name("tensorboard").touch()
    monkeypatch.setattr(sys, "executable", str(python))
    for found, here, expected in (
        ("/usr/bin/tensorboard", tmp_path, "tensorboard"),
        (None, tmp_path, ".venv/bin/tensorboard"),
        (None, python.parent, str(python.with_name("tensorboard"))),
        (None, pathlib.Path("/usr"), str(python.with_name("tensorboard"))),
    ):
        monkeypatch.setattr("shutil.which", lambda name, found=found: found)
        monkeypatch.chdir(here)
        assert tensorboard() == expected
    python.with_name("tensorboard").unlink()
    assert tensorboard() == "tensorboard"


def test_train_reports_and_says_what_to_type_next(invoke):
    result = invoke("train", "mnist", *ARGUMENTS, "--initializer", "he_normal")
    assert result.exit_code == 0
    for word in ("hidden_1", "hidden_2", "logits", "test accuracy", "No fault found."):
        assert word in result.stdout
    lines = result.stderr.splitlines()
    path = "logdir/mnist/mnist_mlp/he_normal-seed0"
    assert lines[-1] == f"Next: {tensorboard()} --logdir {path}"
    assert lines[-2].startswith("NOT THE REAL DATA: stand-in for mnist:")
    assert list(pathlib.Path(path).glob("events.out.tfevents.*"))
    assert "\x1b" not in result.stdout + result.stderr


def test_train_as_json_prints_one_object(invoke):
    result = invoke("train", "xor", "--epochs", "2", "--seed", "3", "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    (run,) = content["runs"]
    assert (run["initializer"], run["seed"]) == ("glorot_uniform", 3)
    assert {"accuracy", "loss_initial", "loss_final"} < set(run)
    assert content["data"] == "xor"
    assert content["is_standin"] is False


def test_train_takes_a_model_and_a_log_dir(invoke, tmp_path):
    log_dir = tmp_path / "my runs"
    result = invoke("train", "xor_mlp", "--epochs", "1", "--log-dir", str(log_dir))
    assert result.exit_code == 0
    assert "xor_mlp on xor" in result.stdout
    last = result.stderr.splitlines()[-1]
    assert last == f"Next: {tensorboard()} --logdir '{log_dir}'"
    assert list(log_dir.glob("events.out.tfevents.*"))


def test_train_refuses_a_directory_of_another_program(invoke, tmp_path):
    (tmp_path / "events.out.tfevents.1.other").write_bytes(b"")
    result = invoke("train", "xor", "--epochs", "1", "--log-dir", str(tmp_path))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: `log_dir` must be a new directory" in result.stderr


@pytest.mark.parametrize("command", ["train", "compare"])
def test_log_dir_that_cannot_be_is_misuse(invoke, tmp_path, command):
    file = tmp_path / "file"
    file.write_text("mine")
    result = invoke(command, "xor", "--epochs", "1", "--log-dir", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: `log_dir` must be a directory that can be created" in result.stderr


def test_interrupted_picture_leaves_the_table(invoke, monkeypatch):
    from keras_initkit import experiments

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments.ComparisonResult, "plot", interrupted)
    result = invoke(
        "compare", "xor", "--initializers=zero,he", "--seeds=1", "--epochs=1"
    )
    assert result.exit_code == 130
    assert "xor_mlp on xor, " in result.stdout
    assert "Interrupted: 2 of 2 runs had finished and are kept." in result.stderr
    assert "Picture:" not in result.stderr


def test_compare_prints_table_and_reasons(invoke):
    result = invoke(
        "compare", "mnist", *ARGUMENTS, "--initializers", "zero,he_normal", "--seeds=2"
    )
    assert result.exit_code == 0
    assert "mean ± std over 2 seeds" in result.stdout
    *_, best, worst = result.stdout.splitlines()
    assert best.split(maxsplit=1)[0] == "he_normal"
    assert re.match(r" +zero  identical units: ", worst)
    lines = result.stderr.splitlines()
    assert lines[-1] == f"Next: {tensorboard()} --logdir logdir/mnist/mnist_mlp"
    assert lines[-2] == "Picture: logdir/mnist/mnist_mlp/compare.png"
    assert sum("accuracy" in line for line in lines) == 4
    folder = pathlib.Path("logdir/mnist/mnist_mlp")
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((folder / "compare.json").read_text())
    assert content["ranking"] == ["he_normal", "zero"]
    assert "\x1b" not in result.stdout + result.stderr


def test_table_says_over_how_many_seeds_each_row_is(capsys):
    from keras_initkit import experiments
    from keras_initkit.recording.record import RunRecord
    from keras_initkit_light.cli import compare as command  # noqa: F401 (fills sys.modules)

    def run(name, seed):
        values = [0.5, 1.0, 0.5, 0.0, 0.0, None, 1, 10, 32, 1.0, None, []]
        return experiments.RunResult(name, seed, *values, record=RunRecord())

    def title_and_rows(*pairs):
        comparison = experiments.ComparisonResult(
            "mlp", "xor", "here", False, ("he", "zero"), (0, 1, 2)
        )
        comparison.runs = [run(*pair) for pair in pairs]
        sys.modules["keras_initkit_light.cli.compare"]._print_table(comparison)
        out = capsys.readouterr().out
        return out, [re.split(r"\s*│\s*", x)[1:3] for x in out.splitlines() if "│" in x]

    out, rows = title_and_rows(("he", 0), ("he", 1), ("zero", 0))
    assert "mlp on xor, mean ± std over seeds, 10 steps of 32" in out
    assert rows == [["he", "2"], ["zero", "1"]]
    out, rows = title_and_rows(("he", 0), ("he", 1), ("zero", 0), ("zero", 1))
    assert "mean ± std over 2 seeds, 10" in out
    assert rows == [["he", "0.500 ±0"], ["zero", "0.500 ±0"]]
    assert "mlp on xor, 1 seed, 10 steps" in title_and_rows(("he", 0))[0]


def test_compare_as_json_prints_one_object(invoke):
    result = invoke(
        "compare", "xor", "--initializers=zero,he", "--seeds=1", "--epochs=2", "--json"
    )
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert [run["initializer"] for run in content["runs"]] == ["zero", "he"]
    assert content["runs"][0]["activation_slope"] is None


def test_catalog_lists_initializers(invoke):
    result = invoke("catalog")
    assert result.exit_code == 0
    assert "he_normal" in result.stdout
    for column in ("family", "values", "good for", "bad for", "paper"):
        assert column in result.stdout
    assert result.stderr == ""
    content = json.loads(invoke("catalog", "--json").stdout)
    by_name = {entry["name"]: entry for entry in content["initializers"]}
    assert by_name["he"]["class"] == "HeNormal"
    assert by_name["slide_he"]["class"] == "FanInUniform"


@pytest.mark.parametrize("columns", [60, 100])
def test_a_pipe_is_as_wide_as_columns_says_and_cuts_no_address(
    invoke, monkeypatch, columns
):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = invoke("catalog").stdout
    assert max(map(len, text.splitlines())) == columns
    assert "…" not in text
    monkeypatch.setenv("COLUMNS", "")
    assert max(map(len, invoke("catalog").stdout.splitlines())) == 160


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("train", "mnisst"), "mnist"),
        (("compare", "cifar10mlp"), "cifar10_mlp"),
        (("train", "imbd"), "imdb"),
    ],
)
def test_a_slip_of_the_pen_is_told(invoke, arguments, name):
    assert f"Did you mean {name!r}?" in invoke(*arguments).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "mnisst"],
            "Error: NAME must be a data set, one of ('cifar10', 'imdb', 'mnist', "
            "'xor'), or a reference model, one of ",
        ),
        (
            ["train", "xor", "--model", "mnist_mlp"],
            "Error: --model must be a model for xor. Received: 'mnist_mlp', which is "
            "for mnist.",
        ),
        (["train", "xor", "--initializer", "hee"], "Error: `identifier` must name"),
        (["compare", "xor", "--initializers", "he,hee"], "Error: `initializers` must"),
        (["compare", "xor", "--initializers", "he,he"], "Error: `initializers` must"),
        (["compare", "xor", "--jobs", "0"], "Error: `n_jobs` must be at least 1, or"),
        (["compare", "xor", "--limit", "5"], "Error: `limit` must be at most 4"),
    ],
    ids=["name", "model", "initializer", "initializers", "twice", "jobs", "limit"],
)
def test_misuse_is_one_line_on_stderr(invoke, arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["train", "xor", "--epochs", "0"], ["compare", "xor", "--seeds", "no"]],
    ids=["no name", "epochs", "seeds"],
)
def test_bad_parameters_exit_with_2(invoke, arguments):
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_interrupted_compare_keeps_finished_runs(tmp_path):
    process = start(
        "compare", "xor", "--initializers=zero,he", "--seeds=500", "--epochs=2",
        cwd=tmp_path,
        start_new_session=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    seen = ""
    deadline = time.monotonic() + 120
    while "2/1000" not in seen and time.monotonic() < deadline:
        line = process.stderr.readline()
        assert line, f"ended early: {seen}"
        seen += line
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    found = re.search(
        r"^Interrupted: (\d+) of 1000 runs had finished and are kept\.$",
        stderr,
        re.MULTILINE,
    )
    assert found, stderr
    assert "Traceback" not in seen + stderr
    content = json.loads((tmp_path / "logdir/xor/xor_mlp/compare.json").read_text())
    assert content["interrupted"] is True
    assert len(content["runs"]) == int(found[1]) >= 2
    assert "zero" in stdout
    # Start-up messages of the backend are no part of the report.
    assert not [x for x in (seen + stderr).splitlines() if _console._NOISE.match(x)]


def test_interrupted_train_says_where_the_record_is(invoke, monkeypatch):
    from keras_initkit import experiments

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "train_run", interrupted)
    result = invoke("train", "xor")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        "Interrupted. What was recorded so far is in "
        "logdir/xor/xor_mlp/glorot_uniform-seed0\n"
    )


@pytest.mark.parametrize("at", ["import_keras", "load"])
@pytest.mark.parametrize("command", ["train", "compare"])
def test_interrupted_before_training_says_so(invoke, monkeypatch, command, at):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    room = _names if at == "load" else _console
    monkeypatch.setattr(room, at, interrupted)
    result = invoke(command, "xor")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "Interrupted.\n"


def test_quick_compare_trains_enough_steps_on_little_data():
    from keras_initkit import models

    quick = _names.Quick(limit=1000, steps=50, batch_size=100)
    spec = models.spec_of("mnist_mlp")
    task = _names.load(spec, "standin", None, None, None, quick)
    assert (len(task.data.x_train), task.epochs, task.batch_size) == (1000, 5, 100)
    task = _names.load(spec, "standin", 130, None, None, quick)
    assert (len(task.data.x_train), task.epochs) == (130, 25)
    task = _names.load(spec, "standin", 130, 3, 32, quick)
    assert (task.epochs, task.batch_size) == (3, 32)
    task = _names.load(spec, "standin", 130, None, None, None)
    assert (task.epochs, task.batch_size) == (spec.epochs, spec.batch_size)


def test_noise_of_the_backend_is_told_from_what_matters(capfd):
    with _console._without_noise():
        os.write(2, b"I0000 00:00:17.1 4806 port.cc:153] oneDNN custom operations\n")
        os.write(2, b"RuntimeError: no backend\n")
    assert capfd.readouterr().err == "RuntimeError: no backend\n"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("logdir/a-b.c", "logdir/a-b.c"),
        ("my runs", "'my runs'"),
        ("a'b", "'a'\"'\"'b'"),
    ],
)
def test_shell_word_is_safe_to_paste(path, word):
    assert _names.shell_word(path) == word
