"""The page of a comparison: one HTML file that asks for no other."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0;
  text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
.initkit svg { max-width: 100%; height: auto; } figure { margin: 1rem 0; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; }
.standin { color: #b00020; font-weight: bold; } .tie { color: #666; }
"""
# Nothing is fetched, and no script runs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MOST_DIFFERENCES = 100  # those told first; the others are in the JSON


class Table(NamedTuple):
    """Cells as text, row by row."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Page(NamedTuple):
    """What the page shows.

    Attributes:
        title: What was compared.
        origin: Where the data come from.
        is_standin: Whether they are a stand-in.
        learned: How many runs of each initializer learned, in words.
        left_out: Whose means are not compared, and why.
        differences: Each difference in words, and whether it is one.
        table: The table, the best first.
        why: `{row: why it ranks there}`.
        notes: What was kept, run again and lost.
        pictures: Captions and figures of matplotlib.
        again: Code that makes the comparison again.
        versions: What it was computed with.
    """

    title: str
    origin: str
    is_standin: bool
    learned: Sequence[str]
    left_out: Sequence[str]
    differences: Sequence[tuple[str, bool]]
    table: Table
    why: Mapping[str, str]
    notes: Sequence[str]
    pictures: Sequence[tuple[str, Any]]
    again: str
    versions: str


def page(shown: Page) -> str:
    """Returns a whole HTML document."""
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{html.escape(shown.title)}</title>\n"
        f"<style>{_STYLE}</style></head>\n<body>\n{fragment(shown)}\n</body></html>\n"
    )


def fragment(shown: Page) -> str:
    """Returns the content of the page, as a notebook shows it."""
    stand_in = "NOT THE REAL DATA: " if shown.is_standin else "Data: "
    kind = ' class="standin"' if shown.is_standin else ""
    parts = [
        f"<h1>{html.escape(shown.title)}</h1>",
        f"<p{kind}>{stand_in}{html.escape(shown.origin)}</p>",
        "<h2>Which initializers learned</h2>",
        _list([(text, "") for text in [*shown.learned, *shown.left_out]]),
        "<h2>Which are better</h2>",
        _differences(shown.differences),
        "<h2>All initializers</h2>",
        _table(shown.table),
        _list([(f"{name}: {why}", "") for name, why in shown.why.items()]),
    ]
    for caption, figure in shown.pictures:
        parts += [
            f"<h2>{html.escape(caption)}</h2>",
            f"<figure>{_svg(figure)}</figure>",
        ]
    if shown.notes:
        parts += ["<h2>Notes</h2>", _list([(note, "") for note in shown.notes])]
    if shown.again:
        code = html.escape(shown.again)
        parts += ["<h2>How to rerun it</h2>", f"<pre><code>{code}</code></pre>"]
    parts.append(f"<p>{html.escape(shown.versions)}</p>")
    return '<div class="initkit">\n' + "\n".join(parts) + "\n</div>"


def _differences(differences: Sequence[tuple[str, bool]]) -> str:
    if not differences:
        return (
            "<p>There are no two initializers whose runs all learned, over two "
            "seeds.</p>"
        )
    first = sorted(differences, key=lambda one: not one[1])[:_MOST_DIFFERENCES]
    more = len(differences) - len(first)
    listed = _list([(text, "" if differs else "tie") for text, differs in first])
    note = (
        "Differences of means over paired seeds, with simultaneous 95 % intervals; "
        "significant at 5 % over all comparisons together (paired t, Holm)."
    )
    rest = f" {more} more are not shown." if more else ""
    return f"{listed}\n<p>{note}{rest}</p>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    rows = [
        "".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in table.rows
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _list(items: Sequence[tuple[str, str]]) -> str:
    lines = [
        f'<li class="{kind}">{html.escape(text)}</li>'
        if kind
        else f"<li>{html.escape(text)}</li>"
        for text, kind in items
    ]
    return "<ul>\n" + "\n".join(lines) + "\n</ul>"


def _svg(figure: Any) -> str:
    """Returns a figure as an SVG element."""
    text = io.StringIO()
    figure.savefig(text, format="svg")
    element = text.getvalue()
    element = element[element.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
