"""The tab while training goes on: nobody presses reload."""

import re

import pytest
import tab_logs as logs
import tab_page

# One worker for all tests in this directory: they share a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")

FLAGS = {"rust": (), "python": ("--load_fast=false",)}


class Training:
    """A run that grows under a TensorBoard beside one that has ended."""

    def __init__(self, log_dir):
        logs.write_run(log_dir / "ended")
        self._run = logs.Run(log_dir / "live")
        self.train(range(0, 25, 5))

    def train(self, steps, findings=()):
        for step in steps:
            self._run.step(step)
            self._run.writer.write_metrics(step, {"loss": 1 / (1 + step)})
        self._run.writer.write_findings(step, findings)
        self._run.writer.flush()

    def close(self):
        self._run.close()


@pytest.fixture(params=FLAGS)
def live(request, tmp_path, browser):
    """A training, and a page that shows it."""
    training = Training(tmp_path)
    with tab_page.tensorboard(tmp_path, *FLAGS[request.param]) as address:
        page = tab_page.Page(browser)
        yield training, page, address
        page.check()
        page.context.close()
    training.close()


def test_growing_run_is_followed_and_a_chosen_step_is_kept(live):
    training, page, address = live
    frame = page.open(address)
    step = frame.locator("output.step")
    step.filter(has_text="step 45 (latest").wait_for()
    asked = []
    page.page.on("request", lambda request: asked.append(request.url))

    training.train(range(50, 175, 5), [logs.finding(step=60)])
    step.filter(has_text="step 170 (latest").wait_for(timeout=20_000)
    page.settle()
    shown = {row["run"]: row["step"] for row in page.csv()}
    assert shown == {"ended": "45", "live": "170"}
    row = frame.locator(".runs li", has_text="live")
    row.get_by_text("VanishingGradient").wait_for()
    # What has ended is not asked for again.
    values = [url for url in asked if "/statistic" in url or "/metrics" in url]
    assert values
    assert all("run=live" in url and "run=ended" not in url for url in values)

    page.key("input[type=range]", "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    assert page.step() == "step 15 of 170"
    # So many that not all steps are sampled.
    training.train(range(175, 5000, 5))
    step.filter(has_text="step 15 of 4995").wait_for(timeout=20_000)
    page.settle()
    assert {row["step"] for row in page.csv()} == {"15"}
    assert re.fullmatch(r"newest step \d+ s ago", frame.locator(".age").inner_text())


def test_page_behind_another_dashboard_asks_for_nothing(page, server):
    asked = []
    page.open(server)
    page.page.get_by_role("tab", name="scalars", exact=True).click()
    page.page.locator("iframe").first.wait_for(state="hidden")
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.wait_for_timeout(6_000)
    assert not [url for url in asked if "/plugin/initkit/" in url]
    with page.page.expect_request("**/initkit/index*"):
        page.page.get_by_role("tab", name="InitKit").click()
