"""Ways through the tab: from a finding to its layer, links, pictures, the keyboard."""

import re

import pytest
import tab_logs as logs
import tab_page

# One worker for all tests in this directory: they share a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")


def test_finding_opens_its_layer_and_step(page, server):
    frame = page.open(server, view="findings", hidden='["trained"]')
    rows = frame.locator(".fault")
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


def test_hostile_names_are_text(page, server):
    name = f"{logs.HOSTILE_RUN}/second"
    frame = page.open(server, view="findings", severity="error")
    assert frame.locator(".runs .name", has_text=name).count() == 1
    finding = frame.locator(".fault", has_text=logs.HOSTILE_RUN).first
    assert logs.HOSTILE[0] in finding.inner_text()
    assert "<i>Rule</i>" in finding.inner_text()
    links = finding.locator("a").evaluate_all("all => all.map((a) => a.protocol)")
    assert set(links) == {"https:"}
    for view in ("profile", "heat", "compare", "difference", "card"):
        frame.get_by_role("tab").nth(
            [
                "profile",
                "heat",
                "findings",
                "compare",
                "difference",
                "time",
                "card",
            ].index(view)
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


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """The address of a TensorBoard over a run of one fault and one that has none."""
    root = tmp_path_factory.mktemp("faulty")
    run = logs.Run(root / "faulty")
    run.step(0)
    cause = {
        "rule": "TensorVariance",
        "severity": "error",
        "measured": 262.0,
        "threshold": 50.0,
        "unit": "times 1/fan-in",
        "message": "the variance is `262`",
        "remedy": "Use `he_normal` (https://example.org/a;b); or others",
        "because_of": None,
    }
    follows = {"rule": "LossAtInit", "because_of": "TensorVariance", "layer": None}
    found = [
        logs.finding(**cause, layer="dense"),
        logs.finding(**cause, layer="dense_1"),
        *(logs.finding(**follows, step=step) for step in (0, 5)),
        logs.finding(measured=1.0, threshold=1.0, severity="warning"),
    ]
    run.writer.write_findings(0, found)
    run.close()
    fine = logs.Run(root / "fine")
    fine.step(0)
    fine.writer.write_findings(0, [])
    fine.close()
    with tab_page.tensorboard(root) as address:
        yield address


def test_keys_faster_than_the_page_draws_are_all_heeded(page, server):
    frame = page.open(server)
    keys = ["Home", "ArrowRight", "ArrowRight"]
    page.key("input[type=range]", *keys)
    slowly = page.step()
    page.key("input[type=range]", "End")
    assert page.step() != slowly
    frame.evaluate(
        """(keys) => {
          const slider = document.querySelector('input[type=range]');
          for (const key of keys)
            slider.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
        }""",
        keys,
    )
    page.settle()
    assert page.step() == slowly


@pytest.mark.parametrize("width", [800, 1280])
def test_finding_is_a_card_that_can_be_read(faulty, page, width):
    page.page.set_viewport_size({"width": width, "height": 850})
    frame = page.open(faulty, view="findings")
    cards = frame.locator(".fault")
    assert cards.count() == 2
    card = cards.first
    assert card.locator("code").all_inner_texts() == ["262", "he_normal"]
    text = card.inner_text()
    assert "`" not in text
    assert "measured 262, threshold 50 (times 1/fan-in)" in text
    assert "measured" not in cards.nth(1).inner_text()  # in an unknown unit
    hrefs = card.locator("a").evaluate_all("all => all.map((a) => a.href)")
    assert hrefs[0] == "https://example.org/a;b"
    for part in (card, card.locator(".remedy")):
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    for name in ("the same in dense_1", "follows from it: LossAtInit"):
        card.get_by_role("button", name=name).click()
        page.settle()
    assert card.locator(".finding").count() == 3
    # One count of faults, wherever they are counted.
    assert frame.locator("#tab-findings .count").inner_text() == "2"
    for kind in ("error 1", "warning 1", "info 0"):
        assert frame.get_by_role("button", name=kind).count() == 1
    badge = frame.locator(".runs li", has_text="faulty").locator(".badge.error")
    assert badge.get_attribute("title").startswith("2 findings")
    page.page.set_viewport_size({"width": 1300, "height": 850})


@pytest.fixture
def alike(tmp_path):
    """The address of a TensorBoard over three runs of one fault."""
    for name in ("one", "two", "three"):
        run = logs.Run(tmp_path / name)
        run.step(0)
        run.writer.write_findings(0, [logs.finding(step=0)])
        run.close()
    with tab_page.tensorboard(tmp_path) as address:
        yield address


def test_clean_runs_are_said_to_be(page, server):
    frame = page.open(server)
    frame.get_by_title("Show trained alone").click(force=True)
    page.settle()
    told = frame.locator(".verdict").inner_text()
    assert told.endswith("The rules found nothing wrong with this run."), told


@pytest.fixture
def exploded(tmp_path):
    """The address of a TensorBoard over a run whose loss leaps and ends in NaN."""
    run = logs.Run(tmp_path / "exploded")
    losses = [2.0 - 0.01 * n for n in range(60)] + [1e30, float("nan")]
    for step, loss in enumerate(losses):
        run.step(step)
        part = run.record.add_scalars(step, {"loss": loss})
        run.writer.write_metrics(step, {"loss": loss}, part)
    run.close()
    with tab_page.tensorboard(tmp_path) as address:
        yield address


def test_strip_tells_what_it_does_not_draw(exploded, page):
    strip = page.open(exploded).locator(".strip canvas")
    found = strip.get_attribute("title")
    assert found.endswith("; ▲ above the range shown; red: NaN or infinite"), found


def test_runs_with_the_same_fault_are_one_line(alike, page):
    frame = page.open(alike)
    (line,) = frame.locator(".verdict .finding").all()
    assert "and 2 more" in line.inner_text()
    assert line.get_by_text("and 2 more").get_attribute("title") == "three\ntwo"
    assert frame.get_by_text("all 3 findings").is_visible()


def test_tab_opens_at_the_gravest_cause(faulty, page):
    frame = page.open(faulty, view=None)
    assert frame.locator(".card figcaption strong").inner_text() == "dense"
    assert frame.locator(".runs li.focused").inner_text().startswith("faulty")
    # Nothing of it is the reader's choice; what is, stands.
    assert "p.initkit" not in page.page.url
    frame = page.open(faulty, view=None, signal="activation", run="fine")
    assert not frame.locator(".card").is_visible()
    assert frame.locator(".runs li.focused").inner_text().startswith("fine")


def test_the_remedy_can_be_copied(faulty, page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    frame = page.open(faulty, view="findings")
    frame.get_by_role("button", name="Copy the remedy").first.click()
    text = frame.evaluate("navigator.clipboard.readText()")
    assert text == "Use `he_normal` (https://example.org/a;b); or others"


def test_finding_leads_to_the_page_of_its_rule(faulty, page):
    frame = page.open(faulty, view="findings")
    with page.context.expect_page() as opened:
        frame.get_by_role("link", name="About this rule").first.click()
    opened.value.wait_for_load_state()
    assert opened.value.url.endswith("/rules.html#TensorVariance")
    heading = opened.value.locator("h2:target")
    assert heading.inner_text() == "TensorVariance"
    styles = "getComputedStyle(document.querySelector('main')).maxWidth"
    assert opened.value.evaluate(styles) != "none"
    opened.value.close()


def test_rule_of_ones_own_has_no_page(page, server):
    frame = page.open(server, view="findings", severity="error")
    card = frame.locator(".fault", has_text="<i>Rule</i>")
    assert card.count() == 1
    assert card.get_by_role("link", name="About this rule").count() == 0


def test_runs_can_be_listed_the_worst_first(tmp_path, page):
    findings = {
        "a_fine": [],
        "b_unjudged": None,
        "c_warning": [logs.finding(step=0)],
        "d_error": [logs.finding(step=0, severity="error")],
    }
    for name, found in findings.items():
        run = logs.Run(tmp_path / name)
        run.step(0)
        if found is not None:
            run.writer.write_findings(0, found)
        run.close()
    with tab_page.tensorboard(tmp_path) as address:
        frame = page.open(address)
        names = frame.locator(".runs .name")
        assert names.all_text_contents() == list(findings)
        frame.get_by_label("worst first").check()
        page.settle()
        ranked = ["d_error", "c_warning", "a_fine", "b_unjudged"]
        assert names.all_text_contents() == ranked
        page.open(address, worstFirst="true")
        assert page.frame.get_by_label("worst first").is_checked()


def test_first_line_tells_how_many_layers_have_a_fault(faulty, page):
    frame = page.open(faulty)
    line = frame.locator(".verdict .finding").first.inner_text()
    assert "in dense and 1 more layer, since" in line, line


def test_a_run_has_one_colour_in_all_views(faulty, page):
    frame = page.open(faulty, view="compare", hidden='["faulty"]')
    color = "e => getComputedStyle(e).backgroundColor"
    listed = frame.locator(".runs li", has_text="fine").locator(".swatch")
    compared = frame.locator("table.summary .swatch")
    assert compared.evaluate(color) == listed.evaluate(color)


def test_run_card_tells_facts_in_words(page, server):
    frame = page.open(server, view="card", run="trained")
    text = frame.locator(".runcard").inner_text()
    assert "monitoring took" in text
    assert " % of " in text
    assert "bytes_per_step" not in text


def test_forty_runs_are_drawn_in_forty_ways(page, server):
    frame = page.open(server)
    ways = (
        "async () => {"
        " const host = await import('./static/host.js');"
        " const { dashOf } = await import('./static/charts/colors.js');"
        " return [...Array(40).keys()].map("
        "(i) => `${host.defaultColor(i)} ${dashOf(Math.floor(i / 7))}`); }"
    )
    assert len(set(frame.evaluate(ways))) == 40


def test_names_lose_what_all_begin_with(page, server):
    frame = page.open(server)
    prefix = (
        "names => import('./static/format.js')"
        ".then(({ commonPrefix }) => commonPrefix(names, '/-_ .'))"
    )
    for names, expected in [
        (["many/mlp-he-1", "many/mlp-he-2"], "many/mlp-he-"),
        (["many/mlp", "many/mlp-2"], "many/"),
        (["a", "b"], ""),
        (["one/alone"], ""),
        (["he_normal", "he_normal"], "he_"),
    ]:
        assert frame.evaluate(prefix, names) == expected
