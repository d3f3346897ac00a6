"""How Sphinx builds the site; run `python -m sphinx -W -n docs build/site`."""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from _generate import api  # noqa: E402
from _generate.markup import as_restructured_text  # noqa: E402

import keras_initkit as kik  # noqa: E402

project = "keras_initkit"
author = "The keras_initkit authors"
copyright = f"2026, {author}"
version = release = kik.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
exclude_patterns = ["_generate"]
html_theme = "furo"
html_title = f"keras_initkit {release}"
html_show_sphinx = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]  # a changelog skips levels where it has to

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Reference"]
nitpick_ignore_regex = [
    # Other packages are not looked up, so that the site builds without a network.
    ("py:.*", r"(?!keras_initkit\.).*"),
    # Types in signatures that have no page: they lie below a room. What is public lies
    # in its room, and a test holds that it has a page.
    ("py:class", r"keras_initkit\.\w+\.\w+\..*"),
]


def rewrite_docstring(app, what, name, obj, options, lines):
    """Hands Sphinx the docstring in its own language, before sections are read."""
    lines[:] = as_restructured_text(lines)


def skip_fields(app, what, name, obj, skip, options):
    """Leaves out fields of named tuples, which the class's docstring explains."""
    return True if type(obj).__name__ == "_tuplegetter" else skip


def rewrite_links(app, name, content):
    """Leads links to files beside `docs/` to the pages that show these files."""
    content[0] = re.sub(
        r"\]\(\.\./(\w+)\.md", lambda m: f"]({m[1].lower()}.md", content[0]
    )


def setup(app):
    """Writes the pages that come from the code, then connects what rewrites text."""
    for name, text in api.pages().items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    app.connect("autodoc-process-docstring", rewrite_docstring, priority=100)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("source-read", rewrite_links)
