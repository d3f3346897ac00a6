"""Markdown that people read as it stands: lines of at most 100 columns."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    page.relative_to(ROOT)
    for folder in (".", "docs", "docs/_generate", "logdir", ".github")
    for page in (ROOT / folder).glob("*.md")
)
# What cannot be broken: a table's row, a picture, a command or an address alone.
WHOLE = re.compile(r"^\s*(\||!\[|`[^`]+`[.:]?$|\S+$)")


def too_long(text):
    """Returns the lines that are too long, outside of code."""
    prose = re.sub(r"^(```+|~~~+).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [one for one in prose.splitlines() if not one.startswith("    ")]
    return [one for one in lines if len(one) > 100 and not WHOLE.match(one)]


def test_what_is_too_long():
    prose, table = "a word " * 20, "| a cell " * 20
    assert too_long(f"{table}\n```\n{prose}\n```\n\n{prose}\n") == [prose]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_lines_are_at_most_100_columns(page):
    assert too_long((ROOT / page).read_text(encoding="utf-8")) == []
