"""The result of a comparison: its runs, ranked, in a table and in words."""

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from keras_initkit.experiments import shown as shown_room
from keras_initkit.experiments import why as why_room
from keras_initkit.experiments.grid import point_name, row_name
from keras_initkit.experiments.rows import Row
from keras_initkit.experiments.run_result import Lost, RunResult
from keras_initkit.experiments.verdict import Verdict, verdict
from keras_initkit.report import comparison_page, comparison_plot, drawing, export


@dataclasses.dataclass(repr=False)
class ComparisonResult:
    """Runs of the same training with different initializers.

    Attributes:
        model: Name of the model.
        data: Name of the data set.
        origin: Source of the data.
        is_standin: Whether they are a stand-in for the real ones.
        initializers: Labels, in the requested order.
        seeds: Requested seeds.
        runs: `RunResult`s of the runs that finished, in the order of the points of the
            grid, then of `initializers`, then of `seeds`.
        log_dir: Parent directory of the runs, `None` if nothing was written.
        interrupted: Whether Ctrl-C ended it before all runs were done.
        grid: `{argument: values}`, empty without a grid.
        kept: How many of the runs were kept from before.
        changed: `{part of the key: number of runs repeated because it differs}`, parts
            as in `experiments.KEY_PARTS`.
        lost: Runs without a result, because their process died twice.
        unseen: What the keys do not cover: changes there go unnoticed.
        call: Code that makes the same comparison, empty if unknown.
    """

    model: str
    data: str
    origin: str
    is_standin: bool
    initializers: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: list[RunResult] = dataclasses.field(default_factory=list)
    log_dir: str | None = None
    interrupted: bool = False
    grid: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    kept: int = 0
    changed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    lost: list[Lost] = dataclasses.field(default_factory=list)
    unseen: tuple[str, ...] = ()
    call: str = ""

    def of(self, initializer: str, **point: Any) -> list[RunResult]:
        """Returns the runs of one initializer, at all points that agree with `point`.

        Example:
        >>> import keras_initkit as kik
        >>> grid = {"learning_rate": [0.1, 0.01]}
        >>> found = kik.compare("xor_mlp", "xor", "he", seeds=1, epochs=1, grid=grid)
        >>> len(found.of("he")), len(found.of("he", learning_rate=0.1))
        (2, 1)
        """
        return [
            run
            for run in self.runs
            if run.initializer == initializer
            and all(run.point.get(name) == value for name, value in point.items())
        ]

    @property
    def points(self) -> list[dict[str, Any]]:
        """All points of the grid; one without arguments where there is no grid."""
        return [
            dict(zip(self.grid, values, strict=True))
            for values in itertools.product(*self.grid.values())
        ]

    def row_names(self) -> list[str]:
        """Returns the names of all rows that there may be, in the order asked for."""
        return [
            row_name(one, point) for point in self.points for one in self.initializers
        ]

    def put_in_order(self) -> None:
        """Sorts the runs by points of the grid, initializers and seeds."""
        names = {name: place for place, name in enumerate(self.row_names())}
        seeds = {seed: place for place, seed in enumerate(self.seeds)}
        self.runs.sort(
            key=lambda run: (
                names[row_name(run.initializer, run.point)],
                seeds[run.seed],
            )
        )

    def _groups(self) -> dict[str, list[RunResult]]:
        """The finished runs by the names of their rows."""
        groups: dict[str, list[RunResult]] = {}
        for run in self.runs:
            name = row_name(run.initializer, run.point)
            groups.setdefault(name, []).append(run)
        return groups

    @property
    def why(self) -> dict[str, str]:
        """`{name of a row: one line}`, for those with a finished run."""
        return {name: why_room.explain(runs) for name, runs in self._groups().items()}

    @property
    def verdict(self) -> Verdict:
        """Which initializers learned at all, and which differences are real.

        Seeds are paired; initializers are compared at each point of a grid, and all
        comparisons are corrected together.
        """
        families: dict[str, dict[str, list[RunResult]]] = {}
        for name, runs in self._groups().items():
            families.setdefault(point_name(runs[0].point), {})[name] = runs
        tested = [run.tested for run in self.runs if run.tested]
        return verdict(list(families.values()), 1 / min(tested) if tested else 0.0)

    def table(self) -> list[Row]:
        """Returns a `Row` per initializer with a finished run, best first.

        At each point of a grid they are ranked by the share of runs that learned, then
        by mean accuracy, then by mean final loss. Those with a non-finite final loss in
        any run come last.
        """
        order = {name: place for place, name in enumerate(self.row_names())}
        count = len(self.initializers)
        why = self.why
        rows = [Row.of(runs, why[name]) for name, runs in self._groups().items()]
        return sorted(rows, key=lambda row: (order[row.name] // count, *row.rank))

    @property
    def ranking(self) -> tuple[str, ...]:
        """Labels of the initializers, the best first, over all points of a grid."""
        groups = [self.of(name) for name in self.initializers]
        rows = [Row.of(runs, "") for runs in groups if runs]
        return tuple(row.initializer for row in sorted(rows, key=lambda row: row.rank))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots losses, accuracies, and signals and gradients against depth.

        For a grid: heat maps of the initializers against its values.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If no run has finished.
        """
        if not self.runs:
            raise ValueError("`plot` needs at least one finished run. Received: none")
        styles = drawing.styles(self.initializers)
        if self.grid:
            maps = self._heat_maps()
            return comparison_plot.plot_maps(self.title, maps, path)
        (shown,) = self._shown([""])
        return comparison_plot.plot(self.title, shown, styles, path)

    def _shown(self, points: Sequence[str]) -> list[list[comparison_plot.Initializer]]:
        """Returns what pictures show at each of these points, the best first."""
        groups, found = self._groups(), self._by_point()
        return [
            [
                shown_room.initializer(row.initializer, row.why, groups[row.name])
                for row in found[point]
            ]
            for point in points
        ]

    def _by_point(self) -> dict[str, list[Row]]:
        return shown_room.by_point(self.table())

    def pictures(self) -> list[tuple[str, Any]]:
        """Returns captions and figures: of a grid, its maps and one a point.

        Of a large grid, they are of the four points at which initializers differ most.
        """
        styles = drawing.styles(self.initializers)
        found = []
        if self.grid:
            maps = self._heat_maps()
            found.append(
                ("The grid", comparison_plot.plot_maps(self.title, maps, None))
            )
        names = shown_room.most_telling(self._by_point(), self.verdict.measure)
        for name, shown in zip(names, self._shown(names), strict=True):
            title = f"{self.title}{', ' * bool(name)}{name}"
            figure = comparison_plot.plot(title, shown, styles, None)
            found.append((name or "Curves and profiles", figure))
        return found

    def _heat_maps(self) -> list[comparison_plot.HeatMap]:
        return shown_room.heat_maps(
            self.grid, self.initializers, self.table(), self.verdict.measure
        )

    def _page(self, pictures: list[tuple[str, Any]]) -> comparison_page.Page:
        """Returns what the page shows."""
        judged = self.verdict
        return comparison_page.Page(
            title=self.title,
            origin=self.origin,
            is_standin=self.is_standin,
            learned=[str(share) for share in judged.shares],
            left_out=[f"{label}: {why}" for label, why in judged.left_out.items()],
            differences=[(judged.tell(one), one.differs) for one in judged.differences],
            table=shown_room.table(self.table()),
            why=self.why,
            notes=[*self.remarks(), *self._not_drawn(pictures)],
            pictures=pictures,
            again=self.call,
            versions=shown_room.versions(self.runs),
        )

    def _not_drawn(self, pictures: Sequence[Any]) -> list[str]:
        """Returns what is to be said of points of a grid without curves."""
        drawn, points = len(pictures) - bool(self.grid), len(self._by_point())
        if not pictures or drawn == points:
            return []
        return [
            f"curves are drawn for the {drawn} of {points} grid points at which the "
            "initializers differ most; compare a single point to see its curves"
        ]

    @property
    def title(self) -> str:
        """What was compared, in a line."""
        seeds = len(self.seeds)
        data = f"{self.data}{' STAND-IN' if self.is_standin else ''}"
        what = f"{self.model} on {data}: what the initializer does"
        if not self.runs:
            return what
        run = self.runs[0]
        return (
            f"{what} ({seeds} seed{'s' * (seeds != 1)}, {run.steps} steps of "
            f"{run.batch_size})"
        )

    def to_dataframe(self) -> Any:
        """Returns a tidy `pandas.DataFrame`: one row per finished run.

        Columns: `initializer, seed`, one for each argument of the grid, the attributes
        of `RunResult` that are numbers, and `findings`, the names of rules with
        findings.

        Raises:
            ImportError: If pandas is not installed.
        """
        return export.dataframe([run.to_row() for run in self.runs])

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Returns a self-contained HTML page: it needs no other files and no network.

        The verdict, the table, curves with bands, profiles against depth, heat maps of
        a grid, and how to run it again.

        Args:
            path: File to also write it to.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If no run has finished.
        """
        page = comparison_page.page(self._page(self.pictures()))
        return export.written(page, path)

    def _repr_html_(self) -> str:
        return comparison_page.fragment(self._page([]))

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the records as JSON takes it.

        What is not finite (NaN, Inf) becomes `None`, JSON's `null`.
        """
        return {
            "model": self.model,
            "data": self.data,
            "origin": self.origin,
            "is_standin": self.is_standin,
            "interrupted": self.interrupted,
            "log_dir": self.log_dir,
            "initializers": list(self.initializers),
            "seeds": list(self.seeds),
            "grid": {name: list(values) for name, values in self.grid.items()},
            "kept": self.kept,
            "changed": dict(self.changed),
            "unseen": list(self.unseen),
            "ranking": list(self.ranking),
            "why": self.why,
            "verdict": self.verdict.to_dict(),
            "table": [row.to_dict() for row in self.table()],
            "runs": [run.to_dict() for run in self.runs],
            "lost": [dataclasses.asdict(one) for one in self.lost],
        }

    def remarks(self) -> list[str]:
        """Returns what was kept, run again and lost, a line each."""
        lines = []
        if self.kept:
            lines.append(f"{self.kept} of {len(self.runs)} runs were kept from before")
        lines += [
            f"{count} rerun, because {shown_room.part(name)} changed"
            for name, count in self.changed.items()
        ]
        lines += [
            f"{row_name(one.initializer, one.point)}, seed {one.seed}: no result, "
            f"because {one.reason}"
            for one in self.lost
        ]
        lines += [f"changes in {what} go unnoticed" for what in self.unseen]
        return lines

    def __str__(self) -> str:
        rows = self.table()
        width = max((len(row.name) for row in rows), default=0)
        lines = [f"{self.model} on {self.data} ({self.origin})"]
        lines += [
            f"{row.name:>{width}}  accuracy {row.accuracy.mean:.4f}  "
            f"loss {row.loss_initial.mean:.4g} -> {row.loss_final.mean:.4g}  {row.why}"
            for row in rows
        ]
        return "\n".join([*lines, *self.verdict.lines(), *self.remarks()])

    __repr__ = __str__
