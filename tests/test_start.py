"""What happens when the packages are imported, in processes of their own."""

import re
import subprocess
import sys

import pytest


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "flags",
    [
        ("-um", "p.train"),
        ("-mp.train",),
        pytest.param(("-Wignore", "-mp.train"), marks=pytest.mark.slow),
        pytest.param(("-m", "p.train"), marks=pytest.mark.slow),
        ("p/train.py",),
    ],
    ids=" ".join,
)
def test_a_users_program_starts_however_it_is_called(flags, tmp_path):
    program = tmp_path / "p"
    program.mkdir()
    (program / "__init__.py").touch()
    (program / "train.py").write_text(
        "import sys\nimport keras_initkit as kik\n"
        "print(kik.initializers.get('he_normal').scale, sys.argv[1:])\n"
    )
    done = run(*flags, "-m", "--help", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "2.0 ['-m', '--help']\n"), done.stderr


def test_the_package_is_whole_whatever_the_program_is_called(tmp_path):
    (tmp_path / "keras-initkit").write_text(
        "import keras_initkit as kik\nprint(kik.initializers.get('he_normal').scale)\n"
    )
    done = run("keras-initkit", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "2.0\n"), done.stderr


@pytest.mark.parametrize(
    "flags",
    [("-mkeras_initkit",), ("-m", "keras_initkit"), ("-mkeras_initkit_light",)],
    ids=" ".join,
)
def test_commands_start_as_modules(flags, tmp_path):
    done = run(*flags, "--version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"keras-initkit \d+\.\d+\.\S+\n", done.stdout)
