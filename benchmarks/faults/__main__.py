"""The command: runs what has changed, then prints the figures of both halves."""

import argparse
import hashlib
import json
import logging
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rich.console
import rich.progress

from benchmarks.faults import report, runs, scoring, trial
from benchmarks.faults.settings import HALVES
from benchmarks.faults.suite import SETUPS

ROOT = pathlib.Path(__file__).parent.parent.parent
# What an outcome hangs on, the rules over records excepted: these judge anew each time.
SOURCES = (
    "benchmarks/faults/models.py",
    "benchmarks/faults/tasks.py",
    "benchmarks/faults/trial.py",
    "keras_initkit/capture",
    "keras_initkit/diagnosis/linting",
    "keras_initkit/inspection",
    "keras_initkit/reinit",
    "keras_initkit/stats",
)


def source_digest():
    """Returns a digest of the code that makes outcomes."""
    digest = hashlib.sha256()
    for name in SOURCES:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class Outcomes:
    """Outcomes of trainings, kept in a folder from one run to the next."""

    def __init__(self, folder, stale=False):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.stale = stale
        self.source = source_digest()
        self.lines = folder / "outcomes.jsonl"
        self.known = {}
        if self.lines.exists():
            for line in self.lines.read_text().splitlines():
                entry = json.loads(line)
                if stale or entry["source"] == self.source:
                    self.known[entry["training"]] = entry

    def of(self, setting):
        """Returns the outcome of a setting, of a new training if need be."""
        name = setting.digest
        if name not in self.known:
            keep = self.folder / name
            keep.mkdir(parents=True, exist_ok=True)
            for old in keep.iterdir():
                old.unlink()
            entry = {"training": name, "source": self.source}
            entry |= trial.run(setting, keep)
            with self.lines.open("a") as lines:
                lines.write(json.dumps(entry) + "\n")
            self.known[name] = entry
        return self.known[name]

    def judged(self, setting):
        """Returns the same with its findings, judged by the rules as they are now."""
        outcome = self.of(setting)
        findings = trial.findings_of(outcome, self.folder / setting.digest)
        return outcome | {"findings": findings}


def verdicts_of(setups, folder, stale=False):
    """Yields the verdict on each set-up, trained where it has not been yet.

    Args:
        setups: The set-ups.
        folder: Where outcomes are kept.
        stale: Whether outcomes of older code are taken as they are.
    """
    outcomes = Outcomes(folder, stale)
    for setup in setups:
        twin = None if setup.twin is None else outcomes.of(setup.twin)
        yield scoring.verdict(setup, outcomes.judged(setup.setting), twin)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default="logdir/faults",
        help="where outcomes are kept",
    )
    parser.add_argument("--only", default="", help="part of the set-ups' names")
    parser.add_argument("--half", choices=HALVES, help="print one half only")
    parser.add_argument("--list", action="store_true", help="say what they are")
    parser.add_argument(
        "--stale", action="store_true", help="take outcomes of older code as they are"
    )
    options = parser.parse_args(arguments)
    console = rich.console.Console(highlight=False)
    # What monitors say of each finding; here they are counted.
    logging.getLogger("keras_initkit").setLevel(logging.ERROR)
    wanted = [one for one in SETUPS if options.only in one.name]
    if options.half is not None:
        wanted = [one for one in wanted if one.half == options.half]
    if options.list:
        console.print(report.listing(wanted))
        return
    began = time.process_time()
    shown = rich.progress.track(wanted, "Set-ups", console=console)
    verdicts = list(verdicts_of(shown, options.out, options.stale))
    for half in HALVES:
        part = [v for v in verdicts if v.setup.half == half]
        if part:
            console.print(report.rendered(half, part))
    console.print(runs.cost_since(began))


if __name__ == "__main__":
    runs.in_one_thread()
    main()
