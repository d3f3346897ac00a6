"""A browser page that shows the tab, and what tests ask of it."""

import contextlib
import csv
import os
import re
import subprocess
import sys

import numpy as np

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


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


@contextlib.contextmanager
def tensorboard(log_dir, *flags):
    """Runs stock TensorBoard for the duration of a `with`; yields its address."""
    process, address = start_tensorboard(log_dir, *flags)
    try:
        yield address
    finally:
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

    def open(self, address, view="profile", **state):
        """Opens the tab inside TensorBoard, at a view that it chooses for `None`."""
        state |= {} if view is None else {"view": view}
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


def number(value):
    """Three digits, as the tab writes a value between 0.001 and 100,000."""
    text = np.format_float_positional(
        np.float32(value), precision=3, unique=False, fractional=False, trim="-"
    )
    return text.replace("-", "−")


def reload(page):
    """Presses TensorBoard's reload button."""
    page.page.locator(".reload-button").first.click()
    page.settle()
