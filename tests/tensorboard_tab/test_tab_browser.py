"""The tab in a real browser, in a real TensorBoard, over a really trained run."""

import csv
import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tab_logs as logs

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.recording import events

# One worker for all: they share a trained model, a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
STEPS = list(range(0, 24, 2))
LAYER = "sequential/second"  # of the trained run


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"needs a Chromium on the PATH, one of {BROWSERS}")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def log_dir(tmp_path_factory, browser):
    """A trained run, and written ones: groups, findings, time, hostile names."""
    root = tmp_path_factory.mktemp("browser")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 6)).astype("float32")
    y = rng.integers(0, 3, 96)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(8, "relu", name="first"),
            keras.layers.Dense(8, "relu", name="second"),
            keras.layers.Dense(3, name="logits"),
        ],
        name="sequential",
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    monitor = kik.SignalMonitor(root / "trained", every=2)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[monitor])
    logs.write_all(root)
    shutil.rmtree(root / "newer")
    hostile = (root / logs.HOSTILE_RUN) / "second"
    run = logs.Run(hostile)
    for step in (0, 10):
        run.step(step, tuple(schema.TensorKey(name, "output") for name in logs.HOSTILE))
    run.close()
    broken = logs.finding(
        rule="<i>Rule</i>",
        severity="error",
        layer=logs.HOSTILE[0],
        step=10,
        message=f"{logs.HOSTILE[0]} & co",
        reference="javascript:alert(1) https://example.org/?a='\"><script>",
    )
    logs.write_events(
        hostile, (10, [events.text(schema.FINDINGS_TAG, {"findings": [broken]})])
    )
    return root


@pytest.fixture(scope="session")
def record(log_dir):
    """What the run recorded, read back apart from the tab."""
    found = kik.RunRecord.load(log_dir / "trained")
    assert found.signal("activation").steps.tolist() == STEPS
    return found


def start_tensorboard(log_dir, *flags):
    """Starts stock TensorBoard; returns the process and its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--reload_interval", "1", *flags],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    for line in process.stderr:
        if found := re.search(r" at (http://\S+)", line):
            return process, found[1]
    raise AssertionError("TensorBoard did not start")


@pytest.fixture(scope="session")
def server(log_dir):
    process, address = start_tensorboard(log_dir, "--path_prefix", "/a/prefix")
    yield address
    process.terminate()
    process.wait()


class Page:
    """A browser page that shows the tab, and whatever went wrong in it."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(
            viewport={"width": 1300, "height": 850}, **options
        )
        self.page = self.context.new_page()
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("dialog", lambda dialog: self._dismiss(dialog))
        self.page.add_init_script(
            "window.violations = [];"
            "document.addEventListener('securitypolicyviolation',"
            " (e) => window.violations.push(e.violatedDirective));"
        )

    def _listen(self, message):
        # TensorBoard's own fonts are not found below a path prefix.
        if message.type == "error" and "/font-roboto/" not in str(message.location):
            self.faults.append(message.text)

    def _dismiss(self, dialog):
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, address, **state):
        """Opens the tab inside TensorBoard."""
        query = "".join(f"&p.initkit.{key}={value}" for key, value in state.items())
        self.page.goto("about:blank")
        self.page.goto(f"{address}#initkit{query}")
        self.page.frame_locator("iframe").locator(".runs li").first.wait_for()
        (self.frame,) = [f for f in self.page.frames if "plugin_entry" in f.url]
        self.settle()
        return self.frame

    def settle(self):
        """Waits until no reply is awaited and all is drawn."""
        for _ in range(2):
            self.frame.evaluate(
                "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
            )
            self.frame.wait_for_selector("#view[aria-busy=false]")

    def tip(self):
        """Rows of the tooltip: name, then values."""
        rows = self.frame.locator(".tooltip tr")
        cells = [row.locator("td").all_inner_texts() for row in rows.all()]
        return {name: values for name, *values in filter(None, cells)}

    def key(self, selector, *keys):
        for key in keys:
            self.frame.locator(selector).press(key)
        self.settle()

    def step(self):
        return self.frame.locator("output.step").inner_text()

    def csv(self):
        with self.page.expect_download() as download:
            self.frame.get_by_role("button", name="CSV").click()
        with open(download.value.path(), newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def check(self):
        assert self.faults == []
        for frame in self.page.frames:
            assert frame.evaluate("window.violations") == []


@pytest.fixture(scope="module")
def shared(browser):
    page = Page(browser)
    yield page
    page.context.close()


@pytest.fixture
def page(shared):
    """The page, checked afterwards for errors and violations of the policy."""
    yield shared
    shared.check()


# The checkbox of every run but the trained one.
HIDDEN = '["parts","rewound","full","truncated","malformed","unknown"]'


def number(value):
    """The shortest text that reads back as a float32, as the tab writes it."""
    text = np.format_float_positional(np.float32(value), unique=True, trim="-")
    return text.replace("-", "−")


def test_profile_shows_the_values_of_the_record(page, server, record):
    frame = page.open(server)
    assert frame.locator("[role=tab][aria-selected=true]").inner_text() == (
        "Depth profile"
    )
    frame.get_by_title("Show trained alone").click(force=True)
    page.settle()
    keys, now = record.profile("activation", "rms")
    _, first = record.profile("activation", "rms", 0)

    for place, key in enumerate(keys):
        page.key("figure canvas >> nth=0", "ArrowRight")
        assert frame.locator(".tip-title").inner_text() == key.layer
        assert page.tip() == {"trained": [number(now[place]), number(first[place])]}
    downloaded = page.csv()
    shown = {
        row["tensor"]: float(row["value"])
        for row in downloaded
        if row["signal"] == "activation"
    }
    assert shown == {key.label: float(v) for key, v in zip(keys, now, strict=True)}
    assert {row["step"] for row in downloaded} == {str(STEPS[-1])}


def test_slider_moves_through_the_steps(page, server, record):
    frame = page.open(server, hidden=HIDDEN)
    assert page.step() == f"step {STEPS[-1]} (latest)"
    page.key("input[type=range]", "Home", "ArrowRight", "ArrowRight")
    assert page.step() == f"step 4 of {STEPS[-1]}"
    values = {
        row["tensor"]: float(row["value"])
        for row in page.csv()
        if (row["run"], row["signal"]) == ("trained", "activation")
    }
    keys, expected = record.profile("activation", "rms", 4)
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
    assert frame.get_by_text("No run is selected").is_visible()
    frame.get_by_label("Show trained").check()
    page.settle()

    rows = [row for row in page.csv() if row["signal"] == "gradient"]
    keys, values = record.profile("gradient", "zero_fraction")
    assert [row["tensor"] for row in rows] == [key.label for key in keys]
    assert [float(row["value"]) for row in rows] == values.tolist()
    assert {row["run"] for row in rows} == {"trained"}


def test_finding_opens_its_layer_and_step(page, server):
    frame = page.open(server, view="findings", hidden='["trained"]')
    rows = frame.locator(".findings tbody tr")
    assert rows.count() == 2
    frame.get_by_role("button", name=re.compile("warning")).click()
    page.settle()
    assert rows.count() == 1
    frame.get_by_label("Search findings").fill("no such thing")
    page.settle()
    assert frame.get_by_text("No finding matches").is_visible()
    frame.get_by_label("Search findings").fill("vanish")
    page.settle()
    rows.first.focus()
    page.page.keyboard.press("Enter")
    page.settle()

    url = page.page.url
    for part in ("layer=dense_1", "step=5", "run=full"):
        assert f"p.initkit.{part}" in url
    assert page.step().startswith("step 5 ") or page.step().startswith("step 6 ")
    assert frame.locator(".card figcaption strong").inner_text() == "dense_1"

    frame.get_by_role("tab", name="Findings").click()
    frame.get_by_role("button", name="Layer × step").first.click()
    page.settle()
    assert frame.locator("[role=tab][aria-selected=true]").inner_text() == (
        "Layer × step"
    )


def test_heat_map_and_histogram_of_a_layer(page, server, record):
    hidden = HIDDEN.replace('"full",', "")
    frame = page.open(server, view="heat", run="trained", layer=LAYER, hidden=hidden)
    page.key('canvas[aria-label^="trained: layers"]', "ArrowRight", "ArrowDown")
    assert frame.locator(".tip-title").inner_text() == LAYER
    expected = record.signal("activation").statistic("rms")[0, 1]
    assert page.tip() == {"trained, step 0": [number(expected)]}
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
    page.key('canvas[aria-label="Signal over the time steps"]', *["ArrowRight"] * 3)
    assert frame.locator(".tip-title").inner_text() == "time step 2"
    assert page.tip() == {"full, step 45": ["49"]}


def test_card_tells_what_a_run_is(page, server, record):
    frame = page.open(server, view="card", run="trained")
    text = frame.locator(".runcard").inner_text()
    for word in ("trained", "Layers (3)", "sequential", "second", "Dense", "relu"):
        assert word in text


def test_hostile_names_are_text(page, server):
    name = f"{logs.HOSTILE_RUN}/second"
    frame = page.open(server, view="findings", severity="error")
    assert frame.locator(".runs .name", has_text=name).count() == 1
    finding = frame.locator(".findings tbody tr", has_text=logs.HOSTILE_RUN).first
    assert logs.HOSTILE[0] in finding.inner_text()
    assert "<i>Rule</i>" in finding.inner_text()
    links = finding.locator("a").evaluate_all("all => all.map((a) => a.protocol)")
    assert set(links) == {"https:"}
    for view in ("profile", "heat", "compare", "card"):
        frame.get_by_role("tab").nth(
            ["profile", "heat", "findings", "compare", "time", "card"].index(view)
        ).click()
        page.settle()
        assert frame.locator("main img, main script, main i, main b").count() == 0
    assert frame.evaluate("window.hacked") is None


def test_link_shows_the_same_again(page, server):
    frame = page.open(server)
    frame.get_by_role("tab", name="Layer × step").click()
    frame.get_by_label("Statistic").select_option("std")
    frame.get_by_label("Show parts").uncheck()
    page.settle()
    url = page.page.url
    page.page.goto("about:blank")
    page.page.goto(url)
    page.page.frame_locator("iframe").locator(".runs li").first.wait_for()
    (page.frame,) = [f for f in page.page.frames if "plugin_entry" in f.url]
    page.settle()
    assert page.frame.get_by_label("Statistic").input_value() == "std"
    assert not page.frame.get_by_label("Show parts").is_checked()
    # A link that somebody cut or changed does no harm.
    page.open(server, view="nowhere", hidden="[1,{", step="x", stat="<b>", signal="y")
    assert page.frame.locator("figure canvas").first.is_visible()


def test_picture_of_the_charts(page, server):
    page.open(server)
    with page.page.expect_download() as download:
        page.frame.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "initkit-profile.png"
    with open(download.value.path(), "rb") as file:
        picture = file.read()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(picture) > 5000


def test_keyboard_moves_between_the_views(page, server):
    frame = page.open(server)
    page.key("#tab-profile", "ArrowLeft")
    assert frame.locator("[role=tab][aria-selected=true]").inner_text() == "Run card"


def test_dark_mode_follows_tensorboard(page, server):
    frame = page.open(server)
    ink = "getComputedStyle(document.body).color"
    light = frame.evaluate(ink)
    page.page.evaluate("document.body.classList.add('dark-mode')")
    page.settle()
    assert frame.evaluate("document.documentElement.dataset.theme") == "dark"
    assert frame.evaluate(ink) != light


def test_run_colors_are_those_of_tensorboard(page, server):
    frame = page.open(server)
    runs = page.page.request.get(f"{server}data/runs").json()
    row = frame.locator(".runs li", has_text="trained").first
    color = row.locator(".swatch").evaluate("e => e.style.background")
    palette = ["#ff7043", "#0077bb", "#cc3311", "#33bbee", "#ee3377", "#009988"]
    red, green, blue = map(int, re.findall(r"\d+", color))
    expected = [*palette, "#bbbbbb"][runs.index("trained") % 7]
    assert f"#{red:02x}{green:02x}{blue:02x}" == expected


@pytest.fixture
def unpolled(browser):
    """A page whose tab asks for news only when TensorBoard says so."""
    page = Page(browser)
    page.page.add_init_script(
        "const every = setInterval;"
        "window.setInterval = (f, ms) => (ms === 10_000 ? 0 : every(f, ms));"
    )
    yield page
    page.context.close()


def reload(page):
    """Presses TensorBoard's reload button."""
    page.page.locator(".reload-button").first.click()
    page.settle()


def test_new_steps_and_runs_appear(unpolled, server, log_dir):
    frame = unpolled.open(server)
    before = frame.locator(".runs li").count()
    run = logs.Run(log_dir / "while_open")
    for step in (0, 60):
        run.step(step)
    run.close()
    for _ in range(20):
        time.sleep(0.5)
        reload(unpolled)
        if frame.locator(".runs li").count() > before:
            break
    assert frame.locator(".runs li").count() == before + 1
    frame.locator("output.step", has_text="step 60 (latest)").wait_for()
    unpolled.check()


def test_silent_server_is_told_and_forgiven(unpolled, server):
    frame = unpolled.open(server)
    alert = frame.locator("[role=alert]")
    assert not alert.is_visible()
    unpolled.page.route("**/initkit/index", lambda route: route.abort())
    reload(unpolled)
    alert.wait_for()
    assert "TensorBoard does not answer" in alert.inner_text()
    assert frame.locator("figure canvas").first.is_visible()
    unpolled.page.unroute("**/initkit/index")
    reload(unpolled)
    alert.wait_for(state="hidden")


@pytest.fixture
def notebook(server, tmp_path):
    """Address of a page that shows TensorBoard in a frame, as `%tensorboard` does."""
    frame = f"<iframe src='{server}#initkit&p.initkit.view=card' width=900 height=600>"
    (tmp_path / "notebook.html").write_text(f"<link rel=icon href='data:,'>{frame}")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=tmp_path
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as outer:
        threading.Thread(target=outer.serve_forever, daemon=True).start()
        yield f"http://localhost:{outer.server_port}/notebook.html"
        outer.shutdown()


def test_tab_inside_the_frame_of_a_notebook(page, notebook):
    page.page.goto(notebook)
    outer = page.page.frame_locator("iframe")
    outer.frame_locator("iframe").locator(".runs li").first.wait_for()
    (page.frame,) = [f for f in page.page.frames if "plugin_entry" in f.url]
    page.settle()
    chosen = page.frame.locator("[role=tab][aria-selected=true]")
    assert chosen.inner_text() == "Run card"
    assert page.frame.locator(".runcard h2").is_visible()


def test_theory_stands_beside_what_was_measured(page, server, log_dir):
    frame = page.open(server)
    frame.get_by_title("Show full alone").click(force=True)
    page.key("figure canvas >> nth=0", "ArrowRight", "ArrowRight")
    series = kik.RunRecord.load(log_dir / "full").signal("activation")
    rms = series.statistic("rms")[:, 1]
    heads = frame.locator(".tooltip th").all_inner_texts()
    assert heads == ["", "now", "step 0", "theory"]
    assert page.tip() == {"full": [number(rms[-1]), number(rms[0]), "0.5"]}
    frame.get_by_label("theory").uncheck()
    page.key("figure canvas >> nth=0", "Escape", "ArrowRight")
    assert frame.locator(".tooltip th").all_inner_texts() == ["", "now", "step 0"]


def test_python_reader_shows_the_same(browser, log_dir, record):
    process, address = start_tensorboard(log_dir, "--load_fast=false")
    page = Page(browser)
    try:
        page.open(address)
        keys, now = record.profile("activation", "rms")
        shown = {
            row["tensor"]: float(row["value"])
            for row in page.csv()
            if (row["run"], row["signal"]) == ("trained", "activation")
        }
        assert shown == {k.label: float(v) for k, v in zip(keys, now, strict=True)}
        page.check()
    finally:
        page.context.close()
        process.terminate()
        process.wait()
