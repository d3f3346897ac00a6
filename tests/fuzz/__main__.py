"""Trains random models bare and watched: `python -m tests.fuzz --seeds 0:200`."""

import argparse
import collections
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# So many models in a process: TensorFlow keeps something of each for good.
EACH = 100
FAULTS = ("differs", "crash", "incomplete")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:200", help="first and past the last")
    parser.add_argument("--shrink", action="store_true", help="shrink what fails")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split(":"))
    if last - first <= EACH:
        counts = tried(range(first, last), given.shrink)
    else:
        counts = collections.Counter()
        for begin in range(first, last, EACH):
            counts += in_a_process(begin, min(last, begin + EACH), given.shrink)
    print(dict(counts))
    raise SystemExit(not counts.keys().isdisjoint(FAULTS))


def tried(seeds, shrink):
    """Trains the model of each seed; returns how many ended how."""
    from tests.fuzz import models, trial

    counts: collections.Counter = collections.Counter()
    for seed in seeds:
        started = time.perf_counter()
        recipe = models.draw(seed)
        outcome = trial.run(recipe)
        said = outcome.fault or ("not compared" if outcome.detail else "same")
        counts[said] += 1
        took = time.perf_counter() - started
        print(f"{seed} {said} {took:.1f}s {outcome.detail} | {recipe}", flush=True)
        if outcome.fault and shrink:
            small = trial.shrunk(recipe)
            print(f"    shrunk: {trial.run(small).detail} | {small}", flush=True)
    return counts


def in_a_process(first, last, shrink):
    """Does the same in a process of its own, whose lines are shown as they come."""
    command = [sys.executable, "-m", "tests.fuzz", "--seeds", f"{first}:{last}"]
    command += ["--shrink"] if shrink else []
    counts: collections.Counter = collections.Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            number, _, rest = line.partition(" ")
            if line.startswith("{"):
                continue  # its own counts
            print(line, end="", flush=True)
            if number.isdigit():
                told = ("not compared", "same", *FAULTS)
                counts[next(one for one in told if rest.startswith(one))] += 1
    missing = last - first - counts.total()
    return counts + collections.Counter({"crash": missing} if missing else {})


if __name__ == "__main__":
    main()
