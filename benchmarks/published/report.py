"""Verdicts as tables for a terminal."""

from collections.abc import Sequence

import rich.console
import rich.table

from benchmarks.published.programs import TOOLS, Program
from benchmarks.published.scoring import Score, Verdict, published


def figures(title: str, verdicts: Sequence[Verdict], score: Score) -> rich.table.Table:
    """Returns the figures of some programs, beside those of the published tools."""
    table = rich.table.Table("tool", "detected", "diagnosed", "named", title=title)
    programs = [verdict.program for verdict in verdicts]
    row = score.detected, score.diagnosed, score.named
    table.add_row("keras_initkit", *map(str, row), style="bold")
    for tool in reversed(TOOLS):
        table.add_row(tool, *map(str, published(programs, tool)))
    table.caption = (
        f"of {score.programs} programs; the first finding names a true fault of "
        f"{score.first}; {score.wrong} wrong findings. "
        f"Confirmed twins with a false finding: {score.false_twins} of {score.twins}, "
        f"with a false error: {score.error_twins}; other twins: "
        f"{score.false_others} of {score.other_twins}."
    )
    return table


def details(verdicts: Sequence[Verdict]) -> rich.table.Table:
    """Returns misses and false alarms by name."""
    table = rich.table.Table(
        "post", "truth", "said", "diagnosed", "wrong", "false of the twin", title="Each"
    )
    for verdict in verdicts:
        twin = verdict.twin
        table.add_row(
            str(verdict.program.post),
            " ".join(verdict.program.truth) or "healthy",
            " ".join(dict.fromkeys(f.rule for f in verdict.findings)) or "–",
            "yes" if verdict.diagnosed else "no",
            " ".join(verdict.wrong) or "–",
            " ".join(twin.false) or "–" if twin else "no twin",
        )
    return table


def everything(verdict: Verdict) -> rich.console.Group:
    """Returns all that was said of one program and its twin."""
    program = verdict.program
    lines = [
        f"{program.post}: {' '.join(program.truth) or 'healthy'}; "
        f"mended: {' '.join(sorted(program.mended)) or '–'}; skill {verdict.skill:.2f}",
        *(f"  {finding}" for finding in verdict.findings),
        f"  wrong: {' '.join(verdict.wrong) or '–'}",
    ]
    if verdict.twin is not None:
        twin = verdict.twin
        gains = (f"{rule} to {skill:.2f}" for rule, skill in twin.helped.items())
        lines += [
            f"twin: skill {twin.skill:.2f}",
            *(f"  {finding}" for finding in twin.findings),
            f"  false: {' '.join(twin.false) or '–'}; remedies that help: "
            f"{', '.join(gains) or '–'}",
        ]
    return rich.console.Group(*lines)


def unavailable(programs: Sequence[Program]) -> str:
    """Returns which programs are not to be had, in a sentence."""
    posts = ", ".join(str(one.post) for one in programs if one.faulty is None)
    return f"Unavailable: {posts}."
