"""The contract on the other backends, each in a process of its own."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import pytest

CONTRACT = pathlib.Path(__file__).with_name("test_initializers_contract.py")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_contract_holds_on_other_backends(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    if keras.backend.backend() == backend:
        pytest.skip(f"{backend} is the backend of this session")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CONTRACT)],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=CONTRACT.parent.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
