"""The README tells the truth: its session runs, its links and commands exist."""

import pathlib
import re
import shlex

import pytest
from typer.testing import CliRunner

from keras_initkit_light.cli.main import app

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_python_snippets_run_as_one_session(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    session = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(code, "README.md", "exec"), session)
        assert "hidden" in capsys.readouterr().out or "print" not in code
    assert any(tmp_path.rglob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    "link", re.findall(r"\]\(([^)#]+)\)", README), ids=lambda link: link
)
def test_links_lead_somewhere(link):
    assert link.startswith("https://") or (ROOT / link).exists()


@pytest.mark.parametrize(
    "line", re.findall(r"^    (keras-initkit .*)$", README, re.M), ids=lambda line: line
)
def test_commands_and_their_options_exist(line):
    _, command, *words = shlex.split(line)
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in re.sub(r"\x1b\[[0-9;]*m", "", result.output)
