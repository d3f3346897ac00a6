"""The verdict of a comparison: who learned at all, then who is better."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from keras_initkit.experiments.verdict.learning import share_of
from keras_initkit.experiments.verdict.paired import Difference, differences
from keras_initkit.report.finite import finite


class Run(Protocol):
    """What a verdict reads of a run."""

    @property
    def seed(self) -> int: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def loss_final(self) -> float: ...
    @property
    def learned(self) -> bool | None: ...


class Share(NamedTuple):
    """How many runs of an initializer learned at all.

    Attributes:
        label: Its label.
        learned: Runs that are better than the best constant prediction.
        runs: Runs that were judged.
        low, high: Exact 95 % confidence interval of the share of such runs that learn.
    """

    label: str
    learned: int
    runs: int
    low: float
    high: float

    def __str__(self) -> str:
        interval = f"{self.low:.0%} to {self.high:.0%} of such runs would"
        return f"{self.label}: {self.learned} of {self.runs} learned ({interval})"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a comparison shows, and what it does not.

    Attributes:
        measure: What is compared: `"accuracy"`, or `"loss_final"` if not all runs have
            one.
        shares: How many runs of each initializer learned; empty if unknown.
        means: `{label: mean of the measure}` of those whose runs all learned, the best
            first.
        differences: Each pair of these, within one point of a grid.
        left_out: `{label: why}` of those whose means are not compared.
    """

    measure: str
    shares: tuple[Share, ...]
    means: Mapping[str, float]
    differences: tuple[Difference, ...]
    left_out: Mapping[str, str]

    def of(self, one: str, other: str) -> Difference | None:
        """Returns the difference between two initializers, if it was tested."""
        pair = {one, other}
        found = (d for d in self.differences if {d.better, d.worse} == pair)
        return next(found, None)

    def lines(self) -> list[str]:
        """Returns the verdict in words: which learned, then which are better."""
        lines = [str(share) for share in self.shares]
        lines += [f"{label}: {why}" for label, why in self.left_out.items()]
        return lines + [self.tell(one) for one in self.differences]

    def tell(self, difference: Difference) -> str:
        """Returns a difference in words."""
        one = difference
        size = _amount(one.mean, self.measure)
        interval = f"{_amount(one.low, self.measure, bare=True)} to " + _amount(
            one.high, self.measure
        )
        if one.differs:
            return f"{one.better} is better than {one.worse} by {size} ({interval})"
        return (
            f"{one.better} and {one.worse} are not distinguishable with {one.seeds} "
            f"seeds ({size} apart, {interval}{_needed(one, size)})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the verdict as JSON takes it."""
        return finite(
            {
                "measure": self.measure,
                "learned": [share._asdict() for share in self.shares],
                "means": dict(self.means),
                "differences": [
                    {**one._asdict(), "needed": one.needed} for one in self.differences
                ],
                "left_out": dict(self.left_out),
            }
        )

    def __str__(self) -> str:
        return "\n".join(self.lines())


def verdict(
    families: Sequence[Mapping[str, Sequence[Run]]], resolution: float = 0.0
) -> Verdict:
    """Judges the runs of a comparison.

    Means are compared only among initializers whose runs all learned: if some are
    stuck, a mean mostly reflects how many, and a t-test is not valid.

    Args:
        families: `{label: its runs}`, one a point of the grid.
        resolution: The step in which accuracies are measured, one over the number of
            tested examples; 0 if that is not known.
    """
    runs = [run for family in families for group in family.values() for run in group]
    has_accuracy = bool(runs) and all(math.isfinite(run.accuracy) for run in runs)
    measure = "accuracy" if has_accuracy else "loss_final"
    shares: list[Share] = []
    left_out: dict[str, str] = {}
    compared: list[dict[str, dict[int, float]]] = []
    for family in families:
        compared.append({})
        for label, group in family.items():
            judged = [run for run in group if run.learned is not None]
            learned = sum(bool(run.learned) for run in judged)
            if judged:
                ends = share_of(learned, len(judged))
                shares.append(Share(label, learned, len(judged), *ends))
            why = _why_left_out(group, len(judged), learned)
            if why is None:
                compared[-1][label] = {
                    run.seed: _more_is_better(run, measure) for run in group
                }
            else:
                left_out[label] = why
    step = resolution if measure == "accuracy" else 0.0
    means = {
        label: sum(values.values()) / len(values)
        for family in compared
        for label, values in family.items()
    }
    best_first = sorted(means, key=means.__getitem__, reverse=True)
    sign = 1 if measure == "accuracy" else -1
    return Verdict(
        measure,
        tuple(sorted(shares, key=lambda s: -s.learned / s.runs)),
        {label: sign * means[label] for label in best_first},
        differences(compared, step),
        left_out,
    )


def _why_left_out(group: Sequence[Run], judged: int, learned: int) -> str | None:
    """Returns why the mean of runs is not compared, `None` if it is."""
    if not group:
        return "not compared, because no run has finished"
    if learned < judged:
        return "not compared, because not all of its runs learned"
    if not all(math.isfinite(run.loss_final) for run in group):
        return "not compared, because a loss is not finite"
    if len(group) == 1:
        return "not compared, because one seed does not show how much seeds differ"
    return None


def _more_is_better(run: Run, measure: str) -> float:
    return run.accuracy if measure == "accuracy" else -run.loss_final


def _amount(value: float, measure: str, bare: bool = False) -> str:
    """Returns a difference with its unit: points of accuracy, or a loss."""
    points = measure == "accuracy"
    digits = f"{float(f'{100 * value if points else value:.2g}'):g}"  # no exponent
    return digits if bare else f"{digits} {'points' if points else 'of loss'}"


def _needed(one: Difference, size: str) -> str:
    if one.mean == 0:
        return ""
    if one.needed is None:
        return f"; more than 10,000 would be needed to resolve {size}"
    return f"; about {one.needed:,} would resolve {size}"
