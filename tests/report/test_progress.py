"""Progress where somebody looks: in a terminal, in a notebook's cell, nowhere else."""

import io
import sys

import pytest
import rich.console

from keras_initkit.report import progress

nbformat = pytest.importorskip("nbformat")


@pytest.fixture
def slow(monkeypatch):
    """Has all work count as slow."""
    monkeypatch.setattr(progress, "_QUICK", 0.0)


def through(monkeypatch, **options):
    """What a console of these options gets to see of three items."""
    file = io.StringIO()
    console = rich.console.Console(file=file, width=80, **options)
    monkeypatch.setattr(progress.rich.console, "Console", lambda **_: console)
    items = progress.tracked("abc", "runs", 4, lambda item: f"[b]run {item}")
    assert list(items) == ["a", "b", "c"]
    return file.getvalue()


def test_a_terminal_sees_a_bar_that_goes_away(slow, monkeypatch):
    seen = through(monkeypatch, force_terminal=True)
    assert "3/4" in seen
    assert "[b]run c" in seen  # as it is, no markup
    assert seen.endswith("\x1b[2K")  # the line is erased


def test_a_pipe_sees_nothing(slow, monkeypatch):
    assert through(monkeypatch, force_terminal=False) == ""


def test_what_is_quick_shows_nothing(monkeypatch):
    assert through(monkeypatch, force_terminal=True) == ""


def test_bar_goes_away_when_the_work_is_left(slow, monkeypatch):
    file = io.StringIO()
    console = rich.console.Console(file=file, force_terminal=True)
    monkeypatch.setattr(progress.rich.console, "Console", lambda **_: console)
    for item in progress.tracked("abc", "runs", 3):
        if item == "b":
            break
    assert file.getvalue().endswith("\x1b[2K")


CELL = """
import keras_initkit as kik
from keras_initkit.report import progress
progress._QUICK = 0.0
"""
COMPARE = """
_ = kik.compare("xor_mlp", "xor", ["he_normal", "zeros"], seeds=2, epochs=1)
"""


def test_a_cell_has_one_line_of_progress_while_it_compares(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(one) for one in (CELL, COMPARE)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    (output,) = notebook.cells[1].outputs
    assert output["data"]["text/plain"].startswith("4 of 4 runs in ")


def test_outside_of_a_kernel_ipython_is_no_notebook(monkeypatch):
    class Shell:
        kernel = None

    class IPython:
        get_ipython = staticmethod(Shell)

    monkeypatch.setitem(sys.modules, "IPython", IPython)
    assert progress.kernel() is None
