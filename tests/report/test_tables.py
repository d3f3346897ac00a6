"""Tables as text and HTML: what a name holds is shown, never run."""

import re

import pytest
import rich.console
import rich.markup
import rich.table

from keras_initkit.report.tables import to_html, to_text

HOSTILE = (
    "[link=javascript:alert(1)]x[/link]",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[@click=app.bell]x[/]",
)


def table_of(text):
    table = rich.table.Table("[bold]name[/bold]")
    table.add_row(text)
    return table


@pytest.mark.parametrize("escape", [rich.markup.escape, str])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_a_link_or_a_tag(name, escape):
    for renderable in (escape(name), table_of(escape(name))):
        html = to_html(renderable)
        assert set(re.findall(r"<\s*/?\s*(\w+)", html)) <= {"pre", "code", "span"}
        assert not re.search(r"<[^>]*(href|onerror|javascript)", html)
        assert "\x1b" not in to_text(renderable)


def test_what_a_notebook_asks_for_is_displayed_by_the_notebook_alone(monkeypatch):
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    displayed = []
    monkeypatch.setattr(
        "rich.jupyter.display", lambda *content: displayed.append(content)
    )
    rich.console.Console().print("seen")
    assert len(displayed) == 1  # what rich does by itself
    assert "name" in to_html(table_of("x"))
    assert "name" in to_text(table_of("x"))
    assert len(displayed) == 1
