"""The tab by keyboard and screen reader: axe-core, what is read out, tables."""

import pytest

# One worker for all tests in this directory: they share a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")

VIEWS = ("profile", "heat", "findings", "compare", "difference", "time", "card")


@pytest.fixture(scope="module")
def violations():
    """Function of a frame that returns what axe-core finds wrong in it."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs axe-core: pip install axe-playwright-python",
    )

    def run(frame):
        found = axe.Axe().run(frame).response["violations"]
        return {one["id"]: [node["html"] for node in one["nodes"]] for one in found}

    return run


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_violates_a_rule_of_axe(page, server, violations, theme):
    frame = page.open(server, run="trained", layer="sequential/second")
    if theme == "dark":
        page.page.evaluate("document.body.classList.add('dark-mode')")
    found = {}
    for view in VIEWS:
        frame.locator(f"#tab-{view}").click()
        page.settle()
        opened = "all => all.forEach((one) => { one.open = true; })"
        frame.locator("details").evaluate_all(opened)
        page.settle()
        found[view] = violations(frame)
    assert found == {view: {} for view in VIEWS}


def test_axe_sees_what_is_wrong(page, server, violations):
    frame = page.open(server)
    frame.evaluate(
        "document.querySelector('.runs input').removeAttribute('aria-label')"
    )
    assert "label" in violations(frame)


def test_arrow_keys_in_a_chart_are_read_out(page, server, record):
    frame = page.open(server, run="trained", hidden='["full","parts"]')
    spoken = frame.locator("[role=status].unseen")
    assert spoken.inner_text() == ""
    chart = frame.locator("figure canvas").first
    chart.hover(position={"x": 200, "y": 100})
    assert spoken.inner_text() == ""  # the pointer is no question
    page.key("figure canvas >> nth=0", "Home")
    first = spoken.inner_text()
    page.key("figure canvas >> nth=0", "ArrowRight")
    assert frame.locator(".tip-title").inner_text() in spoken.inner_text()
    assert spoken.inner_text() != first
    assert "trained" in spoken.inner_text()
    frame.locator("#tab-heat").click()
    page.settle()
    page.key(".grid canvas >> nth=0", "ArrowDown")
    assert frame.locator(".tip-title").inner_text() in spoken.inner_text()


def test_a_table_stands_behind_each_chart(page, server, record):
    frame = page.open(server, run="trained", layer="sequential/second")
    frame.get_by_title("Show trained alone").click(force=True)
    page.settle()
    details = frame.locator("figure:visible details")
    assert details.count() == frame.locator("figure:visible .chart").count()
    details.first.locator("summary").click()
    page.settle()

    def shown():
        head, *rows = details.first.locator("tr").all_inner_texts()
        column = head.split("\t").index("trained")
        return [float(row.split("\t")[column].replace("−", "-")) for row in rows]

    _, values = record.profile("activation", "rms")
    assert shown() == pytest.approx(values.tolist(), rel=5e-3)
    page.key("input[type=range]", "Home")  # it follows the slider
    told = frame.get_by_label("Training step").get_attribute("aria-valuetext")
    assert told.startswith("step 0, trained: loss ")
    _, values = record.profile("activation", "rms", step=0)
    assert shown() == pytest.approx(values.tolist(), rel=5e-3)


def test_tab_key_goes_from_the_runs_to_the_views_and_their_charts(page, server):
    frame = page.open(server, run="trained")
    frame.get_by_label("Filter runs").focus()
    seen = []
    for _ in range(200):
        page.page.keyboard.press("Tab")
        name = frame.evaluate(
            "(document.activeElement.getAttribute('role') ?? "
            "document.activeElement.tagName).toLowerCase()"
        )
        seen.append(name)
        if name == "body" or frame.evaluate("!document.hasFocus()"):
            break
    places = [seen.index(name) for name in ("input", "tab", "select", "application")]
    assert places == sorted(places)
    assert seen.count("tab") == 1  # arrow keys go on from there


def test_the_runs_can_be_skipped(page, server):
    frame = page.open(server, run="trained")
    frame.locator(".skip").focus()
    page.page.keyboard.press("Enter")
    assert frame.evaluate("document.activeElement.id") == "view"
    page.page.keyboard.press("Tab")
    assert frame.evaluate("document.activeElement.closest('#view') !== null")
