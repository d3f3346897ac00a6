"""Names of runs, layers and findings that mean harm, in a real browser."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import urllib.parse

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import RunRecord, RunWriter
from tests.faults import written
from tests.faults.registry import NotHereError, fault
from tests.tensorboard_tab.browser import tab_page

PARTS = (
    "<img src=x onerror=window.hacked=1>",
    "<script>window.hacked=1</script>",
    "\"onmouseover='window.hacked=1'",
    "javascript:window.hacked=1",
    "</title></td></script>",
    "${window.hacked=1}{{7*7}}",
    "../",
    "..\\",
    "%2e%2e%2f",
    "&lt;&#60;",
    "__proto__",
    "constructor",
    "\n\r\t",
    "\x01\x07\x1b[31m\x7f",
    "\u202eabc\u2066",
    "שלום مرحبا",
    "👩\u200d👩\u200d👧🏳️",
    "\u2028\ufeff\u0301\u0301",
    ":@#%",
    " ",
    "n" * 300,
)
# What no directory, or no link, can hold either.
UNFIT = ("\ud800", "\udfff", "\0")
VIEWS = ("profile", "heat", "findings", "compare", "time", "card")
# What the page itself has none of.
MADE = "main img, main script, main i, main b, .runs img, .runs script"


def draw(rng, parts=PARTS):
    """Returns a name of one to three parts."""
    return "".join(rng.choice(np.array(parts, object), size=int(rng.integers(1, 4))))


def write(log_dir, names):
    """Writes a run whose layers and finding have these names; returns its record."""
    writer, record = RunWriter(log_dir), RunRecord()
    record.metadata["model"] = names[0]
    writer.write_run(0, record.metadata)
    keys = tuple(schema.TensorKey(name, "output") for name in names)
    for step in (0, 10):
        record.add("activation", keys, step, written.values("activation", keys, step))
        writer.write_step(step, record, ("activation",), {})
    text = dict.fromkeys(("message", "remedy", "reference", "rule"), names[-1])
    numbers = {"step": 0, "measured": 1.0, "threshold": 0.5, "cleared": None}
    finding = {"severity": "warning", "layer": names[0], **text, **numbers}
    writer.write_findings(10, [finding])
    writer.close()
    return record


@contextlib.contextmanager
def page_over(log_dir):
    """A browser's page, and the address of a TensorBoard over a directory.

    Raises:
        NotHereError: If there is no browser.
    """
    try:
        from playwright import sync_api
    except ImportError:
        raise NotHereError("needs playwright: pip install playwright") from None
    executable = next(filter(None, map(shutil.which, tab_page.BROWSERS)), None)
    if executable is None:
        raise NotHereError(f"needs a Chromium on the PATH, {tab_page.BROWSERS}")
    with (
        tab_page.tensorboard(log_dir) as address,
        sync_api.sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        yield tab_page.Page(browser), address
        browser.close()


def shown_wrongly(page, address, run, names):
    """What the tab makes of a run's names but text."""
    listed = (
        page.open(address)
        .locator(".runs .name")
        .evaluate_all("all => all.map((one) => one.textContent)")
    )
    if run not in listed:
        return f"{run!r} is not among the runs {listed}"
    others = [one for one in listed if one != run]
    hidden = urllib.parse.quote(json.dumps(others), safe="")
    title = None
    for view in VIEWS:
        layer = urllib.parse.quote(names[0], safe="")
        frame = page.open(address, view=view, layer=layer, hidden=hidden)
        if frame.locator(MADE).count():
            return f"{view}: {names} became elements"
        if any(one.evaluate("window.hacked") for one in page.page.frames):
            return f"{view}: {names} was run"
        if view == "profile":
            title = frame.locator(".card figcaption strong").first.text_content()
    page.check()
    return "" if title == names[0] else f"{names[0]!r} is shown as {title!r}"


@fault(
    "names that mean harm, in a browser",
    "each is text, in every view, and is read back as it was",
    full=30,
    short=1,
)
def harmful_names(directory, count, rng):
    # In a thread of its own: one thread drives one browser, and a test may have one.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        found = thread.submit(lambda: [*_harmful_names(directory, count, rng)])
        yield from found.result()


def _harmful_names(directory, count, rng):
    cases = {}
    for number in range(count):
        run = f"{number}{draw(rng)}".replace(os.sep, "")[:200]
        rest = [draw(rng, PARTS + UNFIT) for _ in range(3)]
        names = [*dict.fromkeys([draw(rng), *rest])]
        cases[run] = names, write(directory / run, names)
    with page_over(directory) as (page, address):
        for run, (names, record) in cases.items():
            loaded = RunRecord.load(directory / run)
            if loaded.missing or not loaded.diff(record).equal:
                yield f"{names} are read back otherwise"
            else:
                yield shown_wrongly(page, address, run, names)
