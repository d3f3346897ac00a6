"""What comparisons cost beside the training itself, and how far they reach.

    python -m benchmarks.compare [speed harness resume render]

`speed`: the MNIST MLP sweep one after the other and with `n_jobs=2`, both with one
intra-op thread a run; `harness`: wall time of a comparison that is not spent in its
runs; `resume`: 200 finished runs; `render`: 10,000 results loaded and shown as a page,
as one comparison and as a grid.
"""

import dataclasses
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

import keras_initkit as kik
from keras_initkit.experiments.store import finished
from keras_initkit.experiments.store.fingerprint import fingerprint
from keras_initkit.experiments.threads import compute_with

INITIALIZERS = (
    "zero", "random", "slide_xavier", "slide_he", "glorot_uniform", "he_normal",
    "orthogonal", "lecun_normal",
)  # fmt: skip

SEEDS = 10_000 // len(INITIALIZERS)
EXAMPLES = 12_800  # of which these have learned


def timed(function, clock=time.perf_counter):
    started = clock()
    result = function()
    return clock() - started, result


def timed_twice(function):
    """Returns the wall time and the CPU time that a function takes, and its result."""
    wall, (cpu, result) = timed(lambda: timed(function, time.process_time))
    return np.array([wall, cpu]), result


def sweep(data, log_dir, **settings):
    return kik.compare(
        "mnist_mlp", data, INITIALIZERS, log_dir=log_dir, progress=False, **settings
    )


def speed(folder):
    data = kik.data.load("mnist")
    settings = dict(seeds=5, epochs=3)
    # Processes start once in a session; that they do is told apart.
    warm, _ = timed(lambda: sweep(data, folder / "warm", seeds=1, epochs=1, n_jobs=2))
    many, two = timed(lambda: sweep(data, folder / "two", n_jobs=2, **settings))
    alone, one = timed(lambda: sweep(data, folder / "one", **settings))
    same = [r.loss_final for r in one.runs] == [r.loss_final for r in two.runs]
    print(f"first 8 runs with the start of 2 processes: {warm:.1f} s")
    print(f"40 runs one after the other: {alone:.1f} s; n_jobs=2: {many:.1f} s")
    print(f"speed: {alone / many:.2f}; the same to the bit: {same}")
    report_harness(alone, one)


def harness(folder):
    data = kik.data.load("mnist")
    wall, found = timed(lambda: sweep(data, folder / "runs", seeds=1, epochs=3))
    report_harness(wall, found)


def report_harness(wall, found):
    spent = wall - sum(run.seconds for run in found.runs)
    print(f"harness: {spent:.2f} s of {wall:.1f} s, {spent / wall:.2%}")


def resume(folder):
    data = kik.data.load("mnist", limit=256)
    settings = dict(seeds=25, epochs=1)
    sweep(data, folder / "runs", **settings)
    wall, found = timed(lambda: sweep(data, folder / "runs", **settings))
    print(f"{found.kept} of {len(found.runs)} finished runs resume in {wall:.2f} s")


def render(folder):
    # Trained elsewhere: what training takes is none of the memory asked for here.
    train = [sys.executable, "-m", "benchmarks.compare", "--results", str(folder)]
    subprocess.run(train, check=True)
    data = kik.data.load("mnist", limit=EXAMPLES)
    loading, found = timed_twice(lambda: sweep(data, folder, seeds=SEEDS, epochs=2))
    showing, page = timed_twice(found.to_html)
    print(f"{found.kept} results: {report_page(loading, showing, page)}")
    showing, page = timed_twice(as_grid(found).to_html)
    print(f"as a grid of 50 points: {report_page(loading, showing, page)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak {peak:.2f} GB")


def report_page(loading, showing, page):
    wall, cpu = loading + showing
    return (
        f"loaded and shown in {wall:.1f} s, {cpu:.1f} s of CPU ({loading[1]:.1f} s to "
        f"load), page of {len(page) / 2**20:.1f} MB"
    )


def write_results(folder):
    """Writes 10,000 finished runs, of which eight were trained."""
    data = kik.data.load("mnist", limit=EXAMPLES)
    for run in sweep(data, folder, seeds=1, epochs=2).runs:
        result, key = finished.read(run.log_dir)
        for seed in range(1, SEEDS):
            result.seed = seed
            path = folder / f"{run.initializer}-seed{seed}"
            path.mkdir()
            own = {**key, "seed": fingerprint(seed).digest}
            finished.write(result, own, path)


def as_grid(found):
    """Returns the same results as if they were of a grid of 10 by 5 points."""
    grid = {"depth": tuple(range(10)), "learning_rate": tuple(range(5))}
    shown = dataclasses.replace(found, grid=grid, seeds=tuple(range(SEEDS // 50)))
    for run in shown.runs:
        place, run.seed = divmod(run.seed, len(shown.seeds))
        run.point = shown.points[place]
    return shown


def main(names):
    compute_with(1)
    if names[:1] == ["--results"]:
        write_results(pathlib.Path(names[1]))
        return
    for name in names or ("speed", "harness", "resume", "render"):
        with tempfile.TemporaryDirectory() as folder:
            globals()[name](pathlib.Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
