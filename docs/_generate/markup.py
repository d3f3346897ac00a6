"""Docstrings are written in Markdown; Sphinx reads reStructuredText."""

import re
import textwrap

_LITERAL = re.compile(r"(?<![`\w])`((?:[^`\n]|\n(?!\s*\n))+)`(?!`)")
_LINK = re.compile(r"\[([^\]\n]+)\]\((https?://[^)\s]+)\)")
# Sections whose content is not indented, as in Keras.
_FLAT = re.compile(r"^((?:References?|Examples?):\n)([->].*(?:\n.+)*)", re.MULTILINE)
_STAR = re.compile(r"(?<![`\w*])\*(?=\w+\b(?!\*))")


def as_restructured_text(lines):
    """Returns lines of Markdown (code, fences, links, tables) in the other language."""
    made, block, kind = [], [], None
    for line in [*lines, ""]:
        fence = line.lstrip().startswith("```")
        here = (
            kind
            if kind == "fence" and not fence
            else "fence"
            if fence
            else "table"
            if line.lstrip().startswith("|")
            else "text"
        )
        if kind == "fence" and fence:
            made += _fenced(block)
            block, kind = [], None
            continue
        if here != kind:
            made += _written(block, kind)
            block, kind = [], here
        block.append(line)
    return made + _written(block, kind)


def _written(block, kind):
    if not block:
        return []
    if kind == "table":
        return _table(block)
    return _fenced(block) if kind == "fence" else _text(block)


def _text(block):
    text = _LITERAL.sub(r"``\1``", _indent_sections("\n".join(block)))
    parts = re.split(r"(``[^`]+``)", text)
    parts[::2] = [
        _STAR.sub(r"\\*", _LINK.sub(r"`\1 <\2>`__", part)) for part in parts[::2]
    ]
    parts[1::2] = [
        part + r"\ " * rest[:1].isalnum()  # a literal ends before a space alone
        for part, rest in zip(parts[1::2], parts[2::2], strict=True)
    ]
    return "".join(parts).split("\n")


def _indent_sections(text):
    """Returns the text with references and examples indented, as other sections."""
    return _FLAT.sub(lambda m: m[1] + textwrap.indent(m[2], "    "), text)


def _fenced(block):
    indent = " " * (len(block[0]) - len(block[0].lstrip()))
    language = block[0].strip("` ") or "text"
    code = [f"   {line}" if line.strip() else "" for line in block[1:]]
    return [f"{indent}.. code-block:: {language}", "", *code, ""]


def _table(block):
    indent = " " * (len(block[0]) - len(block[0].lstrip()))
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in block
    ]
    made = ["", f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in (row for row in rows if not all(re.fullmatch(":?-+:?", c) for c in row)):
        for start, cell in zip(["* -", *["  -"] * len(row)], row, strict=False):
            made += [f"{indent}   {start} {line}" for line in _text([cell])]
    return [*made, ""]
