"""The site builds strictly, without a network, and shows every public name."""

import importlib
import os
import pathlib
import re
import subprocess
import sys
import zlib

import pytest

import keras_initkit as kik

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What a browser fetches by itself: scripts, styles, pictures, fonts.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=[\"'](?:https?:)?//"
    r"|<link[^>]+rel=[\"'](?:stylesheet|preload|preconnect|icon)[^>]+(?:https?:)?//"
    r"|url\([\"']?(?:https?:)?//|@import"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Builds the site once; every warning is an error, unknown names too."""
    pytest.importorskip("sphinx", reason="the site needs the `docs` extra")
    made = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", DOCS, made],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return made


def documented(site):
    """Returns the names that the site's inventory lists."""
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(content).decode().splitlines()}


def public():
    """Yields the full name of everything public, as `room.name`."""
    for room in kik._ROOMS:
        for name in getattr(kik, room).__all__:
            yield f"keras_initkit.{room}.{name}"


def test_every_public_name_is_on_a_page(site):
    names = documented(site)
    assert [one for one in public() if one not in names] == []
    assert len(names) > len(set(public())) > 200


def test_every_name_of_the_package_is_in_the_list_of_the_first_page(site):
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name, room in kik._ROOM_OF.items():
        assert f"#keras_initkit.{room}.{name}" in text


def test_a_page_asks_for_nothing_from_elsewhere(site):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 20
    for page in pages:
        assert not FETCHED.search(page.read_text(encoding="utf-8")), page


def test_page_of_rules_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    rules = importlib.import_module("_generate.rules")
    assert (DOCS / "rules.md").read_text(encoding="utf-8") == rules.page(), (
        "run PYTHONPATH=docs python -m _generate.rules > docs/rules.md"
    )


def test_pages_of_rules_in_the_tab_are_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    tab_rules = importlib.import_module("_generate.tab_rules")
    for name, text in tab_rules.files().items():
        assert (tab_rules.STATIC / name).read_text(encoding="utf-8") == text, (
            "run PYTHONPATH=docs python -m _generate.tab_rules"
        )


def test_every_rule_has_a_place_and_no_text_is_left_over():
    text = (DOCS / "rules.md").read_text(encoding="utf-8")
    prose = (DOCS / "_generate" / "rules_prose.md").read_text(encoding="utf-8")
    known = kik.diagnosis
    names = {*known.RULES, *known.REVIEWS, *known.LINTS}
    for page in (text, prose):
        assert sorted(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == sorted(names)
    assert text.count("**When it is wrong.**") == len(names)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<script src="https://cdn.example/x.js">', True),
        ('<link rel="stylesheet" href="//fonts.example/css">', True),
        ("@font-face { src: url(https://fonts.example/a.woff2) }", True),
        ('<a href="https://arxiv.org/abs/1502.01852">', False),
        ('<script src="_static/doctools.js">', False),
    ],
)
def test_what_counts_as_asking_for_something(text, found):
    assert bool(FETCHED.search(text)) is found
