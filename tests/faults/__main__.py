"""Makes faults happen and prints what came of them: `python -m tests.faults`.

python -m tests.faults [--short] [--trials 100] [--only "kill"] [--seed 0]
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.faults import table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="what the tests run")
    parser.add_argument("--trials", type=int, help="at most so many of each fault")
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| fault | trials | held | what did not |")
    print("|---|---|---|---|")
    broken = 0
    for name, fault in table.FAULTS.items():
        count = fault.short if given.short else fault.full
        count = count if given.trials is None else min(count, given.trials)
        if given.only not in name or not count:
            continue
        began = time.perf_counter()
        try:
            outcomes = table.run(name, count, given.seed)
        except table.NotHereError as error:
            print(f"| {name} | 0 | 0 | not tried: {error} |", flush=True)
            continue
        failed = [outcome for outcome in outcomes if outcome]
        broken += len(failed)
        told = "; ".join(sorted(set(failed))[:3]) or "-"
        held = len(outcomes) - len(failed)
        print(f"| {name} | {len(outcomes)} | {held} | {told} |", flush=True)
        took = time.perf_counter() - began
        os.write(2, f"{name}: {took:.1f} s\n".encode())
    raise SystemExit(bool(broken))


if __name__ == "__main__":
    main()
