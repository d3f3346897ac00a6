"""Every Python block of the documentation runs and prints what stands below it."""

import keras
import pytest

from tests.docs import pages

PAGES = pages.chosen()


# Its programs are those of examples and of other tests, put together.
SLOW = {"recipes"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] * (path.stem in SLOW))
        for path in PAGES
    ],
    ids=lambda path: path.stem,
)
def test_programs_run_and_print_what_the_page_shows(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As in a process of its own: pages show names that Keras has numbered.
    keras.utils.clear_session(free_memory=False)
    text = path.read_text(encoding="utf-8")
    shown = [output or "" for _, output in pages.blocks(text)]
    printed = pages.run(text)
    pairs = zip(shown, printed, strict=True)
    found = [one for pair in pairs for one in pages.differences(*pair)]
    assert not found, "run python -m tests.docs if these are meant"
    for drawn in tmp_path.glob("*.png"):
        assert f"images/{drawn.name}" in text
        assert (pages.DOCS / "images" / drawn.name).exists()


@pytest.mark.parametrize("name", pages.ELSEWHERE)
def test_a_page_that_is_left_out_is_run_by_another_test(name):
    test = pages.DOCS.parent / pages.ELSEWHERE[name]
    assert f"{name}.md" in test.read_text(encoding="utf-8")


def test_there_are_pages_with_programs():
    assert {"not_learning", "choosing", "watching"} <= {path.stem for path in PAGES}


@pytest.mark.parametrize(
    ("shown", "printed", "differs"),
    [
        ("loss 0.46\n", "loss 0.46\n", False),
        ("loss 0.46\n", "loss 0.48\n", False),
        ("loss 0.46\n", "loss 0.92\n", True),
        ("loss 0.46\n", "los 0.46\n", True),
        ("a -2.0 b\n", "a\n-2 b\n", False),
        ("error A\n", "", True),
        ("", "error A\n", True),
        ("7e-09 of hidden_1\n", "7e-09 of hidden_2\n", True),
    ],
)
def test_what_counts_as_a_difference(shown, printed, differs):
    assert bool(pages.differences(shown, printed)) is differs


def test_outputs_are_written_below_their_programs():
    text = (
        "# A\n\n```python\nprint(2)\n```\n\n```text\n1\n```\n\n```python\nx = 1\n```\n"
    )
    assert pages.run(text) == ["2\n", ""]
    assert pages.with_outputs(text, ["2\n", ""]) == text.replace("\n1\n", "\n2\n")
