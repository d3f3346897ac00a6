"""Ways through the tab: from a finding to its layer, links, pictures, the keyboard."""

import re

import pytest
import tab_logs as logs

# One worker for all tests in this directory: they share a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")


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
