"""A diagnosis in terminals of any width."""

import math

import pytest

from keras_initkit.diagnosis import Finding
from keras_initkit.inspection.layer_profile import LayerProfile
from keras_initkit.report import diagnosis_table, tables
from keras_initkit.report.numbers import short

ROWS = [
    LayerProfile(f"block/quite_a_long_name_of_layer_{n}", 264.0, 1.5, 3e-5, 2e-5, *rest)
    for n, rest in enumerate([(0.1, 0.2, 0.25), (None, math.nan, None)] * 3)
]
LONG = Finding(
    rule="DeadRelu",
    severity="error",
    layer=ROWS[2].layer,
    step=0,
    measured=1.0,
    threshold=0.9,
    message="all of the units are dead, " * 4 + "all of them.",
    remedy="Use what is written on https://example.org/" + "a" * 60 + ".",
    reference="none",
)


def drawn(width):
    causes = [(LONG, "And 2 more that follow from it.")]
    faults = {LONG.layer: "error"}
    table = diagnosis_table.render("net", 2.3, None, ROWS, causes, faults, ["a note"])
    return tables.to_text(table, width)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_every_layer_has_its_row_and_no_line_is_too_long(width):
    lines = drawn(width).splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.split(" │ ") for line in lines if "│" in line]
    assert [row[0].strip()[-1] for row in rows] == [str(n) for n in range(6)]
    if width <= 60:
        assert all("…" in row[0] for row in rows)  # cut in the middle
    assert {row[1].strip() for row in rows} == {"260"}
    (title,) = [line.split(" ┃ ") for line in lines if "┃" in line]
    assert {len(row) for row in rows} == {len(title)}
    left_out = 8 - len(title)
    legend = " ".join(drawn(width).split())
    assert (f"({left_out} column" in legend) == (left_out > 0)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_advice_hangs_below_its_title_and_loses_nothing(width):
    text = drawn(width)
    body = text[text.index("error DeadRelu in") :].splitlines()
    first = next(i for i, line in enumerate(body) if line.startswith("  "))
    end = next(i for i, line in enumerate(body) if "And 2 more" in line)
    assert first <= 2
    assert all(line.startswith("  ") for line in body[first : end + 1])
    told = "".join(line.strip() for line in body)
    assert "https://example.org/" + "a" * 60 in told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-264.2, "-260"),
        (99.6, "100"),
        (1e-9, "1e-9"),
        (123456.0, "120000"),
        (1.26e9, "1.3e9"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_written_as_people_do(value, text):
    assert short(value) == text
