"""Times the InitKit tab: replies, memory, first picture, slider.

    python benchmarks/tensorboard_tab.py [--runs 20 --layers 50 --steps 1000]
    python benchmarks/tensorboard_tab.py --runs 10 --layers 200
    python benchmarks/tensorboard_tab.py --chunk 1      # as a slow training writes it

Writes synthetic runs by the real writer's event files, starts stock TensorBoard over
them under each reader, asks for values as the tab does, and opens the tab in a headless
Chromium (needs playwright). Times are the best of several, as a busy machine only ever
slows down, with the CPU time of TensorBoard's processes; the first picture counts from
the start of the tab's own frame, not of TensorBoard's. Memory is resident, beside that
over an empty directory.
"""

import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.log import chunks, events, places
from keras_initkit_light.format import packing
from keras_initkit_light.format.described import Described

REPEATS = 5
# What the first view asks for.
SIGNALS = ("activation", "backprop")
PICTURE = "performance.getEntriesByName('initkit: first picture')[0]?.startTime"
DRAWN = "performance.getEntriesByName('initkit: draw')[0].duration"


class Walk:
    """Statistics as those of ReLU layers of 256 units: some wander, some are still."""

    def __init__(self, signal, layers, rng):
        self._names = schema.statistics_of(signal)
        self._rng = rng
        self._logs = np.zeros((5, layers))
        self._still = np.zeros(layers)

    def step(self):
        """Returns the matrix of the next step, a row a layer."""
        self._logs += 0.02 * self._rng.normal(size=self._logs.shape)
        mean, std, low, high, other = np.exp(self._logs)
        rms = np.sqrt(mean**2 + std**2)
        known = {
            "mean": mean,
            "std": std,
            "rms": rms,
            "norm": rms * np.sqrt(256 * 128),
            "min": -low,
            "max": high,
            "zero_fraction": np.round(self._rng.normal(2**14, 99, len(std))) / 2**15,
            "distinct_units": self._still + 256,
            "effective_rank": 40 * other,
            "saturation_fraction": self._still + np.nan,
            "update_to_weight_ratio": 1e-3 * other,
        }
        return np.stack([known.get(name, self._still) for name in self._names], axis=1)


def write_run(directory, signals, layers, steps, rng):
    file = chunks.ChunkFile(events.EventFile(places.Place(str(directory))))
    labels = [f"block_{i // 5}/dense_{i}" for i in range(layers)]
    for signal in signals:
        walk = Walk(signal, layers, rng)
        columns = schema.statistics_of(signal)
        described = Described("statistics", signal, tuple(labels), columns)
        tag = schema.matrix_tag(signal)
        for step in range(steps):
            file.add(tag, step, walk.step(), lambda described=described: described)
    file.close()


def size(directory):
    return sum(p.stat().st_size for p in directory.rglob("*") if p.is_file()) / 1e6


class Server:
    """TensorBoard over a directory, and what it takes."""

    def __init__(self, directory, *flags):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(directory)]
        self._process = subprocess.Popen(
            [*command, "--port", "0", *flags],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        for line in self._process.stderr:
            if found := re.search(r" at (http://\S+)", line):
                self.address = found[1]
                break

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()

    def get(self, path, experiment=None):
        """Asks for data of the tab; what was read for one experiment helps no other."""
        place = f"experiment/{experiment}/" if experiment else ""
        url = f"{self.address}{place}data/plugin/initkit/{path}"
        with urllib.request.urlopen(url) as response:
            return response.read()

    def wait(self, runs, step):
        """Waits until the last step of all runs is there."""
        start = time.perf_counter()
        query = "statistic?column=rms&samples=2&signal="
        last = b"[0, %d]" % step
        while any(self.get(query + one).count(last) < runs for one in SIGNALS):
            time.sleep(0.2)
        return time.perf_counter() - start

    def memory(self):
        """Resident MB of the web server, and of the data server if there is one."""
        return [_resident(pid) for pid in self._pids()]

    def cpu(self):
        """Seconds of CPU that both have taken so far."""
        return sum(map(_cpu_seconds, self._pids()))

    def _pids(self):
        own = self._process.pid
        children = pathlib.Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *children]


def _resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def _cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def time_reply(server, text, query, experiments=(None,) * REPEATS):
    walls, cpus = [], []
    for experiment in experiments:
        start, before = time.perf_counter(), server.cpu()
        reply = server.get(f"statistic?signal=activation&{query}", experiment)
        walls.append(time.perf_counter() - start)
        cpus.append(server.cpu() - before)
    print(
        f"  {text:54}{min(walls):8.3f} s  {min(cpus):.2f} s of CPU, "
        f"{len(reply) / 1e6:.2f} MB"
    )


def time_replies(server):
    for steps in (400, 1000):
        text = f"first reply, one statistic of all runs, {steps} steps"
        names = [f"{steps}_{repeat}" for repeat in range(REPEATS)]
        time_reply(server, text, f"column=rms&samples={steps}", names)
    time_reply(server, "another statistic, 400 steps", "column=std", names)
    time_reply(server, "the first and the last step alone", "column=rms&samples=2")


def time_browser(server):
    from playwright import sync_api

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        first, total = [], []
        for _ in range(REPEATS):
            page.goto("about:blank")
            start = time.perf_counter()
            page.goto(f"{server.address}#initkit")
            page.frame_locator("iframe").locator(".summary").wait_for(timeout=60_000)
            (frame,) = [f for f in page.frames if "plugin_entry" in f.url]
            frame.wait_for_function(PICTURE, timeout=60_000)
            total.append(time.perf_counter() - start)
            first.append(frame.evaluate(PICTURE) / 1000)
        slider = frame.locator("input[type=range]")
        draws = []
        for key in ("Home", *["ArrowRight"] * 20):
            slider.press(key)
            frame.evaluate("new Promise((done) => setTimeout(done, 100))")
            draws.append(frame.evaluate(DRAWN))
        browser.close()
    told("first picture, from the start of its own frame", first)
    told("the same from navigation to TensorBoard", total)
    print(
        f"  {'slider redraw, median and worst':54}{np.median(draws):8.1f} ms "
        f"{max(draws):.1f} ms"
    )


def told(text, seconds):
    """Prints the best of several visits, and the first, when nothing had been read."""
    print(f"  {text:54}{min(seconds):8.3f} s  (first visit {seconds[0]:.3f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--layers", type=int, default=50)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--chunk", type=int, default=packing.MOST_STEPS)
    arguments = parser.parse_args()
    runs, layers, steps = arguments.runs, arguments.layers, arguments.steps
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    packing.MOST_STEPS = arguments.chunk
    print(f"{runs} runs x {layers} layers x {steps} steps, {arguments.chunk} a chunk")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name) / "logs"
        for run in range(runs):
            directory = root / f"run_{run:02}"
            write_run(directory, SIGNALS, layers, steps, rng)
        print(f"log of {' and '.join(SIGNALS)}: {size(directory):.2f} MB a run")
        directory = pathlib.Path(name) / "one_statistic"
        for signal in schema.SIGNALS:
            write_run(directory / signal, [signal], layers, steps, rng)
            print(f"  of {signal:14}{size(directory / signal):.2f} MB")
        empty = pathlib.Path(name) / "empty"
        empty.mkdir()
        for reader, flag in (("Rust reader", "true"), ("Python reader", "false")):
            print(f"{reader} (--load_fast={flag})")
            with Server(empty, f"--load_fast={flag}") as server:
                time.sleep(2)
                before = server.memory()
            kept = f"--samples_per_plugin={schema.PLUGIN_NAME}={steps}"
            with Server(root, f"--load_fast={flag}", kept) as server:
                seconds = server.wait(runs, steps - 1)
                print(f"  {'from address to all data loaded':54}{seconds:8.3f} s")
                time_browser(server)
                after = server.memory()
                time_replies(server)
            for kind, old, new in zip(
                ("web server", "data server"), before, after, strict=False
            ):
                print(f"  {kind + ', memory':54}{new:8.0f} MB  ({old:.0f} when empty)")


if __name__ == "__main__":
    main()
