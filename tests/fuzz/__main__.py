"""Trains random models bare and watched: `python -m tests.fuzz --seeds 0:200`."""

import argparse
import collections
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.fuzz import models, trial


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:200", help="first and past the last")
    parser.add_argument("--shrink", action="store_true", help="shrink what fails")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split(":"))
    counts: collections.Counter = collections.Counter()
    for seed in range(first, last):
        started = time.perf_counter()
        recipe = models.draw(seed)
        outcome = trial.run(recipe)
        said = outcome.fault or ("not compared" if outcome.detail else "same")
        counts[said] += 1
        took = time.perf_counter() - started
        print(f"{seed} {said} {took:.1f}s {outcome.detail} | {recipe}", flush=True)
        if outcome.fault and given.shrink:
            small = trial.shrunk(recipe)
            print(f"    shrunk: {trial.run(small).detail} | {small}", flush=True)
    print(dict(counts))
    raise SystemExit(bool({"differs", "crash", "incomplete"} & counts.keys()))


if __name__ == "__main__":
    main()
