"""A diagnosis as a table and advice, for terminals and notebooks."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.console
import rich.segment
import rich.table
import rich.text

from keras_initkit.report import drawing
from keras_initkit.report.numbers import short
from keras_initkit_light.format.schema import SEVERITIES

_COLOURS = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
# Titles of the columns, and what a row has in each; beside the width that it takes, and
# when it goes where the terminal is narrow: the highest number first.
_COLUMNS = (
    ("signal", lambda row: _number(row.activation), 8, 0),
    ("theory", lambda row: _number(row.expected_activation), 8, 2),
    ("gradient", lambda row: _number(row.backprop), 8, 0),
    ("theory", lambda row: _number(row.expected_backprop), 8, 3),
    ("kernel's", lambda row: _number(row.gradient), 8, 4),
    ("step/weight", lambda row: _number(row.update_ratio), 11, 5),
    ("dead", lambda row: _percentage(row.dead), 4, 1),
)
# Between columns stand three characters; a name is cut in the middle to no less.
_BETWEEN, _LEAST_NAME = 3, 16
_MEANINGS = {
    "signal": "signal, gradient: rms of a layer's output and of the loss's gradient "
    "there",
    "theory": "theory: expected at these weights",
    "kernel's": "kernel's: rms of the kernel's gradient",
    "step/weight": "step/weight: norm of the optimizer's first step divided by that of "
    "the kernel",
}
# Rows of a longer profile that are shown: from both ends, and those at fault.
_ROWS = 24
# Names of layers in a list of those with the same fault.
_NAMES = 6


def render(
    model: str,
    loss: float | None,
    chance: float | None,
    rows: Sequence[Any],
    causes: Sequence[tuple[Any, str]],
    at_fault: Mapping[str, str],
    small_print: Iterable[str],
) -> rich.console.Group:
    """Returns a diagnosis: headline, profile, advice, small print.

    Args:
        model: Name of the model.
        loss: Its loss, if known.
        chance: Loss of an even guess, if known.
        rows: A `LayerProfile` for each layer, from input to output.
        causes: Findings that follow from no other, the gravest first, each with a
            sentence on what follows from it, or `""`.
        at_fault: `{layer: gravest severity}` of the layers that findings name.
        small_print: Lines below all else.
    """
    parts: list[rich.console.RenderableType] = [_headline(model, loss, chance, causes)]
    if rows:
        parts.append(_Profile(rows, at_fault))
    parts += _advice(causes)
    parts.append(rich.text.Text("\n".join(["", *small_print]), style="dim"))
    return rich.console.Group(*parts)


def render_findings(
    causes: Sequence[tuple[Any, str]], clean: str
) -> rich.console.RenderableType:
    """Returns findings: how many there are, and advice.

    Args:
        causes: As in `render`.
        clean: What is said where there are none.
    """
    if not causes:
        return rich.text.Text(clean, style="green")
    counts = rich.text.Text("  ").join(_counts(causes))
    return rich.console.Group(counts, *_advice(causes))


def _counts(causes):
    """Yields how many findings there are of each severity, the gravest first."""
    severities = [finding.severity for finding, _ in causes]
    for severity in reversed(SEVERITIES):
        if count := severities.count(severity):
            plural = "s" if count > 1 and severity != "info" else ""
            yield rich.text.Text(f"{count} {severity}{plural}", _COLOURS[severity])


def _headline(model, loss, chance, causes):
    text = rich.text.Text()
    text.append(model, style="bold")
    if not causes:
        text.append(": nothing found before training", style="green")
    for count in _counts(causes):
        text.append("  ").append(count)
    if loss is not None:
        text.append(f"  loss {loss:.4g}")
        if chance is not None:
            text.append(f" (uniform guess: {chance:.4g})")
    return text


class _Profile:
    """The table of layers, in as many columns as there is room for."""

    def __init__(self, rows, at_fault):
        self._rows, self._at_fault = rows, at_fault

    def __rich_console__(self, console, options):
        columns, room = _fitting(options.max_width)
        table = rich.table.Table(show_edge=False, pad_edge=False, header_style="bold")
        table.add_column("layer", no_wrap=True)
        for title, *_ in columns:
            table.add_column(title, justify="right", no_wrap=True)
        shared = drawing.shared_prefix([row.layer for row in self._rows])
        for index in _shown(self._rows, self._at_fault):
            if index is None:
                table.add_row("…", style="dim")
                continue
            row = self._rows[index]
            colour = _COLOURS.get(self._at_fault.get(row.layer, ""), "")
            name = drawing.shortened(row.layer.removeprefix(shared), room)
            cells = [text_of(row) for _, text_of, *_ in columns]
            table.add_row(rich.text.Text(name, style=colour), *cells)
        yield table
        yield rich.text.Text(_legend(columns), style="dim")


def _fitting(width):
    """Returns the columns that there is room for, and the room for names of layers."""
    columns = list(_COLUMNS)
    while True:
        room = width - sum(size + _BETWEEN for _, _, size, _ in columns)
        if room >= _LEAST_NAME or len(columns) <= 2:
            return columns, max(room, 2)
        columns.remove(max(columns, key=lambda column: column[3]))


def _legend(columns):
    titles = dict.fromkeys(title for title, *_ in columns)
    meanings = "; ".join(_MEANINGS[title] for title in titles if title in _MEANINGS)
    left_out = len(_COLUMNS) - len(columns)
    plural = "s need" if left_out > 1 else " needs"
    return meanings + (f" ({left_out} column{plural} more room)" if left_out else "")


def _shown(rows, at_fault):
    """Yields the indices to show, `None` for a gap."""
    if len(rows) <= _ROWS:
        yield from range(len(rows))
        return
    ends = _ROWS // 3
    wanted = {*range(ends), *range(len(rows) - ends, len(rows))}
    faults = [i for i, row in enumerate(rows) if row.layer in at_fault]
    wanted.update([i for i in faults if i not in wanted][: _ROWS - 2 * ends])
    previous = -1
    for index in sorted(wanted):
        if index != previous + 1:
            yield None
        yield index
        previous = index


def _advice(causes):
    """Yields a paragraph for each cause: the first place, the others, what follows."""
    kinds: dict[tuple[str, str], list] = {}
    for finding, _ in causes:
        kinds.setdefault((finding.rule, _kind(finding)), []).append(finding)
    consequences = {finding.rule: following for finding, following in causes}
    told = set()
    for same in kinds.values():
        first, others = same[0], [str(finding.layer) for finding in same[1:]]
        yield _paragraph(first, (first.rule, first.remedy) not in told)
        told.add((first.rule, first.remedy))
        if others:
            rest = len(others) - _NAMES
            more = f" and {rest} more" if rest > 0 else ""
            line = f"The same applies to {', '.join(others[:_NAMES])}{more}."
            yield _Indented(rich.text.Text(line))
        if following := consequences[first.rule]:
            if (first.rule, following) not in told:
                yield _Indented(rich.text.Text(following, style="dim"))
            told.add((first.rule, following))


def _kind(finding):
    """What is left of a message without names and numbers."""
    return re.sub(r"'[^']*'|[\d.e+-]+", "", finding.message)


def _paragraph(finding, with_remedy):
    text = rich.text.Text("\n")
    text.append(f"{finding.severity} {finding.rule}", _COLOURS[finding.severity])
    if finding.layer is not None:
        text.append(f" in {finding.layer}")
    body = rich.text.Text(f"{finding.message[:1].upper()}{finding.message[1:]}")
    if with_remedy:
        body.append("\nWhat to do: ", style="bold")
        body.append(finding.remedy)
    return rich.console.Group(text, _Indented(body))


class _Indented:
    """A paragraph, two columns to the right, without blanks behind its lines."""

    def __init__(self, text):
        self._text = text

    def __rich_console__(self, console, options):
        room = options.update(width=options.max_width - 2)
        for line in console.render_lines(self._text, room, pad=False):
            yield rich.segment.Segment("  ")
            yield from line
            yield rich.segment.Segment.line()


def _number(value):
    return "–" if value is None or math.isnan(value) else f"{short(value)}"


def _percentage(share):
    return "–" if share is None or math.isnan(share) else f"{share:.0%}"
