"""The programs of a page: its Python blocks, and the output that stands below them."""

import contextlib
import io
import linecache
import pathlib
import re
import textwrap

DOCS = pathlib.Path(__file__).parents[2] / "docs"
WIDTH = 90
# Pages whose programs need other packages, and where these are run.
ELSEWHERE = {"dashboards": "tests/recording/test_recording_recipes.py"}
# A Python block, and the output below it if the page shows it.
_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# By how much numbers may differ from those of the page: another processor or another
# version of TensorFlow rounds differently, and a training makes more of it.
TOLERANCE = 0.2


def chosen(names=()):
    """Returns the pages of these names; without any, all that have programs."""
    paths = [DOCS / f"{name}.md" for name in names] or [
        path for path in sorted(DOCS.glob("*.md")) if path.stem not in ELSEWHERE
    ]
    return [path for path in paths if blocks(path.read_text(encoding="utf-8"))]


def blocks(text):
    """Returns the `(code, output)` of a page's Python blocks; `None` for no output."""
    return [(one["code"], one["output"]) for one in _BLOCK.finditer(text)]


def run(text):
    """Runs a page's blocks as one session; returns what each printed, wrapped.

    Files go to the working directory.
    """
    session, printed = {"__name__": "__page__"}, []
    for number, (code, _) in enumerate(blocks(text), start=1):
        name = f"<block {number}>"
        # TensorFlow reads the source of a function that it makes a graph of.
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, name, "exec"), session)
        printed.append(wrapped(out.getvalue()))
    return printed


def wrapped(text):
    """Returns lines cut to the width of a page; tables are left as they are."""
    lines = []
    for line in text.rstrip().splitlines():
        is_table = re.search(r"  \S+  |[━│┃]", line)
        lines += [line] if is_table else textwrap.wrap(line, WIDTH) or [""]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def with_outputs(text, printed):
    """Returns a page with what its blocks printed in place of what stood there."""
    outputs = iter(printed)

    def filled(one):
        output = next(outputs)
        if one["output"] is None:
            return one[0]
        return f"```python\n{one['code']}```\n\n```text\n{output}```\n"

    return _BLOCK.sub(filled, text)


def differences(expected, printed):
    """Returns what of an output differs: words at all, numbers by too much."""
    words, others = (_NUMBER.sub("#", one).split() for one in (expected, printed))
    if words != others:
        return [f"{' '.join(words)!r} is {' '.join(others)!r}"]
    pairs = zip(_NUMBER.findall(expected), _NUMBER.findall(printed), strict=True)
    return [
        f"{one} is {other}"
        for one, other in pairs
        if abs(float(one) - float(other)) > TOLERANCE * abs(float(one))
    ]
