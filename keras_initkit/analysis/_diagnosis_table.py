"""A diagnosis as a table and advice, for terminals and notebooks."""

import math
import re
from typing import TYPE_CHECKING

import rich.console
import rich.table
import rich.text

from keras_initkit.analysis import drawing
from keras_initkit.diagnosis import SEVERITIES, causes_among, consequences

if TYPE_CHECKING:
    from keras_initkit.analysis._diagnose import DiagnosisResult

_COLOURS = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_COLUMNS = ("signal", "theory", "gradient", "theory", "kernel's", "step/weight", "dead")
_LEGEND = (
    "signal, gradient: rms of a layer's output and of the loss's gradient there; "
    "theory: expected at these weights; kernel's: rms of its kernel's gradient; "
    "step/weight: norm of the optimizer's first step over that of the kernel"
)
# Rows of a longer profile that are shown: from both ends, and those at fault.
_ROWS = 24
# Names of layers in a list of those with the same fault.
_NAMES = 6


def render(diagnosis: "DiagnosisResult") -> rich.console.Group:
    """Returns the diagnosis: headline, profile, advice, notes."""
    parts: list[rich.console.RenderableType] = [_headline(diagnosis)]
    if diagnosis.profile:
        parts += [_profile(diagnosis), rich.text.Text(_LEGEND, style="dim")]
    parts += _advice(diagnosis)
    lines = _small_print(diagnosis)
    parts.append(rich.text.Text("\n".join(["", *lines]), style="dim"))
    return rich.console.Group(*parts)


def _headline(diagnosis):
    counts: dict[str, int] = {}
    for finding in causes_among(diagnosis.findings):
        counts[finding.severity] = counts.get(finding.severity, 0) + 1
    text = rich.text.Text()
    text.append(diagnosis.model, style="bold")
    if not counts:
        text.append(": nothing found that would keep it from learning", style="green")
    for severity in reversed(SEVERITIES):
        if severity in counts:
            plural = "s" if counts[severity] > 1 and severity != "info" else ""
            text.append(f"  {counts[severity]} {severity}{plural}", _COLOURS[severity])
    if diagnosis.loss is not None:
        text.append(f"  loss {diagnosis.loss:.4g}")
        if diagnosis.chance is not None:
            text.append(f" (an even guess: {diagnosis.chance:.4g})")
    return text


def _profile(diagnosis):
    at_fault = _layers_at_fault(diagnosis)
    table = rich.table.Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold")
    for title in _COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    rows = diagnosis.profile
    shared = drawing.shared_prefix([row.layer for row in rows])
    for index in _shown(rows, at_fault):
        if index is None:
            table.add_row("…", style="dim")
            continue
        row = rows[index]
        colour = _COLOURS.get(at_fault.get(row.layer, ""), "")
        table.add_row(
            rich.text.Text(row.layer.removeprefix(shared), style=colour),
            _number(row.activation),
            _number(row.expected_activation),
            _number(row.backprop),
            _number(row.expected_backprop),
            _number(row.gradient),
            _number(row.update_ratio),
            "–" if row.dead is None or math.isnan(row.dead) else f"{row.dead:.0%}",
        )
    return table


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


def _layers_at_fault(diagnosis):
    worst: dict[str, str] = {}
    for finding in reversed(diagnosis.findings):
        if finding.layer is not None:
            worst[finding.layer] = finding.severity
    return worst


def _advice(diagnosis):
    """Yields a paragraph for each cause: the first place, the others, what follows."""
    kinds: dict[tuple[str, str], list] = {}
    for finding in causes_among(diagnosis.findings):
        kinds.setdefault((finding.rule, _kind(finding)), []).append(finding)
    told = set()
    for same in kinds.values():
        first, others = same[0], [str(finding.layer) for finding in same[1:]]
        yield _paragraph(first, (first.rule, first.remedy) not in told)
        told.add((first.rule, first.remedy))
        if others:
            rest = len(others) - _NAMES
            more = f" and {rest} more" if rest > 0 else ""
            line = f"The same in {', '.join(others[:_NAMES])}{more}."
            yield rich.text.Text(line)
        if following := consequences(diagnosis.findings, first.rule):
            if (first.rule, following) not in told:
                yield rich.text.Text(following, style="dim")
            told.add((first.rule, following))


def _kind(finding):
    """What is left of a message without names and numbers."""
    return re.sub(r"'[^']*'|[\d.e+-]+", "", finding.message)


def _paragraph(finding, with_remedy):
    text = rich.text.Text("\n")
    text.append(f"{finding.severity} {finding.rule}", _COLOURS[finding.severity])
    if finding.layer is not None:
        text.append(f" in {finding.layer}")
    text.append(f"\n{finding.message[:1].upper()}{finding.message[1:]}")
    if with_remedy:
        text.append("\nWhat to do: ", style="bold")
        text.append(finding.remedy)
    return text


def _small_print(diagnosis):
    """Yields phases, the Jacobian and notes."""
    for phase in diagnosis.phases:
        depth = phase.trainable_depth
        reach = "at any depth" if math.isinf(depth) else f"up to {depth:.0f} layers"
        yield (
            f"{len(phase.layers)} {phase.activation} layers: {phase.phase}, gradients "
            f"×{math.sqrt(phase.chi_1):.3g} a layer, trainable {reach}"
        )
    if diagnosis.jacobian is not None:
        found = diagnosis.jacobian
        yield (
            f"Jacobian of the outputs: mean squared singular value "
            f"{found.mean_square:.3g}, condition {found.condition:.3g}"
        )
    yield from diagnosis.notes
    if diagnosis.not_judged:
        yield (
            f"{len(diagnosis.not_judged)} rules need more than one step, or facts that "
            "are not known: `.not_judged`"
        )


def _number(value):
    return "–" if value is None or math.isnan(value) else f"{value:.2g}"
