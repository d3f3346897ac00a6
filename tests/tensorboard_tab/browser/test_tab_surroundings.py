"""The tab within TensorBoard and a notebook: colours, news, a server that is silent."""

import functools
import http.server
import re
import threading
import time

import pytest
import tab_logs as logs
import tab_page

# One worker for all tests in this directory: they share a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")


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


def test_new_steps_and_runs_appear(unpolled, server, log_dir):
    frame = unpolled.open(server)
    before = frame.locator(".runs li").count()
    run = logs.Run(log_dir / "while_open")
    for step in (0, 60):
        run.step(step)
    run.close()
    for _ in range(20):
        time.sleep(0.5)
        tab_page.reload(unpolled)
        if frame.locator(".runs li").count() > before:
            break
    assert frame.locator(".runs li").count() == before + 1
    frame.locator("output.step", has_text="step 60 (latest)").wait_for()
    unpolled.check()


def test_silent_server_is_told_and_forgiven(unpolled, server):
    frame = unpolled.open(server)
    alert = frame.locator("[role=alert]")
    assert not alert.is_visible()
    unpolled.page.route("**/initkit/index?*", lambda route: route.abort())
    tab_page.reload(unpolled)
    alert.wait_for()
    assert "TensorBoard is not responding" in alert.inner_text()
    assert frame.locator("figure canvas").first.is_visible()
    unpolled.page.unroute("**/initkit/index?*")
    tab_page.reload(unpolled)
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
