"""Draws the pictures of the tab in the docs: four networks of 30 layers on MNIST.

    python -m tests.tensorboard_tab.draw_tab [--log-dir ...] [--pictures ...]

Trains them for two epochs on 18,944 digits, starts TensorBoard over the runs, and takes
pictures of the tab (needs playwright, and a Chromium on the PATH).
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

import keras

import keras_initkit as kik

DEPTH, WIDTH = 30, 64
# Name, activation and initializer of each run.
RUNS = (
    ("healthy (orthogonal, tanh)", "tanh", "orthogonal"),
    ("glorot, depth 30", "relu", "glorot_uniform"),
    ("exploding", "relu", keras.initializers.RandomNormal(stddev=0.35)),
    ("zero", "relu", "zeros"),
)
GLOROT, HEALTHY = RUNS[1][0], RUNS[0][0]
# What each picture shows, as its link has it.
PICTURES = {
    "tensorboard_tab": {"step": "0"},
    "tab_vanishing": {
        "run": GLOROT,
        "hidden": json.dumps([name for name, _, _ in RUNS if name != GLOROT]),
        "layer": "sequential_1/hidden_30",
        "step": "0",
    },
    "tab_difference": {"view": "difference", "run": GLOROT, "against": HEALTHY},
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def build(activation, initializer):
    """Returns a compiled model."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((28, 28, 1)), keras.layers.Flatten()]
    for number in range(1, DEPTH + 1):
        start = kik.initializers.get(initializer)
        name = f"hidden_{number}"
        layers.append(keras.layers.Dense(WIDTH, activation, True, start, name=name))
    start = kik.initializers.get(initializer)
    layers.append(keras.layers.Dense(10, kernel_initializer=start, name="logits"))
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def train(log_dir):
    """Trains and records all runs."""
    data = kik.data.load("mnist", source="auto", limit=148 * 128)
    x, y = data.x_train, data.y_train
    for name, activation, initializer in RUNS:
        monitor = kik.SignalMonitor(log_dir / name, every=5)
        model = build(activation, initializer)
        model.fit(x, y, 128, epochs=2, verbose=0, callbacks=[monitor])


def draw(log_dir, folder):
    """Takes the pictures."""
    from playwright import sync_api

    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir)]
    server = subprocess.Popen(
        [*command, "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    address = next(
        found[1]
        for line in server.stderr
        if (found := re.search(r" at (http://\S+)", line))
    )
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    try:
        with sync_api.sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=browser, args=["--no-sandbox"]
            )
            page = chromium.new_page(viewport={"width": 1280, "height": 860})
            for name, state in PICTURES.items():
                query = urllib.parse.urlencode(
                    {f"p.initkit.{key}": value for key, value in state.items()},
                    quote_via=urllib.parse.quote,
                )
                page.goto("about:blank")
                page.goto(f"{address}#initkit&{query}")
                frame = page.frame_locator("iframe")
                frame.locator(".runs li").nth(len(RUNS) - 1).wait_for()
                frame.locator("#view[aria-busy=false]").wait_for()
                page.wait_for_timeout(2000)
                page.screenshot(path=folder / f"{name}.png")
            chromium.close()
    finally:
        server.terminate()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log-dir", default="logdir/tensorboard_tab")
    parser.add_argument("--pictures", default="docs", help="folder of the pictures")
    args = parser.parse_args(argv)
    log_dir = pathlib.Path(args.log_dir)
    if not log_dir.exists():
        train(log_dir)
    draw(log_dir, pathlib.Path(args.pictures))


if __name__ == "__main__":
    main()
