"""The notebooks: small in git, with what they show, and run from top to bottom."""

import pathlib

import pytest

nbformat = pytest.importorskip(
    "nbformat", reason="needs nbformat: pip install nbclient"
)

NOTEBOOKS = pathlib.Path(__file__).parent.parent / "examples" / "notebooks"
# Tiny settings, put behind the cell of parameters.
SMALL = {
    "mnist": "SOURCE, LIMIT, EPOCHS, SEEDS = 'standin', 256, 1, 1",
    "cifar10": "SOURCE, LIMIT, EPOCHS = 'standin', 128, 1",
    "imdb": "SOURCE, LIMIT, MAXLEN, EPOCHS = 'standin', 256, 30, 1",
}
PICTURES = {"mnist": 5, "cifar10": 5, "imdb": 2}


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_there_is_a_notebook_for_each_data_set():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == SMALL.keys()


MOST_BYTES = 200_000


@pytest.mark.parametrize("name", SMALL)
def test_notebook_is_valid_and_shows_what_it_does(name):
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    # Run from top to bottom, without warnings or traces of a machine.
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    outputs = [output for cell in code for output in cell.outputs]
    assert not [one for one in outputs if one.get("name") == "stderr"]
    assert not [one for one in outputs if one.output_type == "error"]
    assert "/home/" not in (text := nbformat.writes(notebook))
    assert len(text.encode()) < MOST_BYTES
    pictures = [one for one in outputs if "image/png" in one.get("data", {})]
    assert len(pictures) == PICTURES[name]


MODEL = """
%matplotlib inline
import keras
import numpy as np
import keras_initkit as kik
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
plan, diagnosis = kik.recommend(model), kik.diagnose(model, np.ones((8, 4)))
record, findings, lint = diagnosis.record, diagnosis.findings, kik.lint(model)
"""
RESULTS = ("plan", "diagnosis", "record", "findings", "lint")
PLOTS = ("diagnosis.plot()", "record.plot()")


def test_each_result_is_one_output_of_its_cell(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    printed = [f"print({name})" for name in RESULTS]
    cells = [MODEL, *RESULTS, *printed, "diagnosis.show()", *PLOTS]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)])
    execute(nbclient, notebook, tmp_path)
    outputs = {cell.source: cell.outputs for cell in notebook.cells[1:]}
    assert {source: len(shown) for source, shown in outputs.items()} == dict.fromkeys(
        outputs, 1
    )
    kinds = {source: set(one.get("data", ())) for source, (one,) in outputs.items()}
    for name in RESULTS:
        assert kinds[name] == {"text/plain", "text/html"}
    assert [outputs[source][0].get("name") for source in printed] == ["stdout"] * 5
    assert "text/html" in kinds["diagnosis.show()"]
    assert all("image/png" in kinds[source] for source in PLOTS)


def execute(nbclient, notebook, directory):
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(directory)}},
    ).execute()


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_notebook_runs_and_shows_its_pictures(name, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = read(name)
    (place,) = (
        number
        for number, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", [])
    )
    small = f"{SMALL[name]}\nLOG_DIR = {str(tmp_path / 'log')!r}"
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(small))
    execute(nbclient, notebook, tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == PICTURES[name]
    assert list((tmp_path / "log").rglob("events.out.tfevents.*"))
