"""The command: prints what is said of each healthy set-up.

python -m tests.healthy [NAME ...]
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.healthy.judging import judge
from tests.healthy.setups import EXPLAINED, SETUPS, is_large


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SETUPS), metavar="NAME")
    names = parser.parse_args().names
    errors, unexplained, after = 0, set(), 0
    print(f"{'set-up':30}{'before':>8}{'during':>8}{'after':>8}{'seconds':>9}")
    for name in names:
        began = time.process_time()
        verdict = judge(name, SETUPS[name], fit=not is_large(name))
        spent = time.process_time() - began
        counts = [len(verdict.before), len(verdict.during), len(verdict.after)]
        row = "".join(f"{count:8}" for count in counts)
        print(f"{name:30}{row}{spent:9.1f}", flush=True)
        for finding in verdict.all():
            why = EXPLAINED.get(name, {}).get(finding.rule)
            print(f"    {finding}" + (f" [explained: {why}]" if why else ""))
            errors += finding.severity == "error"
            if why is None:
                unexplained.add(name)
        after += len(verdict.after)
    print(
        f"{len(names)} set-ups: {errors} errors, {len(unexplained)} with a warning "
        f"that is not explained, {after} findings after `recommend`"
    )
    return bool(errors or after or len(unexplained) > 2)


if __name__ == "__main__":
    sys.exit(main())
