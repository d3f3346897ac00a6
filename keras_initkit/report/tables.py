"""Rich tables as plain text and as HTML."""

import io
import shutil
from typing import Any

import rich.console
import rich.segment

from keras_initkit import schema

_WIDTH = 120  # columns where there is no terminal to ask


def to_text(renderable: Any, width: int | None = None) -> str:
    """Returns what a terminal shows, without colours.

    Args:
        renderable: What rich can print.
        width: Columns; by default those of the terminal, or of the environment variable
            `COLUMNS`, 120 where neither says.
    """
    width = width or shutil.get_terminal_size((_WIDTH, 0)).columns
    console = _console(width, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    lines = captured.get().splitlines()
    return schema.well_formed("\n".join(line.rstrip() for line in lines))


def to_html(renderable: Any, width: int = _WIDTH) -> str:
    """Returns the same as HTML, with colours, and without links.

    A name that reads as a link of rich's markup (`[link=javascript:...]`) must not
    become one, whoever has forgotten to escape it.
    """
    console = _console(width, record=True)
    console.print(_WithoutLinks(renderable))
    text = console.export_html(
        inline_styles=True,
        code_format='<pre style="font-family:Menlo,Consolas,monospace;'
        'line-height:1.25;overflow-x:auto"><code>{code}</code></pre>',
    )
    return schema.well_formed(text)


def _console(width: int, **options: Any) -> rich.console.Console:
    """Returns a console that writes nowhere: in a notebook, rich would display it."""
    return rich.console.Console(
        file=io.StringIO(),
        width=width,
        highlight=False,
        force_jupyter=False,
        **options,
    )


class _WithoutLinks:
    def __init__(self, renderable: Any):
        self._renderable = renderable

    def __rich_console__(self, console: Any, options: Any) -> Any:
        for text, style, control in console.render(self._renderable, options):
            plain = None if style is None else style.update_link(None)
            yield rich.segment.Segment(text, plain, control)


class Printed:
    """What shows itself by its `__rich__`: as text, and in a notebook as HTML."""

    def __str__(self) -> str:
        return to_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return to_html(self)
