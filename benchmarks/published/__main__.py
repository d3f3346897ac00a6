"""The command: runs what has changed, then prints the figures of both halves."""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rich.console
import rich.progress

from benchmarks.faults import runs
from benchmarks.published import __doc__ as about
from benchmarks.published import remedies, report, scoring, trial
from benchmarks.published.programs import HALVES, Program, programs


def verdict_on(program: Program, keep: pathlib.Path) -> scoring.Verdict:
    """Runs a program and its twin, and judges what is said of them."""
    twin = None
    spec = program.twin
    if spec is not None:

        def remedied(finding):
            mended = remedies.remedied(spec, finding)
            return None if mended is None else trial.skill_after(mended, keep)

        twin = scoring.twin_verdict(program, trial.run(spec, keep), remedied)
    return scoring.verdict(program, trial.run(program.faulty, keep), twin)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.published",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default="logdir/published",
        help="where trainings are kept",
    )
    parser.add_argument("--post", help="one program, with all that is said of it")
    parser.add_argument("--half", choices=HALVES, help="one half only")
    options = parser.parse_args(arguments)
    console = rich.console.Console(highlight=False, width=None)
    known = [one for one in programs() if one.faulty is not None]
    wanted = [one for one in known if options.post in (None, str(one.post))]
    if not wanted:
        parser.error(
            f"`--post` must be among {[str(one.post) for one in known]}. "
            f"Received: {options.post}"
        )
    wanted = [one for one in wanted if options.half in (None, one.half)]
    began = time.process_time()
    shown = rich.progress.track(wanted, "Programs", console=console)
    verdicts = [verdict_on(program, options.out) for program in shown]
    if options.post is not None:
        console.print(*map(report.everything, verdicts))
        return
    for half in HALVES:
        part = [v for v in verdicts if v.program.half == half]
        if part:
            console.print(report.figures(half, part, scoring.score(part)))
            console.print(report.details(part))
    if options.half is None:
        console.print(report.figures("all", verdicts, scoring.score(verdicts)))
    console.print(runs.cost_since(began))


if __name__ == "__main__":
    runs.in_one_thread()
    main()
