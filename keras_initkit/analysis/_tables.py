"""Rich tables as plain text and as HTML."""

import io
from typing import Any

import rich.console

_WIDTH = 120  # columns where there is no terminal to ask


def to_text(renderable: Any, width: int = _WIDTH) -> str:
    """Returns what a terminal of this width would show, without colours."""
    console = rich.console.Console(
        file=io.StringIO(), width=width, highlight=False, color_system=None
    )
    with console.capture() as captured:
        console.print(renderable)
    lines = captured.get().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def to_html(renderable: Any, width: int = _WIDTH) -> str:
    """Returns the same as HTML, with colours."""
    console = rich.console.Console(
        file=io.StringIO(), width=width, record=True, highlight=False
    )
    console.print(renderable)
    return console.export_html(
        inline_styles=True,
        code_format='<pre style="font-family:Menlo,Consolas,monospace;'
        'line-height:1.25;overflow-x:auto"><code>{code}</code></pre>',
    )
