"""README and documents tell the truth: sessions run, links and commands exist."""

import pathlib
import re
import shlex

import keras
import pytest
from typer.testing import CliRunner

from keras_initkit_light.cli.main import app

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def without_figures(text):
    """A text with a `#` for each number: other processors round in another way."""
    return re.sub(r"\d+(\.\d+)?(e-?\d+)?", "#", text).strip()


def test_the_session_of_the_readme_runs_and_prints_what_it_says(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    session, told = {}, []
    for code in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(code, "README.md", "exec"), session)
        told.append(capsys.readouterr().out)
    shown = re.findall(r"```text\n(.*?)```", README, re.S)
    assert [without_figures(told[0])] == [without_figures(one) for one in shown]
    assert "PoorWeightInitialization" in told[1]
    assert any(tmp_path.rglob("events.out.tfevents.*"))


def test_the_readme_can_be_read_in_a_minute():
    lines = README.splitlines()
    assert 80 <= len(lines) <= 110
    free = [li for li in lines if not li.startswith(("|", "warning ", "    ", "- "))]
    assert max(map(len, free)) <= 110


LINKS = [
    (page.relative_to(ROOT), link)
    for page in PAGES
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
]


@pytest.mark.parametrize(("page", "link"), LINKS, ids=map(str, LINKS))
def test_links_lead_somewhere(page, link):
    if link.startswith(("https://", "http://", "api/")):
        return  # what is written when the site is built is checked there
    file, _, anchor = link.partition("#")
    target = (ROOT / page).parent / file if file else ROOT / page
    assert target.exists()
    if anchor:
        titles = re.findall(r"(?m)^#+ (.*)$", target.read_text())
        assert anchor in {
            re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles
        }


COMMANDS = sorted(
    {
        line
        for page in PAGES
        for line in re.findall(r"(?m)^    (keras-initkit .*)$", page.read_text())
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_their_options_exist(line):
    _, command, *words = shlex.split(line)
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in re.sub(r"\x1b\[[0-9;]*m", "", result.output)
