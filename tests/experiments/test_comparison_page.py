"""What a comparison gives: a frame, a page, pictures of grids, a live table."""

import html.parser
import importlib.util
import math
import re

import numpy as np
import pytest

from keras_initkit import experiments
from keras_initkit.recording.record import RunRecord
from keras_initkit.report import comparison_page, live_table
from tests.experiments.results import result_of

drawn = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib"
)
GRID = {"depth": (5, 30), "rate": (0.1, 0.01)}


def run_of(name, seed, point, accuracy):
    record = RunRecord()
    for step in range(4):
        record.add_scalars(step, {"loss": 2.0 - accuracy * step / 4})
    return result_of(
        name,
        seed,
        point=point,
        accuracy=accuracy,
        learned=accuracy > 0.2,
        steps=4,
        record=record,
    )


def comparison_of(grid=GRID, names=("he", "<zero>")):
    empty = experiments.ComparisonResult(
        "mlp", "mnist", "here & now", False, names, (0, 1, 2), grid=grid or {}
    )
    for point in empty.points:
        for place, name in enumerate(names):
            for seed in range(3):
                accuracy = 0.9 - 0.8 * place + 0.01 * seed
                empty.runs.append(run_of(name, seed, point, accuracy))
    return empty


class Reader(html.parser.HTMLParser):
    """Collects what a page would fetch, what it runs, and its text."""

    def __init__(self, page):
        super().__init__()
        self.fetched, self.text, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "data", "action")
            and not value.startswith(("#", "data:"))
        ]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


@drawn
def test_the_page_needs_no_other_file_and_runs_nothing(tmp_path):
    found = comparison_of()
    page = found.to_html(tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text() == page
    reader = Reader(page)
    assert reader.fetched == []
    assert not {"script", "iframe", "object", "link", "img"} & set(reader.tags)
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)", page)


@drawn
def test_the_page_tells_all_and_nothing_as_markup():
    found = comparison_of()
    found.call = "kik.compare('mlp', ...)"
    page = found.to_html()
    text = "".join(Reader(page).text)
    assert "<zero>" not in page
    assert "&lt;zero&gt; depth=5,rate=0.1" in page
    for line in found.verdict.lines():
        assert line in text
    assert "here & now" in text
    assert found.call in text
    assert text.count("Training loss (line: mean") == 0  # text of pictures is drawn
    # One picture of the grid and one a point.
    assert page.count("<figure>") == 5


@drawn
def test_the_page_says_that_data_stand_in():
    found = comparison_of(None)
    found.is_standin = True
    assert "NOT THE REAL DATA: here &amp; now" in found.to_html()


def test_notebooks_show_the_verdict_without_pictures():
    found = comparison_of(None)
    shown = found._repr_html_()
    assert shown.startswith('<div class="initkit">')
    assert "<svg" not in shown
    assert "he: 3 of 3 learned" in shown
    assert "he: 3 of 3 learned" in repr(found)


def test_many_differences_are_cut_and_counted():
    names = tuple(f"init{i}" for i in range(16))
    found = comparison_of(None, names)
    for run in found.runs:
        run.learned = True
    page = comparison_page.fragment(found._page([]))
    assert "20 more are not shown" in page  # of 16 · 15 / 2


def test_frames_have_a_row_a_run_and_a_column_an_argument():
    pandas = pytest.importorskip("pandas")
    frame = comparison_of().to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns[:6]) == [
        "initializer", "seed", "depth", "rate", "accuracy", "loss_initial",
    ]  # fmt: skip
    assert len(frame) == 24
    means = frame.groupby(["initializer", "depth"]).accuracy.mean()
    assert means["he", 30] == pytest.approx(0.91)


@drawn
def test_a_grid_is_drawn_as_heat_maps(tmp_path):
    found = comparison_of()
    found.plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    slow, _ = found._heat_maps()
    assert (slow.argument, slow.title) == ("depth", "rate 0.1")
    assert slow.columns == ["5", "30"]
    np.testing.assert_allclose(slow.values, [[0.91, 0.91], [0.11, 0.11]])
    assert slow.notes == [["3/3", "3/3"], ["0/3", "0/3"]]


@drawn
def test_of_a_large_grid_the_points_that_differ_most_are_drawn():
    found = comparison_of({"depth": tuple(range(9))})
    for run in found.runs:
        if run.point["depth"] not in (2, 3, 5, 7):
            run.accuracy, run.learned = 0.9, True  # all alike
    captions = [caption for caption, _ in found.pictures()]
    assert captions == ["The grid", "depth=2", "depth=3", "depth=5", "depth=7"]
    page = comparison_page.fragment(found._page(found.pictures()))
    assert "curves are drawn for the 4 of 9 grid points" in page
    assert "curves are drawn for" not in comparison_of().to_html()  # all four
    assert "curves are drawn for" not in found._repr_html_()  # no pictures


@drawn
def test_many_maps_stand_below_one_another():
    several = {"depth": (5, 30), "rate": tuple(range(7))}
    figure = comparison_of(several).plot()
    assert figure.get_size_inches()[0] < 20
    *maps, _ = figure.axes
    assert [axes.get_title() for axes in maps] == [f"rate {rate}" for rate in range(7)]
    assert {axes.get_subplotspec().rowspan.start for axes in maps} == {0, 1}


def test_a_grid_is_ranked_at_each_point_and_over_all():
    found = comparison_of()
    assert [row.name for row in found.table()][:4] == [
        "he depth=5,rate=0.1",
        "<zero> depth=5,rate=0.1",
        "he depth=5,rate=0.01",
        "<zero> depth=5,rate=0.01",
    ]
    assert found.ranking == ("he", "<zero>")
    assert [run.point["depth"] for run in found.of("he", rate=0.1)] == [5] * 3 + [
        30
    ] * 3


def test_differences_are_within_a_point():
    found = comparison_of()
    for run in found.runs:
        run.learned = True
    pairs = [(one.better, one.worse) for one in found.verdict.differences]
    assert len(pairs) == 4
    assert all(a.split(" ")[1] == b.split(" ")[1] for a, b in pairs)


def test_the_share_that_learned_ranks_ahead_of_the_mean():
    found = experiments.ComparisonResult(
        "mlp", "mnist", "here", False, ("often", "always"), (0, 1, 2)
    )
    found.runs = [
        result_of("often", seed, accuracy=a, learned=a > 0.5)
        for seed, a in enumerate([0.99, 0.99, 0.5])
    ] + [result_of("always", seed, accuracy=0.6, learned=True) for seed in range(3)]
    assert found.ranking == ("always", "often")


def test_the_live_table_estimates_the_time_that_is_left():
    table = live_table.LiveTable(["he", "zero"], 3, 2, wanted=False)
    assert math.isnan(table.left)
    table.add("he", 0.9, 0.0)  # kept from before: tells nothing of the time
    assert math.isnan(table.left)
    table.add("he", 0.8, 10.0)
    table.add("zero", math.nan, 20.0)
    assert table.left == 3 * 15.0 / 2
    from keras_initkit.report.tables import to_text

    text = to_text(table)
    assert "3 of 6 runs, about 22 s left" in text
    assert re.search(r"he +│ +2/3 +│ +0.8500", text)


def test_the_live_table_is_shown_where_it_is_wanted(capsys):
    for wanted, shown in [(True, True), (False, False), (None, False)]:
        table = live_table.LiveTable(["he"], 1, 1, wanted)
        with table.shown():
            table.add("he", 0.5, 1.0)
        assert ("1 of 1 runs" in capsys.readouterr().err) == shown


def test_a_large_table_is_cut():
    from keras_initkit.report.tables import to_text

    table = live_table.LiveTable([f"init{i}" for i in range(50)], 1, 1, wanted=False)
    assert "and 20 more" in to_text(table)
