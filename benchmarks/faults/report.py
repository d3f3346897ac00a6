"""The figures as tables for a terminal."""

import collections

import rich.console
import rich.table

from benchmarks.faults import scoring


def listing(setups):
    """Returns a table of set-ups."""
    table = _table("Set-ups", "name", "half", "fault", "named by")
    for one in setups:
        rules = [] if one.kind is None else scoring.KINDS[one.kind].rules
        table.add_row(one.name, one.half, one.kind or "-", ", ".join(rules))
    return table


def rendered(half, verdicts):
    """Returns the tables of one half."""
    parts = [_overall(half, verdicts), _by_kind(verdicts), _by_rule(verdicts)]
    return rich.console.Group(*parts, *_by_name(verdicts))


def _overall(half, verdicts):
    score = scoring.score(verdicts)
    table = _table(f"Overall, {half}", "figure", "value", "of")
    findings = score.named + score.false
    rows = (
        ("recall: faults named by step 100", score.recall, score.faulty),
        ("precision of findings, symptoms aside", score.precision, findings),
        (
            "the same, symptoms counted as wrong",
            score.strict_precision,
            findings + score.symptoms,
        ),
        (
            "precision by set-up: named against healthy ones with a finding",
            score.setup_precision,
            score.hits + score.alarms,
        ),
        ("right layer among hits that have one", score.layer, len(score.layers)),
    )
    for name, value, whole in rows:
        table.add_row(name, f"{value:.2f}", str(whole))
    median = f"{score.median_step:g} (latest {max(score.steps, default=0)})"
    table.add_row("median step at which faults were named", median, str(score.hits))
    for name, count in (
        ("healthy set-ups with a finding", score.alarms),
        ("healthy set-ups with an error", score.errors),
    ):
        table.add_row(name, str(count), str(score.healthy))
    return table


def _by_kind(verdicts):
    table = _table("By kind of fault", "kind", "hits", "of", "right layer", "step")
    kinds = collections.defaultdict(list)
    for one in verdicts:
        if one.is_faulty and one.counts:
            kinds[one.setup.kind].append(one)
    for kind, some in sorted(kinds.items()):
        score = scoring.score(some)
        layers = f"{sum(score.layers)}/{len(score.layers)}" if score.layers else "-"
        step = f"{score.median_step:g}" if score.steps else "-"
        table.add_row(kind, str(score.hits), str(score.faulty), layers, step)
    return table


def _by_rule(verdicts):
    table = _table(
        "By rule (set-ups)", "rule", "named", "as the first", "symptom", "wrong"
    )
    for one in scoring.by_rule(verdicts):
        counts = (one.named, one.first, one.symptoms, one.false)
        table.add_row(one.rule, *map(str, counts))
    return table


def _by_name(verdicts):
    """Yields what is to be explained, by name."""
    missed = [v for v in verdicts if v.is_faulty and v.counts and not v.hit]
    if missed:
        table = _table("Missed", "set-up", "skill", "named later", "said instead")
        for one in missed:
            later = [f"{f['rule']} at {f['found']}" for f in one.named[:1]]
            said = ", ".join((*one.symptoms, *one.false)) or one.outcome["error"]
            table.add_row(one.setup.name, _skill(one), *later or "-", said or "nothing")
        yield table
    misplaced = [v for v in verdicts if v.counts and v.right_layer is False]
    if misplaced:
        table = _table("Wrong layer", "set-up", "rule", "named", "at fault")
        for one in misplaced:
            first, places = one.named[0], ", ".join(one.setup.layers[:4])
            table.add_row(one.setup.name, first["rule"], str(first["layer"]), places)
        yield table
    wrong = [(v, rule) for v in verdicts if v.counts for rule in v.false]
    if wrong:
        table = _table("Wrong findings", "set-up", "rule", "message")
        for one, rule in wrong:
            first = next(f for f in one.outcome["findings"] if f["rule"] == rule)
            text = f"{first['severity']} at {first['found']}: {first['message']}"
            table.add_row(one.setup.name, rule, text)
        yield table
    left = [v for v in verdicts if not v.counts]
    if left:
        table = _table("Not counted", "set-up", "skill", "twin's", "why")
        for one in left:
            twin = "-" if one.twin is None else f"{one.twin['skill']:.2f}"
            trains = one.twin is None or one.twin["skill"] < scoring.TRAINS
            why = "does not train" if trains else "the fault does not hurt"
            table.add_row(one.setup.name, _skill(one), twin, why)
        yield table


def _skill(verdict):
    return f"{verdict.outcome['skill']:.2f}"


def _table(title, *columns):
    table = rich.table.Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
