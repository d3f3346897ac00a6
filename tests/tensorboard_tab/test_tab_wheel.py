"""The wheel, in an environment with TensorBoard and neither Keras nor TensorFlow."""

import pathlib
import re
import subprocess
import sys
import urllib.request
import venv
import zipfile

import pytest
import tab_logs

from keras_initkit_light.tab import plugin

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", directory, ROOT], check=True)
    (path,) = directory.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_holds_the_tab(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entries,) = [name for name in names if name.endswith("/entry_points.txt")]
        points = archive.read(entries).decode()
    package = plugin.STATIC.parent
    files = [p for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    assert {p.relative_to(ROOT).as_posix() for p in files} <= names
    assert re.search(
        r"\[tensorboard_plugins\]\s+"
        r"initkit = keras_initkit_light\.tab\.plugin:InitKitLoader",
        points,
    )


@pytest.mark.slow
def test_installed_wheel_brings_the_tab_without_tensorflow(wheel, tmp_path):
    log_dir = tmp_path / "logs"
    tab_logs.write_run(log_dir / "mlp")
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--no-deps", wheel], check=True)
    # TensorBoard still imports pkg_resources, which newer setuptools no longer bring.
    subprocess.run([*install, "tensorboard>=2.18", "setuptools<81"], check=True)
    subprocess.run([*install, "typer>=0.16", "rich>=13"], check=True)
    for package in ("tensorflow", "keras"):
        absent = subprocess.run(
            [python, "-c", f"import {package}"], capture_output=True
        )
        assert absent.returncode != 0
    for arguments, told in ((["--help"], "diagnose"), (["lesson"], "zero_trap")):
        command = [environment / "bin" / "keras-initkit", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert told in done.stdout

    process = subprocess.Popen(
        [python, "-m", "tensorboard.main", "--logdir", log_dir, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PATH": ""},
    )
    try:
        found = (re.search(r" at (http://\S+)", line) for line in process.stderr)
        address = next(filter(None, found))[1]
        for path in plugin.STATIC.rglob("*"):
            if path.is_file():
                name = path.relative_to(plugin.STATIC.parent).as_posix()
                assert fetch(address, name) == path.read_bytes()
        assert b'"mlp"' in fetch(address, "index")
    finally:
        process.terminate()
        process.wait()


def fetch(address, path):
    with urllib.request.urlopen(f"{address}data/plugin/initkit/{path}") as response:
        return response.read()
