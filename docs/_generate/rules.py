"""The page of rules: what the registry declares, and what `rules_prose.md` explains."""

import itertools
import pathlib
import re
import sys
import textwrap

from keras_initkit.diagnosis import LINTS, REVIEWS, RULES

PAGE = "rules.md"
JUDGED = {
    "record": "the record of a training, while it grows and afterwards",
    "ended record": "the record of a training that has ended, by `kik.review`",
    "model": "the model, without data, by `kik.lint`",
}
HEAD = """# Rules

All faults that are checked for, in alphabetical order. [Diagnosis](diagnosis.md)
explains severity, causes and consequences, and reports how often the rules are right.

The argument `rules` of `SignalMonitor`, `judge`, `review`, `lint` and `diagnose`
changes a limit or disables a rule:

    rules = {"DeadRelu": {"dead_fraction": 0.95}, "TooFewEpochs": None}

This page is generated from `kik.diagnosis.RULES`, `REVIEWS` and `LINTS` by
`PYTHONPATH=docs python -m _generate.rules > docs/rules.md`, the page in the TensorBoard
tab by `PYTHONPATH=docs python -m _generate.tab_rules`.
"""


def prose():
    """Returns `{name: Markdown}`: why a rule matters, what to do, when it is wrong."""
    text = pathlib.Path(__file__).with_name("rules_prose.md").read_text("utf-8")
    return dict(part.split("\n\n", 1) for part in text.split("\n## ")[1:])


def named():
    """Returns `{name: rules of that name}`, by name: one fault may have two rules."""
    every = sorted(
        itertools.chain(RULES.values(), REVIEWS.values(), LINTS.values()),
        key=lambda rule: rule.name.lower(),
    )
    return {
        name: list(rules)
        for name, rules in itertools.groupby(every, key=lambda rule: rule.name)
    }


def page():
    """Returns the page in Markdown.

    Raises:
        KeyError: If nothing is written about a rule.
    """
    return "\n".join([HEAD, *(entry(name, rules) for name, rules in named().items())])


def entry(name, rules):
    """Returns the section of one name."""
    return "\n".join([f"## {name}\n", *map(declared, rules), prose()[name]])


def declared(rule):
    """Returns what a rule declares: what it looks for, in what, and its limits."""
    lines = [wrapped(rule.summary) + "\n"]
    needs = (" or " if rule.any_of else ", ").join(f"`{need}`" for need in rule.needs)
    lines.append(f"- Severity: {rule.severity}, unless the finding says otherwise")
    judged = f"- Judges: {JUDGED[rule.judges]}" + f"; needs {needs}" * bool(needs)
    lines.append(wrapped(judged, "  "))
    lines.append(wrapped(f"- Reference: {linked(rule.reference)}", "  ") + "\n")
    if rule.thresholds:
        lines += ["| limit | default | unit | what it limits |", "|---|---|---|---|"]
        lines += [
            f"| `{limit}` | {one.value:g} | {one.unit} | {escaped(one.meaning)} |"
            for limit, one in rule.thresholds.items()
        ]
        lines.append("")
    return "\n".join(lines)


def wrapped(text, indent=""):
    """Returns text in lines of 100 columns at most, names left whole."""
    whole = re.sub(r"`[^`]+`", lambda found: found[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(
        whole,
        100,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\0", " ")


def linked(text):
    """Returns a reference with its addresses as links."""
    return re.sub(r"(https?://[^\s;,]+)", r"<\1>", text)


def escaped(text):
    """Returns text for the cell of a table."""
    return text.replace("|", r"\|").replace("*", r"\*")


if __name__ == "__main__":
    sys.stdout.write(page())
