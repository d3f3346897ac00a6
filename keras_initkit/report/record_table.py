"""A record as a table, for terminals and notebooks."""

from collections.abc import Sequence

import rich.console
import rich.table
import rich.text


def render(title: str, facts: Sequence[tuple[str, str]]) -> rich.console.Group:
    """Returns a title and facts, each a heading and a text.

    Args:
        title: What the record is of.
        facts: Pairs of a heading and a text.
    """
    table = rich.table.Table(show_header=False, show_edge=False, pad_edge=False)
    for _ in range(2):
        table.add_column(overflow="fold")
    for heading, text in facts:
        table.add_row(rich.text.Text(heading, style="dim"), rich.text.Text(text))
    return rich.console.Group(rich.text.Text(title, style="bold"), table)
