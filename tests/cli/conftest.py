"""What the tests of the command line share."""

import pytest
from typer.testing import CliRunner

from keras_initkit_light.cli.main import app


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Runs a command in an empty directory, as in a terminal of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")

    def run(*arguments):
        result = CliRunner().invoke(app, list(arguments), prog_name="keras-initkit")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
