"""The rules' pages as the TensorBoard tab shows them, of the version that is installed.

    PYTHONPATH=docs python -m _generate.tab_rules

writes them beside the tab's code; findings link to them.
"""

import json
import pathlib
import re

import markdown_it

import keras_initkit_light.tab
from _generate import rules

STATIC = pathlib.Path(keras_initkit_light.tab.__file__).parent / "static"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rules of keras_initkit</title>
<link rel="stylesheet" href="rules.css">
</head>
<body>
<main>
<h1>Rules</h1>
<p>Every fault that is looked for, in alphabetical order.</p>
{sections}</main>
</body>
</html>
"""
SCRIPT = """// Written by docs/_generate/tab_rules.py: rules that rules.html explains.

export const EXPLAINED = new Set({names});
"""


def files():
    """Returns `{file name: text}`, of the page and of the names that are on it."""
    markdown = markdown_it.MarkdownIt("commonmark").enable("table")
    named = rules.named()
    text = "\n".join(rules.entry(name, several) for name, several in named.items())
    html = re.sub(r"<h2>(\w+)</h2>", r'<h2 id="\1">\1</h2>', markdown.render(text))
    # To other pages of the site, which are not beside it.
    html = re.sub(r'<a href="[\w-]+\.md[^"]*">(.*?)</a>', r"\1", html)
    return {
        "rules.html": PAGE.format(sections=html),
        "rules.js": SCRIPT.format(names=json.dumps(list(named), indent=2)),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (STATIC / name).write_text(text, encoding="utf-8")
