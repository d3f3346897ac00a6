"""What each view shows is what the run recorded."""

import math

import pytest
import tab_logs as logs
import tab_page

import keras_initkit as kik
from keras_initkit import schema

# One worker for all tests in this directory: they share a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")

# The last step of the trained run, and a layer of it.
LAST = 22
LAYER = "sequential/second"


def test_profile_shows_the_record_and_theory(page, server, record, trained):
    frame = page.open(server)
    assert frame.locator("[role=tab][aria-selected=true]").inner_text() == (
        "Depth profile"
    )
    frame.get_by_title("Show trained alone").click(force=True)
    page.settle()
    keys, now = record.profile("activation", "rms")
    _, first = record.profile("activation", "rms", step=0)
    _, told = trained

    for place, key in enumerate(keys):
        page.key("figure canvas >> nth=0", "ArrowRight")
        assert frame.locator(".tip-title").inner_text() == key.layer
        *measured, theory = page.tip()["trained"]
        assert measured == [tab_page.number(now[place]), tab_page.number(first[place])]
        expected = math.sqrt(told.layers[place].activation)
        assert theory == tab_page.number(expected)
    downloaded = page.csv()
    shown = {
        row["tensor"]: float(row["value"])
        for row in downloaded
        if row["signal"] == "activation"
    }
    assert shown == {key.label: float(v) for key, v in zip(keys, now, strict=True)}
    assert {row["step"] for row in downloaded} == {str(LAST)}


def test_slider_moves_through_the_steps(page, server, record):
    frame = page.open(server)
    frame.get_by_title("Show trained alone").click(force=True)
    page.settle()
    assert page.step() == f"step {LAST} (latest)"
    page.key("input[type=range]", "Home", "ArrowRight", "ArrowRight")
    assert page.step() == f"step 4 of {LAST}"
    values = {
        row["tensor"]: float(row["value"])
        for row in page.csv()
        if (row["run"], row["signal"]) == ("trained", "activation")
    }
    keys, expected = record.profile("activation", "rms", step=4)
    assert values == {k.label: float(v) for k, v in zip(keys, expected, strict=True)}
    assert "p.initkit.step=4" in page.page.url

    frame.get_by_role("button", name="▶").click()
    frame.locator("output.step", has_text="(latest)").wait_for()
    assert "p.initkit.step" not in page.page.url


def test_signal_statistic_and_runs_are_chosen(page, server, record):
    frame = page.open(server)
    frame.get_by_label("Signal", exact=True).first.select_option("gradient")
    frame.get_by_label("Weights").first.select_option("all")
    frame.get_by_label("Statistic").first.select_option("zero_fraction")
    page.settle()
    frame.get_by_role("button", name="None").click()
    page.settle()
    assert frame.get_by_text("No run is selected").is_visible()
    frame.get_by_label("Show trained").check()
    page.settle()

    rows = [row for row in page.csv() if row["signal"] == "gradient"]
    keys, values = record.profile("gradient", "zero_fraction")
    assert [row["tensor"] for row in rows] == [key.label for key in keys]
    assert [float(row["value"]) for row in rows] == values.tolist()
    assert {row["run"] for row in rows} == {"trained"}


def test_heat_map_and_histogram_of_a_layer(page, server, record):
    hidden = '["parts","rewound","truncated","malformed","unknown"]'
    frame = page.open(server, view="heat", run="trained", layer=LAYER, hidden=hidden)
    page.key('canvas[aria-label^="trained: layers"]', "ArrowRight", "ArrowDown")
    assert frame.locator(".tip-title").inner_text() == LAYER
    expected = record.signal("activation").statistic("rms")[0, 1]
    assert page.tip() == {"trained, step 0": [tab_page.number(expected)]}
    page.key('canvas[aria-label^="trained: layers"]', "Enter")
    assert "p.initkit.step=0" in page.page.url
    assert frame.get_by_label("Layer", exact=True).input_value() == LAYER
    page.key('canvas[aria-label^="Magnitudes"]', "ArrowRight")
    assert "share of the values" in frame.locator(".tooltip").inner_text()


def test_groups_by_initializer(page, server):
    frame = page.open(server, view="compare")
    assert frame.get_by_label("Group by").input_value() == "initializer"
    rows = frame.locator("table.summary tr").all_inner_texts()[1:]
    assert [row.split("\t")[:2] for row in rows][1:] == [
        ["he_normal", "1"],
        ["zeros", "1"],
    ]
    assert rows[0].startswith("(none)")


def test_signals_through_time(page, server):
    frame = page.open(server, view="time")
    page.key('canvas[aria-label="activation over the time steps"]', *["ArrowRight"] * 3)
    assert frame.locator(".tip-title").inner_text() == "time step 2"
    assert page.tip() == {"full, step 45": ["49"]}
    rows = frame.locator("table.summary tr").all_inner_texts()
    assert rows == ["run\tactivation", "full\t49 → 46\t÷1.1"]


def test_theory_stands_beside_what_was_measured(page, server, log_dir):
    frame = page.open(server)
    frame.get_by_title("Show full alone").click(force=True)
    page.key("figure canvas >> nth=0", "ArrowRight", "ArrowRight")
    series = kik.RunRecord.load(log_dir / "full").signal("activation")
    rms = series.statistic("rms")[:, 1]
    heads = frame.locator(".tooltip th").all_inner_texts()
    assert heads == ["", "now", "step 0", "theory"]
    assert page.tip() == {
        "full": [tab_page.number(rms[-1]), tab_page.number(rms[0]), "0.5"]
    }
    frame.get_by_label("theory").uncheck()
    page.key("figure canvas >> nth=0", "Escape", "ArrowRight")
    assert frame.locator(".tooltip th").all_inner_texts() == ["", "now", "step 0"]


def test_card_tells_what_a_run_is(page, server, record):
    frame = page.open(server, view="card", run="trained")
    text = frame.locator(".runcard").inner_text()
    for word in ("trained", "Layers (3)", "sequential", "second", "Dense", "relu"):
        assert word in text


def test_python_reader_shows_the_same(browser, log_dir, record):
    with tab_page.tensorboard(log_dir, "--load_fast=false") as address:
        page = tab_page.Page(browser)
        page.open(address)
        keys, now = record.profile("activation", "rms")
        shown = {
            row["tensor"]: float(row["value"])
            for row in page.csv()
            if (row["run"], row["signal"]) == ("trained", "activation")
        }
        assert shown == {k.label: float(v) for k, v in zip(keys, now, strict=True)}
        page.check()
        page.context.close()


@pytest.fixture
def large(tmp_path):
    """The address of a TensorBoard over 40 runs of 200 layers."""
    layers = [f"stage_{i // 20}/block_{i}/conv" for i in range(200)]
    tag = schema.matrix_tag("activation")
    described = logs.described(tensors=tuple(layers))
    for run in range(40):
        values = ((step, logs.matrix(200, step + run)) for step in (0, 10))
        written = (
            (step, [logs.chunk(tag, matrix, described, step)])
            for step, matrix in values
        )
        logs.write_events(tmp_path / f"run_{run:02}", *written)
    with tab_page.tensorboard(tmp_path) as address:
        yield address


def test_forty_runs_of_two_hundred_layers(large, page):
    frame = page.open(large, run="run_39")
    assert frame.locator(".runs li").count() == 40
    page.key("figure canvas >> nth=0", "End")
    assert frame.locator(".tip-title").inner_text() == "stage_9/block_199/conv"
    rms = schema.statistics_of("activation").index("rms")
    expected = logs.matrix(200, 10 + 39)[-1, rms]
    assert page.tip()["run_39"] == [tab_page.number(expected)]
    assert "and 26 more" in frame.locator(".tooltip").inner_text()
    page.key("input[type=range]", "Home")
    assert page.step() == "step 0 of 10"
    frame.get_by_role("tab", name="Layer × step").click()
    page.settle()
    assert frame.get_by_text("28 more runs are selected").is_visible()
    assert len(page.csv()) == 40 * 200 * 2


# Whether all of the page and of its view lies within their widths.
FITS = """() => [document.documentElement, document.querySelector('.view')]
  .every((one) => one.scrollWidth <= one.clientWidth)"""


@pytest.mark.parametrize("width", [800, 1920])
def test_forty_runs_fit_into_narrow_and_wide_windows(large, page, width):
    page.page.set_viewport_size({"width": width, "height": 900})
    frame = page.open(large, run="run_39", layer="stage_9/block_199/conv")
    for view in ("profile", "heat", "findings", "compare", "difference", "card"):
        frame.locator(f"#tab-{view}").click()
        page.settle()
        assert frame.evaluate(FITS), view
    page.page.set_viewport_size({"width": 1300, "height": 850})


def test_ticks_over_steps_are_recorded_and_whole(page, server):
    frame = page.open(server)
    ticks = (
        "([low, high]) => import('./static/charts/scale.js')"
        ".then(({ stepScale }) => stepScale(low, high, 6).ticks.map((t) => t.value))"
    )
    assert frame.evaluate(ticks, [7, 7]) == [7]
    assert frame.evaluate(ticks, [0, 1]) == [0, 1]
    assert frame.evaluate(ticks, [3, 5]) == [3, 4, 5]
    for high in (2, 9, 100, 12_345):
        found = frame.evaluate(ticks, [0, high])
        assert all(tick == int(tick) and 0 <= tick <= high for tick in found)
        assert len(found) >= 2


# What a chart of these lines is asked to draw as healthy: `[[place, low, high]...]`.
HEALTHY = """async ([signal, lines, names]) => {
  const { healthyLevels } = await import('./static/model.js');
  return healthyLevels(signal, lines, names, 10);
}"""


HEALTHY_LEVELS = [
    # A signal keeps its size from where it comes; the median of several runs'.
    ("activation", [[2, 1, 0.5]], True, [[0, 2], [2, 2]]),
    ("backprop", [[2, 1, 0.5]], True, [[0, 0.5], [2, 0.5]]),
    ("activation", [[1, 9, 9], [3, 9, 9], [8, 9, 9]], False, [[0, 3], [2, 3]]),
    # What is 0, NaN or infinite tells no size.
    ("activation", [[0, 0, 0], [3, 9, 9]], True, [[0, 3], [2, 3]]),
    ("activation", [[0, 0, 0]], True, []),
    # Of weights: the runs' median, layer by layer, of runs with the same layers.
    # On a scale of powers, the middle of two is that of their exponents.
    ("gradient", [[1, 2, 4], [4, 8, 9]], True, [[0, 2], [1, 4], [2, 6]]),
    # Of two runs that are far apart, either may be the healthy one.
    ("gradient", [[1, 2, 4], [4, 8, 90]], True, []),
    ("activation", [[1, 9, 9], [90, 9, 9]], True, []),
    ("gradient", [[1, 2, 4], [3, 6, 8]], False, []),
    ("gradient", [[1, 2, 4]], True, []),
    ("gradient", [[1, 2, 4], [4, 0, 9]], True, [[0, 2], [1, 2], [2, 6]]),
]


def test_a_healthy_signal_keeps_its_size(page, server):
    frame = page.open(server)
    for signal, values, by_name, levels in HEALTHY_LEVELS:
        lines = [{"at": [0, 1, 2], "values": one} for one in values]
        found = frame.evaluate(HEALTHY, [signal, lines, by_name])
        assert len(found) == len(levels), values
        for one, expected in zip(found, levels, strict=True):
            assert one == pytest.approx(expected), values


PIECES = """async ([xs, ys]) => {
  const { pieces } = await import('./static/model.js');
  return pieces(xs, ys.map((y) => (y === null ? NaN : y)));
}"""


def test_lines_end_where_values_are_not_finite(page, server):
    frame = page.open(server)
    found = frame.evaluate(PIECES, [[0, 1, 2, 3, 4], [None, 5, 6, None, 7]])
    assert found == [[[1, 5], [2, 6]], [[4, 7]]]
    assert frame.evaluate(PIECES, [[0, 1], [None, None]]) == []


def test_ticks_differ(page, server):
    frame = page.open(server)
    ticks = (
        "([low, high]) => import('./static/charts/scale.js')"
        ".then(({ linearScale }) => linearScale(low, high, 4).ticks.map((t) => t.text))"
    )
    for low, high in [(2.3018, 2.3027), (0, 1), (1e6, 1e6 + 20), (-1e-7, 2e-7)]:
        texts = frame.evaluate(ticks, [low, high])
        assert len(set(texts)) == len(texts) >= 2


# The columns of a heat map that lie below the pixels of its width.
COLUMNS = """async (steps) => {
  const { HeatMap } = await import('./static/charts/heatmap.js');
  const map = new HeatMap({ label: 'test' });
  map.element.style.width = '600px';
  document.body.append(map.element);
  let seen = null;
  const scale = { kind: 'linear', at: () => 0.5 };
  const tip = (column) => { seen = column; return []; };
  map.show({ names: ['a'], steps, value: () => 1, scale, height: 100, tip });
  const { left, top } = map.canvas.getBoundingClientRect();
  const found = [];
  for (let x = 0; x < 600; x++) {
    seen = null;
    const at = { clientX: left + x, clientY: top + 40 };
    map.canvas.dispatchEvent(new MouseEvent('mousemove', at));
    if (seen !== null) found.push(seen);
  }
  map.element.remove();
  return found;
}"""


@pytest.mark.parametrize(
    ("steps", "shares"),
    [([7], [1]), ([0, 10], [0.5, 0.5]), ([0, 10, 40], [0.125, 0.5, 0.375])],
)
def test_heat_map_ends_with_its_last_step(page, server, steps, shares):
    columns = page.open(server).evaluate(COLUMNS, steps)
    assert columns == sorted(columns)
    assert len(columns) > 500
    for column, share in enumerate(shares):
        width = columns.count(column)
        assert abs(width - share * len(columns)) <= 2


# For lists of names: the places of each list's names on the axis, by name or by number.
AXIS = """async ([lists, wanted]) => {
  const { depthAxis } = await import('./static/model.js');
  const { x, at } = depthAxis(lists, wanted);
  return [x.names ?? null, lists.map((list) => list.map((_, i) => at(list, i)))];
}"""


@pytest.mark.parametrize(
    ("lists", "wanted", "names", "places"),
    [
        (["abc", "ac"], "auto", "abc", [[0, 1, 2], [0, 2]]),
        (["ab", "xyb"], "auto", None, [[0, 100], [0, 50, 100]]),
        (["ab", "ba"], "auto", None, [[0, 100], [0, 100]]),
        (["a", "b"], "auto", None, [[50], [50]]),
        (["abc", "ac"], "depth", None, [[0, 50, 100], [0, 100]]),
        (["ab", "xyz"], "position", "123", [[0, 1], [0, 1, 2]]),
        (["ab", "xyb"], "name", "axyb", [[0, 3], [1, 2, 3]]),
    ],
)
def test_models_share_an_axis_by_name_only_where_layers_do(
    page, server, lists, wanted, names, places
):
    frame = page.open(server)
    models = [[f"model_{i}/{name}" for name in one] for i, one in enumerate(lists)]
    for each in ([[*one] for one in lists], models):
        # A model of one layer has no name in common with others of its own.
        if min(map(len, lists)) > 1 or each is not models:
            assert frame.evaluate(AXIS, [each, wanted]) == [names and [*names], places]


def test_two_architectures_are_drawn_by_depth(page, server):
    # "parts" has one layer at last, "deep" forty others.
    frame = page.open(server, hidden='["full"]', run="deep")
    frame.get_by_title("Show deep alone").click(force=True)
    frame.get_by_label("Show trained").check()
    page.key("figure canvas >> nth=0", "End")
    title = frame.locator(".tip-title").inner_text()
    assert title == "depth 100 %"
    rows = [*page.tip()]
    assert any(row.startswith(f"deep ({logs.DEEP[-1]}") for row in rows)
    assert any(row.startswith("trained (sequential/logits") for row in rows)
    shown = [row for row in page.csv() if row["signal"] == "activation"]
    assert len(shown) == len(logs.DEEP) + 3
