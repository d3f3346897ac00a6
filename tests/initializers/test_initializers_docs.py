"""The generated page equals what the code would write today."""

import pathlib

import keras_initkit as kik
from keras_initkit.initializers import _markdown

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "initializers.md"


def test_page_is_up_to_date():
    expected = _markdown.markdown()
    assert PAGE.read_text(encoding="utf-8") == expected, (
        "run python -m keras_initkit.initializers._markdown > docs/initializers.md"
    )


def test_page_names_every_entry_once():
    text = PAGE.read_text(encoding="utf-8")
    for entry in kik.initializers.catalog():
        assert text.count(f"\n| `{entry.name}` |") == 1
